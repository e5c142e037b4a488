# SPDX-License-Identifier: Apache-2.0
"""Rasters on disk: GeoTIFF, JP2 and whatever else GDAL reads, through rasterio.

Laws:
1. A read gives every pixel asked for or raises `SceneError` with the file's name.
2. A write is whole (temporary name, then rename) and has the same bytes each time.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import RasterioError
from rasterio.windows import Window

from .access import file_of, opened, shown
from .crs import crs_name, same_crs
from .errors import SceneError, SourceError, remedy
from .files import atomic, storage_error
from .records import LockedAsset

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

_COMPRESSION: dict[str, dict[str, Any]] = {
    "none": {},
    "deflate": {"compress": "deflate", "zlevel": 1},
    "zstd": {"compress": "zstd", "zstd_level": 1},
}


@dataclass(frozen=True)
class Header:
    """What a raster file says about itself, without its pixels."""

    crs: str | None
    """Authority code or WKT; None where the file has no CRS (radar geometry, bare JP2)."""
    transform: tuple[float, float, float, float, float, float]
    shape: tuple[int, int]
    """Height, width."""
    count: int
    block: tuple[int, int]
    """Height, width of the file's own blocks."""
    descriptions: tuple[str | None, ...]
    dtypes: tuple[str, ...]
    """This and all that follows: one a band."""
    nodatas: tuple[float | None, ...]
    """Value of missing pixels, where the file states one."""
    masks: tuple[int | None, ...]
    """What else tells missing pixels: 0 for a mask (in the file, beside it as `.msk`, of a VRT), the
    number of an alpha band; missing where it is 0."""
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    """What is measured is `number * scale + offset`; 1 and 0 where the file states none."""
    units: tuple[str | None, ...]
    interpretations: tuple[str, ...]
    """Colour interpretations: gray, red, alpha, undefined …"""
    driver: str = ""
    """GDAL's driver; empty where no file was opened."""
    files: tuple[str, ...] = ()
    """What GDAL reads for it: the file itself, its sidecars, the sources of a VRT."""

    @property
    def dtype(self) -> str:
        """Pixel type of the first band."""
        return self.dtypes[0]

    @property
    def nodata(self) -> float | None:
        """Missing value of the first band."""
        return self.nodatas[0]


def check_one_band(path: str, header: Header, what: str) -> None:
    """Raise where a raster of one quantity has several bands (alpha does not count).

    Raises:
        SceneError: with their descriptions.
    """
    texts = [
        text or str(number)
        for number, (text, kind) in enumerate(
            zip(header.descriptions, header.interpretations, strict=True), start=1
        )
        if kind != "alpha"
    ]
    if len(texts) > 1:
        raise SceneError(
            f"{path}: {len(texts)} bands could be meant ({', '.join(texts)}); give a file with "
            f"{what} alone (gdal_translate -b)"
        )


def read_header(href: str) -> Header:
    """Read a raster's header.

    Raises:
        SceneError: missing file, or not a raster.
    """
    try:
        with opened(href) as dataset:
            if not dataset.count:
                raise SceneError(
                    f"{href}: holds no pixels itself, but several datasets "
                    f"({', '.join(dataset.subdatasets) or 'none'}); write the one you mean to a "
                    "GeoTIFF (gdal_translate) and name that"
                )
            return Header(
                # Not by `to_epsg`: it takes codes of another datum for look-alikes.
                crs=None if dataset.crs is None else crs_name(dataset.crs.to_wkt()) or None,
                transform=tuple(dataset.transform)[:6],
                shape=dataset.shape,
                count=dataset.count,
                block=dataset.block_shapes[0],
                descriptions=dataset.descriptions,
                dtypes=dataset.dtypes,
                nodatas=dataset.nodatavals,
                masks=_masks(dataset),
                scales=dataset.scales,
                offsets=dataset.offsets,
                units=dataset.units,
                interpretations=tuple(kind.name for kind in dataset.colorinterp),
                driver=dataset.driver,
                files=tuple(dataset.files),
            )
    except RasterioError as error:
        raise SceneError(unreadable(href, error)) from error


def _masks(dataset: rasterio.DatasetReader) -> tuple[int | None, ...]:
    """Mask of each band, see `Header.masks`."""
    kinds = dataset.colorinterp
    alpha = kinds.index(ColorInterp.alpha) + 1 if ColorInterp.alpha in kinds else None
    found: list[int | None] = []
    for number, flags in enumerate(dataset.mask_flag_enums, start=1):
        # No flag at all is a mask of one band. A value that counts only where all bands have it
        # (NODATA_VALUES) is flagged as both, and is no matter of one band's values.
        by_value = MaskFlags.nodata in flags and MaskFlags.per_dataset not in flags
        plain = MaskFlags.all_valid in flags or MaskFlags.alpha in flags or by_value
        if not plain:
            found.append(0)
        else:  # GDAL forgets the alpha band where there is a nodata value
            found.append(alpha if alpha != number else None)
    return tuple(found)


def read_window(asset: LockedAsset, window: tuple[slice, slice]) -> NDArray[Any]:
    """Read a window (rows, cols inside the file) of an asset's band as (y, x).

    Raises:
        SceneError: missing, truncated or shorter than the window.
    """
    return read_masked(asset.model_copy(update={"mask": None}), window)[0]


def read_masked(
    asset: LockedAsset, window: tuple[slice, slice]
) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Read a window of an asset's band as (y, x), and where its mask says that pixels are missing.

    Raises:
        SceneError: missing, truncated or shorter than the window.
    """
    area = Window.from_slices(*window)
    try:
        with opened(asset.href) as dataset:
            pixels = np.asarray(dataset.read(asset.band, window=area))
            return pixels, None if asset.mask is None else _missing(dataset, asset, area)
    except RasterioError as error:
        raise SceneError(unreadable(asset.href, error)) from error


def _missing(
    dataset: rasterio.DatasetReader, asset: LockedAsset, area: Window
) -> NDArray[np.bool_]:
    """Where the mask of an asset is 0."""
    if asset.mask:
        return np.asarray(dataset.read(asset.mask, window=area) == 0)
    return np.asarray(dataset.read_masks(asset.band, window=area) == 0)


def read_bands(
    path: str | os.PathLike[str], window: tuple[slice, slice] | None = None
) -> NDArray[Any]:
    """Read all bands of a raster, or a window (rows, cols) of them, as (band, y, x).

    Raises:
        SceneError: missing, truncated or shorter than the window.
    """
    area = None if window is None else Window.from_slices(*window)
    try:
        with opened(os.fspath(path)) as dataset:
            return np.asarray(dataset.read(window=area))
    except RasterioError as error:
        raise SceneError(unreadable(os.fspath(path), error)) from error


class BlockReader:
    """Reads many windows of many assets from several threads.

    Each thread has its own dataset handle per file: GDAL's handles must not be shared, and with
    one handle a thread decoding runs on all cores. GDAL's own threads and most of its block cache
    are off: blocks are asked for once.
    """

    HANDLES = 64
    """Open files per thread; the one used longest ago is closed first."""
    _OPTIONS: ClassVar[dict[str, Any]] = {"GDAL_NUM_THREADS": "1", "GDAL_CACHEMAX": 64 * 2**20}

    def __init__(self) -> None:
        self._open: dict[int, OrderedDict[tuple[str, bool], rasterio.DatasetReader]] = {}

    def __enter__(self) -> BlockReader:
        # OpenJPEG would hand each block to a thread of its own and wait for it, 2 % of the work.
        # An environment variable is the only way to tell it not to.
        os.environ.setdefault("OPJ_NUM_THREADS", "0")
        return self

    def __exit__(self, *_: object) -> None:
        """Close all files; to be called when no thread reads any more."""
        for handles in self._open.values():
            for dataset in handles.values():
                dataset.close()
        self._open.clear()

    def read(
        self, asset: LockedAsset, window: tuple[slice, slice], out: NDArray[Any]
    ) -> NDArray[np.bool_] | None:
        """Read a window (rows, cols inside the file) of an asset's band into `out` (y, x).

        Returns:
            Where the asset's mask says that pixels are missing; None without a mask.

        Raises:
            SceneError: the file cannot be decoded.
            SourceError: the file's pixels are others than the lock says, in number, type or place.
        """
        area = Window.from_slices(*window)
        try:
            with rasterio.Env(**self._OPTIONS):
                dataset = self._handle(asset)
                dataset.read(asset.band, window=area, out=out)
                return None if asset.mask is None else _missing(dataset, asset, area)
        except RasterioError as error:
            raise SceneError(unreadable(asset.href, error)) from error

    def _handle(self, asset: LockedAsset) -> rasterio.DatasetReader:
        handles = self._open.setdefault(threading.get_ident(), OrderedDict())
        key = asset.href, asset.mask is None
        dataset = handles.pop(key, None)
        if dataset is None:
            if len(handles) >= self.HANDLES:
                handles.popitem(last=False)[1].close()
            dataset = _opened_with_sidecars(asset.href, masked=asset.mask is not None)
            _check_place(dataset, asset)
        handles[key] = dataset
        if dataset.shape != asset.shape:
            raise _other_than_planned(asset, f"{dataset.shape} pixels, the lock says {asset.shape}")
        return dataset


SAME_PX = 0.01
"""Places that differ by less of a pixel are the same: metadata round their numbers."""


def _check_place(dataset: rasterio.DatasetReader, asset: LockedAsset) -> None:
    """Hold a file against the lock, which may know it from metadata alone.

    A file without CRS, and an image in radar geometry, says nothing of its place.
    """
    found = dataset.dtypes[asset.band - 1] if asset.band <= dataset.count else "no such band"
    if found != asset.dtype:
        raise _other_than_planned(asset, f"pixels of {found}, the lock says {asset.dtype}")
    if not asset.crs or dataset.crs is None or _there(asset, dataset.crs, dataset.transform):
        return
    # Without its sidecars a file may say another place than with them.
    header = read_header(asset.href)
    if header.crs is not None and not _there(asset, header.crs, header.transform):
        raise _other_than_planned(
            asset,
            f"pixels at {header.transform} in {header.crs}, the lock says {asset.transform} in "
            f"{asset.crs}",
        )


def _there(asset: LockedAsset, crs: Any, transform: Sequence[float]) -> bool:
    """Whether pixels lie where the lock says."""
    name = crs if isinstance(crs, str) else crs_name(crs.to_wkt())
    place = np.array(transform[:6]).reshape(2, 3) - np.array(asset.transform).reshape(2, 3)
    height, width = asset.shape
    corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]])
    size = abs(asset.transform[0]) + abs(asset.transform[1])
    near = np.abs((place[:, None] * corners).sum(axis=-1)).max() <= SAME_PX * size
    return bool(near) and (name == asset.crs or same_crs(name, asset.crs))


def _other_than_planned(asset: LockedAsset, what: str) -> SourceError:
    return SourceError(
        f"{asset.href}: has {what}; it has changed since it was planned: run `terrapatch plan` again"
    )


def _opened_with_sidecars(href: str, *, masked: bool) -> rasterio.DatasetReader:
    """A dataset with what lies beside it: the header of an ENVI file, a mask, `.aux.xml`.

    JP2 files of products have none but a mask, and looking for it takes as long as opening them.
    """
    alone = href.lower().endswith(".jp2") and not masked
    with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR" if alone else "FALSE"):
        return opened(href)


def unreadable(href: str, error: Exception) -> str:
    """The message for a raster that cannot be opened or decoded."""
    path = href.removeprefix("/vsizip/")
    # rasterio's own words are "Read failed. See previous exception for details."
    told = str(error.__cause__ or error).strip() or type(error).__name__
    damaged = "the file is missing, truncated or damaged: fetch the product again and run once more"
    return shown(f"{path}: cannot be read ({told}); {remedy(file_of(href) or path, None, damaged)}")


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
    tags: Mapping[str, str] | None = None,
) -> None:
    """Write a GeoTIFF whole.

    Args:
        path: where; the folder is made if need be.
        array: (y, x) or (band, y, x).
        geobox: CRS, transform and shape of the pixels.
        nodata: value of missing pixels, recorded in the file.
        descriptions: one name a band.
        compression: none, deflate or zstd.
        predictor: 2 for integers, 3 for floats; the library's default if absent.
        tile: side of square blocks (a multiple of 16); one strip per file if absent.
        colormap: code → (red, green, blue) 0..255 for one-band uint8 label rasters.
        tags: names and values recorded in the file's own metadata.

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
                if tags:
                    dataset.update_tags(**tags)
        except RasterioError as error:
            # GDAL reports a full disk without an error number: look at the disk itself.
            free = os.statvfs(temporary.parent).f_bavail
            cause = OSError(28 if free < 64 else 5, str(error))
            raise storage_error(Path(path), cause) from error


def write_jp2(path: str | os.PathLike[str], array: NDArray[Any], geobox: GeoBox) -> None:
    """Write a lossless JPEG 2000 file as Sentinel-2 products have it: tiles of 1024 px.

    Safe and useful in several threads: the encoder runs without Python's lock.

    Args:
        path: where; the folder must exist (products are written whole, folder by folder).
        array: (y, x) or (band, y, x) uint8 or uint16.
        geobox: CRS, transform and shape of the pixels.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    from rasterio.io import MemoryFile
    from rasterio.shutil import copy

    bands = array[None] if array.ndim == 2 else array
    assert bands.shape[1:] == tuple(geobox.shape), (bands.shape, geobox.shape)
    height, width = geobox.shape
    try:
        with MemoryFile() as memory:
            with memory.open(
                driver="GTiff", count=bands.shape[0], dtype=bands.dtype.name, height=height,
                width=width, transform=geobox.affine, crs=str(geobox.crs), bigtiff="if_safer",
            ) as dataset:  # fmt: skip
                dataset.write(bands)
            del array, bands  # a band of a whole tile is 240 MB, and the copy holds it already
            # Creation by copy is the only way of this driver, and copy() releases the lock.
            copy(
                memory.name, os.fspath(path), driver="JP2OpenJPEG", quality=100, reversible="YES",
                blockxsize=1024, blockysize=1024, ycbcr420="NO",
                resolutions=min(6, min(height, width, 1024).bit_length()),
            )  # fmt: skip
    except RasterioError as error:
        free = os.statvfs(Path(path).parent).f_bavail
        cause = OSError(28 if free < 64 else 5, str(error))
        raise storage_error(Path(path), cause) from error
