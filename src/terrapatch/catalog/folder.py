# SPDX-License-Identifier: Apache-2.0
"""Scenes of folders: products and archives of all families, STAC items, rasters of known namings.

Laws:
1. The order of a file system plays no part (see `walk`).
2. What is found becomes a scene, an exclusion with its reason, or an unknown raster; a product
   whose metadata are broken is an error.
3. One file belongs to one scene.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..access import portable
from ..archives import members, open_archive
from ..errors import SceneError
from ..records import Exclusion
from . import geotiff, stac, walk
from .families import FAMILIES, Family, named_family
from .scene import Scene
from .traits import TRAITS
from .tree import AS_USUAL, Reading, Tree, archive_trees, folder_tree

_INNER = (".zip", ".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".xz")


@dataclass(frozen=True)
class Found:
    """What a search came upon."""

    scenes: tuple[Scene, ...]
    excluded: tuple[Exclusion, ...]
    """Products of kinds that are not read, archives that were not looked into, and the like."""
    unknown: tuple[Path, ...]
    """Rasters that nothing describes."""


@dataclass
class _Search:
    """What is found on the way."""

    how: Reading
    scenes: list[Scene] = field(default_factory=list)
    items: list[Scene] = field(default_factory=list)
    excluded: list[Exclusion] = field(default_factory=list)
    rasters: list[Path] = field(default_factory=list)
    roots: list[str] = field(default_factory=list)
    """Product folders that are read."""

    def look(self, entry: walk.Entry) -> None:
        """Read what an entry offers.

        Raises:
            SceneError: metadata of a product are broken.
        """
        path = entry.path
        if entry.kind == "no":
            self._leave(path, entry.told)
        elif entry.kind == "raster":
            self.rasters.append(path)
        elif entry.kind == "items":
            scenes, excluded = stac.read_items(path)
            self.items += scenes
            self.excluded += excluded
        elif entry.kind == "zip":
            self._archive(path)
        elif not self._unread(FAMILIES[entry.told], path.name):
            self.roots.append(os.path.abspath(path))
            self._product(FAMILIES[entry.told], folder_tree(path))

    def _leave(self, path: Path, reason: str) -> None:
        self.excluded.append(Exclusion(id=portable(path), sensor="other", reason=reason))

    def _unread(self, family: Family, name: str, tree: Tree | None = None) -> bool:
        """Whether a product is not read; then it is left out with the reason."""
        reason = family.unread(self.how, tree)
        if reason is not None:
            name = re.sub(r"(?i)(\.safe|\.zip)+$", "", name)
            self.excluded.append(Exclusion(id=name, sensor=family.SCENES, reason=reason))
        return reason is not None

    def _product(self, family: Family, tree: Tree) -> None:
        if not self._unread(family, tree.name, tree):
            self.scenes += family.read_tree(tree, self.how)

    def _archive(self, path: Path) -> None:
        """All products of a zip archive, whatever its name."""
        key = named_family(path.name)
        named = None if key is None else FAMILIES[key]
        if named is not None and self._unread(named, path.name):
            return
        try:
            with open_archive(path) as archive:
                names = [*members(archive)]
        except SceneError as error:
            if named is not None:
                raise
            self._leave(path, str(error).removeprefix(f"{path}: "))
            return
        products = _products(path, names)
        for family, tree in products:
            self._product(family, tree)
        inner = [name for name in names if name.lower().endswith(_INNER)]
        if inner:
            which = f"{len(inner)} archive(s) inside, for example {inner[0]}"
            self._leave(path, f"{which}, which are not looked into: unpack it")
        elif named is not None and not products:
            raise SceneError(f"{path}: the product lacks {named.NEEDS}; fetch it again")
        elif not products:
            count = sum(name.lower().endswith(walk.RASTERS) for name in names)
            told = f": {count} raster(s) without metadata; unpack and describe them under "
            self._leave(
                path, f"no product in the archive{told + 'catalog.rasters' if count else ''}"
            )


def search(
    paths: Sequence[Path],
    how: Reading = AS_USUAL,
    *,
    described: Collection[str] = (),
    besides: Path | None = None,
) -> Found:
    """Search files and folders (downwards) for scenes.

    A STAC item whose files lie inside a product that is found too is only another view of
    it: the product itself is read. A raster that an item names is no find of its own.

    Args:
        paths: where to look.
        how: how products are read, and which are left out.
        described: absolute paths of rasters that the recipe describes: no finds of their own.
        besides: a folder to pass over on the way down: our own results.

    Raises:
        InputError: a path does not exist.
        SceneError: metadata of products are broken; all of them are named.
    """
    found = _Search(how)
    errors: list[SceneError] = []
    for entry in walk.entries(paths, besides):
        try:
            found.look(entry)
        except SceneError as error:
            errors.append(error)
    if errors:
        raise SceneError("\n".join(str(error) for error in errors))
    items = [item for item in found.items if not _inside(item.named, found.roots)]
    named = {file for item in found.items for file in item.named}
    plain, unknown = geotiff.named_scenes(
        [path for path in found.rasters if os.path.abspath(path) not in named]
    )
    plain = [scene for scene in plain if not {*scene.named} & {*described}]
    unknown = [path for path in unknown if os.path.abspath(path) not in described]
    around = {str(folder) for file in named for folder in Path(file).parents}
    excluded = [
        e for e in found.excluded if e.sensor != "other" or os.path.abspath(e.id) not in around
    ]
    return Found((*found.scenes, *_with_own_files(items), *plain), tuple(excluded), tuple(unknown))


def _products(path: Path, names: Sequence[str]) -> list[tuple[Family, Tree]]:
    """The products of an archive, each with its family."""
    found: list[tuple[Family, Tree]] = []
    taken: set[str | None] = set()
    for family in FAMILIES.values():
        trees = [t for t in archive_trees(path, names, family.is_metadata) if t.prefix not in taken]
        trees = [t for t in trees if family.is_product({n.partition("/")[0] for n in t.names})]
        taken |= {tree.prefix for tree in trees}
        found += [(family, tree) for tree in trees]
    return found


def _inside(files: Collection[str], roots: Sequence[str]) -> bool:
    return any(file.startswith(f"{root}{os.sep}") for file in files for root in roots)


def _with_own_files(items: Sequence[Scene]) -> list[Scene]:
    """The items, guarded against files that several of them, or several bands, would share."""
    owners: dict[str, dict[tuple[str | None, ...], str]] = {}
    for item in items:
        # One acquisition may have several items (of two catalogues, or listed twice).
        when = item.datetime[:10] if TRAITS[item.sensor].reflectance else item.datetime
        for file in item.named:
            owners.setdefault(file, {})[item.sensor, item.tile, when] = item.id
    shared = {file: sorted(ids.values()) for file, ids in owners.items() if len(ids) > 1}
    return [_without_shared(item, shared) for item in items]


def _without_shared(item: Scene, shared: Mapping[str, Sequence[str]]) -> Scene:
    """The item; of a file that others name too it cannot be told what it shows."""
    bands = dict(item.bands)
    for band, file in item.bands.items():
        ids = file.at.local and shared.get(os.path.abspath(file.at.local))
        if ids:
            words = (
                f"{file.at.path}: {len(ids)} items name this one file, for example {ids[0]} and "
                f"{ids[1]} ({item.where}): which date it shows cannot be told; keep the files of "
                "each item beside it in a folder of its own"
            )
            bands[band] = replace(file, disputed=words)
    return replace(item, bands=bands)
