# SPDX-License-Identifier: Apache-2.0
"""GeoTIFFs of patches, judged by GDAL and tifffile."""

import io

import numpy as np
import pytest
import tifffile
from affine import Affine
from PIL import Image
from rasterio.io import MemoryFile

from terrapatch.errors import GridError
from terrapatch.patchfiles import float_planes, patch_form

NORTH_UP = (1e-4, 0.0, 10.5, 0.0, -1e-4, 5.25)


def form(dtype="float32", bands=3, size_px=16, **changes):
    given = {
        "dtype": dtype, "size_px": size_px, "crs": "EPSG:4326", "transform": NORTH_UP,
        "descriptions": [f"B{k}" for k in range(bands)],
    }  # fmt: skip
    return patch_form(**(given | changes))


def test_the_float_predictor_stores_differences_of_byte_planes():
    # 1.0 is 3F800000, 2.0 is 40000000: planes 3F 40, 80 00, 00 00, 00 00, then differences.
    planes = float_planes(np.array([[[1.0, 2.0]]], np.float32))
    assert planes.tolist() == [[0x3F, 0x01, 0x40, 0x80, 0x00, 0x00, 0x00, 0x00]]


@pytest.mark.parametrize("compression", ["none", "lzw", "deflate", "zstd"])
@pytest.mark.parametrize("dtype", ["float32", "int32", "int16", "uint16", "uint8"])
@pytest.mark.parametrize("bands", [1, 2, 12])
def test_gdal_reads_back_pixels_place_and_names(compression, dtype, bands):
    rng = np.random.default_rng(bands)
    pixels = rng.normal(500, 200, (bands, 16, 16)).clip(0, 255).astype(dtype)
    if dtype == "float32":
        pixels[0, 0] = [0.0, -0.0, -1.5, 1e-30, 3e38, *range(11)]
    if dtype == "int16":  # differences that do not fit into 16 bits
        pixels[0, 0] = [-32768, 32767, -10000, 32767, *range(12)]
    data = form(dtype, bands, compression=compression, nodata=0).encode(pixels, -47.125, 6.5)
    with MemoryFile(data) as memory, memory.open() as dataset:
        np.testing.assert_array_equal(dataset.read(), pixels)
        assert dataset.crs.to_epsg() == 4326
        assert tuple(dataset.transform)[:6] == (1e-4, 0.0, -47.125, 0.0, -1e-4, 6.5)
        assert dataset.descriptions == tuple(f"B{k}" for k in range(bands))
        assert dataset.nodata == 0
        assert dataset.dtypes == (dtype,) * bands
        assert dataset.profile.get("compress", "none") == compression
        assert dataset.block_shapes == [(16, 16)] * bands


@pytest.mark.parametrize("compression", ["none", "deflate"])
def test_tifffile_without_codecs_reads_masks(compression):
    codes = np.random.default_rng(0).integers(0, 14, (1, 128, 128)).astype(np.int32)
    data = form("int32", 1, 128, compression=compression, nodata=255).encode(codes, 0.0, 0.0)
    read = tifffile.imread(io.BytesIO(data))
    assert read.dtype == np.int32
    np.testing.assert_array_equal(read, codes[0])
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        assert file.pages[0].predictor == 1


def test_metres_and_feet_and_any_crs_of_gdal_stay_what_they_are():
    for crs in ("EPSG:32722", "EPSG:2154", "EPSG:3035"):
        data = form(crs=crs, transform=(10.0, 0, 0, 0, -10.0, 0)).encode(
            np.ones((3, 16, 16), np.float32), 600_000.0, 9_300_040.0
        )
        with MemoryFile(data) as memory, memory.open() as dataset:
            assert dataset.crs.to_string() == crs
            assert dataset.bounds.left == 600_000.0
            assert dataset.bounds.top == 9_300_040.0


def test_a_rotated_grid_is_refused():
    with pytest.raises(GridError, match="rotated"):
        form(transform=(1.0, 0.2, 0.0, 0.1, -1.0, 0.0))


@pytest.mark.parametrize("width", [1, 37, 512])
def test_two_other_libraries_read_lzw(width):
    # 300 kB of noise clear the table hundreds of times; runs make strings of thousands of bytes.
    rng = np.random.default_rng(width)
    pixels = np.repeat(rng.integers(0, 256, 512 * 512 // width + 1), width)[: 512 * 512]
    pixels = pixels.reshape(1, 512, 512).astype(np.uint8)
    data = form("uint8", 1, 512, compression="lzw").encode(pixels, 0.0, 0.0)
    with MemoryFile(data) as memory, memory.open() as dataset:
        np.testing.assert_array_equal(dataset.read(), pixels)
        assert dataset.profile["compress"] == "lzw"
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), pixels[0])


def test_lzw_of_a_patch_is_that_of_gdal():
    pixels = np.random.default_rng(0).gamma(4, 60, (2, 256, 256)).astype(np.uint16)
    ours = form("uint16", 2, 256, compression="lzw").encode(pixels, 0.0, 0.0)
    with MemoryFile() as memory:
        shape = {"height": 256, "width": 256, "count": 2, "dtype": "uint16", "blockysize": 256,
                 "interleave": "band", "transform": Affine(*NORTH_UP)}  # fmt: skip
        with memory.open(driver="GTiff", compress="lzw", **shape) as dataset:
            dataset.write(pixels)
        theirs = memory.read()
    strips = [
        [
            data[at : at + size]
            for at, size in zip(page.dataoffsets, page.databytecounts, strict=True)
        ]
        for data in (ours, theirs)
        for page in [tifffile.TiffFile(io.BytesIO(data)).pages[0]]
    ]
    assert strips[0] == strips[1]
    assert len(strips[0]) == 2
