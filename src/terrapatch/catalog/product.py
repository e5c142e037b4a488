# SPDX-License-Identifier: Apache-2.0
"""What readers of products share: dates and platforms in one spelling, outlines, headers."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime

import shapely
from odc.geo.geobox import GeoBox
from rasterio.errors import NotGeoreferencedWarning
from shapely.geometry.base import BaseGeometry

from ..crs import GEOGRAPHIC, equal_crs
from ..errors import GridError, SceneError
from ..grid import geobox_from_dict, reprojected
from ..rasters import Header, read_header
from .scene import Scene

SENTINEL_LICENCE = "Legal notice on the use of Copernicus Sentinel Data and Service Information"
"""Licence of all Sentinel products, where the metadata name no other."""


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


def lacking_bands(scene: Scene, missing: Sequence[str]) -> SceneError:
    """The error for bands that a product does not have."""
    return missing_bands(scene.id, scene.where, missing, scene.offers or sorted(scene.bands))


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
