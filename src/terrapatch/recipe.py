# SPDX-License-Identifier: Apache-2.0
"""The recipe: the whole description of a dataset, one frozen section a stage.

Laws:
1. A recipe file says only what differs; defaults live in these models alone.
2. Each stage reads its own settings file, made by `stage_settings`: what is not in it cannot
   change the stage's result, and touching it is an error (`settings.views`).
3. All findings are reported at once, before any work.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError, model_validator

from .errors import InputError, RecipeError
from .findings import findings
from .paths import remedy
from .settings import (
    KINDS,
    SECTIONS,
    STAGES,
    Section,
    Sections,
    narrowed,
    seen,
)
from .yamlfiles import merged, read

CLAIMS = ("title", "description", "authors", "deviations")
"""Keys of `publish` that speak of one dataset; `reference_licence` speaks of the map, and goes where
another crosswalk comes."""

NAMELESS = (
    "a recipe needs a name of its own, also where it extends another: the folder of its results is "
    "called so; add the line name: my-region"
)


class Recipe(Sections):
    """A whole dataset: what, where, from which scenes, in which form."""

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        if found := findings(self):
            raise ValueError("\n".join(found))
        return self

    def stage_settings(self, stage: str, layer: str | None = None) -> dict[str, Any]:
        """What a stage may see: the keys that it reads.

        Args:
            stage: for example `plan`.
            layer: the one layer that a job of the stage `stack` sees.
        """
        return narrowed(self.model_dump(mode="json"), Sections, stage, layer)


def shipped_recipes() -> Path:
    """Folder of the recipes that come with terrapatch."""
    packaged = Path(__file__).parent / "_workflow" / "recipes"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "recipes"


def _find(name: str, folders: Sequence[Path]) -> Path:
    tried = [Path(name)] if name.endswith((".yaml", ".yml")) else []
    tried += [folder / f"{name}.yaml" for folder in folders] + [folder / name for folder in folders]
    for path in tried:
        if path.is_file():
            return path
    known = ", ".join(sorted(p.stem for p in shipped_recipes().glob("*.yaml")))
    raise RecipeError(f"no recipe {name!r}; give the path of a YAML file or one of: {known}")


def resolve(data: Mapping[str, Any], folders: Sequence[Path] = ()) -> Recipe:
    """Make a recipe from its plain form: follow `extends`, apply the mode, check everything.

    What a recipe says about its very dataset is not inherited by one of another name (`CLAIMS`).

    Args:
        data: what stands in a recipe file.
        folders: where `extends` is looked up, before the shipped recipes.

    Raises:
        RecipeError: with all findings in one message.
    """
    if "name" not in data:
        raise RecipeError(NAMELESS)
    chain = [dict(data)]
    seen: list[str] = []
    while "extends" in chain[-1]:
        name = str(chain[-1].pop("extends"))
        if name in seen:
            raise RecipeError(
                f"recipe {data.get('name')!r}: 'extends' runs in a circle at {name!r}"
            )
        seen.append(name)
        chain.append(read(_find(name, [*folders, shipped_recipes()])))
    plain: dict[str, Any] = {}
    for change in reversed(chain):
        # An area is replaced as a whole: a box and a file cannot be merged.
        if "area" in change:
            plain.pop("area", None)
        if plain.get("name") not in (None, change.get("name", plain.get("name"))):
            _drop_claims(plain, change)
        plain = overlaid(plain, change)
    if plain.get("mode") == "published":
        changes = plain.get("published", {})
        if isinstance(changes, Mapping):
            plain = overlaid(plain, changes)
    if isinstance(plain.get("layers"), Mapping):  # NAME: null takes a layer out
        kept = {n: layer for n, layer in plain["layers"].items() if layer is not None}
        plain = {**plain, "layers": kept}
    try:
        return Recipe.model_validate(plain)
    except ValidationError as error:
        raise RecipeError(_findings(str(plain.get("name", "?")), error)) from None


def overlaid(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """A plain recipe with changes over it: mappings are merged key by key, layers by their names.

    A layer that is given another kind is replaced as a whole: keys of one kind mean nothing to
    another.
    """
    before, after = base.get("layers"), change.get("layers")
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        turned = {
            name
            for name, layer in after.items()
            if isinstance(layer, Mapping)
            and isinstance(before.get(name), Mapping)
            and layer.get("kind", before[name].get("kind")) != before[name].get("kind")
        }
        kept = {name: {} if name in turned else layer for name, layer in before.items()}
        base = {**base, "layers": kept}
    return merged(base, change)


def _drop_claims(plain: dict[str, Any], change: Mapping[str, Any]) -> None:
    """Take from a base what it says about its own dataset, before another one is built on it."""
    about, layers = plain.get("publish"), change.get("layers")
    if not isinstance(about, Mapping):
        return
    dropped = set(CLAIMS)
    given = layers.values() if isinstance(layers, Mapping) else ()
    if any(isinstance(layer, Mapping) and "crosswalk" in layer for layer in given):  # another map
        dropped.add("reference_licence")
    plain["publish"] = {key: value for key, value in about.items() if key not in dropped}


def _findings(name: str, error: ValidationError) -> str:
    lines = []
    for finding in error.errors():
        place = finding["loc"]
        if place[:1] == ("layers",) and len(place) > 2 and place[2] in KINDS:
            place = (*place[:2], *place[3:])  # the kind is none of the recipe's keys
        where = ".".join(str(part) for part in place)
        message = finding["msg"].removeprefix("Value error, ")
        if finding["type"] == "extra_forbidden":
            message = f"unknown key{_suggestion(finding['loc'])}"
        elif finding["type"].startswith("union_tag"):
            where, message = f"{where}.kind", _kinds(finding["input"])
        elif finding["type"] not in ("missing", "value_error"):
            message += f" (got {finding['input']!r})"
        prefix = f"  {where}: " if where else "  "
        lines += [f"{prefix}{part}" for part in message.split("\n")]
    return f"recipe {name!r} has {len(lines)} finding(s):\n" + "\n".join(lines)


def _kinds(layer: Any) -> str:
    """That a layer is of no kind that there is."""
    given = layer.get("kind") if isinstance(layer, Mapping) else None
    if given is None:
        return f"is missing; kinds of layers are {', '.join(KINDS)}"
    near = difflib.get_close_matches(str(given), KINDS, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"no kind of layers {given!r}; {hint}Kinds are {', '.join(KINDS)}"


def _suggestion(location: tuple[int | str, ...]) -> str:
    section: type[Section] | None = Recipe
    if len(location) > 2 and location[0] == "layers":
        section = KINDS.get(str(location[2]))
    elif len(location) > 1:
        section = SECTIONS.get(str(location[0]))
    if section is None:
        return ""
    near = difflib.get_close_matches(str(location[-1]), list(section.model_fields), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def load_recipe(name: str | os.PathLike[str], changes: Mapping[str, Any] | None = None) -> Recipe:
    """Load a recipe from a file, or a shipped one by its name.

    Args:
        name: path of a YAML file, or for example `demo`.
        changes: plain settings laid over the file (from the command line).

    Raises:
        RecipeError: no such recipe, or findings in it.
    """
    path = _find(os.fspath(name), [shipped_recipes()])
    plain = overlaid(read(path), changes or {})
    if "name" not in plain:
        raise RecipeError(f"{path}: {NAMELESS}")
    return resolve(plain, [path.parent])


def write_settings(recipe: Recipe, folder: Path) -> list[Path]:
    """Write one settings file a stage (and layer, for `stack`): the keys that it reads.

    A file whose text is unchanged keeps its time.

    Raises:
        InputError: the folder of results cannot be written.
    """
    # One file a stage; the stage `stack` has one a layer, so that none sees another's.
    views: list[tuple[Path, str, str | None]] = []
    for stage in STAGES:
        if stage == "stack":
            views += [(folder / stage / f"{name}.json", stage, name) for name in recipe.layers]
        else:
            views.append((folder / f"{stage}.json", stage, None))
    try:
        for path, stage, layer in views:
            path.parent.mkdir(parents=True, exist_ok=True)
            plain = recipe.stage_settings(stage, layer)
            text = json.dumps(plain, indent=2, ensure_ascii=False) + "\n"
            if not path.is_file() or path.read_text(encoding="utf-8") != text:
                temporary = path.with_name(f".{path.name}.{os.getpid()}")
                temporary.write_text(text, encoding="utf-8")
                temporary.replace(path)
    except OSError as error:
        raise InputError(
            f"{folder.parent}: no folder that results can be written to ({error.strerror}: "
            f"{error.filename}); give another one with --output"
        ) from error
    return [path for path, *_ in views]


class StageSettings(Sections):
    """What a stage reads back: the keys of its rows in `Sections`; touching others is an error."""

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> StageSettings:
        """The settings of a stage from their plain form.

        Raises:
            ValidationError: a key is unknown, or a value of another type.
        """
        return seen(cls, plain)


def read_settings(path: str | os.PathLike[str]) -> StageSettings:
    """Read a settings file written by `write_settings`.

    Raises:
        RecipeError: the file is missing or not a settings file.
    """
    try:
        return StageSettings.of(json.loads(Path(path).read_bytes()))
    except OSError as error:
        raise RecipeError(
            f"{path}: no such settings file; {remedy(path)}, or `terrapatch build`"
        ) from error
    except ValueError as error:
        found = [str(error)]
        if isinstance(error, ValidationError):
            _, *found = _findings("", error).splitlines()
        raise RecipeError(
            f"{path}: no settings of this version of terrapatch; {remedy(path)}, or "
            f"`terrapatch build` ({'; '.join(line.strip() for line in found)})"
        ) from None


def recipe_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of recipe files, for editors."""
    schema = Recipe.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["properties"]["extends"] = {
        "type": "string",
        "description": "Recipe (shipped name or path) that this one builds on.",
    }
    schema["required"] = ["name"]
    # What a recipe says of a layer may be a change of its base's: without kind, or null.
    (layer,) = schema["properties"]["layers"]["patternProperties"].values()
    layer["anyOf"] = [*layer.pop("oneOf"), {"type": "null"}]
    del layer["discriminator"]
    return schema
