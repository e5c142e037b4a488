# SPDX-License-Identifier: Apache-2.0
"""Footprints as a value: the same ground at any pixel size, and the regions that hold them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from made.patches import utm_geobox
from terrapatch.errors import GridError
from terrapatch.grid import grid_pixel, mgrs_tile_geobox, snapped_geobox
from terrapatch.places import Places


def regular(geobox, size, stride):
    rows, cols = (range(0, length - size + 1, stride) for length in geobox.shape)
    corners = np.array([(y, x) for y in rows for x in cols], np.int64)
    return Places(geobox, tuple(f"{y}_{x}" for y, x in corners), corners, size)


def outline(places):
    """Edges of all patches in the CRS: left, top, right, bottom."""
    a, _, c, _, e, f = tuple(places.geobox.affine)[:6]
    y, x = places.corners.T
    return np.stack(
        [c + a * x, f + e * y, c + a * (x + places.size_px), f + e * (y + places.size_px)], axis=1
    )


@given(
    size=st.integers(1, 40).map(lambda n: 8 * n), step=st.integers(1, 60).map(lambda n: 4 * n),
    count=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    pixel=st.sampled_from([1.0, 2.0, 2.5, 5.0, 10.0, 20.0, 40.0]),
)  # fmt: skip
def test_the_same_ground_at_another_pixel_size(size, step, count, pixel):
    geobox = utm_geobox(tuple((n - 1) * step + size for n in count))
    places = regular(geobox, size, step)
    other = places.at(pixel)
    assert other.pixel == pixel
    assert other.ids == places.ids
    np.testing.assert_array_equal(outline(other), outline(places))
    assert other.geobox.boundingbox == geobox.boundingbox
    back = other.at(10.0)
    np.testing.assert_array_equal(back.corners, places.corners)
    assert (back.geobox, back.size_px) == (geobox, size)


def test_flair_has_its_footprint_at_all_its_pixel_sizes():
    """102.4 m are 512 px of 0.2 m and 10 px of 10.24 m; the grid's step is rounded to 2^-28 m."""
    geobox = snapped_geobox((650_000, 6_860_000, 650_409.6, 6_860_409.6), "EPSG:2154", 0.2)
    geobox = geobox[:2048, :2048]
    places = regular(geobox, 512, 512)
    other = places.at(grid_pixel(geobox.crs, 10.24))
    assert (other.size_px, tuple(other.geobox.shape)) == (10, (40, 40))
    assert np.abs(outline(other) - outline(places)).max() < 1e-6


@pytest.mark.parametrize(
    ("size", "stride", "pixel", "said"),
    [
        (128, 128, 30.0, "pixel_m: a patch is 128 px of 10, and 42.6667 px of 30: no whole number; "
                         "set sampling.size_px or the layer's pixel_m"),
        (256, 257, 20.0, "a step from patch to patch is 257 px of 10, and 128.5 px of 20: no whole "
                         "number; set sampling.stride_px"),
        (8, 8, 160.0, "a patch is 8 px of 10, and 0.5 px of 160"),
    ],
)  # fmt: skip
def test_what_does_not_nest_is_named(size, stride, pixel, said):
    # A side that pixels of 20 m and 30 m fit into.
    geobox = utm_geobox((1026, 1026) if stride == 257 else (960, 960))
    with pytest.raises(GridError) as caught:
        regular(geobox, size, stride).at(pixel)
    assert said in str(caught.value)


def test_the_side_of_a_unit_has_to_nest_too():
    places = regular(mgrs_tile_geobox("31TCJ"), 256, 256)[:3]
    assert places.at(20.0).geobox.shape == (5490, 5490)
    with pytest.raises(
        GridError, match=r"the height of the unit is 10980 px of 10, and 1372\.5 px"
    ):
        places.at(80.0)


def test_grids_that_do_not_count_in_metres_have_no_pixel_m():
    with pytest.raises(
        GridError, match=r"counts in degree \(EPSG:4326\) exactly; leave pixel_m out"
    ):
        grid_pixel("EPSG:4326", 20.0)
    with pytest.raises(GridError, match="counts in US survey foot"):
        grid_pixel("EPSG:2263", 20.0)
    assert grid_pixel("EPSG:4326", None) is None
    assert grid_pixel("EPSG:32631", 20.0) == 20.0


def test_some_of_the_places():
    places = regular(utm_geobox((64, 96)), 32, 32)
    assert places[1:3].ids == places.ids[1:3]
    assert places[np.array([5, 0])].ids == (places.ids[5], places.ids[0])
    assert len(places) == 6
    np.testing.assert_array_equal(places[np.array([5])].corners, [[32, 64]])


# --- regions -------------------------------------------------------------------------------------


def check_regions(places, halo):
    regions = places.regions(halo)
    seen = np.concatenate([members for _, members in regions]) if regions else []
    assert sorted(seen) == list(range(len(places)))
    cover = np.zeros(places.geobox.shape, np.uint8)
    for (rows, cols), members in regions:
        cover[rows, cols] += 1
        corners = places.corners[members]
        assert (corners >= (rows.start, cols.start)).all()
        assert (corners + places.size_px <= (rows.stop, cols.stop)).all()
    assert cover.max(initial=0) <= 1
    return regions


@given(
    shape=st.tuples(st.integers(16, 900), st.integers(16, 900)), size=st.integers(1, 16),
    count=st.integers(0, 25), halo=st.integers(0, 40), seed=st.integers(0, 2**16),
)  # fmt: skip
def test_each_patch_lies_whole_in_one_region_and_regions_do_not_overlap(
    shape, size, count, halo, seed
):
    geobox = utm_geobox(shape)
    corners = np.random.default_rng(seed).integers(0, np.array(shape) - size + 1, (count, 2))
    check_regions(Places(geobox, tuple(map(str, range(count))), corners, size), halo)


def test_dense_patches_are_one_region_the_unit():
    for stride in (128, 64, 129):
        places = regular(mgrs_tile_geobox("31TCJ"), 128, stride)
        ((rows, cols), members), = check_regions(places, 30)  # fmt: skip
        assert (rows, cols) == (slice(0, 10980), slice(0, 10980))
        np.testing.assert_array_equal(members, np.arange(len(places)))


def test_points_in_a_tile_do_not_ask_for_the_whole_tile():
    geobox = mgrs_tile_geobox("31TCJ")
    corners = np.random.default_rng(3).integers(0, 10980 - 64, (300, 2))
    regions = check_regions(Places(geobox, tuple(map(str, range(300))), corners, 64), 10)
    pixels = sum((r.stop - r.start + 20) * (c.stop - c.start + 20) for (r, c), _ in regions)
    assert 100 < len(regions) <= 300
    assert pixels < 0.05 * 10980**2


def test_a_unit_too_large_to_be_one_is_taken_in_parts():
    """Regions of interest of 102.4 m in a domain of 20 km at 0.2 m."""
    geobox = utm_geobox((100_000, 100_000), resolution=0.2)
    corners = np.array(
        [(y + 512 * k, x) for y in (0, 90_000) for x in (0, 512, 60_000) for k in range(8)]
    )
    places = Places(geobox, tuple(map(str, range(len(corners)))), corners, 512)
    found = [(r, c) for (r, c), _ in places.regions(300)]
    assert found == [
        (slice(0, 4096), slice(0, 1024)), (slice(0, 4096), slice(60_000, 60_512)),
        (slice(90_000, 94_096), slice(0, 1024)), (slice(90_000, 94_096), slice(60_000, 60_512)),
    ]  # fmt: skip
