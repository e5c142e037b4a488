# SPDX-License-Identifier: Apache-2.0
"""The files of one product, in a folder or inside a zip archive, and its XML."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from ..access import Access, bytes_of
from ..archives import is_apple_double
from ..errors import SceneError, remedy


@dataclass(frozen=True)
class Reading:
    """How a recipe wants products to be read."""

    raw: bool = False
    """Whether products in radar geometry are read, or left out."""
    reflectance: str = "FRE"
    """Which images give the bands where products hold several: `FRE` or `SRE`."""


AS_USUAL = Reading()
"""How products are read where a recipe asks for nothing."""


@dataclass(frozen=True)
class Tree:
    """Files of one product, in a folder or inside a zip archive."""

    path: Path
    """The product's folder, or the archive."""
    names: tuple[str, ...]
    """Files below the product's root, with `/`, sorted."""
    prefix: str | None
    """What stands before the names inside the archive; None for a folder."""

    @property
    def name(self) -> str:
        """How the product's folder is called; the archive's name where it has none inside."""
        inside = (self.prefix or "").rstrip("/").rpartition("/")[2]
        return inside or self.path.name

    def read(self, name: str) -> bytes:
        """Bytes of one file."""
        if self.prefix is None:
            return bytes_of(self.path / name)
        return bytes_of(self.path, self.prefix + name)

    def where(self, name: str) -> str:
        """How messages call a file."""
        return f"{self.path}/{name}" if self.prefix is None else f"{self.path}: {name}"

    def place(self, name: str) -> Access:
        """Where a file lies."""
        if self.prefix is None:
            return Access(str(self.path / name))
        return Access(str(self.path), self.prefix + name)


def folder_tree(path: Path) -> Tree:
    """The files of a product folder, also those behind links; a link in a circle is left alone.

    Raises:
        SceneError: a folder of the product cannot be read.
    """

    def fail(error: OSError) -> None:
        advice = remedy(error.filename or path, error, "fetch the product again")
        raise SceneError(f"{path}: cannot be read ({error}); {advice}")

    names: list[str] = []
    seen: set[str] = set()
    for folder, inner, files in os.walk(path, followlinks=True, onerror=fail):
        real = os.path.realpath(folder)
        if real in seen:
            inner.clear()
            continue
        seen.add(real)
        inner.sort()
        below = os.path.relpath(folder, path)
        names += [file if below == os.curdir else f"{below}/{file}" for file in files]
    return Tree(path, tuple(sorted(n for n in names if not is_apple_double(n))), None)


def archive_trees(
    path: Path, names: Sequence[str], is_metadata: Callable[[str], object]
) -> list[Tree]:
    """The products of a zip archive: what lies beside or below a metadata file.

    Args:
        path: the archive.
        names: its members, see `archives.members`.
        is_metadata: whether a file of that name makes its folder a product.
    """
    trees = []
    for root in sorted({n.rpartition("/")[0] for n in names if is_metadata(n.rpartition("/")[2])}):
        prefix = f"{root}/" if root else ""
        inside = tuple(n.removeprefix(prefix) for n in names if n.startswith(prefix))
        trees.append(Tree(path, inside, prefix))
    return trees


@contextmanager
def sound(tree: Tree) -> Iterator[None]:
    """Numbers and dates that are none become errors with the product's name."""
    try:
        yield
    except SceneError:
        raise
    except ValueError as error:
        raise SceneError(
            f"{tree.path}: broken metadata ({error}); fetch the product again"
        ) from error


def parse(tree: Tree, name: str) -> ET.Element:
    """Root of an XML file of a product; broken ones become a `SceneError`."""
    try:
        return ET.fromstring(tree.read(name))  # noqa: S314
    except (ET.ParseError, OSError, LookupError, ValueError) as error:
        if isinstance(error, SceneError):
            raise
        advice = remedy(tree.place(name).path, error, "fetch the product again")
        raise SceneError(f"{tree.where(name)}: broken metadata ({error}); {advice}") from error


def text_of(root: ET.Element, where: str, *tags: str) -> str:
    """Text of the first node of these tags that has one; none is a `SceneError`."""
    for tag in tags:
        node = root.find(f".//{tag}")
        if node is not None and (node.text or "").strip():
            return str(node.text).strip()
    raise SceneError(f"{where}: metadata without {tags[0]}; fetch the product again")
