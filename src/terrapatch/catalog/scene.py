# SPDX-License-Identifier: Apache-2.0
"""A scene as its metadata tell it, and how it becomes an item of the lock.

Laws:
1. Finding scenes reads metadata only; headers of band files are opened for the chosen ones.
2. CRS, transform, shape and dtype of an asset are those of the file itself.
3. What cannot be known stops here, with the file's name: missing bands, offset, CRS.
"""

from __future__ import annotations

import json
import math
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import shapely
from odc.geo.geobox import GeoBox
from rasterio.errors import NotGeoreferencedWarning
from shapely.geometry.base import BaseGeometry

from ..access import address, portable
from ..errors import GridError, SceneError
from ..grid import GEOGRAPHIC, equal_crs, geobox_from_dict, one_name, reprojected, same_crs
from ..rasters import Header, read_header, read_window
from ..tables import LockedAsset, LockedItem, Sensor
from .files import Files
from .statements import CODES, FULL_SCALE, SILENT, Statement, check_tags, of_header, settled

SENTINEL_LICENCE = "Legal notice on the use of Copernicus Sentinel Data and Service Information"
"""Licence of all Sentinel products, where the metadata name no other."""

Transform = tuple[float, float, float, float, float, float]


@dataclass(frozen=True)
class BandFile:
    """Where a band lies, and what the product's metadata say about it."""

    path: Path
    """File on disk; the archive where `member` is given."""
    member: str | None = None
    """Name inside a zip archive."""
    band: int = 1
    """Band number inside the file, from 1."""
    said: tuple[Statement, ...] = ()
    """What metadata and recipe say about its numbers; the file's own tags must agree."""
    usual: Statement = SILENT
    """What holds where nobody says anything."""
    crs: str | None = None
    """CRS according to the metadata; the file's own must agree."""
    transform: Transform | None = None
    """Used with `crs` where the file has no CRS."""
    sidecars: Mapping[str, str] | None = None
    """Radar geometry: addresses by field of the lock (`annotation`, `calibration`, `noise`)."""

    @property
    def href(self) -> str:
        """What GDAL opens: relative to the working directory where the file lies under it."""
        path = portable(self.path)
        return path if self.member is None else address(path, self.member)


@dataclass(frozen=True)
class Slice:
    """Place of a product in its datatake."""

    number: int
    """From 1."""
    total: int
    segment: str
    """When the stretch began that the numbers count in; a datatake may have several."""
    start: datetime
    stop: datetime


@dataclass(frozen=True)
class Scene:
    """One acquisition that a source offers."""

    id: str
    sensor: Sensor
    level: str
    """L1C, L2A, RTC, GRD, map."""
    datetime: str
    """Acquisition start, see `iso_utc`; empty where a map has no date."""
    footprint: BaseGeometry
    """Valid data in EPSG:4326, cut at the antimeridian."""
    files: Callable[[Sequence[str]], Mapping[str, BandFile]] = field(compare=False)
    """Gives the files of the wanted bands, or raises `SceneError` for what is missing."""
    where: str = ""
    """The product's path, for messages."""
    origin: str = ""
    """Address of the pixels where the id is only a file's name; empty where metadata give it."""
    tile: str | None = None
    platform: str | None = None
    processing_baseline: str | None = None
    relative_orbit: int | None = None
    orbit_direction: str | None = None
    cloud_percent: float | None = None
    datatake: str | None = None
    """Names the acquisition in all its versions, for example GS2A_20190212T192651."""
    generation: str = ""
    """When this version was made; sorts as text."""
    licence: str | None = None
    slice: Slice | None = None
    """Sentinel-1: place in the datatake, where the product is one of several slices."""
    polarisations: tuple[str, ...] = ()
    """Sentinel-1: what was measured, or at least is there."""
    named: tuple[str, ...] = ()
    """Absolute paths of local files that the metadata or the recipe name."""
    processor: str | None = None
    """Sentinel-2: who made the product, `esa` or `theia`; None where nothing says it."""
    uncovered: Callable[[BaseGeometry], float] | None = field(default=None, compare=False)
    """Sentinel-2: share (0..1) of an area (EPSG:4326), as far as the product's grid reaches, that
    the image does not show."""
    unusable: str | None = None
    """Why the scene cannot be used whatever the recipe says."""

    def __post_init__(self) -> None:
        if self.tile is not None:  # a square on the edge of two latitude bands has two names
            object.__setattr__(self, "tile", one_name(self.tile))

    @property
    def day(self) -> date:
        """Day of acquisition in UTC."""
        return date.fromisoformat(self.datetime[:10])


def iso_utc(text: str) -> str:
    """A date or time in the one form of the lock: `2024-01-20T10:53:41.024Z`.

    Raises:
        ValueError: not an ISO 8601 date or time.
    """
    moment = datetime.fromisoformat(text)
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    precision = "milliseconds" if moment.microsecond else "seconds"
    return moment.isoformat(timespec=precision).replace("+00:00", "Z")


def platform_name(text: str) -> str:
    """The one spelling of a platform: `Sentinel-2A` for S2A, sentinel-2a or SENTINEL-2A."""
    match = re.fullmatch(r"s(?:entinel)?[-_ ]?([12])[-_ ]?([a-z])", text.strip(), re.IGNORECASE)
    return f"Sentinel-{match[1]}{match[2].upper()}" if match else text


def missing_bands(
    scene_id: str, where: str, missing: Sequence[str], have: Sequence[str]
) -> SceneError:
    """The error for band files that a product lacks."""
    return SceneError(
        f"{where}: {scene_id} lacks the band(s) {', '.join(missing)} "
        f"(it has {', '.join(have) or 'none'}); fetch the product again, "
        "or leave these bands out of the recipe"
    )


def header_of(href: str) -> Header:
    """Header of a raster; one without CRS is an answer here, not a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        return read_header(href)


def file_geobox(href: str) -> GeoBox:
    """Geobox of a raster file.

    Raises:
        SceneError: the file cannot be read.
        GridError: the file has no CRS.
    """
    header = header_of(href)
    if header.crs is None:
        raise no_crs(href)
    return geobox_from_dict(
        {"crs": header.crs, "transform": header.transform, "shape": header.shape}
    )


def no_crs(href: str) -> GridError:
    """The error for a raster that lies nowhere."""
    return GridError(
        f"{href}: the file has no CRS (a product in radar geometry, or a bare image); "
        "give a geocoded product"
    )


def footprint_of(geobox: GeoBox) -> BaseGeometry:
    """Outline of a geobox in EPSG:4326, cut at the antimeridian."""
    corners = [geobox.affine * xy for xy in ((0, 0), (geobox.shape[1], 0),
               (geobox.shape[1], geobox.shape[0]), (0, geobox.shape[0]))]  # fmt: skip
    outline: BaseGeometry = shapely.Polygon(corners)
    side = max(outline.bounds[2] - outline.bounds[0], outline.bounds[3] - outline.bounds[1])
    # Dense enough for the curve, coarse enough for a lock that people read.
    dense = shapely.segmentize(outline, side / 4)
    crs = str(geobox.crs)
    if equal_crs(crs, GEOGRAPHIC):
        return outline
    return shapely.simplify(reprojected(dense, crs, GEOGRAPHIC), 1e-6)


def locked_item(scene: Scene, bands: Sequence[str], files: Files) -> LockedItem:
    """Open the headers of a scene's bands and record all that reading takes.

    Args:
        scene: a chosen scene.
        bands: wanted bands; for a reference map `map`.
        files: sizes and hashes.

    Raises:
        SceneError: a band is missing, its file or archive is damaged.
        GridError: a file has no CRS, or another one than the metadata say.
    """
    found = scene.files(bands)
    packed: dict[Path, list[str]] = {}
    for file in found.values():
        if file.member is not None:
            packed.setdefault(file.path, []).append(file.member)
    for path, names in packed.items():
        files.check_archive(path, names)
    assets = {name: _asset(scene.sensor, name, file, files) for name, file in found.items()}
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


def _asset(sensor: Sensor, name: str, file: BandFile, files: Files) -> LockedAsset:
    header = header_of(file.href)
    if file.sidecars is not None:
        header = replace(header, crs="", transform=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0))
    elif header.crs is None and file.crs is not None and file.transform is not None:
        header = replace(header, crs=file.crs, transform=file.transform)
    if header.crs is None:
        raise no_crs(file.href)
    if file.crs is not None and not same_crs(header.crs, file.crs):
        raise GridError(
            f"{file.href}: CRS that does not match: the file says {header.crs}, the product's "
            f"metadata say {file.crs}; fetch the product again"
        )
    if file.sidecars is not None and file.member is None:
        _check_end(file.href, header)
    if not 1 <= file.band <= header.count:
        raise SceneError(
            f"{file.href}: band {file.band} was asked for, the file has {header.count}; "
            "correct the order of bands in the recipe"
        )
    if file.sidecars is not None:  # raw measurements: the product alone is the authority
        values = settled(file.href, file.said)
    else:
        codes = sensor == "reference" or name in CODES
        check_tags(file.href, header, file.band, file.said, None if codes else sensor)
        own = of_header(header, file.band, reflectance=sensor == "sentinel2")
        values = settled(file.href, [own, *file.said], file.usual)
    dtype = header.dtypes[file.band - 1]
    nan = values.nodata is not None and math.isnan(values.nodata)
    steps = values.quantification
    size, digest = files.record(file.path)
    return LockedAsset(
        href=file.href,
        band=file.band,
        size=size,
        sha256=digest,
        beside=files.beside(file.href, *(file.sidecars or {}).values()),
        crs=header.crs,
        transform=header.transform,
        shape=header.shape,
        dtype=dtype,
        nodata=None if nan else values.nodata,
        # NaN is never a measurement, whether the file declares it or not.
        nodata_nan=nan or np.issubdtype(np.dtype(dtype), np.floating),
        mask=header.masks[file.band - 1],
        add_offset=values.add_offset or 0.0,
        quantification=steps if steps and sensor == "sentinel2" else FULL_SCALE,
        gain=1 / steps if steps and sensor == "sentinel1" else 1.0,
        scale=values.unit or "linear",
        **(file.sidecars or {}),
    )


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
    geobox = geobox_from_dict(
        {"crs": asset.crs, "transform": asset.transform, "shape": asset.shape}
    )
    shared = scene.footprint.intersection(footprint_of(geobox))
    inside = shapely.union_all([p for p in shapely.get_parts(shared) if p.area > 0])
    if inside.area == 0:
        raise GridError(
            f"{asset.href}: CRS that does not match: the pixels lie outside the footprint that "
            f"the metadata of {scene.id} give; fetch the product again"
        )
    return inside if inside.area < 0.99 * scene.footprint.area else scene.footprint


def _rounded(geometry: BaseGeometry) -> BaseGeometry:
    return shapely.transform(geometry, lambda xy: np.round(xy, 7))
