# SPDX-License-Identifier: Apache-2.0
"""YAML as recipes are written in: read strictly, with one line for each thing that is wrong.

YAML takes the last of two equal keys without a word, allows values that contain themselves, and
says of a date that no calendar has only that a day is out of range. Here all of these are errors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from .errors import InputError, RecipeError

_MOST = 100_000
"""Most values that a file may stand for once its anchors are followed."""


class _Loader(yaml.SafeLoader):
    """Safe, and names the place of a value that cannot be what it is written as."""


def _constructed(loader: _Loader, node: yaml.Node) -> Any:
    try:
        return _PLAIN[node.tag](loader, node)
    except (ValueError, OverflowError) as error:
        if isinstance(error, yaml.YAMLError):
            raise
        kind = "day of the calendar" if node.tag.endswith("timestamp") else "number"
        raise yaml.constructor.ConstructorError(
            None, None, f"{node.value} is no {kind}", node.start_mark
        ) from error


_PLAIN = {
    tag: yaml.SafeLoader.yaml_constructors[tag]
    for tag in (f"tag:yaml.org,2002:{kind}" for kind in ("timestamp", "int", "float"))
}
for _tag in _PLAIN:
    _Loader.add_constructor(_tag, _constructed)


def parse(text: str | bytes, where: str) -> Any:
    """The plain form of a YAML text.

    Args:
        text: the text; bytes may be UTF-8 or UTF-16, with a mark.
        where: its name in messages.

    Raises:
        RecipeError: not YAML, a key twice in one mapping, a value that contains itself, a date
            that no calendar has.
    """
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            if findings := _findings(node):
                lines = "; ".join(findings)
                raise RecipeError(f"{where}: {lines}")
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "
        said = error.problem or error.context or "not YAML"
        raise RecipeError(f"{where}: cannot be read as YAML: {place}{said}") from error
    except yaml.YAMLError as error:
        raise RecipeError(
            f"{where}: cannot be read as YAML: {' '.join(str(error).split())}"
        ) from error
    except RecursionError as error:
        raise RecipeError(f"{where}: too many levels inside each other") from error


def read(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        RecipeError: see `parse`; or the file cannot be read or holds no mapping.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read: {error.strerror}") from error
    data = parse(text, str(path))
    if not isinstance(data, dict):
        raise RecipeError(f"{path}: a recipe is a mapping that begins with 'name:'")
    return data


def changes(pairs: Sequence[str]) -> dict[str, Any]:
    """Settings of a command line: `a.b=1` → {"a": {"b": 1}}; values are YAML, the last wins.

    Raises:
        InputError: not KEY=VALUE, or the value is not YAML.
    """
    result: dict[str, Any] = {}
    for pair in pairs:
        key, found, value = pair.partition("=")
        parts = key.strip().split(".")
        if not found or not all(parts):
            raise InputError(f"--set {pair!r}: expected KEY=VALUE, for example mode=published")
        try:
            nested: Any = parse(value, f"--set {pair!r}")
        except RecipeError as error:
            raise InputError(str(error)) from error
        for part in reversed(parts):
            nested = {part: nested}
        result = merged(result, nested)
    return result


def merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `change` over it, mappings merged key by key, everything else replaced."""
    result = dict(base)
    for key, value in change.items():
        old = result.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        result[key] = merged(old, value) if both else value  # type: ignore[arg-type]
    return result


def _findings(root: yaml.Node) -> list[str]:
    """Keys that a mapping has twice, and anchors that lead to themselves or to endless values."""
    found: list[str] = []
    sizes: dict[int, int] = {}
    open_: set[int] = set()

    def size(node: yaml.Node) -> int:
        if isinstance(node, yaml.ScalarNode):
            return 1
        if id(node) in open_:
            raise yaml.composer.ComposerError(
                None, None, "an anchor stands inside its own value", node.start_mark
            )
        if id(node) not in sizes:
            open_.add(id(node))
            if isinstance(node, yaml.MappingNode):
                found.extend(_doubled(node))
            parts = [
                p for pair in node.value for p in (pair if isinstance(pair, tuple) else (pair,))
            ]
            sizes[id(node)] = 1 + sum(map(size, parts))
            open_.remove(id(node))
        return sizes[id(node)]

    if size(root) > _MOST:
        found.append(f"stands for more than {_MOST:,} values; anchors are repeated too often")
    return found


def _doubled(node: yaml.MappingNode) -> list[str]:
    """Keys that a mapping has more than once, `<<` and lists as keys left aside."""
    lines: dict[str, list[int]] = {}
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
            lines.setdefault(key.value, []).append(key.start_mark.line + 1)
    return [
        f"key {key!r} stands in lines {' and '.join(map(str, at))}; keep one of them"
        if len(set(at)) > 1
        else f"key {key!r} stands twice in line {at[0]}; keep one of them"
        for key, at in lines.items()
        if len(at) > 1
    ]
