# SPDX-License-Identifier: Apache-2.0
"""Rasters on disk: GeoTIFF, JP2 and whatever else GDAL reads, through rasterio.

Laws:
1. A read gives every pixel asked for or raises `SceneError` with the file's name.
2. A write is whole (temporary name, then rename) and has the same bytes each time.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.windows import Window

from .errors import SceneError
from .tables import LockedAsset, atomic, storage_error

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

_COMPRESSION: dict[str, dict[str, Any]] = {
    "none": {},
    "deflate": {"compress": "deflate", "zlevel": 1},
    "zstd": {"compress": "zstd", "zstd_level": 1},
    "lzw": {"compress": "lzw"},
}


@dataclass(frozen=True)
class Header:
    """What a raster file says about itself, without its pixels."""

    crs: str | None
    """Authority code or WKT; None where the file has no CRS (radar geometry, bare JP2)."""
    transform: tuple[float, float, float, float, float, float]
    shape: tuple[int, int]
    """Height, width."""
    dtype: str
    nodata: float | None
    count: int
    block: tuple[int, int]
    """Height, width of the file's own blocks."""
    descriptions: tuple[str | None, ...]


def read_header(href: str) -> Header:
    """Read a raster's header.

    Raises:
        SceneError: missing file, or not a raster.
    """
    try:
        with rasterio.open(href) as dataset:
            crs = None
            if dataset.crs is not None:
                epsg = dataset.crs.to_epsg()
                crs = f"EPSG:{epsg}" if epsg else dataset.crs.to_wkt()
            return Header(
                crs=crs,
                transform=tuple(dataset.transform)[:6],
                shape=dataset.shape,
                dtype=dataset.dtypes[0],
                nodata=dataset.nodata,
                count=dataset.count,
                block=dataset.block_shapes[0],
                descriptions=dataset.descriptions,
            )
    except RasterioError as error:
        raise SceneError(unreadable(href, error)) from error


def read_window(asset: LockedAsset, window: tuple[slice, slice]) -> NDArray[Any]:
    """Read a window (rows, cols inside the file) of an asset's band as (y, x).

    Raises:
        SceneError: missing, truncated or shorter than the window.
    """
    rows, cols = window
    area = Window.from_slices(rows, cols)
    try:
        with rasterio.open(asset.href) as dataset:
            return np.asarray(dataset.read(asset.band, window=area))
    except RasterioError as error:
        raise SceneError(unreadable(asset.href, error)) from error


def unreadable(href: str, error: Exception) -> str:
    """The message for a raster that cannot be opened or decoded."""
    path = href.removeprefix("/vsizip/")
    return (
        f"{path}: cannot be read ({str(error).strip() or type(error).__name__}); the file is "
        "missing, truncated or damaged: fetch the product again and run once more"
    )


def write_geotiff(
    path: str | os.PathLike[str],
    array: NDArray[Any],
    geobox: GeoBox,
    *,
    nodata: float | None = None,
    descriptions: Sequence[str] = (),
    compression: str = "deflate",
    predictor: int | None = None,
    tile: int | None = None,
    colormap: Mapping[int, tuple[int, int, int]] | None = None,
) -> None:
    """Write a GeoTIFF whole.

    Args:
        path: where; the folder is made if need be.
        array: (y, x) or (band, y, x).
        geobox: CRS, transform and shape of the pixels.
        nodata: value of missing pixels, recorded in the file.
        descriptions: one name a band.
        compression: none, deflate, zstd or lzw.
        predictor: 2 for integers, 3 for floats; the library's default if absent.
        tile: side of square blocks (a multiple of 16); one strip per file if absent.
        colormap: code → (red, green, blue) 0..255 for one-band uint8 label rasters.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    bands = array[None] if array.ndim == 2 else array
    assert bands.shape[1:] == tuple(geobox.shape), (bands.shape, geobox.shape)
    profile: dict[str, Any] = {
        "driver": "GTiff", "count": bands.shape[0], "dtype": bands.dtype.name,
        "height": bands.shape[1], "width": bands.shape[2], "transform": geobox.affine,
        "crs": str(geobox.crs), "nodata": nodata, "interleave": "band",
        **_COMPRESSION[compression],
    }  # fmt: skip
    if predictor and compression != "none":
        profile["predictor"] = predictor
    if tile:
        profile |= {"tiled": True, "blockxsize": tile, "blockysize": tile}
    else:
        profile["blockysize"] = bands.shape[1]
    if bands.nbytes > 2**31:
        profile["bigtiff"] = "yes"
    with atomic(path) as temporary:
        try:
            with rasterio.open(temporary, "w", **profile) as dataset:
                dataset.write(bands)
                for number, text in enumerate(descriptions, start=1):
                    dataset.set_band_description(number, text)
                if colormap:
                    dataset.write_colormap(1, dict(colormap))
        except RasterioError as error:
            # GDAL reports a full disk without an error number: look at the disk itself.
            free = os.statvfs(temporary.parent).f_bavail
            cause = OSError(28 if free < 64 else 5, str(error))
            raise storage_error(Path(path), cause) from error
