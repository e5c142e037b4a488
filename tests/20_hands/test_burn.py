# SPDX-License-Identifier: Apache-2.0
"""Burning of polygons: truth tables, brute force, GDAL, and the laws of windows and borders."""

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from rasterio.features import rasterize

from made.patches import utm_geobox
from made.vectors import stars
from terrapatch.errors import GridError
from terrapatch.labels.burn import Anchor, Shapes, burn

DEGREE = 8.983152841195215e-05


def burnt(geometries, geobox, values=None, order=None):
    geometries = np.array([*geometries, None], object)[:-1]
    shapes = Shapes.of(geometries, Anchor.of(geobox))
    out = np.zeros(geobox.shape, np.uint8)
    values = np.arange(1, len(geometries) + 1) if values is None else np.asarray(values)
    order = np.arange(len(geometries)) if order is None else np.asarray(order)
    burn(shapes, values.astype(np.uint8), order, out)
    return out


def unit_grid(height, width):
    """Pixels of 1 m, rows downwards; y of the upper edge is `height`."""
    return GeoBox((height, width), Affine(1, 0, 0, 0, -1, height), "EPSG:32631")


def on_grid(*corners, height):
    """A polygon from (column, row) corners of a grid of 1 m."""
    return shapely.Polygon([(x, height - y) for x, y in corners])


@pytest.mark.parametrize(
    ("corners", "rows"),
    [
        ([(1, 1), (4, 1), (4, 3), (1, 3)], [".....", ".###.", ".###.", "....."]),
        # Edges through centres: the centre on a right edge is in, on a left edge out; on an upper
        # edge in, on a lower edge out.
        ([(0.5, 0.5), (3.5, 0.5), (3.5, 2.5), (0.5, 2.5)], [".###.", ".###.", ".....", "....."]),
        ([(0.51, 0.51), (3.49, 0.51), (3.49, 2.49), (0.51, 2.49)], [".....", ".##..", ".....", "....."]),
        # A sliver between centres has no pixel, one over centres has a line of them.
        ([(0, 1.6), (5, 1.6), (5, 2.4), (0, 2.4)], [".....", ".....", ".....", "....."]),
        ([(0, 1.4), (5, 1.4), (5, 1.6), (0, 1.6)], [".....", "#####", ".....", "....."]),
        # A diagonal through centres.
        ([(0, 0), (4, 0), (0, 4)], ["####.", "###..", "##...", "#...."]),
        ([(4, 4), (4, 0), (0, 4)], [".....", "...#.", "..##.", ".###."]),
    ],
)  # fmt: skip
def test_truth_table(corners, rows):
    out = burnt([on_grid(*corners, height=4)], unit_grid(4, 5))
    assert ["".join(".#"[v] for v in row) for row in out] == rows


def test_holes_and_parts_are_kept_apart():
    ring = shapely.Polygon(shapely.box(0, 0, 5, 5).exterior, [shapely.box(1, 1, 4, 4).exterior])
    island = shapely.box(2, 2, 3, 3)
    out = burnt([shapely.MultiPolygon([ring, island])], unit_grid(5, 5))
    expected = np.ones((5, 5), int)
    expected[1:4, 1:4] = 0
    expected[2, 2] = 1
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize(
    "geobox",
    [
        utm_geobox((60, 80)),
        GeoBox((60, 80), Affine(DEGREE, 0, -46.4, 0, -DEGREE, -12.1), "EPSG:4326"),
        GeoBox((60, 80), Affine(0.2, 0, 652_000.4, 0, -0.2, 6_860_001), "EPSG:2154"),
    ],
)
def test_pixels_are_those_whose_centres_lie_inside(geobox):
    rng = np.random.default_rng(1)
    a, _, c, _, e, f = tuple(geobox.affine)[:6]
    box = (c - 10 * a, f + 70 * e, c + 90 * a, f - 10 * e)
    made = stars(rng, 60, box, (2 * a, 25 * a))
    x = c + a * (np.arange(80) + 0.5)
    y = f + e * (np.arange(60) + 0.5)
    xx, yy = np.meshgrid(x, y)
    for polygon in made:
        inside = shapely.contains_xy(polygon, xx, yy)
        np.testing.assert_array_equal(burnt([polygon], geobox), inside)


def test_gdal_burns_the_same_pixels():
    geobox = utm_geobox((300, 320))
    left, bottom, right, top = geobox.boundingbox.bbox
    made = stars(
        np.random.default_rng(2), 400, (left - 300, bottom - 300, right + 300, top + 300), (20, 700)
    )
    values = np.arange(1, 401) % 200 + 1
    expected = rasterize(
        zip(made, values, strict=True), geobox.shape, transform=geobox.affine, dtype="uint8"
    )
    found = burnt(made, geobox, values)
    np.testing.assert_array_equal(found, expected)
    assert len(np.unique(found)) > 100


corner = st.tuples(st.integers(-8, 40), st.integers(-8, 40))


@settings(max_examples=200)
@given(st.lists(corner, min_size=3, max_size=9), st.integers(0, 19), st.integers(0, 17))
def test_a_pixel_does_not_depend_on_its_window(corners, row, col):
    # Corners on centres and borders of pixels: nothing but ties.
    polygon = shapely.make_valid(shapely.Polygon([(x / 2, y / 2) for x, y in corners]))
    parts = [p for p in shapely.get_parts(polygon) if p.geom_type == "Polygon"]
    whole = unit_grid(24, 24)
    part = whole[row : row + 5, col : col + 7]
    everything = burnt(parts, whole, values=[1] * len(parts))
    np.testing.assert_array_equal(
        burnt(parts, part, values=[1] * len(parts)), everything[row : row + 5, col : col + 7]
    )


@settings(max_examples=200)
@given(st.lists(corner, min_size=3, max_size=9), corner, corner)
def test_neighbours_share_no_pixel_and_leave_none(corners, first, second):
    """A polygon cut by a straight line that goes through many centres: each pixel goes to one side."""
    polygon = shapely.Polygon([(x / 2, y / 2) for x, y in corners]).convex_hull
    if polygon.geom_type != "Polygon" or first == second:
        return
    line = shapely.LineString([(first[0] / 2, first[1] / 2), (second[0] / 2, second[1] / 2)])
    far = shapely.affinity.scale(line, 100, 100)
    pieces = [p for p in shapely.ops.split(polygon, far).geoms if p.area > 1e-9]
    # Cut points are rounded: both sides have the same ones, the whole gets them too.
    whole = shapely.union_all(pieces)
    if whole.geom_type != "Polygon":
        return
    grid = unit_grid(24, 24)
    layers = np.stack([burnt([piece], grid, values=[1]) for piece in pieces])
    assert layers.sum(axis=0).max() <= 1
    ring = shapely.Polygon(whole.exterior)
    np.testing.assert_array_equal(layers.sum(axis=0), burnt([ring], grid, values=[1]))


def test_later_features_lie_on_top_and_the_order_is_the_callers():
    grid = unit_grid(4, 4)
    both = [shapely.box(0, 0, 3, 3), shapely.box(1, 1, 4, 4)]
    assert burnt(both, grid)[1, 1] == 2
    assert burnt(both, grid, order=[1, 0])[1, 1] == 1


def test_areas_are_exact_whatever_the_winding():
    ring = [(0, 0), (4, 0), (4, 3), (0, 3)]
    hole = [(1, 1), (1, 2), (3, 2), (3, 1)]
    made = [
        shapely.Polygon(ring), shapely.Polygon(ring[::-1]), shapely.Polygon(ring, [hole]),
        shapely.MultiPolygon([shapely.Polygon(ring), shapely.box(10, 10, 11, 11)]), shapely.Polygon(),
    ]  # fmt: skip
    shapes = Shapes.of(np.array(made, object), Anchor.of(unit_grid(4, 4)))
    np.testing.assert_array_equal(shapes.area / 2**25, [12, 12, 10, 13, 0])
    large = shapely.box(0, 0, 30_000, 30_000)
    assert Shapes.of(np.array([large]), Anchor.of(unit_grid(4, 4))).area[0] == 2**25 * 9 * 10**8


def test_edges_longer_than_any_grid_are_burnt_right():
    grid = unit_grid(50, 50)
    # The diagonal of a huge square crosses the grid's middle.
    huge = shapely.Polygon([(-2e6, -2e6 + 25), (2e6, 2e6 + 25), (2e6, -2e6)])
    out = burnt([huge], grid, values=[1])
    x, y = np.meshgrid(np.arange(50) + 0.5, 50 - np.arange(50) - 0.5)
    inside = y < x + 25
    sure = np.abs(y - x - 25) > 1e-3
    np.testing.assert_array_equal(out[sure], inside[sure])


def test_nothing_outside_is_touched_and_empty_input_is_fine():
    grid = unit_grid(4, 4)
    assert not burnt(
        [shapely.box(4, 0, 9, 9), shapely.box(-9, -9, 0, 0), shapely.Polygon()], grid
    ).any()
    assert not burnt([], grid).any()


def test_coordinates_that_are_not_finite_are_an_error():
    broken = shapely.Polygon([(0, 0), (1, 0), (np.inf, 1)])
    with pytest.raises(GridError, match="no coordinates"):
        burnt([broken], unit_grid(4, 4))


def test_rotated_grids_are_an_error():
    turned = GeoBox((4, 4), Affine.rotation(10), "EPSG:32631")
    with pytest.raises(GridError, match="rotated"):
        Anchor.of(turned)
