# SPDX-License-Identifier: Apache-2.0
"""Windows around points, built from products: pixels by a plain read of the same products, columns by the table."""

import csv
import json

import numpy as np
import pyproj
import pytest
import rasterio
from rasterio.windows import Window

from made.builds import TINY, terrapatch
from terrapatch.lock import read_lock
from terrapatch.paths import Results
from terrapatch.stacks import open_stack
from terrapatch.tables import read_geoparquet

COUNT = 80
INPUT = "points-input"
RECIPE = TINY | {
    "name": "points",
    "sampling": {
        "kind": "points", "path": f"../{INPUT}/points.csv", "id": "name", "x": "lon", "y": "lat",
        "size_px": 32, "unit_patches": 64, "overlap": "all",
    },
    "tasks": {"crops": {"column": "Crop", "legend": f"../{INPUT}/crops.csv"}},
    "layouts": {"name": "native"},
    "layers": {"sentinel1": {"speckle": "none"}},
    "patches": {"require": {"sentinel1": {"valid": 0}, "label": {"valid": 0}}},
}  # fmt: skip
WORDS = ("--", "--until", "publish")


def write_input(folder):
    """80 points around the area, and the legend of a task."""
    rng = np.random.default_rng(3)
    rows = [
        [f"q{n}", f"{rng.uniform(-48.03, -47.97):.7f}", f"{rng.uniform(-6.03, -5.97):.7f}", "ABC"[n % 3]]
        for n in range(COUNT)
    ]  # fmt: skip
    with (folder / "points.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["Name", "Lon", "Lat", "Crop"], *rows])
    (folder / "crops.csv").write_text("code,name,prefix\n7,Wheat,A\n4,Maize,B\n")


@pytest.fixture(scope="module")
def build(builds):
    """A folder with what was built of the points, and these."""
    there = builds.once(INPUT, write_input)
    with (there / "points.csv").open(newline="") as file:
        points = {
            r["Name"]: (float(r["Lon"]), float(r["Lat"]), r["Crop"]) for r in csv.DictReader(file)
        }
    return builds.build(RECIPE, *WORDS), points


@pytest.fixture
def own(builds, tmp_path):
    """The same as a copy that may be changed: its folder, and its table of points."""
    builds.once(INPUT, write_input)
    (tmp_path / INPUT).mkdir()
    write_input(tmp_path / INPUT)
    made = builds.copy(tmp_path / "made", RECIPE, *WORDS)
    return made, tmp_path / INPUT / "points.csv"


def results(made):
    return Results(f"{made}/results/points")


def test_points_of_the_area_are_patches_or_have_a_reason(build):
    made, points = build
    lock = read_lock(results(made).lock)
    placed = {name.split("_")[0] for unit in lock.units for name, _, _ in unit.windows}
    lost = {name for names in lock.places_left_out.values() for name in names}
    inside = {n for n, (x, y, _) in points.items() if abs(x + 48) <= 0.02 and abs(y + 6) <= 0.02}
    assert placed | lost == inside
    assert not placed & lost
    assert len(lock.units) == 2  # on both sides of a zone's border
    table = read_geoparquet(results(made).manifest)
    assert set(table["place"]) == placed
    assert {*table["patch_id"]} == {
        f"{p}_{u}" for p, u in zip(table["place"], table["unit"], strict=True)
    }


def test_columns_of_the_table_are_those_of_the_manifest(build):
    made, points = build
    table = read_geoparquet(results(made).manifest)
    assert len(table) > 20
    for name, x, y, crop in zip(
        table["place"], table["lon"], table["lat"], table["crop"], strict=True
    ):
        assert (x, y, crop) == points[name]


def test_classes_of_a_task_follow_its_legend_and_others_are_counted(build):
    made, points = build
    table = read_geoparquet(results(made).manifest)
    assert str(table["class_crops"].dtype) == "int16"
    wanted = [{"A": 7, "B": 4, "C": -1}[points[name][2]] for name in table["place"]]
    assert table["class_crops"].tolist() == wanted
    task = json.loads((made / results(made).splits).read_text())["tasks"]["crops"]
    kept = table[table["kept"]]
    assert {c["code"]: c["patches"]["kept"] for c in task["classes"]} == {
        4: (kept["crop"] == "B").sum(), 7: (kept["crop"] == "A").sum(),
    }  # fmt: skip
    for entry in task["classes"]:
        for split in ("train", "val", "test"):
            here = (kept["class_crops"] == entry["code"]) & (kept["split"] == split)
            assert entry["patches"][split] == here.sum()
    left_out = int((kept["crop"] == "C").sum())
    assert (task["without"], task["empty"], task["codes"]) == (left_out, 0, {"C": left_out})
    card = (made / "results/points/dataset/README.md").read_text()
    assert f"without a class in this task (−1): {left_out}; by code: `C` {left_out}." in card
    assert "| 7 | Wheat |" in card
    assert "in the legend `" in card


def test_pixels_are_those_of_the_products_around_the_point(build):
    made, points = build
    table = read_geoparquet(results(made).manifest)
    lock, seen = read_lock(results(made).lock), 0
    items = {item.id: item for item in lock.items}
    for unit in lock.units:
        stack = open_stack(results(made).stack(unit.id, "sentinel2"))
        number = stack.info.bands.index("B04")
        of_step = [items[name] for name in stack.info.items[0]]
        pixels, source = (stack.read(slice(None), what, 0) for what in ("data", "source"))
        for n, patch in enumerate(stack.info.patch_ids):
            x, y, _ = points[patch.split("_")[0]]
            for rank, item in enumerate(of_step, start=1):
                asset = item.assets["B04"]
                with rasterio.open(made / asset.href) as file:
                    there = pyproj.Transformer.from_crs(4326, file.crs, always_xy=True)
                    row, col = file.index(*there.transform(x, y))
                    read = file.read(
                        1, window=Window(col - 16, row - 16, 32, 32), boundless=True, fill_value=0
                    )
                mine = source[n] == rank
                assert (pixels[n, number][mine] == (read + asset.add_offset)[mine]).all()
                seen += int(mine.sum())
        assert (table["unit"] == unit.id).sum() == len(stack.info.patch_ids)
    assert seen > 20 * 32 * 32


def test_another_column_of_the_table_makes_no_pixel_again(own):
    made, path = own
    path.write_text(path.read_text().replace(",A\n", ",D\n").replace(",A\r\n", ",D\r\n"))
    done = terrapatch(
        "build", "points.yaml", "--cores", "2", "--verbose", "--", "--until", "publish", cwd=made
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    for stage in ("sampling", "stack", "patches"):
        assert f"rule {stage}:" not in said
    for stage in ("splits", "layouts", "publish"):
        assert f"rule {stage}:" in said
    table = read_geoparquet(results(made).manifest)
    assert set(table["crop"]) == {"B", "C", "D"}


def test_a_column_of_a_task_that_is_not_there_stops_the_plan(own):
    made, _ = own
    done = terrapatch("plan", "points.yaml", "--set", "tasks.crops.column=crops", cwd=made)
    assert done.returncode == 2
    assert (
        "tasks.crops.column: the table of points has no column 'crops'; did you mean crop"
        in done.stderr
    )
    done = terrapatch("plan", "points.yaml", "--set", "tasks.crops.column=name", cwd=made)
    assert done.returncode == 2
    assert "no code of the column name (q0, q1" in done.stderr


def test_a_name_that_the_manifest_has_is_refused_with_a_remedy(own):
    made, path = own
    head, *lines = path.read_text().splitlines()
    path.write_text("\n".join([f"{head},split", *(f"{line},x" for line in lines)]) + "\n")
    done = terrapatch("build", "points.yaml", "--cores", "2", "--", "--until", "splits", cwd=made)
    assert done.returncode != 0
    assert "sampling.rename: the manifest has columns split of its own" in done.stdout + done.stderr
