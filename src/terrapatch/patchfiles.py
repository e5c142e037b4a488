# SPDX-License-Identifier: Apache-2.0
"""GeoTIFFs of patches, tens of thousands of one form: only pixels and the corner differ.

GDAL takes 0.6 ms to make a file's header, as long as the pixels of a mask take. So it makes the
header once, per form; the files are that header, the corner of the patch, and the strips.

Laws:
1. Every tag comes from GDAL's own file of that form; only compression, corner and strips are ours
   (of LZW, the strips are GDAL's, too).
2. One strip a band; the same pixels give the same bytes on any number of threads.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from .compiled import kernel
from .errors import GridError

_TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 11: 4, 12: 8}
"""Bytes of a value by TIFF field type. Source: TIFF 6.0, section 2."""
_COMPRESSION, _ROWS, _PREDICTOR = 259, 278, 317
_OFFSETS, _COUNTS, _CORNER, _ROTATED = 273, 279, 33922, 34264
_SCHEMES = {"none": 1, "lzw": 5, "deflate": 8, "zstd": 50000}
_DIFFERENCES, _FLOAT_PLANES = 2, 3

_Fields = dict[int, tuple[int, int, bytes]]
"""Tag → (type, number of values, their bytes)."""


@dataclass(frozen=True)
class PatchForm:
    """What all files of one kind have in common; make it with `patch_form`."""

    bands: int
    size_px: int
    dtype: str
    compression: str
    header: bytes
    """Everything before the pixels, with zeros for corner, offsets and sizes of the strips."""
    places: Mapping[int, int]
    """Tag → where its values stand in the header."""

    def encode(self, pixels: NDArray[Any], left: float, top: float) -> bytes:
        """The whole file.

        Args:
            pixels: (band, y, x) of the form's dtype.
            left: x of the upper left corner of the upper left pixel, in the form's CRS.
            top: y of the same corner.
        """
        assert pixels.shape == (self.bands, self.size_px, self.size_px), pixels.shape
        assert pixels.dtype == self.dtype, (pixels.dtype, self.dtype)
        strips = _strips(np.ascontiguousarray(pixels), self.compression)
        sizes = [len(strip) for strip in strips]
        starts = [len(self.header), *sizes[:-1]]
        header = bytearray(self.header)
        struct.pack_into("<2d", header, self.places[_CORNER] + 24, left, top)
        struct.pack_into(f"<{self.bands}I", header, self.places[_COUNTS], *sizes)
        struct.pack_into(f"<{self.bands}I", header, self.places[_OFFSETS], *accumulate(starts))
        return b"".join([header, *strips])


def patch_form(
    *,
    dtype: str,
    size_px: int,
    crs: str,
    transform: Sequence[float],
    descriptions: Sequence[str],
    compression: str = "zstd",
    nodata: float | None = None,
) -> PatchForm:
    """The form of patches on one grid.

    Args:
        dtype: float32, int32, int16, uint16 or uint8.
        size_px: side of a patch.
        crs: CRS that rasterio understands.
        transform: of any patch; pixel size and CRS are the form's, the corner is each patch's.
        descriptions: one name a band.
        compression: none, lzw, deflate or zstd. Floats get the floating point predictor (3)
            where they are compressed: 20 % smaller on Sentinel-2, and it costs next to nothing.
            int16, which holds images too, gets horizontal differences (2): 12 % smaller. Other
            integers get none, so that readers without codecs can read them.
        nodata: value recorded as missing.

    Raises:
        GridError: the grid is rotated.
    """
    affine = Affine(*transform)
    if affine.b or affine.d:
        raise GridError(f"patches on a rotated grid {tuple(affine)[:6]} cannot be published")
    template = _template(
        dtype, size_px, crs, affine=affine, descriptions=descriptions, nodata=nodata
    )
    fields = _parse(template)
    assert _ROTATED not in fields
    bands = len(descriptions)
    fields[_COMPRESSION] = (3, 1, struct.pack("<H", _SCHEMES[compression]))
    fields[_OFFSETS] = fields[_COUNTS] = (4, bands, bytes(4 * bands))
    fields[_ROWS] = (3, 1, struct.pack("<H", size_px))
    if predictor := _predictor(dtype, compression):
        fields[_PREDICTOR] = (3, 1, struct.pack("<H", predictor))
    fields[_CORNER] = (12, 6, bytes(48))
    return PatchForm(bands, size_px, dtype, compression, *_assemble(fields))


def _template(
    dtype: str, size_px: int, crs: str, *, affine: Affine, descriptions: Sequence[str], nodata: Any
) -> bytes:
    """An empty, uncompressed file of GDAL."""
    import rasterio
    from rasterio.io import MemoryFile

    profile = {
        "driver": "GTiff", "count": len(descriptions), "dtype": dtype, "height": size_px,
        "width": size_px, "transform": affine, "crs": rasterio.CRS.from_user_input(crs),
        "nodata": nodata, "interleave": "band", "blockysize": size_px, "bigtiff": "no",
        "endianness": "little",
    }  # fmt: skip
    with MemoryFile() as memory:
        with memory.open(**profile) as dataset:
            for number, text in enumerate(descriptions, start=1):
                dataset.set_band_description(number, text)
        return bytes(memory.getbuffer())


def _parse(data: bytes) -> _Fields:
    """Fields of the first directory of a little-endian TIFF. Source: TIFF 6.0, section 2."""
    magic, at = struct.unpack_from("<4sI", data)
    assert magic == b"II*\0", magic
    (count,) = struct.unpack_from("<H", data, at)
    fields: _Fields = {}
    for number in range(count):
        entry = at + 2 + 12 * number
        tag, kind, values = struct.unpack_from("<HHI", data, entry)
        size = _TYPE_SIZES[kind] * values
        start = entry + 8 if size <= 4 else struct.unpack_from("<I", data, entry + 8)[0]
        fields[tag] = (kind, values, data[start : start + size])
    return fields


def _assemble(fields: _Fields) -> tuple[bytes, dict[int, int]]:
    """Header, directory and values, and where each tag's values stand; pixels follow."""
    start = 8 + 2 + 12 * len(fields) + 4
    entries, values, places = b"", b"", {}
    for number, (tag, (kind, count, data)) in enumerate(sorted(fields.items())):
        if len(data) <= 4:
            places[tag] = 10 + 12 * number + 8
            last = data.ljust(4, b"\0")
        else:
            values += bytes(-(start + len(values)) % 8)
            places[tag] = start + len(values)
            last = struct.pack("<I", places[tag])
            values += data
        entries += struct.pack("<HHI", tag, kind, count) + last
    whole = struct.pack("<4sIH", b"II*\0", 8, len(fields)) + entries + bytes(4) + values
    return whole + bytes(-len(whole) % 8), places


def _predictor(dtype: str, compression: str) -> int | None:
    kinds = {"float32": _FLOAT_PLANES, "int16": _DIFFERENCES}
    return None if compression == "none" else kinds.get(dtype)


def _strips(pixels: NDArray[Any], compression: str) -> list[bytes]:
    """Each band as one encoded strip."""
    bands = len(pixels)
    predictor = _predictor(pixels.dtype.name, compression)
    if predictor == _FLOAT_PLANES:
        raw = float_planes(pixels)
    else:
        if predictor == _DIFFERENCES:
            # Differences wrap around, as TIFF 6.0, section 14 has it.
            pixels = np.concatenate([pixels[..., :1], np.diff(pixels)], axis=-1)
        raw = pixels.reshape(bands, -1).view(np.uint8)
    if compression == "deflate":
        return [zlib.compress(strip.data, 1) for strip in raw]
    if compression == "lzw":
        return _lzw(raw)
    if compression == "zstd":
        from numcodecs.zstd import compress

        return [bytes(compress(strip, 1)) for strip in raw]
    return [strip.tobytes() for strip in raw]


def _lzw(raw: NDArray[np.uint8]) -> list[bytes]:
    """Strips as GDAL compresses them: those of a file of its own, of one row of bytes a band."""
    from rasterio.io import MemoryFile

    bands, size = raw.shape
    profile = {
        "driver": "GTiff", "count": bands, "dtype": "uint8", "height": 1, "width": size,
        "compress": "lzw", "interleave": "band", "bigtiff": "no", "endianness": "little",
        "transform": Affine.scale(2, -2),  # any: GDAL warns of files without one
    }  # fmt: skip
    with MemoryFile() as memory:
        with memory.open(**profile) as dataset:
            dataset.write(raw[:, None])
        data = bytes(memory.getbuffer())
    fields = _parse(data)
    starts, sizes = (_numbers(fields[tag]) for tag in (_OFFSETS, _COUNTS))
    return [data[start : start + size] for start, size in zip(starts, sizes, strict=True)]


def _numbers(field: tuple[int, int, bytes]) -> tuple[int, ...]:
    """Values of a field of short or long integers."""
    kind, count, data = field
    return struct.unpack(f"<{count}{'H' if kind == 3 else 'I'}", data)


@kernel
def float_planes(bands):  # type: ignore[no-untyped-def]
    """The floating point predictor of TIFF (3): per row, byte planes, then differences.

    Args:
        bands: (band, y, x) float32, little-endian.

    Returns:
        (band, y·x·4) uint8.

    Source: TIFF Technical Note 3 (Adobe Photoshop), floating point predictor.
    """
    count, height, width = bands.shape
    raw = bands.view(np.uint32)
    out = np.empty((count, height * width * 4), np.uint8)
    for band in range(count):
        for y in range(height):
            row = out[band, y * width * 4 : (y + 1) * width * 4]
            before = np.uint8(0)
            for plane in range(4):
                shift = np.uint32(24 - 8 * plane)
                for x in range(width):
                    value = np.uint8((raw[band, y, x] >> shift) & np.uint32(255))
                    row[plane * width + x] = value - before
                    before = value
    return out
