# SPDX-License-Identifier: Apache-2.0
"""Scenes of folders: SAFE and Theia products, archives, STAC items and known GeoTIFF families.

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
from . import geotiff, grd, maja, safe, stac, walk
from .scene import Scene
from .traits import TRAITS
from .tree import Tree, archive_trees, folder_tree

_RAW_REASON = "raw Sentinel-1 product in radar geometry: geocoded backscatter is needed"
_NOT_GRD = "raw Sentinel-1 product of another kind than GRD"
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

    raw: bool
    reflectance: str
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
            self._leave(path, entry.reason)
        elif entry.kind == "raster":
            self.rasters.append(path)
        elif entry.kind == "items":
            scenes, excluded = stac.read_items(path)
            self.items += scenes
            self.excluded += excluded
        elif entry.kind == "zip":
            self._archive(path)
        elif entry.kind == "sentinel1" and not self.raw:
            self._raw(path.name)
        else:
            self.roots.append(os.path.abspath(path))
            self._product(entry.kind, folder_tree(path))

    def _leave(self, path: Path, reason: str) -> None:
        self.excluded.append(Exclusion(id=portable(path), sensor="other", reason=reason))

    def _raw(self, name: str, reason: str = _RAW_REASON) -> None:
        name = re.sub(r"(?i)(\.safe|\.zip)+$", "", name)
        self.excluded.append(Exclusion(id=name, sensor="sentinel1", reason=reason))

    def _product(self, kind: walk.Kind, tree: Tree) -> None:
        if kind == "sentinel2":
            self.scenes += safe.read_tree(tree)
        elif kind == "theia":
            self.scenes.append(maja.read_tree(tree, self.reflectance))
        elif not self.raw:
            self._raw(tree.name)
        elif (found := grd.product_kind(tree)) == "GRD":
            self.scenes.append(grd.read_tree(tree))
        else:
            self._raw(tree.name, f"{_NOT_GRD} ({found})")

    def _archive(self, path: Path) -> None:
        """All products of a zip archive, whatever its name."""
        named = walk.named_kind(path.name)
        if named == "sentinel1" and not self.raw:
            self._raw(path.name)
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
        for kind, tree in products:
            self._product(kind, tree)
        inner = [name for name in names if name.lower().endswith(_INNER)]
        if inner:
            which = f"{len(inner)} archive(s) inside, for example {inner[0]}"
            self._leave(path, f"{which}, which are not looked into: unpack it")
        elif named is not None and not products:
            what = {"sentinel1": grd.MANIFEST, "theia": "…_MTD_ALL.xml"}.get(
                named, "MTD_MSIL2A.xml or MTD_MSIL1C.xml"
            )
            raise SceneError(f"{path}: the product lacks {what}; fetch it again")
        elif not products:
            count = sum(name.lower().endswith(walk.RASTERS) for name in names)
            told = f": {count} raster(s) without metadata; unpack and describe them under "
            self._leave(
                path, f"no product in the archive{told + 'catalog.rasters' if count else ''}"
            )


def search(
    paths: Sequence[Path],
    *,
    raw: bool = False,
    reflectance: str = "FRE",
    described: Collection[str] = (),
    besides: Path | None = None,
) -> Found:
    """Search files and folders (downwards) for scenes.

    A STAC item whose files lie inside a SAFE product that is found too is only another view of
    it: the product itself is read. A raster that an item names is no find of its own.

    Args:
        paths: where to look.
        raw: whether Sentinel-1 products in radar geometry (GRD) are read, or left out.
        reflectance: which images of Theia's products give the bands, FRE or SRE.
        described: absolute paths of rasters that the recipe describes: no finds of their own.
        besides: a folder to pass over on the way down: our own results.

    Raises:
        InputError: a path does not exist.
        SceneError: metadata of products are broken; all of them are named.
    """
    found = _Search(raw, reflectance)
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


def _products(path: Path, names: Sequence[str]) -> list[tuple[walk.Kind, Tree]]:
    """The products of an archive, each with its family."""
    found: list[tuple[walk.Kind, Tree]] = []
    found += [("sentinel2", t) for t in archive_trees(path, names, safe.METADATA.fullmatch)]
    found += [("theia", t) for t in archive_trees(path, names, maja.METADATA.fullmatch)]
    taken = {tree.prefix for _, tree in found}
    for tree in archive_trees(path, names, grd.MANIFEST.__eq__):
        measured = any(name.startswith(("annotation/", "measurement/")) for name in tree.names)
        if tree.prefix not in taken and measured:
            found.append(("sentinel1", tree))
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
