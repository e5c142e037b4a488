# SPDX-License-Identifier: Apache-2.0
"""Flattened γ⁰, incidence angles, layover and shadow: against formulas, brute force and sarsen."""

from functools import cache, partial

import numpy as np
import pytest

import made.terrain as land
from made.grd import UTM, simulate
from made.recipes import with_layers
from made.scenes import Unit, all_corners, centres
from made.scenes import pixels as placed
from terrapatch.catalog.files import Files
from terrapatch.catalog.grd import read_product
from terrapatch.catalog.locking import locked_item
from terrapatch.errors import GridError, SceneError
from terrapatch.heights import Dem
from terrapatch.radar.doppler import ecef, image_coordinates, locate
from terrapatch.sentinel1 import flattening, profiles, shadow
from terrapatch.sentinel1.geometry import RangeTable
from terrapatch.settings import Sentinel1Settings

DIRECTIONS = ["descending", "ascending"]
EXTRAS = ("local_incidence", "ellipsoid_incidence", "layover_shadow")


@pytest.fixture(scope="module")
def products(tmp_path_factory):
    """The first slice of a pass in both directions."""
    made = simulate(tmp_path_factory.mktemp("grd")).products
    return {direction: made[direction][0] for direction in DIRECTIONS}


def unit_box(direction, side_px=96, **moved):
    """Ground that the first slice shows."""
    return land.box(side_px, **{"dy": 60 if direction == "ascending" else -60} | moved)


def settings_of(mountains, folder, **changes):
    plain = {"level": "GRD", "dem": (mountains.write(folder / "dem.tif"),), "denoise": False}
    plain |= {"dem_vertical": "ellipsoid", "polarisations": ("VV",), "radiometry": "gamma0_rtc"}
    return plain | changes


def profiles_of(mountains, annotation, box):
    dem = Dem(mountains.heights, UTM, tuple(mountains.transform)[:6])
    whole = (0, annotation.lines), (0, annotation.samples)
    return profiles.profiles("x", annotation, annotation.orbit, dem, box.pad(200), *whole)


def area_of(mountains, annotation, box):
    """Area of all lines of an image: (profile, pixel), and the line of each profile."""
    found = profiles_of(mountains, annotation, box)
    strips = range(annotation.lines // (profiles.PROFILES * profiles.LINES) + 1)
    area = np.concatenate([flattening.areas(found, number) for number in strips])
    return area, np.array([found.line(n) for n in range(len(area))])


def area_at(area, lines, line, pixel):
    """Nearest cell."""
    rows = np.rint((line - lines[0]) / (lines[1] - lines[0])).astype(int)
    return area[rows, np.rint(pixel).astype(int)]


def middle_places(box, mountains, annotation):
    x, y = (a[8:-8:7, 8:-8:7] for a in centres(box))
    places = mountains.places(x, y)
    return x, y, places, image_coordinates(annotation, *locate(annotation.orbit, places))


# Flattening: formulas ----------------------------------------------------------------------------


@pytest.mark.parametrize("height", [0.0, 250.0, 900.0])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_level_ground_has_the_area_of_the_ellipsoids_incidence(products, direction, height):
    annotation = land.annotation_of(products[direction])
    level = land.Mountains.of(lambda east, north: np.full(1, height))
    box = unit_box(direction)
    area, lines = area_of(level, annotation, box)
    x, y, places, (line, pixel) = middle_places(box, level, annotation)
    up = ecef(*land.TO_DEGREES.transform(x, y), height + 1.0) - places
    cosine = (land.radar_frame(annotation, places)[0] * up).sum(-1)
    seen = (line > 0) & (line < annotation.lines - 2)
    seen &= (pixel > 2) & (pixel < annotation.samples - 3)
    assert seen.sum() > 50
    decibel = 10 * np.log10(area_at(area, lines, line[seen], pixel[seen]))
    np.testing.assert_allclose(decibel, -10 * np.log10(np.tan(np.arccos(cosine[seen]))), atol=0.005)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(
    ("east", "north"), [(0.3, 0), (-0.3, 0), (0.55, 0), (-0.55, 0), (0.05, 0.6), (-0.4, -0.5)]
)
def test_tilted_planes_have_the_area_of_the_vector_formula(products, direction, east, north):
    # In the frame (along flight, across, line of sight) a facet covers |n_r| of the plane at
    # right angles to the line of sight and |n_p| of the slant plane.
    annotation = land.annotation_of(products[direction])
    plane = land.Mountains.of(lambda e, n: 1500 + east * e + north * n, 7000.0)
    box = unit_box(direction, 48)
    area, lines = area_of(plane, annotation, box)
    x, y, places, (line, pixel) = middle_places(box, plane, annotation)
    normal = np.cross(
        plane.places(x + 5, y) - plane.places(x - 5, y),
        plane.places(x, y + 5) - plane.places(x, y - 5),
    )
    sight, across, _ = land.radar_frame(annotation, places)
    wanted = np.abs((normal * sight).sum(-1) / (normal * across).sum(-1))
    seen = (line > 0) & (line < annotation.lines - 2)
    seen &= (pixel > 2) & (pixel < annotation.samples - 3)
    assert seen.sum() > 9
    found = 10 * np.log10(area_at(area, lines, line[seen], pixel[seen]))
    np.testing.assert_allclose(found, 10 * np.log10(wanted[seen]), atol=0.02)


def test_all_light_is_given_to_some_cell():
    # Any profile: folds, shadows, steps within a pixel and over many.
    rng = np.random.default_rng(3)
    slant = 850_000 + np.cumsum(rng.normal(5, 9, 3000))
    angle = 0.6 + np.cumsum(rng.normal(6e-6, 2e-5, 3000))
    steps = np.arange(-400, 4000) * 8.0
    table = 850_000 + 0.6 * 10 * steps[None] + 2e-5 * steps[None] ** 2
    out = np.empty(12_000, np.float32)
    ranges = RangeTable(np.zeros(1), table, (steps[0], 8.0))
    flattening.collect(slant, angle, ranges, 0.0, -2000, out)
    edge = np.arange(-2000, 10_001) - 0.5
    width = np.diff(np.interp(edge, steps, table[0]))
    highest = np.maximum.accumulate(angle)
    seen = np.diff(highest)
    middle = slant[1:] - 0.5 * np.diff(slant) * np.divide(
        seen, np.diff(angle), out=np.zeros(2999), where=seen > 0
    )
    given = np.nansum(out * width)
    assert (seen == 0).mean() > 0.3
    least = (np.isnan(out) * width * flattening.LEAST).sum()  # cells below it are missing
    assert given <= (middle * seen).sum() * (1 + 1e-5)
    assert given >= (middle * seen).sum() * (1 - 1e-5) - least
    assert least < 0.5 * given


# Flattening: brute force -------------------------------------------------------------------------


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_sum_of_areas_is_that_of_dense_facets(products, direction):
    annotation = land.annotation_of(products[direction])
    sign = -1 if direction == "descending" else 1
    folded = land.Mountains.of(partial(land.saw, sign=sign))
    area, lines = area_of(folded, annotation, unit_box(direction))
    line, pixel, shown, _ = land.facets(folded, annotation, side_m=6000.0)
    y, x = (float(a.mean()) for a in image_coordinates(
        annotation, *locate(annotation.orbit, folded.places(*centres(unit_box(direction))))
    ))  # fmt: skip
    rows = slice(max(round(y) - 100, 10) & ~1, min(round(y) + 100, annotation.lines - 10) & ~1)
    cols = slice(round(x) - 100, round(x) + 100)
    inside = (np.rint(line) >= rows.start) & (np.rint(line) < rows.stop)
    inside &= (np.rint(pixel) >= cols.start) & (np.rint(pixel) < cols.stop)
    truth = np.maximum(shown[inside], 0).sum()
    sizes = land.cell_size(annotation)[rows, cols]
    own = np.nan_to_num(area[rows.start // 2 : rows.stop // 2, cols])
    assert lines[rows.start // 2] == rows.start + 0.5
    assert (np.repeat(own, 2, axis=0) * sizes).sum() == pytest.approx(truth, rel=5e-3)


@pytest.fixture(scope="module")
def even(products, tmp_path_factory):
    """Mountains of a relief (`ridges` or `folds`), and the scene of one γ⁰ that shows them.

    The product is made once and only read; the mountains are the caller's own.
    """

    @cache
    def scene(direction, relief):
        folder = tmp_path_factory.mktemp("even")
        return land.even_ground(products[direction], relief_of(direction, relief), folder)[0]

    return lambda direction, relief: (relief_of(direction, relief), scene(direction, relief))


def relief_of(direction, relief):
    sign = -1 if direction == "descending" else 1
    return land.Mountains.of(land.ridges if relief == "ridges" else partial(land.saw, sign=sign))


def decibel_of(stack):
    source = placed(stack, "source")
    values = placed(stack)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(source > 0, 10 * np.log10(values[0]), np.nan), values[1:]


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("relief", ["ridges", "folds"])
def test_ground_of_one_backscatter_comes_out_even(even, tmp_path, direction, relief):
    mountains, item = even(direction, relief)
    box = unit_box(direction)
    unit = Unit(tmp_path / "u", box, all_corners(box.shape, 48), 48)
    settings = settings_of(mountains, tmp_path, extras=EXTRAS)
    before, _ = decibel_of(unit.build([item], **settings | {"radiometry": "gamma0"}))
    after, layers = decibel_of(unit.build([item], **settings, output="flat.zarr"))
    assert np.isfinite(after).all()
    assert (layers[2] == 1).mean() > 0.15 if relief == "folds" else (layers[2] == 0).all()
    assert np.std(before) > (1.5 if relief == "ridges" else 5)
    assert np.std(after) < (0.05 if relief == "ridges" else 0.25)
    assert np.mean(after) == pytest.approx(-10, abs=0.02)


# Flattening: another program ---------------------------------------------------------------------


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(("relief", "bar"), [("ridges", 0.4), ("folds", 0.6)])
def test_sarsen_sums_the_same_areas(products, direction, relief, bar):
    pytest.importorskip("sarsen")
    import xarray as xr
    from sarsen import radiometry

    annotation = land.annotation_of(products[direction])
    sign = -1 if direction == "descending" else 1
    function = land.ridges if relief == "ridges" else partial(land.saw, sign=sign)
    folded = land.Mountains.of(function, 6000.0)
    box = unit_box(direction)
    found = profiles_of(folded, annotation, box)
    # Facets of 3 m, in cells of 2 lines and 8 m of slant range.
    spacing, d_range, d_line = 3.0, 8.0, 2.0
    axis = (np.arange(1000) - 499.5) * spacing
    cx, cy = (float(a.mean()) for a in centres(box))
    x, y = cx + axis[None] + 0 * axis[:, None], cy + axis[:, None] + 0 * axis[None]
    coords = {"axis": [0, 1, 2], "y": cy + axis, "x": cx + axis}
    dem = xr.DataArray(
        np.moveaxis(folded.places(x, y), -1, 0), coords=coords, dims=("axis", "y", "x")
    )
    sight = land.radar_frame(annotation, np.moveaxis(dem.values, 0, -1))[0]
    gamma = radiometry.compute_gamma_area(
        dem, xr.DataArray(-np.moveaxis(sight, -1, 0), coords=coords, dims=dem.dims)
    )
    time_s, slant_m = locate(annotation.orbit, np.moveaxis(dem.values, 0, -1))
    start = annotation.epoch
    moments = start + (time_s * 1e9).astype("timedelta64[ns]")
    interval = d_line * annotation.azimuth_interval_s
    plane = {"coords": {"y": coords["y"], "x": coords["x"]}, "dims": ("y", "x")}
    data = xr.Dataset(
        {
            "gamma_area": gamma, "slant_range_time": xr.DataArray(slant_m, **plane),
            "azimuth_time": xr.DataArray(moments, **plane),
        }
    )  # fmt: skip
    along = np.median(land.cell_size(annotation)) / np.median(np.diff(locate_pixels(annotation)))
    theirs = radiometry.gamma_weights_bilinear(
        data, 800_000.0, start, d_range, interval,
        slant_range_spacing_m=d_range, azimuth_spacing_m=d_line * along,
    ).values  # fmt: skip
    # Ours at the same places, from profiles, in the same cells.
    line, pixel = image_coordinates(annotation, time_s, slant_m)
    area, lines = area_of(folded, annotation, box)
    part = (slice(250, 750, 4), slice(250, 750, 4))
    good = (line[part] > 4) & (line[part] < annotation.lines - 4)
    ours = area_at(area, lines, line[part][good], pixel[part][good])
    off = 10 * np.log10(ours / theirs[part][good])
    assert found.count > 100
    assert abs(np.nanmedian(off)) < 0.05
    assert np.nanquantile(np.abs(off), 0.8) < bar  # cells of another kind, and another blur


def locate_pixels(annotation):
    from terrapatch.radar.doppler import sensing_coordinates

    pixel = np.arange(annotation.samples) + 0.0
    return sensing_coordinates(annotation, annotation.lines / 2, pixel)[1]


# Independence ------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_units_agree_where_they_overlap(even, tmp_path, direction):
    mountains, item = even(direction, "folds")
    settings = settings_of(mountains, tmp_path, extras=EXTRAS)
    found = []
    for name, side, dx in (("whole", 96, 0), ("part", 32, 17)):
        box = unit_box(direction, side, dx=dx)
        unit = Unit(tmp_path / name, box, all_corners(box.shape, 16), 16)
        found.append((box, placed(unit.build([item], **settings, threads=2))))
    (whole, all_of_it), (small, part) = found
    col, row = ~whole.affine * (small.affine * (0, 0))
    r, c = round(row), round(col)
    same = all_of_it[:, r : r + 32, c : c + 32]
    np.testing.assert_allclose(part[0], same[0], rtol=2e-5)
    np.testing.assert_allclose(part[1:3], same[1:3], atol=1e-4)
    np.testing.assert_array_equal(part[3], same[3])
    assert (part[3] == 1).any()


def test_neither_threads_nor_shards_nor_patches_change_a_bit(even, tmp_path):
    mountains, item = even("descending", "ridges")
    settings = settings_of(mountains, tmp_path, extras=EXTRAS, scale="db")
    found = [
        placed(
            Unit(tmp_path / f"{size}_{threads}", box, all_corners(box.shape, size), size).build(
                [item], threads=threads, **settings
            )
        )
        for size, threads, box in ((96, 1, unit_box("descending")), (24, 3, unit_box("descending")))
    ]
    np.testing.assert_array_equal(*found)


# Missing things ----------------------------------------------------------------------------------


def cliff(east, north, sign):
    """A wall of 600 m over level ground; the side away from the radar is as steep."""
    return 100 + 600 * (np.abs(sign * east - 400) < 60) + 0 * north


def test_shadow_is_missing_and_told(products, tmp_path):
    mountains = land.Mountains.of(partial(cliff, sign=1))
    annotation = land.annotation_of(products["descending"])
    item, _ = land.even_ground(products["descending"], mountains, tmp_path)
    box = unit_box("descending", 96)
    unit = Unit(tmp_path / "u", box, all_corners(box.shape, 48), 48)
    stack = unit.build([item], **settings_of(mountains, tmp_path, extras=("layover_shadow",)))
    source, mask = placed(stack, "source"), placed(stack)[1]
    x, y = (a[::5, ::5].ravel() for a in centres(box))
    dark = land.walked(mountains, annotation, x, y)[1].reshape(20, 20)
    missing = source[::5, ::5] == 0
    assert dark.mean() > 0.1
    assert missing.sum() > 0.3 * dark.sum()  # the rest appears where other ground does
    assert (missing & ~dark).sum() <= 0.03 * missing.sum()
    assert (mask[source == 0] == 0).all()


def test_a_void_hides_the_cells_beside_it(even, tmp_path):
    mountains, item = even("descending", "ridges")
    box = unit_box("descending", 96)
    col, row = ~mountains.transform * (box.affine * (48, 48))
    mountains.heights[int(row), int(col)] = np.nan
    unit = Unit(tmp_path / "u", box, all_corners(box.shape, 96), 96)
    after, _ = decibel_of(unit.build([item], **settings_of(mountains, tmp_path)))
    gone = np.isnan(after)
    assert gone[48, 48]
    assert 20 < gone.sum() < 200
    assert np.abs(after[~gone] + 10).max() < 0.3  # and no cell is left that is lit by half


def test_heights_that_end_before_the_margin_are_refused(products, tmp_path):
    small = land.Mountains.of(land.ridges, 4000.0)
    item = locked_item(read_product(products["descending"]), ("VV",), Files(False))
    box = unit_box("descending", 96)
    unit = Unit(tmp_path / "u", box, all_corners(box.shape, 96), 96)
    with pytest.raises(GridError, match=r"dem\.tif: .*look \d000 m beyond the unit"):
        unit.build([item], **settings_of(small, tmp_path))
    unit.build([item], **settings_of(small, tmp_path, radiometry="gamma0"))
    at_sea = settings_of(small, tmp_path, dem_sea=True)
    unit.build([item], **at_sea, output="sea.zarr")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"radiometry": "gamma0_rtc"}, "gamma0_rtc needs level: GRD"),
        ({"radiometry": "gamma0_rtc", "level": "GRD", "geometry": "gcp"}, "geometry: terrain"),
        ({"extras": ("layover_shadow",)}, "extras needs level: GRD"),
        ({"level": "GRD", "extras": ("layover_shadow",) * 2}, "extras must be unique"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes, says):
    with pytest.raises(ValueError, match=says):
        Sentinel1Settings(**changes)


def test_geocoded_scenes_have_no_extras(products, tmp_path):
    from made.scenes import item, write_asset

    box = unit_box("descending", 32)
    asset = write_asset(
        tmp_path / "s1.tif", np.ones(box.shape, np.float32), box.affine, UTM, jp2=False
    )
    unit = Unit(tmp_path / "u", box, all_corners(box.shape, 32), 32)
    settings = settings_of(land.Mountains.of(land.ridges), tmp_path, extras=EXTRAS)
    with pytest.raises(SceneError, match="a geocoded scene has no local_incidence"):
        unit.build([item("S1", {"VV": asset}, sensor="sentinel1")], **settings)


# Layers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(("east", "north"), [(0.0, 0.0), (0.4, 0.0), (-0.4, 0.1), (0.0, -0.7)])
def test_incidence_angles_of_planes_are_those_of_vectors(
    products, tmp_path, direction, east, north
):
    annotation = land.annotation_of(products[direction])
    mid = [
        float(a.mean()) - c
        for a, c in zip(centres(unit_box(direction, 48)), land.CENTRE, strict=True)
    ]
    plane = land.Mountains.of(
        lambda e, n: 900 + np.clip(east * (e - mid[0]) + north * (n - mid[1]), -300, 300)
    )
    item = locked_item(read_product(products[direction]), ("VV",), Files(False))
    box = unit_box(direction, 48)
    unit = Unit(tmp_path / "u", box, all_corners(box.shape, 48), 48)
    settings = settings_of(plane, tmp_path, radiometry="sigma0", scale="db", extras=EXTRAS[:2])
    stack = unit.build([item], **settings)
    assert stack.info.bands == ("VV", *EXTRAS[:2])
    x, y = centres(box)
    places = plane.places(x, y)
    sight = land.radar_frame(annotation, places)[0]
    normal = np.cross(
        plane.places(x + 5, y) - plane.places(x - 5, y),
        plane.places(x, y + 5) - plane.places(x, y - 5),
    )
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    up = ecef(*land.TO_DEGREES.transform(x, y), plane.at(x, y) + 1.0) - places
    values, source = placed(stack), placed(stack, "source") > 0
    assert source.mean() > 0.5
    for found, vector in ((values[1], normal), (values[2], up)):
        wanted = np.degrees(np.arccos((sight * vector).sum(-1)))
        np.testing.assert_allclose(found[source], wanted[source], atol=0.01)
        assert (found[~source] == 0).all()


def test_the_ellipsoids_angle_is_the_annotated_one(products, tmp_path):
    from scipy.interpolate import griddata

    annotation = land.annotation_of(products["descending"])
    level = land.Mountains.of(lambda e, n: np.full(1, float(annotation.grid.height.mean())))
    item = locked_item(read_product(products["descending"]), ("VV",), Files(False))
    box = unit_box("descending")
    unit = Unit(tmp_path / "u", box, all_corners(box.shape, 96), 96)
    stack = unit.build([item], **settings_of(level, tmp_path, extras=("ellipsoid_incidence",)))
    lon, lat = land.TO_DEGREES.transform(*centres(box))
    grid = annotation.grid
    wanted = griddata(
        (grid.longitude.ravel(), grid.latitude.ravel()), grid.incidence_deg.ravel(), (lon, lat)
    )
    good = np.isfinite(wanted) & (placed(stack, "source") > 0)
    assert good.mean() > 0.5
    np.testing.assert_allclose(placed(stack)[1][good], wanted[good], atol=0.01)


def pit(east, north):
    return 800 - 450 * np.exp(-(((east**2 + north**2) / 350**2) ** 2))


def ridge(east, north):
    return 100 + 700 * np.exp(-(((east + 0.3 * north) / 220) ** 2)) + 0 * north


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("function", [pit, ridge])
def test_layover_and_shadow_are_those_of_walking(products, tmp_path, direction, function):
    annotation = land.annotation_of(products[direction])
    box = unit_box(direction, 120)
    cx, cy = (float(a.mean()) - c for a, c in zip(centres(box), land.CENTRE, strict=True))
    mountains = land.Mountains.of(lambda e, n: function(e - cx, n - cy))
    item = locked_item(read_product(products[direction]), ("VV",), Files(False))
    unit = Unit(tmp_path / "u", box, all_corners(box.shape, 60), 60)
    settings = settings_of(mountains, tmp_path, radiometry="sigma0", extras=("layover_shadow",))
    stack = unit.build([item], **settings)
    known = placed(stack, "source")[::3, ::3].ravel() > 0
    codes = placed(stack)[1][::3, ::3].ravel().astype(int)
    x, y = (a[::3, ::3].ravel() for a in centres(box))
    over, dark = land.walked(mountains, annotation, x, y)
    assert known.mean() > 0.9
    assert over[known].mean() > 0.03
    assert dark[known].mean() > 0.03
    for bit, truth in ((shadow.LAYOVER, over), (shadow.SHADOW, dark)):
        wrong = ((codes & bit) > 0) != truth
        assert wrong[known].mean() < 0.02  # pixels at edges
        # Away from edges, where all of 9 × 9 pixels are of one kind, there is none
        flat = truth.reshape(40, 40)
        inner = np.zeros((40, 40), bool)
        inner[1:-1, 1:-1] = np.all(
            [flat[1 + i : 39 + i, 1 + k : 39 + k] == flat[1:-1, 1:-1]
             for i in (-1, 0, 1) for k in (-1, 0, 1)], axis=0,
        )  # fmt: skip
        # but for the tips of folds, which sampling of either kind may miss.
        assert wrong[known & inner.ravel()].mean() < 0.004


def test_voids_give_no_codes():
    slant = np.array([5.0, 6.0, np.nan, 4.0, 7.0])
    angle = np.array([0.1, 0.3, np.nan, 0.2, 0.4])
    out = np.full(5, 9, np.uint8)
    shadow.mark(slant, angle, out)
    assert out.tolist() == [1, 1, 0, 3, 0]


# End to end --------------------------------------------------------------------------------------


def test_a_recipe_with_flattening_and_extras_becomes_a_dataset(tmp_path):
    import json
    import os
    import subprocess
    import sys
    from pathlib import Path

    import yaml

    recipe = {
        "name": "rtc",
        "images": ["sentinel1"],
        "area": {"bbox": [-48.01, -6.01, -47.99, -5.99]},
        "catalog": {"source": "simulated"},
        "simulate": {"passes": 1, "margin_m": 3500, "s1_format": "grd"},
        "sampling": {"size_px": 64, "unit_patches": 2},
        "sentinel1": {
            "level": "GRD", "radiometry": "gamma0_rtc", "scale": "db", "extras": list(EXTRAS)
        },
        "splits": {"block_m": 300, "buffer_m": 0},
        "training": {"required": False, "models": ["forest"], "trees": 5},
    }  # fmt: skip
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(with_layers(recipe)))
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        [sys.executable, "-m", "terrapatch.cli", "build", "r.yaml", "--cores", "1"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    dataset = tmp_path / "results" / "rtc" / "dataset"
    bands = ["VV", "VH", *EXTRAS]
    statistics = json.loads((dataset / "statistics.json").read_text())
    assert bands == list(find(statistics, "bands"))
    import zarr

    values = zarr.open_group(dataset / "sentinel1.zarr", mode="r")["data"][:]
    assert values.shape[2] == len(bands)
    assert (values[:, :, :2] < 10).all()  # decibel
    assert ((values[:, :, 2] > 10) & (values[:, :, 2] < 70)).all()  # degrees
    assert ((values[:, :, 3] > 28) & (values[:, :, 3] < 48)).all()
    assert set(np.unique(values[:, :, 4])) <= {0.0, 1.0, 2.0, 3.0}


def find(tree, key):
    """The first value of that key anywhere in nested dictionaries that holds radar bands."""
    if isinstance(tree, dict):
        if key in tree and "VV" in tree[key]:
            return tree[key]
        for value in tree.values():
            if (found := find(value, key)) is not None:
                return found
    return None
