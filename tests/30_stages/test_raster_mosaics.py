# SPDX-License-Identifier: Apache-2.0
"""Layers of many plain rasters: which files are used, what a pixel is, what is refused."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from pydantic import ValidationError

from made.catalog import reference_map, write_raster
from made.recipes import resolve
from made.scenes import Unit, all_corners
from terrapatch.catalog import plan
from terrapatch.catalog.described import raster_scene
from terrapatch.catalog.files import Files
from terrapatch.catalog.locking import locked_item
from terrapatch.catalog.product import header_of
from terrapatch.errors import GridError, InputError, RecipeError
from terrapatch.recipe import write_settings
from terrapatch.settings import RasterSettings

LEFT, TOP, CRS = 500_000.0, 4_982_400.0, "EPSG:32631"
SIDE = 16
"""Pixels of 10 m along a side of a file."""
AERIAL = {
    "kind": "raster",
    "path": "tiles/*.tif",
    "bands": ["PAN"],
    "kernel": "nearest",
    "dtype": "uint8",
}


def tile(row, col, *, folder="tiles", seed=None, **about):
    """A file of the mosaic: random numbers, some of them nodata (0)."""
    rng = np.random.default_rng(100 * row + col if seed is None else seed)
    pixels = rng.integers(0, 4, (SIDE, SIDE)) * rng.integers(1, 60, (SIDE, SIDE))
    place = {"left": LEFT + 160 * col, "top": TOP - 160 * row, "res": 10, "size": SIDE}
    path = Path(folder) / f"t_{row:02}_{col:02}.tif"
    return write_raster(path, **{**place, "dtype": "uint8", "nodata": 0, "value": pixels, **about})


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A mosaic of 15 x 15 files, one of them absent; the area touches few."""
    monkeypatch.chdir(tmp_path)
    reference_map(tmp_path)
    Path("in").mkdir()
    for row in range(15):
        for col in range(15):
            if (row, col) != (5, 5):
                tile(row, col)
    return tmp_path


def planned(layer, **changes):
    plain = {
        "name": "many", "area": {"bbox": [3.006, 44.98, 3.012, 44.985]}, "images": [],
        "catalog": {"paths": ["in"], "period": ["2022-01-01", "2022-12-31"]},
        "sampling": {"kind": "mosaic", "crs": CRS, "resolution": 10, "size_px": 8},
        "label": {"path": "map.tif"}, "layers": {"aerial": layer}, "layouts": {"name": "native"},
    }  # fmt: skip
    write_settings(resolve(plain | changes), Path("results/settings"))
    return plan(Path("results/settings/plan.json"))


def write_index(files, path="index/tiles.gpkg", column="location"):
    """A tile index with names relative to itself."""
    Path(path).parent.mkdir(exist_ok=True)
    boxes = []
    for file in files:
        with rasterio.open(file) as opened:
            boxes.append(shapely.box(*opened.bounds))
    names = [f"../{file}" for file in files]
    gpd.GeoDataFrame({column: names}, geometry=boxes, crs=CRS).to_file(path)


def used(lock):
    return [item.id for item in lock.items if item.sensor == "raster"]


def test_only_files_that_touch_a_unit_stand_in_the_lock(here):
    lock = planned(AERIAL | {"date": "2020-06-01"})
    assert 4 <= len(used(lock)) <= 36
    for unit in lock.units:
        assert set(unit.items["aerial"]) <= set(used(lock))
    items = [item for item in lock.items if item.sensor == "raster"]
    assert all(item.assets["PAN"].sha256 for item in items)
    assert {item.datetime for item in items} == {"2020-06-01T00:00:00Z"}
    assert [s.label for u in lock.units for s in u.steps["aerial"]] == ["2020-06-01"] * len(
        lock.units
    )
    assert not lock.notes


def test_an_index_gives_the_same_without_opening_what_is_elsewhere(here):
    files = sorted(str(path) for path in Path("tiles").glob("*.tif"))
    write_index(files)
    whole = planned(AERIAL)
    for path in files:
        if Path(path).stem not in used(whole):
            row, col = map(int, Path(path).stem.split("_")[1:])
            if row > 11 or col > 11:  # far from the area: no matter what is in there
                Path(path).write_bytes(b"no raster")
    layer = {key: value for key, value in AERIAL.items() if key != "path"}
    lock = planned(layer | {"index": "index/tiles.gpkg"})
    assert used(lock) == used(whole)
    pairs = zip(lock.items, whole.items, strict=True)
    assert all(a.assets[b].sha256 == c.assets[b].sha256 for a, c in pairs for b in a.assets)
    assert [file.href for file in lock.named if file.href.endswith(".gpkg")] == ["index/tiles.gpkg"]


def test_a_list_has_the_order_of_the_recipe_and_overlaps_are_noted(here):
    tile(5, 5, folder="newer", size=40, value=9)
    lock = planned(AERIAL | {"path": ["newer/*.tif", "tiles/*.tif"]})
    first = lock.units[0].items["aerial"][0]
    assert "t_05_05" in first
    (note,) = lock.notes
    assert "layers.aerial" in note
    assert "overlap" in note


@pytest.mark.parametrize(
    ("about", "told"),
    [
        ({"crs": "EPSG:32632"}, r"t_07_07\.tif: lies in EPSG:32632, and .*gdalwarp"),
        ({"res": 5}, r"t_07_07\.tif: has pixels of 5 x 5, and .* of 10 x 10.*layer of each"),
    ],
)
def test_files_that_do_not_go_together_are_named(here, about, told):
    tile(7, 7, **about)
    with pytest.raises(GridError, match=told):
        planned(AERIAL)


def test_faults_of_an_index_are_told(here):
    layer = {key: value for key, value in AERIAL.items() if key != "path"}
    with pytest.raises(InputError, match=r"none\.gpkg"):
        planned(layer | {"index": "none.gpkg"})
    file = Path("tiles") / f"{used(planned(AERIAL))[0]}.tif"
    write_index([file], column="name")
    with pytest.raises(
        InputError, match=r"layers\.aerial\.column: .* no column 'location'; it has name"
    ):
        planned(layer | {"index": "index/tiles.gpkg"})
    file.rename("away.tif")
    with pytest.raises(InputError, match=rf"{file.stem}\.tif: no such file"):
        planned(layer | {"index": "index/tiles.gpkg", "column": "name"})


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"bands": ["R"]}, "path, index: name the files by one of them"),
        ({"bands": ["R"], "path": "a", "index": "b"}, "path, index: name the files by one"),
        ({"bands": ["R", "G"], "path": "a", "numbers": [1]}, "numbers: one for each"),
        ({"bands": ["R", "G"], "path": "a", "numbers": [2, 2]}, "numbers: one for each"),
    ],
)
def test_keys_that_contradict_each_other_are_refused(said, told):
    with pytest.raises(ValidationError, match=told):
        RasterSettings(**said)


def scene(path, **said):
    layer = RasterSettings(path=str(path), **{"bands": ("PAN",), **said})
    found = raster_scene(path, header_of(str(path)), layer, "layers.x")
    return locked_item(found, layer.bands, Files(hash_files=False))


def test_bands_are_chosen_by_number(tmp_path):
    values = np.arange(3)[:, None, None] + np.full((3, 8, 8), 10)
    path = write_raster(tmp_path / "rgb.tif", size=8, count=3, dtype="uint8", value=values)
    item = scene(path, bands=("B", "R"), numbers=(3, 1))
    assert {name: asset.band for name, asset in item.assets.items()} == {"B": 3, "R": 1}
    box = GeoBox((8, 8), Affine(10, 0, LEFT, 0, -10, TOP), CRS)
    unit = Unit(tmp_path / "unit", box, [(0, 0)], 8)
    stack = unit.build([item], path="x", bands=("B", "R"), kernel="nearest", dtype="uint8")
    assert np.unique(stack.read(slice(None))[0, 0, 0]) == 12
    assert np.unique(stack.read(slice(None))[0, 0, 1]) == 10
    with pytest.raises(RecipeError, match="no band 5"):
        scene(path, bands=("B",), numbers=(5,))
    with pytest.raises(RecipeError, match=r"has 3 bands, and 1 are named.*numbers"):
        scene(path, bands=("B",))


@given(
    places=st.lists(
        st.tuples(st.integers(-12, 28), st.integers(-12, 28)), min_size=1, max_size=6, unique=True
    ),
    seed=st.integers(0, 2**16),
)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_mosaic_with_holes_and_overlaps_is_its_files_laid_over_each_other(
    tmp_path_factory, places, seed
):
    folder = tmp_path_factory.mktemp("mosaic")
    rng, items = np.random.default_rng(seed), []
    truth, source = np.zeros((32, 32), "uint8"), np.zeros((32, 32), "uint8")
    for number, (row, col) in enumerate(places):
        pixels = rng.integers(1, 200, (SIDE, SIDE)).astype("uint8")
        pixels[rng.random((SIDE, SIDE)) < 0.3] = 0
        path = write_raster(folder / f"{number}.tif", left=LEFT + 10 * col, top=TOP - 10 * row, size=SIDE,
                            dtype="uint8", nodata=0, value=pixels)  # fmt: skip
        items.append(scene(path))
        for y in range(max(0, row), min(32, row + SIDE)):
            for x in range(max(0, col), min(32, col + SIDE)):
                if source[y, x] == 0 and pixels[y - row, x - col]:
                    truth[y, x], source[y, x] = pixels[y - row, x - col], number + 1
    box = GeoBox((32, 32), Affine(10, 0, LEFT, 0, -10, TOP), CRS)
    unit = Unit(folder / "unit", box, all_corners((32, 32), 16), 16)
    stack = unit.build(items, path="x", bands=("PAN",), kernel="nearest", dtype="uint8")

    def whole(name):
        patches = stack.read(slice(None), name, 0).reshape(2, 2, 16, 16)
        return patches.transpose(0, 2, 1, 3).reshape(32, 32)

    np.testing.assert_array_equal(whole("source"), source)
    np.testing.assert_array_equal(whole("data"), truth)
