# SPDX-License-Identifier: Apache-2.0
"""What lies in folders: SAFE and Theia products, archives, STAC items and known GeoTIFF families.

Law: the order of a file system plays no part; everything is walked in the order of names.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError, SceneError
from ..tables import Exclusion
from . import geotiff, grd, maja, safe, stac
from .scene import Scene

_ITEMS = (".json", ".geojson")
_RAW = re.compile(r"S1[A-Z]_\w{2}_(?:GRD|SLC|OCN|RAW)")
_RAW_REASON = "raw Sentinel-1 product in radar geometry: geocoded backscatter is needed"
_NOT_GRD = "raw Sentinel-1 product of another kind than GRD"


@dataclass(frozen=True)
class Found:
    """What a search came upon."""

    scenes: tuple[Scene, ...]
    excluded: tuple[Exclusion, ...]
    """Products of kinds that are not read."""
    unknown: tuple[Path, ...]
    """Rasters that nothing describes."""


def search(paths: Sequence[Path], *, raw: bool = False, reflectance: str = "FRE") -> Found:
    """Search files and folders (downwards) for scenes.

    A STAC item whose files lie inside a SAFE product that is found too is only another view of
    it: the product itself is read. A raster that an item names is no find of its own.

    Args:
        paths: where to look.
        raw: whether Sentinel-1 products in radar geometry (GRD) are read, or left out.
        reflectance: which images of Theia's products give the bands, FRE or SRE.

    Raises:
        InputError: a path does not exist.
        SceneError: metadata of products are broken; all of them are named.
    """
    scenes: list[Scene] = []
    items: list[Scene] = []
    excluded: list[Exclusion] = []
    rasters: list[Path] = []
    roots: list[str] = []
    errors: list[SceneError] = []
    for path in _entries(paths):
        kind = path.suffix.lower()
        try:
            if _RAW.match(path.name) and (path.is_dir() or kind == ".zip"):
                if raw and grd.PRODUCT_NAME.match(path.name):
                    roots.append(os.path.abspath(path))
                    scenes.append(grd.read_product(path))
                else:
                    reason = _NOT_GRD if raw else _RAW_REASON
                    excluded.append(Exclusion(id=path.stem, sensor="sentinel1", reason=reason))
            elif path.is_dir():
                roots.append(os.path.abspath(path))
                theia = maja.is_product(path)
                read = maja.read_folder(path, reflectance) if theia else safe.read_folder(path)
                scenes.append(read)
            elif kind == ".zip" and maja.is_archive(path):
                scenes += maja.read_archive(path, reflectance)
            elif kind == ".zip":
                scenes += safe.read_archive(path) if safe.is_archive(path) else []
            elif kind in _ITEMS:
                items += stac.read_items(path)
            else:
                rasters.append(path)
        except SceneError as error:
            errors.append(error)
    if errors:
        raise SceneError("\n".join(str(error) for error in errors))
    views = {id(item) for item in items if _inside(item, roots)}
    named = {file for item in items for file in item.named}
    families, unknown = geotiff.family_scenes(
        [path for path in rasters if os.path.abspath(path) not in named]
    )
    scenes += [item for item in items if id(item) not in views] + families
    return Found(tuple(scenes), tuple(excluded), tuple(unknown))


def _inside(item: Scene, roots: Sequence[str]) -> bool:
    return any(file.startswith(f"{root}{os.sep}") for file in item.named for root in roots)


def _entries(paths: Sequence[Path]) -> Iterator[Path]:
    """Product folders and files of interest, each once."""
    seen: set[str] = set()
    for path in paths:
        if not path.exists():
            raise InputError(
                f"{path}: no such file or folder; catalog.paths are relative to where you run"
            )
        named = path.name in safe.METADATA or maja.METADATA.fullmatch(path.name)
        start = path.parent if named else path
        for entry in _walk(start):
            key = os.path.realpath(entry)
            if key not in seen:
                seen.add(key)
                yield entry


def _walk(path: Path) -> Iterator[Path]:
    if path.is_file():
        if path.suffix.lower() in (".zip", *_ITEMS, *geotiff.SUFFIXES):
            yield path
    elif any(
        (
            safe.is_product(path),
            maja.is_product(path),
            path.suffix == ".SAFE" and _RAW.match(path.name),
        )
    ):
        yield path
    else:
        for child in sorted(path.iterdir()):
            # Hidden names are half-written files, ours or those of a download tool.
            if not child.name.startswith("."):
                yield from _walk(child)
