# SPDX-License-Identifier: Apache-2.0
"""How a chosen scene becomes an item of the lock.

Laws:
1. A file of this machine is opened here, and its header is the authority: CRS, transform, shape
   and dtype of an asset are those of the file itself.
2. Of a file elsewhere nothing is opened: its metadata say where its pixels lie, and stages hold
   the header against them when they open it.
3. What cannot be known stops here, with the file's name: missing bands, offset, CRS.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import shapely
from rasterio.errors import NotGeoreferencedWarning
from shapely.geometry.base import BaseGeometry

from ..access import Access
from ..crs import same_crs
from ..errors import GridError, SceneError, SourceError
from ..grid import geobox_from_dict
from ..rasters import Header, read_window
from ..records import LockedAsset, LockedItem
from .families import lacking
from .files import Files
from .product import footprint_of, header_of, missing_bands, no_crs
from .scene import BandFile, Numbers, Scene, Transform
from .statements import FULL_SCALE, Statement, check_tags, of_header, settled
from .traits import TRAITS, Traits


def locked_item(
    scene: Scene, bands: Sequence[str], files: Files, *, remote: bool = False
) -> LockedItem:
    """Record all that reading a scene's bands takes, from the headers of its files.

    Args:
        scene: a chosen scene.
        bands: wanted bands; for a reference map `map`.
        files: sizes and hashes.
        remote: whether files may lie elsewhere than on this machine; these are not opened.

    Raises:
        SceneError: a band is missing, its file or archive is damaged.
        SourceError: a file lies elsewhere, or cannot be told from that of another scene.
        GridError: a file has no CRS, or another one than the metadata say.
    """
    found = _wanted(scene, bands, remote=remote)
    packed: dict[Path, list[str]] = {}
    for file in found.values():
        if file.at.member is not None and file.at.local is not None:
            packed.setdefault(file.at.local, []).append(file.at.member)
    for path, names in packed.items():
        files.check_archive(path, names)
    assets = {name: _asset(scene, name, file, files) for name, file in found.items()}
    _same_crs_throughout(scene, assets)
    footprint = _rounded(_trimmed(scene, assets))
    return LockedItem(
        id=scene.id,
        sensor=scene.sensor,
        level=scene.level,
        datetime=scene.datetime,
        tile=scene.tile,
        platform=scene.platform,
        processor=scene.processor,
        processing_baseline=scene.processing_baseline,
        relative_orbit=scene.relative_orbit,
        orbit_direction=scene.orbit_direction,
        cloud_percent=scene.cloud_percent,
        footprint=json.loads(shapely.to_geojson(footprint)),
        licence=scene.licence,
        assets=assets,
    )


def _wanted(scene: Scene, bands: Sequence[str], *, remote: bool) -> dict[str, BandFile]:
    """Files of the wanted bands, all of them there."""
    missing = [band for band in bands if band not in scene.bands]
    if missing:
        raise lacking(scene, missing)
    found = {band: scene.bands[band] for band in bands}
    elsewhere = [band for band, file in found.items() if file.at.local is None]
    if elsewhere and not remote:
        raise SourceError(
            f"{scene.where}: {len(elsewhere)} asset(s) of {scene.id} are not local, for example "
            f"{elsewhere[0]} ({found[elsewhere[0]].href}); fetch them into the folder of the item"
        )
    here = {
        band for band, file in found.items() if file.at.local is None or file.at.local.is_file()
    }
    if len(here) < len(found):
        gone = [band for band in found if band not in here]
        raise missing_bands(scene.id, scene.where, gone, sorted(here))
    first: dict[tuple[Access, int], str] = {}
    for band, file in found.items():
        if file.disputed is not None:
            raise SourceError(file.disputed)
        other = first.setdefault((file.at, file.band), band)
        if other != band and scene.family == "stac":
            raise SourceError(
                f"{file.at.path}: this one file stands for {other} and {band} of {scene.id} "
                f"({scene.where}): the assets of the item end in the same name; give each band a "
                "file of its own and correct the item's addresses"
            )
    return found


def _asset(scene: Scene, name: str, file: BandFile, files: Files) -> LockedAsset:
    traits, sidecars = TRAITS[scene.sensor], file.sidecars
    href, local = file.href, file.at.local
    header = _stated(file) if local is None else header_of(href)
    if sidecars is not None:
        lacks = [kind for kind in ("annotation", "calibration") if kind not in sidecars]
        if lacks:
            raise SceneError(
                f"{scene.where}: no {' and no '.join(lacks)} of {name} in the product; "
                "fetch it again"
            )
        header = replace(header, crs="", transform=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0))
    elif header.crs is None and file.bare and file.transform is not None:
        header = replace(header, crs=file.crs, transform=file.transform)
    if header.crs is None:
        raise no_crs(href)
    if file.crs is not None and not same_crs(header.crs, file.crs):
        raise GridError(
            f"{href}: CRS that does not match: the file says {header.crs}, the product's "
            f"metadata say {file.crs}; fetch the product again"
        )
    if sidecars is not None and file.at.member is None and local is not None:
        _check_end(href, header)
    if not 1 <= file.band <= header.count:
        raise SceneError(
            f"{href}: band {file.band} was asked for, the file has {header.count}; "
            "correct the order of bands in the recipe"
        )
    dtype = header.dtypes[file.band - 1]
    floats = np.issubdtype(np.dtype(dtype), np.floating)
    values = _values(traits, name, file, header, file.floating if floats else None)
    nan = values.nodata is not None and math.isnan(values.nodata)
    steps = values.quantification
    size, digest = file.size, file.sha256
    if local is not None:
        size, digest = files.record(local)
    annotations = {kind: at.href for kind, at in (sidecars or {}).items()}
    return LockedAsset(
        href=href,
        band=file.band,
        size=size,
        sha256=digest,
        beside=() if local is None else files.beside(href, *annotations.values(), header=header),
        crs=header.crs,
        transform=header.transform,
        shape=header.shape,
        dtype=dtype,
        nodata=None if nan else values.nodata,
        # NaN is never a measurement, whether the file declares it or not.
        nodata_nan=nan or floats,
        mask=header.masks[file.band - 1],
        add_offset=values.add_offset or 0.0,
        quantification=steps if steps and traits.reflectance else FULL_SCALE,
        gain=1 / steps if steps and not (traits.reflectance or traits.codes) else 1.0,
        scale=values.unit or "linear",
        **annotations,
    )


def _values(
    traits: Traits, name: str, file: BandFile, header: Header, floating: Numbers | None
) -> Statement:
    """What the numbers of a band mean, as file, metadata and recipe say together."""
    numbers = floating or file.numbers
    if numbers.fault is not None:
        raise SceneError(numbers.fault)
    if file.sidecars is not None:  # raw measurements: the product alone is the authority
        return settled(file.href, numbers.said)
    check_tags(
        file.href, header, file.band, numbers.said, codes=traits.codes or name in traits.coded,
        reflectance=traits.reflectance,
    )  # fmt: skip
    own = of_header(header, file.band, reflectance=traits.reflectance)
    return settled(file.href, [own, *numbers.said], numbers.usual)


def _stated(file: BandFile) -> Header:
    """The header of a file that is not opened, as the metadata state it."""
    if file.crs is None or file.transform is None or file.shape is None or file.dtype is None:
        wanted = ("crs", "transform", "shape", "dtype")
        lacks = [name for name in wanted if getattr(file, name) is None]
        raise SourceError(
            f"{file.href}: is not on this machine, and its metadata state no {', '.join(lacks)}; "
            "fetch it and name its path"
        )
    count = file.band
    return Header(
        crs=file.crs, transform=file.transform, shape=file.shape, count=count,
        block=file.shape, descriptions=(None,) * count, dtypes=(file.dtype,) * count,
        nodatas=(None,) * count, masks=(None,) * count, scales=(1.0,) * count,
        offsets=(0.0,) * count, units=(None,) * count, interpretations=("undefined",) * count,
    )  # fmt: skip


def _check_end(href: str, header: Header) -> None:
    """Read the last pixels: a measurement that broke off has none. Archives have checksums."""
    height, width = header.shape
    asset = LockedAsset(
        href=href, crs="", transform=header.transform, shape=header.shape, dtype=header.dtype
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        read_window(asset, (slice(height - 1, height), slice(width - 1, width)))


def _same_crs_throughout(scene: Scene, assets: Mapping[str, LockedAsset]) -> None:
    systems = sorted({asset.crs for asset in assets.values()})
    if any(not same_crs(systems[0], other) for other in systems[1:]):
        raise GridError(
            f"{scene.where}: CRS that does not match: the bands of {scene.id} lie in {systems}; "
            "the bands of one scene share one CRS"
        )


def _trimmed(scene: Scene, assets: Mapping[str, LockedAsset]) -> BaseGeometry:
    """The metadata's footprint, cut to the files where these are crops of the product."""
    asset = next(iter(assets.values()))
    if not asset.crs:
        return scene.footprint
    outline = _outline(asset.crs, asset.transform, asset.shape)
    shared = scene.footprint.intersection(outline)
    inside = shapely.union_all([p for p in shapely.get_parts(shared) if p.area > 0])
    if inside.area == 0:
        raise GridError(
            f"{asset.href}: CRS that does not match: the pixels lie outside the footprint that "
            f"the metadata of {scene.id} give; fetch the product again"
        )
    return inside if inside.area < 0.99 * scene.footprint.area else scene.footprint


@lru_cache(maxsize=4096)
def _outline(crs: str, transform: Transform, shape: tuple[int, int]) -> BaseGeometry:
    """Outline of a file in EPSG:4326; that of a tile is one for all its dates."""
    return footprint_of(geobox_from_dict({"crs": crs, "transform": transform, "shape": shape}))


def _rounded(geometry: BaseGeometry) -> BaseGeometry:
    return shapely.transform(geometry, lambda xy: np.round(xy, 7))
