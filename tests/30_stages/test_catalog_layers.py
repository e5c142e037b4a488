# SPDX-License-Identifier: Apache-2.0
"""The plan of several layers: each has its own scenes, and each scene stands in the lock once."""

from pathlib import Path

import pytest

from made.catalog import make_safe, reference_map, write_raster
from made.recipes import resolve
from terrapatch.catalog import describe, plan
from terrapatch.errors import IncompleteError, RecipeError
from terrapatch.recipe import write_settings

PERIOD = ["2022-01-01", "2022-12-31"]
OPTICAL = {"kind": "sentinel2", "bands": ["B02"]}
RADAR = {"kind": "sentinel1", "polarisations": ["VV"]}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Optical products of two levels, radar rasters of two directions, two maps."""
    monkeypatch.chdir(tmp_path)
    make_safe("in", level="L2A", bands=("B02", "B05"))
    make_safe("in", level="L1C", bands=("B02", "B10"))
    for name in ("up", "down"):
        write_raster(f"{name}.tif", dtype="float32", value=0.1)
    reference_map(tmp_path)
    (tmp_path / "second").mkdir()
    reference_map(tmp_path / "second")
    return tmp_path


def planned(layers, **changes):
    plain = {
        "name": "many", "area": {"bbox": [3.001, 44.975, 3.02, 44.989]}, "images": [],
        "catalog": {"paths": ["in"], "period": PERIOD, "rasters": [
            {"sensor": "sentinel1", "path": f"{name}.tif", "bands": ["VV"], "date": f"2022-05-{day}",
             "orbit_direction": f"{word}ending"}
            for name, word, day in (("up", "asc", "01"), ("down", "desc", "02"))
        ]},
        "sampling": {"kind": "mosaic", "crs": "EPSG:32631", "resolution": 10, "size_px": 32},
        "label": {"path": "map.tif"}, "layers": layers,
    }  # fmt: skip
    write_settings(resolve(plain | changes), Path("results/settings"))
    return plan(Path("results/settings/plan.json"))


def test_two_directions_are_two_layers_and_say_why_the_other_is_left_out(here):
    layers = {f"s1_{word}": RADAR | {"orbit": f"{word}ending"} for word in ("asc", "desc")}
    lock = planned({"s2": OPTICAL, **layers})
    for unit in lock.units:
        assert list(unit.items) == ["label", "s2", "s1_asc", "s1_desc"]
        assert unit.items["s1_asc"] == ("up",)
        assert unit.items["s1_desc"] == ("down",)
        assert [i.id for i in lock.items_of(unit.id, "s1_desc")] == ["down"]
    assert sorted(i.id for i in lock.items if i.sensor == "sentinel1") == ["down", "up"]
    reasons = {(e.layer, e.id): e.reason for e in lock.excluded}
    assert reasons["s1_asc", "down"] == "orbit direction descending, not ascending"
    assert reasons["s1_desc", "up"] == "orbit direction ascending, not descending"
    assert "down" in describe(lock)


def test_level_1c_stands_beside_level_2a(here):
    lock = planned({"surface": OPTICAL, "top": OPTICAL | {"level": "L1C", "bands": ["B10"]}})
    (unit, *_) = lock.units
    assert [i.level for i in lock.items_of(unit.id, "surface")] == ["L2A"]
    assert [i.level for i in lock.items_of(unit.id, "top")] == ["L1C"]
    assert {i.level: sorted(i.assets) for i in lock.items if i.sensor == "sentinel2"} == {
        "L2A": ["B02"], "L1C": ["B10"],
    }  # fmt: skip


def test_a_scene_of_two_layers_is_locked_once_with_the_bands_of_both(here):
    lock = planned({"blue": OPTICAL, "edge": OPTICAL | {"bands": ["B05"]}})
    (item,) = (i for i in lock.items if i.sensor == "sentinel2")
    assert sorted(item.assets) == ["B02", "B05"]
    assert {lock.units[0].items[name] for name in ("blue", "edge")} == {(item.id,)}


def test_a_layer_without_scenes_leaves_units_out_unless_no_pixel_of_it_is_needed(here):
    layers = {"s2": OPTICAL, "s1": RADAR}
    write_raster("up.tif", dtype="float32", value=0.1, left=500_000, size=100)
    write_raster("down.tif", dtype="float32", value=0.1, left=500_000, size=100)
    wide = {"unit_patches": 1}
    sampling = {"crs": "EPSG:32631", "resolution": 10, "size_px": 32} | wide
    lock = planned(layers, sampling=sampling)
    assert lock.units
    assert set(lock.units_left_out.values()) == {"no scene of s1"}
    free = planned(layers, sampling=sampling, patches={"require": {"s1": {"valid": 0}}})
    assert not free.units_left_out
    assert {"s1" in unit.items for unit in free.units} == {True, False}
    lonely = {"s2": OPTICAL, "s1": RADAR | {"orbit": "ascending", "polarisations": ["VH"]}}
    with pytest.raises(IncompleteError, match="no scene of s1 is left"):
        planned(lonely)
    assert all("s1" not in u.items for u in planned(
        lonely, patches={"require": {"s1": {"valid": 0}}}
    ).units)  # fmt: skip


def test_a_layer_of_raw_scenes_shares_its_heights_with_others_of_its_kind(here):
    raw = RADAR | {"level": "GRD", "dem": ["a.tif"]}
    with pytest.raises(RecipeError, match=r"layers\.two\.dem: .*the same as in layers\.one"):
        planned({"one": raw, "two": raw | {"dem": ["b.tif"]}})


def test_a_plain_raster_is_a_layer_and_its_file_is_no_stranger(here):
    write_raster("in/heights.tif", dtype="float32", value=12.5)
    heights = {"kind": "raster", "path": "in/heights.tif", "bands": ["height"], "unit": "metres"}
    lock = planned({"s2": OPTICAL, "heights": heights})
    (item,) = (i for i in lock.items if i.sensor == "raster")
    assert (item.id, item.datetime, list(item.assets)) == ("heights", "", ["height"])
    assert {unit.items["heights"] for unit in lock.units} == {("heights",)}
    assert not [e for e in lock.excluded if "heights" in e.id]
    with pytest.raises(RecipeError, match=r"layers\.heights\.bands: in/heights\.tif has 1 bands"):
        planned({"s2": OPTICAL, "heights": heights | {"bands": ["a", "b"]}})


def test_two_layers_of_labels_have_maps_of_their_own(here):
    second = {"kind": "labels", "legend": "cerradata4mm", "path": "second/map.tif"}
    lock = planned({"s2": OPTICAL, "other": second})
    assert {(u.items["label"], u.items["other"]) for u in lock.units} == {
        (("map",), ("map_other",))
    }
    assert sorted(i.id for i in lock.items if i.sensor == "reference") == ["map", "map_other"]
