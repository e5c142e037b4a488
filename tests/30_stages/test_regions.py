# SPDX-License-Identifier: Apache-2.0
"""Labels made region by region are those of the whole unit, bit for bit."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from made.patches import map_item, settings_folder, utm_geobox, write_map
from made.vectors import Unit, stars, table_of, write_vectors
from terrapatch.errors import LegendError
from terrapatch.labels import labels
from terrapatch.labels.stack import Maker
from terrapatch.places import Places, value
from terrapatch.stacks import open_stack
from terrapatch.tables import write_geoparquet

SHAPE = (420, 520)
MMU = {"step": "mmu", "area_m2": 2500}
CHAINS = {
    "none": [],
    "mmu, fill": [MMU, {"step": "fill", "max_distance_m": 100}],
    "vote": [MMU, {"step": "fill", "method": "vote", "max_distance_m": 80}],
    "sieve": [{"step": "sieve", "area_m2": 900, "by": "border", "rounds": 3}],
    "majority": [{"step": "majority", "radius_m": 30, "rounds": 2}],
    "shapes": [{"step": "closing", "size_m": [40, 50]}, {"step": "opening", "radius_m": 20}],
    "grey": [{"step": "closing", "kind": "grey", "size_m": [30, 30]}],
    "networks": [MMU, {"step": "fill", "max_distance_m": 100}, {"step": "networks"}],
    "settle": [MMU, {"step": "fill", "max_distance_m": 60}, {"step": "closing", "size_m": [30, 30]},
               {"step": "settle", "rounds": 2}],
    "size": [{"step": "sieve", "area_m2": 2500, "by": "size"}],
    "knn_rows": [MMU, {"step": "fill", "method": "knn_rows"}],
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Stars of five classes over a map of specks, and roads; per chain its unit and its whole."""
    folder = tmp_path_factory.mktemp("regions")
    rng = np.random.default_rng(8)
    geobox = utm_geobox(SHAPE)
    box = geobox.boundingbox.bbox
    shapes = stars(rng, 160, box, (30, 260))
    table = table_of(shapes, "EPSG:32722", classe=rng.choice([1, 11, 15, 20, 25], len(shapes)))
    write_vectors(folder / "tc.gpkg", table)
    lines = [
        shapely.LineString(np.c_[rng.uniform(box[0], box[2], 4), rng.uniform(box[1], box[3], 4)])
        for _ in range(6)
    ]
    roads = gpd.GeoDataFrame({"importance": ["2"] * len(lines)}, geometry=lines, crs="EPSG:32722")
    write_vectors(folder / "roads.gpkg", roads)
    (folder / "rules.csv").write_text(
        "field,value,action,kind,buffer_m\nimportance,2,select,road,15\n"
    )
    codes = (
        rng.choice([1, 2, 11, 15], (160, 194), p=[0.1, 0.2, 0.3, 0.4])
        .repeat(3, 0)
        .repeat(3, 1)[:, :580]
    )
    codes[100:140, 200:300] = 0
    write_map(folder / "map.tif", codes.astype("uint8"), geobox.pad(30), nodata=0)
    found = {}
    for name, steps in CHAINS.items():
        burnt = [] if not steps or {"step": "networks"} in steps else [{"step": "networks"}]
        unit = Unit(
            folder / name.replace(", ", "_"), geobox, items=[map_item(folder / "map.tif")],
            vectors=[{"path": str(folder / "tc.gpkg"), "product": "terraclass"}],
            networks=[{"path": str(folder / "roads.gpkg"), "product": "custom", "code": 5,
                       "rules": str(folder / "rules.csv")}],
            clean=steps + burnt, protect=[5],
        )  # fmt: skip
        unit.folder.mkdir(exist_ok=True)
        lock = unit.lock()
        maker = Maker(lock, "u1", unit.wanted)
        found[name] = unit, lock, maker.whole(), maker.record()
    return found


@pytest.fixture
def eager(monkeypatch):
    """Regions are made as soon as they are smaller than the unit."""
    monkeypatch.setattr(value, "_OPENING_PX", 0)
    monkeypatch.setattr(value, "_DENSE", 4.0)


@pytest.mark.parametrize("chain", CHAINS)
@settings(
    max_examples=8, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(size=st.integers(3, 40), count=st.integers(1, 12), seed=st.integers(0, 2**16))
def test_regions_have_the_labels_of_the_whole(made, eager, chain, size, count, seed):
    unit, lock, everything, _ = made[chain]
    corners = np.random.default_rng(seed).integers(0, np.array(SHAPE) - size + 1, (count, 2))
    places = Places(unit.geobox, tuple(map(str, range(count))), corners, size)
    maker = Maker(lock, "u1", unit.wanted)
    regions = maker.regions(places)
    if chain in ("size", "knn_rows"):
        assert [r for r, _ in regions] == [(slice(0, SHAPE[0]), slice(0, SHAPE[1]))]
    for (rows, cols), _ in regions:
        part = maker.made(unit.geobox[rows, cols])
        np.testing.assert_array_equal(part.layers, everything.layers[:, rows, cols])


def test_chains_of_the_test_change_something(made):
    plain = made["none"][2].layers[0]
    for name, (_, _, found, _) in made.items():
        assert name == "none" or (found.layers[0] != plain).mean() > 0.001, name


def write_corners(path, unit, corners, size):
    table = [
        {"patch_id": f"p{n}", "unit": "u1", "row": n, "col": 0, "y_px": y, "x_px": x, "size_px": size,
         "geometry": shapely.box(*unit.geobox[y : y + size, x : x + size].boundingbox.bbox)}
        for n, (y, x) in enumerate(corners)
    ]  # fmt: skip
    write_geoparquet(gpd.GeoDataFrame(table, geometry="geometry", crs="EPSG:32722"), path)


@pytest.mark.parametrize("threads", [1, 3])
def test_a_stack_of_scattered_patches_is_made_in_regions(made, eager, tmp_path, threads):
    unit, lock, everything, record = made["mmu, fill"]
    corners = [(400, 500), (5, 7), (10, 300), (200, 100), (9, 12), (402, 3), (210, 300)]
    write_corners(tmp_path / "footprints.parquet", unit, corners, 18)
    labels(
        lock, "u1", tmp_path / "footprints.parquet", unit.settings / "stack" / "label.json",
        tmp_path / "label.zarr", threads=threads,
    )  # fmt: skip
    stack = open_stack(tmp_path / "label.zarr")
    data = stack.read(slice(None), time=0)
    assert len(Maker(lock, "u1", unit.wanted).regions(
        Places(unit.geobox, stack.info.patch_ids, np.array(corners), 18))) >= 3  # fmt: skip
    for number, (y, x) in enumerate(corners):
        np.testing.assert_array_equal(data[number], everything.layers[:, y : y + 18, x : x + 18])
    # Each feature counts once, however many regions see it; and only those that are seen.
    seen = stack.info.record["vectors.0.0"]["features"]
    assert 0 < seen < record["vectors.0.0"]["features"]


def test_unknown_codes_of_all_regions_are_told_together(tmp_path, eager):
    geobox = utm_geobox((300, 300))
    codes = np.full((300, 300), 11, "uint8")
    codes[2:4, 2:5] = 77  # 6 pixels of the first region
    codes[150, 150] = 88  # of none
    codes[292, 291:295] = 77  # 4 of the last
    codes[290, 290] = 99
    write_map(tmp_path / "map.tif", codes, geobox)
    unit = Unit(tmp_path, geobox, items=[map_item(tmp_path / "map.tif")])
    write_corners(tmp_path / "footprints.parquet", unit, [(0, 0), (284, 284)], 16)
    stage = settings_folder(tmp_path / "s") / "stack" / "label.json"
    with pytest.raises(LegendError) as caught:
        labels(unit.lock(), "u1", tmp_path / "footprints.parquet", stage, tmp_path / "label.zarr")
    assert "code 77 (10 pixels), code 99 (1 pixels)" in str(caught.value)
    assert "88" not in str(caught.value)
    assert not (tmp_path / "label.zarr").exists()
