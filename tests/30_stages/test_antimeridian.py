# SPDX-License-Identifier: Apache-2.0
"""Areas across the antimeridian: heights in degrees from both sides, raw radar, whole plans."""

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from made.grd import plan_of, recipe_of, simulate
from made.heights import heights_on, write_dem
from made.recipes import resolve
from made.scenes import all_corners, brute_bilinear, centres, write_footprints
from made.scenes import pixels as placed
from terrapatch.catalog.checks import missing_slices
from terrapatch.catalog.grd import read_product
from terrapatch.catalog.scene import Scene, Slice
from terrapatch.errors import GridError, IncompleteError, InputError, RecipeError
from terrapatch.grid import split_at_antimeridian
from terrapatch.heights import read_dem
from terrapatch.kinds import stack as stack_layer
from terrapatch.lock import unit_geobox
from terrapatch.recipe import write_settings
from terrapatch.settings import AreaSettings
from terrapatch.simulate import simulate as simulate_archive
from terrapatch.stacks import open_stack
from terrapatch.vectors import read_area

FIJI = 180.0, -17.0
STEP = 1 / 1200
TILE = round(1 / STEP)


def eastward(lon):
    return np.asarray(lon) % 360


def plane(lon, lat):
    """Heights that any bilinear reader gives back, longitudes counted on to the east."""
    return 300 * (eastward(lon) - 180) + 100 * (np.asarray(lat) + 17)


def file(folder, west, width=1.0, name=None):
    """A height file of one degree and a row of pixels from 16.5 to 17.5 degrees south."""
    at = Affine(STEP, 0, west, 0, -STEP, -16.5)
    cols, rows = np.meshgrid(np.arange(round(width / STEP)) + 0.5, np.arange(TILE) + 0.5)
    return write_dem(folder / f"{name or west}.tif", plane(*(at * (cols, rows))).astype("f4"), at)


def utm(crs, size=64):
    """A box of 10 m pixels around 180° E, 17° S."""
    import pyproj

    x, y = pyproj.Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(*FIJI)
    half = size // 2
    left, top = (round(v / 10) * 10 for v in (x - 10 * half, y + 10 * half))
    return GeoBox((size, size), Affine(10, 0, left, 0, -10, top), crs)


UNITS = {
    "zone 60": utm("EPSG:32760"),
    "zone 1": utm("EPSG:32701"),
    "east of it": GeoBox((64, 64), Affine(1e-4, 0, -180, 0, -1e-4, -17), "EPSG:4326"),
    "west of it": GeoBox((64, 64), Affine(1e-4, 0, 180 - 64e-4, 0, -1e-4, -17), "EPSG:4326"),
}


def truth(geobox):
    import pyproj

    there = pyproj.Transformer.from_crs(str(geobox.crs), "EPSG:4326", always_xy=True)
    return plane(*there.transform(*centres(geobox)))


@pytest.mark.parametrize("geobox", UNITS.values(), ids=UNITS)
@pytest.mark.parametrize("form", ["two files", "from 0 to 360", "east file first"])
def test_files_on_either_side_are_one_plane(tmp_path, geobox, form):
    files = {
        "two files": lambda: [file(tmp_path, 179.0), file(tmp_path, -180.0)],
        "from 0 to 360": lambda: [file(tmp_path, 179.0, 2.0)],
        "east file first": lambda: [file(tmp_path, -180.0), file(tmp_path, 179.0)],
    }[form]()
    dem = read_dem(files, geobox, vertical="ellipsoid")
    np.testing.assert_allclose(heights_on(dem, geobox), truth(geobox), atol=2e-3)


@pytest.mark.parametrize("geobox", UNITS.values(), ids=UNITS)
def test_one_file_of_the_whole_world_stands_on_both_sides(tmp_path, geobox):
    at = Affine(0.5, 0, -180, 0, -0.5, 90)
    cols, rows = np.meshgrid(np.arange(720) + 0.5, np.arange(360) + 0.5)
    world = write_dem(tmp_path / "world.tif", plane(*(at * (cols, rows))).astype("f4"), at)
    dem = read_dem([world], geobox, vertical="ellipsoid")
    np.testing.assert_allclose(heights_on(dem, geobox), truth(geobox), atol=2e-3)


@pytest.mark.parametrize("west", [-180, 0, 170])
def test_a_geoid_is_added_on_both_sides(tmp_path, west):
    at = Affine(0.25, 0, west, 0, -0.25, 0)
    cols, rows = np.meshgrid(np.arange(80 if west == 170 else 1440) + 0.5, np.arange(160) + 0.5)
    geoid = write_dem(tmp_path / "geoid.tif", (plane(*(at * (cols, rows))) / 10).astype("f4"), at)
    files = [file(tmp_path, 179.0), file(tmp_path, -180.0)]
    geobox = UNITS["zone 60"]
    dem = read_dem(files, geobox, vertical="egm96", geoid=geoid)
    np.testing.assert_allclose(heights_on(dem, geobox), 1.1 * truth(geobox), atol=5e-3)


def test_units_on_either_side_agree_where_they_overlap(tmp_path):
    files = [file(tmp_path, 179.0), file(tmp_path, -180.0)]
    whole = UNITS["zone 60"]
    known = heights_on(read_dem(files, whole, vertical="ellipsoid"), whole)
    for cut in (np.s_[:, :20], np.s_[:, 40:], np.s_[10:30, 25:45]):
        part = whole[cut]
        found = heights_on(read_dem(files, part, vertical="ellipsoid"), part)
        np.testing.assert_allclose(found, known[cut], atol=1e-4)


@pytest.mark.parametrize("west", [179.0, -180.0])
def test_one_side_alone_does_not_cover(tmp_path, west):
    with pytest.raises(GridError, match=rf"{west}\.tif: .*does not cover the unit \(\d+% of it"):
        read_dem([file(tmp_path, west)], UNITS["zone 60"], vertical="ellipsoid")


def test_an_area_may_cross(tmp_path):
    area, crs = read_area(AreaSettings(bbox=(179.5, -17.5, -179.5, -16.5)))
    assert crs == "EPSG:4326"
    assert area.area == pytest.approx(1.0)
    assert [p.bounds for p in area.geoms] == [
        (179.5, -17.5, 180, -16.5), (-180, -17.5, -179.5, -16.5)
    ]  # fmt: skip
    for mixed_up in ((5, 44, 3, 46), (3, 46, 5, 44), (170, 0, 190, 1)):
        with pytest.raises(ValueError, match="is not west < east"):
            AreaSettings(bbox=mixed_up)


# A pass over Fiji --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fiji(tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("fiji"), *FIJI, "EPSG:32760", ())


def heights_of(fiji, folder):
    """The landscape's heights in degrees, a file on either side of ±180."""
    import pyproj

    relief, step, files = fiji.landscape.relief, 1 / 7200, []
    there = pyproj.Transformer.from_crs("EPSG:4326", fiji.landscape.crs, always_xy=True)
    for west in (180 - 200 * step, -180.0):
        at = Affine(step, 0, west, 0, -step, FIJI[1] + 200 * step)
        cols, rows = np.meshgrid(np.arange(200) + 0.5, np.arange(400) + 0.5)
        x, y = there.transform(*(at * (cols, rows)))
        z = relief.heights(x.ravel(), y.ravel()).reshape(x.shape)
        files.append(write_dem(folder / f"side{west:+.0f}.tif", z.astype("f4"), at))
    return tuple(files)


def recipe_over(fiji, folder, **radar):
    recipe = recipe_of(fiji, folder, fiji.folder / "grd", **radar)
    recipe["area"] = {"bbox": [179.984, -17.016, -179.984, -16.984]}
    recipe["sampling"]["crs"] = "EPSG:32760"
    return recipe


def test_a_pass_over_fiji_is_planned_and_stacked(fiji, tmp_path):
    recipe = recipe_over(fiji, tmp_path, dem=heights_of(fiji, tmp_path), radiometry="amplitude")
    recipe["sentinel1"]["orbit"] = "descending"
    lock = plan_of(recipe, tmp_path)
    (unit,) = lock.units
    items = lock.items_of(unit.id, "sentinel1")
    assert len(items) == 2
    for item in items:
        assert shapely.geometry.shape(item.footprint).geom_type == "MultiPolygon"
    geobox = unit_geobox(unit)
    corners = all_corners(geobox.shape, 64)
    write_footprints(tmp_path / "footprints.parquet", corners, 64)
    stack_layer(
        tmp_path / "lock.json", unit.id, "sentinel1", tmp_path / "footprints.parquet",
        tmp_path / "settings" / "stack" / "sentinel1.json", tmp_path / "out.zarr",
    )  # fmt: skip
    stack = open_stack(tmp_path / "out.zarr")
    rows, cols = (n // 64 * 64 for n in geobox.shape)
    seen = geobox[:rows, :cols]
    source = placed(stack, "source")[:rows, :cols]
    assert (source > 0).all()
    lon = fiji.places(seen)[0]
    assert (lon > 0).any()
    assert (lon < 0).any()
    # the simulator's closed orbit and its images, sampled by the textbook
    line, sample = fiji.image_places("descending", seen)
    both = np.concatenate([fiji.measurement("descending", n) for n in (0, 1)]).astype(float)
    wanted = brute_bilinear(both, line, sample, nodata=-1)
    off = np.abs(placed(stack)[0][:rows, :cols] - wanted)
    for side in (lon > 0, lon < 0, np.abs(eastward(lon) - 180) < 0.0005):
        assert np.median(off[side]) < 0.01 * np.median(both)
        assert np.quantile(off[side], 0.99) < 0.1 * np.median(both)


def test_heights_of_one_side_fail_the_plan(fiji, tmp_path):
    west, _ = heights_of(fiji, tmp_path)
    with pytest.raises(GridError, match=r"side\+180\.tif: .*does not cover the unit"):
        plan_of(recipe_over(fiji, tmp_path, dem=(west,)), tmp_path)


def test_a_grid_in_degrees_ends_at_the_antimeridian(fiji, tmp_path):
    recipe = recipe_over(fiji, tmp_path, geometry="gcp", dem=())
    recipe["sampling"] |= {"crs": "EPSG:4326", "resolution": 1e-4}
    with pytest.raises(GridError, match=r"sampling\.crs: .*antimeridian.*projected"):
        plan_of(recipe, tmp_path)


def test_a_box_with_its_sides_mixed_up_is_refused():
    with pytest.raises(RecipeError, match=r"area: bbox .*is not west < east"):
        resolve({"name": "x", "area": {"bbox": [5, 1, 3, 2]}, "catalog": {"source": "simulated"}})


def test_the_embedded_archive_says_that_it_cannot(tmp_path):
    recipe = resolve(
        {
            "name": "x",
            "area": {"bbox": [179.99, -17.01, -179.99, -16.99]},
            "catalog": {"source": "simulated"},
        }
    )
    write_settings(recipe, tmp_path)
    with pytest.raises(InputError, match="crosses the antimeridian, which the embedded"):
        simulate_archive(tmp_path / "simulate.json", tmp_path / "archive")
    assert not (tmp_path / "archive").exists()


def test_control_points_work_across(fiji):
    from terrapatch.radar.annotation import read_annotation
    from terrapatch.sentinel1.geometry import ground_control

    path = next(fiji.products["descending"][0].glob("annotation/*-vv-*.xml"))
    annotation = read_annotation(path.read_bytes(), path.name, "003.40")
    image = ground_control(fiji.geobox, annotation)
    line = image.nodes[0, 0]
    inside = np.isfinite(line)
    assert inside.mean() > 0.4
    # along a row of nodes lines change evenly, also where longitudes jump
    bend = np.abs(np.diff(line, 2, axis=1))
    assert np.nanmax(bend) < 0.1


def test_a_slice_that_is_missing_across_is_found():
    from datetime import datetime, timedelta

    def scene(number, south):
        ring = shapely.box(178.8, south, 181.4, south + 1.5)
        start = datetime(2022, 6, 18, 6) + timedelta(seconds=25 * number)
        return Scene(
            id=f"s{number}", sensor="sentinel1", level="GRD", datetime=start.isoformat(),
            footprint=split_at_antimeridian(ring), bands={}, family="grd", platform="Sentinel-1A",
            datatake="77_1", slice=Slice(number, 5, "x", start, start + timedelta(seconds=25)),
        )  # fmt: skip

    scenes = [scene(1, -16), scene(3, -19)]
    area = read_area(AreaSettings(bbox=(179.5, -18.5, -179.5, -15)))[0]
    (error,) = missing_slices(scenes, scenes, [], area)
    assert isinstance(error, IncompleteError)
    assert "slice 2 of 5" in str(error)
    elsewhere = read_area(AreaSettings(bbox=(170, -18.5, 175, -15)))[0]
    assert missing_slices(scenes, scenes, [], elsewhere) == []
    assert missing_slices([scene(1, -16), scene(2, -17.5)], scenes, [], area) == []


def test_the_genuine_reader_splits_footprints(fiji):
    outline = read_product(fiji.products["descending"][0]).footprint
    assert outline.geom_type == "MultiPolygon"
    assert {round(abs(part.bounds[0 if part.bounds[0] < 0 else 2])) for part in outline.geoms} == {180}  # fmt: skip
    with rasterio.open(next(fiji.products["descending"][0].glob("measurement/*-vv-*"))) as image:
        points, _ = image.gcps
    assert {np.sign(p.x) for p in points} == {-1, 1}
