# SPDX-License-Identifier: Apache-2.0
"""Deflate and GeoTIFF headers of our own, judged by zlib, GDAL and tifffile."""

import io
import zlib

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.io import MemoryFile

from terrapatch.deflate import compress, float_planes
from terrapatch.errors import GridError
from terrapatch.patchfiles import patch_form

NORTH_UP = (1e-4, 0.0, 10.5, 0.0, -1e-4, 5.25)


def form(dtype="float32", bands=3, size_px=16, **changes):
    given = {
        "dtype": dtype, "size_px": size_px, "crs": "EPSG:4326", "transform": NORTH_UP,
        "descriptions": [f"B{k}" for k in range(bands)],
    }  # fmt: skip
    return patch_form(**(given | changes))


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=3000), st.integers(1, 40), st.integers(0, 600))
def test_zlib_gives_back_any_bytes(data, near, far):
    strips = np.frombuffer(data, np.uint8).reshape(1, -1)
    assert zlib.decompress(compress(strips, near, far)[0]) == data


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 255), st.integers(1, 700)), max_size=40), st.integers(1, 9)
)
def test_zlib_gives_back_runs_of_any_length(runs, near):
    data = b"".join(bytes([value]) * count for value, count in runs)
    strips = np.frombuffer(data, np.uint8).reshape(1, -1)
    assert zlib.decompress(compress(strips, near, 32)[0]) == data


@pytest.mark.parametrize("length", [0, 1, 3, 4, 7, 8, 9, 257, 258, 259, 65535, 65536, 140_000])
@pytest.mark.parametrize("kind", ["zeros", "noise", "ramp"])
def test_zlib_gives_back_strips_of_awkward_lengths(length, kind):
    rng = np.random.default_rng(length)
    made = {
        "zeros": np.zeros(length, np.uint8),
        "noise": rng.integers(0, 256, length).astype(np.uint8),
        "ramp": (np.arange(length) // 3).astype(np.uint8),
    }[kind]
    packed = compress(made[None], 1, 512)[0]
    assert zlib.decompress(packed) == made.tobytes()
    # Noise is stored: it grows by headers alone.
    assert len(packed) <= length + 5 * (length // 65535 + 1) + 6


def test_codes_stay_within_15_bits_where_counts_grow_like_fibonacci_numbers():
    # Without a limit such counts give codes of 30 bits.
    counts = [1, 1]
    while len(counts) < 25:
        counts.append(counts[-1] + counts[-2])
    values = np.repeat(np.arange(25), counts).astype(np.uint8)
    np.random.default_rng(0).shuffle(values)
    assert zlib.decompress(compress(values[None], 1)[0]) == values.tobytes()


def test_a_match_over_the_whole_window_is_found():
    row = np.random.default_rng(1).integers(0, 256, 20_000).astype(np.uint8)
    twice = np.concatenate([row, row])
    packed = compress(twice[None], 1, 20_000)[0]
    assert zlib.decompress(packed) == twice.tobytes()
    assert len(packed) < 1.1 * row.size


def test_strips_do_not_know_of_each_other():
    strips = np.random.default_rng(2).integers(0, 4, (5, 3000)).astype(np.uint8)
    assert compress(strips, 1, 30) == [compress(strip[None], 1, 30)[0] for strip in strips]


def test_the_float_predictor_stores_differences_of_byte_planes():
    # 1.0 is 3F800000, 2.0 is 40000000: planes 3F 40, 80 00, 00 00, 00 00, then differences.
    planes = float_planes(np.array([[[1.0, 2.0]]], np.float32))
    assert planes.tolist() == [[0x3F, 0x01, 0x40, 0x80, 0x00, 0x00, 0x00, 0x00]]


@pytest.mark.parametrize("compression", ["none", "deflate", "zstd", "lzw"])
@pytest.mark.parametrize("dtype", ["float32", "int32", "uint16", "uint8"])
@pytest.mark.parametrize("bands", [1, 2, 12])
def test_gdal_reads_back_pixels_place_and_names(compression, dtype, bands):
    rng = np.random.default_rng(bands)
    pixels = rng.normal(500, 200, (bands, 16, 16)).clip(0, 255).astype(dtype)
    if dtype == "float32":
        pixels[0, 0] = [0.0, -0.0, -1.5, 1e-30, 3e38, *range(11)]
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


def test_deflate_is_no_larger_than_that_of_gdal():
    # Labels as a map has them: patches of one class, with straight and ragged borders.
    y, x = np.mgrid[:128, :128]
    codes = (((x + 3 * np.sin(y / 5)) // 30 + y // 40 * 5) % 14).astype(np.int32)[None]
    ours = len(form("int32", 1, 128).encode(codes, 0.0, 0.0))
    plain = zlib.compress(codes.tobytes(), 1)
    assert ours < len(plain) + 1200
