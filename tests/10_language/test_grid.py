# SPDX-License-Identifier: Apache-2.0
"""Grids: snapping, the tiling of Sentinel-2, units and windows."""

import re

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from shapely.geometry import Point, box

from terrapatch.crs import exact_step
from terrapatch.errors import GridError
from terrapatch.grid import (
    geobox_from_dict,
    geobox_to_dict,
    mgrs_tile_geobox,
    mgrs_tiles,
    one_name,
    snapped_geobox,
)
from terrapatch.places import occupied, patch_windows
from terrapatch.places.mosaic import mosaic_units
from terrapatch.places.windows import patches_along, tile_units
from terrapatch.rasters import write_geotiff
from terrapatch.sampling import footprints


@pytest.mark.parametrize(
    ("tile", "epsg", "left", "top"),
    [  # ULX, ULY of genuine products
        ("T31TCJ", 32631, 300000, 4900020),
        ("T31TDH", 32631, 399960, 4800000),
        ("T01WCP", 32601, 300000, 7400040),
        ("T22HBD", 32722, 199980, 5900020),
        ("07HFE", 32707, 600000, 6500020),
        ("T33XWJ", 32633, 499980, 8900040),
        ("T56JMM", 32756, 399960, 6700000),
    ],
)
def test_tile_corners_are_those_of_genuine_products(tile, epsg, left, top):
    geobox = mgrs_tile_geobox(tile)
    assert geobox.crs.to_epsg() == epsg
    assert (geobox.affine.c, geobox.affine.f) == (left, top)
    assert tuple(geobox.shape) == (10980, 10980)
    assert tuple(mgrs_tile_geobox(tile, 60).shape) == (1830, 1830)


def test_tile_corners_agree_with_all_real_metadata(shared_data):
    found = 0
    for file in shared_data.glob("s2_l*_safe*/*.SAFE/GRANULE/*/MTD_TL.xml"):
        text = file.read_text()
        tile = re.search(r"_T(\d\d\w{3})_N", text).group(1)
        corner = [float(re.search(rf"<UL{a}>(\d+)", text).group(1)) for a in "XY"]
        affine = mgrs_tile_geobox(tile).affine
        assert [affine.c, affine.f] == corner
        found += 1
    assert found >= 6


@pytest.mark.parametrize("name", ["T99ABC", "31", "T31TC", "31ICJ", "T31OCJ", ""])
def test_what_is_no_tile_is_an_error(name):
    with pytest.raises(GridError, match="no MGRS tile"):
        mgrs_tile_geobox(name)


def test_a_point_at_a_zone_border_lies_in_tiles_of_both_zones():
    assert mgrs_tiles(box(-48.05, -6.05, -47.95, -5.95)) == ["T22MHU", "T23MJP"]


def test_tiles_overlap_by_ten_kilometres_and_are_all_found():
    # 5 km inside the eastern edge of T31TCJ lies T31TDJ as well.
    from pyproj import Transformer

    to_degrees = Transformer.from_crs("EPSG:32631", "EPSG:4326", always_xy=True)
    point = Point(*to_degrees.transform(404_900, 4_850_000))
    assert {"T31TCJ", "T31TDJ"} <= set(mgrs_tiles(point))


@given(
    st.floats(-170, 170),
    st.floats(-80, 80),
    st.floats(0.001, 2),
    st.sampled_from([8.983152841195215e-05, 0.001, 0.1]),
)
def test_a_snapped_geobox_covers_its_bounds_by_less_than_a_pixel_more(x, y, side, resolution):
    bounds = (x, y, x + side, y + side)
    left, bottom, right, top = snapped_geobox(bounds, "EPSG:4326", resolution).boundingbox
    slack = resolution * 1e-5
    assert left <= x + slack
    assert bottom <= y + slack
    assert right >= x + side - slack
    assert top >= y + side - slack
    assert max(x - left, y - bottom, right - x - side, top - y - side) < resolution * 1.00001


def test_snapped_geoboxes_of_different_areas_share_their_pixel_lattice():
    a = snapped_geobox((10.00001, 50, 10.1, 50.1), "EPSG:4326", 0.001)
    b = snapped_geobox((10.0512, 50.0333, 10.2, 50.2), "EPSG:4326", 0.001)
    assert ((b.affine.c - a.affine.c) / 0.001) == pytest.approx(51, abs=1e-6)


def test_empty_bounds_are_an_error():
    with pytest.raises(GridError, match="empty bounds"):
        snapped_geobox((1, 1, 1, 2), "EPSG:4326", 0.1)


def test_a_geobox_survives_its_plain_form():
    for geobox in (
        mgrs_tile_geobox("T31TCJ"),
        snapped_geobox((1, 2, 3, 4), "EPSG:4326", 0.0123),
    ):
        assert geobox_from_dict(geobox_to_dict(geobox)) == geobox


def area(rows, cols, px=10):
    return GeoBox((rows, cols), mgrs_tile_geobox("T31TCJ").affine, "EPSG:32631")


@settings(deadline=None, max_examples=40)
@given(st.integers(16, 120), st.integers(16, 120), st.integers(3, 20), st.integers(1, 5))
def test_units_hold_each_patch_of_the_area_exactly_once(rows, cols, stride, unit_patches):
    size = 16
    units = mosaic_units(
        area(rows, cols), size_px=size, stride_px=stride, unit_patches=unit_patches
    )
    windows = [
        (w.row, w.col, u.geobox.affine * (w.x_px, w.y_px))
        for u in units
        for w in patch_windows(u, size_px=size, stride_px=stride)
    ]
    expected = patches_along(rows, size, stride) * patches_along(cols, size, stride)
    assert len(windows) == len({w[:2] for w in windows}) == expected
    affine = area(rows, cols).affine
    for row, col, corner in windows[:: max(1, len(windows) // 20)]:
        assert corner == affine * (col * stride, row * stride)


def test_the_published_grid_of_multisenge_has_42_offsets_an_axis():
    (unit,) = tile_units(["T31UGQ"])
    offsets = sorted({w.x_px for w in patch_windows(unit, size_px=256, stride_px=257)})
    assert offsets == list(range(0, 10538, 257))
    assert len(offsets) == 42
    assert unit.id == "31UGQ"


def test_an_area_without_a_whole_patch_is_an_error():
    with pytest.raises(GridError, match="holds no patch of 16 px"):
        mosaic_units(area(15, 100), size_px=16, stride_px=16, unit_patches=4)


def test_what_patches_take_up_of_a_unit_is_their_box():
    geobox = GeoBox((100, 80), Affine(10, 0, 500_000, 0, -10, 5_000_000), "EPSG:32631")
    part = occupied(geobox, [(20, 50), (40, 10)], 16)
    assert part.shape == (36, 56)
    assert (part.affine.c, part.affine.f) == (500_100, 4_999_800)
    assert occupied(geobox, [], 16) == geobox


def test_every_edge_of_an_ecoregions_patches_is_a_whole_number_of_pixels():
    """A sampler of windows that divides bounds by the pixel size found 127.99999999999926 px."""
    geobox = snapped_geobox(
        (-49.526, -9.9637, -46.0405, -5.0332), "EPSG:4326", 8.983152838482056e-05
    )
    (unit,) = mosaic_units(geobox, size_px=128, stride_px=128, unit_patches=10_000)
    windows = patch_windows(unit, size_px=128, stride_px=128)
    table = footprints(unit, windows, "mosaic")
    step = geobox.affine.a
    assert step == 8.983152838482056e-05
    bounds = shapely.bounds(table.geometry.to_numpy())
    assert len(bounds) == 303 * 428
    assert (bounds / step == np.round(bounds / step)).all()
    assert ((bounds[:, 2:] - bounds[:, :2]) / step == 128.0).all()
    for window in windows[:: len(windows) // 7]:  # as loaders cut them out of the unit
        cut = unit.geobox[window.y_px : window.y_px + 128, window.x_px : window.x_px + 128]
        left, bottom, right, top = cut.boundingbox
        assert (right - left) / step == (top - bottom) / step == 128.0


@pytest.mark.parametrize(
    ("crs", "resolution", "step"),
    [
        ("EPSG:4326", 8.983152841195215e-05, 8.983152838482056e-05),
        ("EPSG:4326", 0.25, 0.25),
        ("EPSG:4674", 0.0001, 109951163 * 2.0**-40),
        ("EPSG:32631", 10.0, 10.0),
        ("EPSG:2154", 3.3, 885837005 * 2.0**-28),
        ("EPSG:4326", 1e-14, 2.0**-40),
    ],
)
def test_pixel_sizes_are_those_whose_multiples_are_exact(crs, resolution, step):
    assert exact_step(resolution, crs) == step
    assert step == pytest.approx(resolution, rel=1e-8, abs=2.0**-40)


@settings(deadline=None, max_examples=60)
@given(st.floats(-175, 174), st.floats(-85, 84), st.floats(2e-5, 0.02))
def test_bounds_are_exact_in_every_degree_grid(x, y, resolution):
    geobox = snapped_geobox((x, y, x + 0.5, y + 0.5), "EPSG:4326", resolution)
    edges = geobox.affine.c + geobox.affine.a * np.arange(geobox.shape[1] + 1)
    assert (edges / geobox.affine.a == np.round(edges / geobox.affine.a)).all()


def test_a_written_patch_says_exact_bounds(tmp_path):
    geobox = snapped_geobox((-48.1, -6.1, -48.0, -6.0), "EPSG:4326", 0.0001)[128:256, 384:512]
    write_geotiff(tmp_path / "patch.tif", np.ones((1, 128, 128), np.uint8), geobox)
    with rasterio.open(tmp_path / "patch.tif") as file:
        bounds, step = file.bounds, file.res[0]
    assert (bounds.right - bounds.left) / step == (bounds.top - bounds.bottom) / step == 128.0
    assert bounds.left / step == round(bounds.left / step)


# --- squares on the edge of two latitude bands -------------------------------------------------


@pytest.mark.parametrize(
    ("names", "one"),
    [
        (("33TVP", "33UVP"), "33UVP"),  # 48 degrees north
        (("32UNH", "32VNH"), "32VNH"),  # 56 degrees north
        (("30SVK", "30TVK"), "30TVK"),  # 40 degrees north
        (("22JCU", "22KCU"), "22KCU"),  # 24 degrees south
        (("T56HLK", "T56JLK"), "T56HLK"),  # 32 degrees south
        (("31UFP", "T31UFP", "31TFN", "32TLT"), None),  # names of MultiSenGE stay
        (("x", "31T", "99ABC"), None),
    ],
)
def test_a_square_in_two_bands_has_one_name(names, one):
    for name in names:
        assert one_name(name) == (one or name)
    if one:
        assert mgrs_tile_geobox(names[0]) == mgrs_tile_geobox(names[1])
        assert [u.id for u in tile_units(names)] == [one.removeprefix("T")]


def test_an_area_on_a_band_edge_has_each_tile_once():
    tiles = mgrs_tiles(box(14.5, 47.9, 14.9, 48.3))
    assert "T33UVP" in tiles
    assert "T33TVP" not in tiles
    assert len({mgrs_tile_geobox(tile) for tile in tiles}) == len(tiles)


@pytest.mark.parametrize("zone", [1, 2, 3, 31, 32, 33, 58, 59, 60])
def test_no_two_tiles_of_a_zone_share_more_than_their_margin(zone):
    """Brute force: all names of a zone, in all bands of both hemispheres."""
    columns = ("ABCDEFGH", "JKLMNPQR", "STUVWXYZ")[(zone - 1) % 3]
    names = [
        f"{zone:02d}{band}{column}{row}"
        for band in "CDEFGHJKLMNPQRSTUVWX"
        for column in columns
        for row in "ABCDEFGHJKLMNPQRSTUV"
    ]
    units = tile_units(names)
    places: dict[tuple, set] = {}
    for unit in units:
        affine, south = unit.geobox.affine, unit.id[2] < "N"
        places.setdefault((south, affine.c), set()).add(affine.f)
        assert one_name(unit.id) == unit.id
        assert unit.geobox.crs.to_epsg() == (32700 if south else 32600) + zone
    assert sum(len(tops) for tops in places.values()) == len(units)
    for tops in places.values():
        steps = np.diff(sorted(tops))
        assert steps.min() >= 99_960  # 100 km, edges moved outwards to multiples of 60 m
        assert (steps <= 100_020).all()  # and none is missing
    lefts = sorted({left for _, left in places})
    assert np.diff(lefts).min() >= 99_960


def test_the_published_tiles_have_the_names_that_win():
    from terrapatch.splits.overlap import PUBLISHED_PAIRS

    assert all(one_name(tile) == tile for pair in PUBLISHED_PAIRS for tile in pair)
