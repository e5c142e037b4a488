# SPDX-License-Identifier: Apache-2.0
"""Plans as a whole: from a recipe and folders to a lock."""

import json
import shutil

import pytest
import shapely

from made.catalog import make_safe, reference_map, settings_file, write_raster, zipped
from terrapatch.catalog import changes, describe, plan
from terrapatch.errors import (
    GridError,
    IncompleteError,
    InputError,
    RecipeError,
    SceneError,
    SourceError,
)
from terrapatch.grid import geobox_from_dict
from terrapatch.lock import read_lock

PERIOD = ["2022-01-01", "2022-12-31"]
RTC = "OPERA_L2_RTC-S1_T137-292322-IW2_20220119T015906Z_20250830T120333Z_S1A_30_v1.0_{}.tif"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory with a reference map."""
    monkeypatch.chdir(tmp_path)
    reference_map(tmp_path)
    return tmp_path


def settings(here, *, catalog=None, **sections):
    local = {"paths": ["in"], "period": PERIOD} | (catalog or {})
    return settings_file(here / "s", catalog=local, label={"path": "map.tif"}, **sections)


def radar(folder):
    for band in ("VV", "VH"):
        write_raster(folder / RTC.format(band), dtype="float32", nodata=float("nan"))


def test_a_lock_holds_units_scenes_and_reasons(here):
    make_safe("in", cloud=3.5)
    make_safe("in", start="20220125T105341", cloud=1)
    make_safe("in", start="20210125T105341")
    zipped(make_safe("in", start="20220120T105341", cloud=80))
    radar(here / "in")
    path = settings(here, images=["sentinel2", "sentinel1"], catalog={"cloud_percent": 50})
    lock = plan(path, here / "lock.json")
    assert read_lock("lock.json") == lock
    (unit,) = lock.units
    assert (unit.id, unit.first_row, unit.first_col) == ("b000_000", 0, 0)
    assert [i.datetime[:10] for i in lock.items_of(unit.id, "sentinel2")] == [
        "2022-01-25", "2022-01-15"
    ]  # fmt: skip
    assert [i.id for i in lock.items_of(unit.id, "sentinel1")] == [RTC.removesuffix("_{}.tif")]
    assert [i.id for i in lock.items_of(unit.id, "label")] == ["map"]
    assert {e.id[11:26]: e.reason for e in lock.excluded} == {
        "20210125T105341": "outside the period 2022-01-01 to 2022-12-31",
        "20220120T105341": "80.0 % cloud, the limit is 50 %",
    }
    geobox = geobox_from_dict(unit.geobox)
    assert geobox.shape[0] % 32 == geobox.shape[1] % 32 == 0
    assert list(geobox.affine)[:6] == [10, 0, 500_000, 0, -10, geobox.affine.f]


def test_the_same_files_give_the_same_bytes_and_keep_the_time(here):
    make_safe("in")
    make_safe("in", start="20220125T105341")
    path = settings(here)
    plan(path, here / "a.json")
    before = (here / "a.json").stat().st_mtime_ns, (here / "a.json").read_bytes()
    plan(path, here / "a.json")
    assert before == ((here / "a.json").stat().st_mtime_ns, (here / "a.json").read_bytes())
    # Another order of making (and of listing) changes nothing.
    shutil.copytree("in", "other")
    shutil.rmtree("in")
    for folder in sorted((here / "other").iterdir(), reverse=True):
        shutil.copytree(folder, here / "in" / folder.name)
    shutil.rmtree("other")
    plan(path, here / "b.json")
    assert (here / "b.json").read_bytes() == before[1]


def test_paths_under_the_working_directory_are_relative(here):
    make_safe("in")
    lock = plan(settings(here, catalog={"paths": [str(here / "in")]}))
    assert str(here) not in lock.model_dump_json()
    hrefs = [a.href for i in lock.items for a in i.assets.values()]
    assert sorted({href.split("/")[0] for href in hrefs}) == ["in", "map.tif"]


def test_hashes_are_left_out_where_the_recipe_says_so(here):
    make_safe("in")
    with_hash = plan(settings(here))
    without = plan(settings(here, catalog={"hash_files": False}))
    assert all(len(a.sha256) == 64 for i in with_hash.items for a in i.assets.values())
    assert {a.sha256 for i in without.items for a in i.assets.values()} == {None}
    assert all(a.size > 0 for i in without.items for a in i.assets.values())


def test_the_scene_classification_is_locked_where_it_is_needed(here):
    make_safe("in", scl=True)
    for section, expected in (({"scl": True}, True), ({"mask_scl": [3]}, True), ({}, False)):
        (item,) = [i for i in plan(settings(here, sentinel2=section)).items if i.tile]
        assert ("SCL" in item.assets) == expected


def test_units_come_from_the_grid_and_hold_only_scenes_that_meet_them(here):
    make_safe("in", extent_m=1200.0)  # the north-western quarter of the usual square
    make_safe("in", start="20220125T105341", cloud=9)
    area = {"bbox": [3.0, 44.975, 3.03, 44.995]}
    lock = plan(settings(here, area=area, sampling={"unit_patches": 3, "area_rule": "intersects"}))
    small = next(i for i in lock.items if i.datetime.startswith("2022-01-15"))
    assert len(lock.units) > 3
    for unit in lock.units:
        extent = geobox_from_dict(unit.geobox).extent.geom
        meets = extent.intersection(shapely.box(500_000, 4_981_200, 501_200, 4_982_400)).area > 1
        assert (small.id in unit.items["sentinel2"]) == meets
    assert {small.id in u.items["sentinel2"] for u in lock.units} == {True, False}
    ids = [u.id for u in lock.units]
    assert ids == sorted(ids)


def test_units_without_scenes_of_a_sensor_are_left_out_with_a_reason(here):
    make_safe("in", extent_m=1200.0)
    area = {"bbox": [3.0, 44.975, 3.03, 44.995]}
    lock = plan(settings(here, area=area, sampling={"unit_patches": 3}))
    assert lock.units
    assert set(lock.units_left_out.values()) == {"no scene of sentinel2"}
    assert not {u.id for u in lock.units} & set(lock.units_left_out)
    assert "no scene of sentinel2" in describe(lock)


def test_a_unit_without_a_patch_in_the_area_is_none(here):
    make_safe("in")
    # An L: the south-eastern part of its box belongs to nobody.
    ell = shapely.box(3.0, 44.98, 3.028, 44.993).union(shapely.box(3.0, 44.975, 3.01, 44.993))
    (here / "ell.geojson").write_text(shapely.to_geojson(ell))
    lock = plan(settings(here, area={"file": "ell.geojson"}, sampling={"unit_patches": 2}))
    for unit in lock.units:
        left, _, _, top = geobox_from_dict(unit.geobox).extent.geom.bounds
        assert left < 501_000 or top > 4_980_800
    full = plan(settings(here, area={"bbox": list(ell.bounds)}, sampling={"unit_patches": 2}))
    assert {u.id for u in lock.units} < {u.id for u in full.units}
    assert lock.units_left_out == {}


def test_tile_grids_take_the_tiles_of_the_scenes_and_each_its_own(here):
    ring = ((44.96, 2.99), (45.0, 2.99), (45.0, 3.04), (44.96, 3.04), (44.96, 2.99))
    make_safe("in", tile="T31TEK", footprint=ring)
    make_safe("in", tile="T31TEL", footprint=ring)
    # A tile has 10,980 px; only windows in the small area count.
    area = {"bbox": [3.005, 44.975, 3.025, 44.99]}
    lock = plan(settings(here, area=area, sampling={"kind": "tiles"}))
    assert [u.id for u in lock.units] == ["31TEK"]
    assert lock.units[0].geobox["shape"] == [10_980, 10_980]
    (used,) = lock.units[0].items["sentinel2"]
    assert "T31TEK" in used
    assert [e.reason for e in lock.excluded] == ["its pixels meet no patch of the area"]


def test_scenes_without_tile_lie_on_the_tiles_of_their_zone(shared_data, here):
    folder = shared_data / "s1s2_bigearthnet"
    lock = plan(
        settings(
            here,
            images=["sentinel2", "sentinel1"],
            area={"bbox": [-8.23, 39.35, -8.19, 39.38]},
            sampling={"kind": "tiles", "area_rule": "intersects"},
            catalog={"paths": [str(folder)], "period": ["2017-01-01", "2018-12-31"],
                     "rasters": [{"sensor": "reference", "date": "2018-01-01",
                                  "path": str(next(folder.rglob("*_56_35_VV.tif")))}]},
        )
    )  # fmt: skip
    assert [u.id for u in lock.units] == ["29SND"]
    assert [len(ids) for ids in lock.units[0].items.values()] == [1, 1, 1]
    assert {e.reason for e in lock.excluded} == {"outside the area"}


def test_a_real_plan_of_both_sensors_and_a_label(shared_data, here):
    stem = shared_data / "s1s2_water_spain" / "Spain_7370579"
    rasters = [
        {"sensor": "sentinel2", "path": f"{stem}_S2Hand.tif", "add_offset": 0, "level": "L1C"},
        {"sensor": "sentinel1", "path": f"{stem}_S1Hand.tif", "scale": "db"},
        {"sensor": "reference", "path": f"{stem}_LabelHand.tif"},
    ]
    lock = plan(
        settings_file(
            here / "s",
            images=["sentinel2", "sentinel1"],
            area={"bbox": [-0.78189, 38.0829, -0.7359, 38.1288]},
            sampling={"crs": "EPSG:4326", "resolution": 8.983152841195215e-05, "size_px": 128},
            catalog={"rasters": [r | {"date": "2019-09-17"} for r in rasters]},
            sentinel2={"level": "L1C", "bands": ["B02", "B8A", "B10", "B12"]},
        )
    )
    assert [(i.sensor, len(i.assets)) for i in lock.items] == [
        ("sentinel2", 4), ("sentinel1", 2), ("reference", 1)
    ]  # fmt: skip
    assert {len(ids) for u in lock.units for ids in u.items.values()} == {1}
    assert lock.latitude == pytest.approx((38.0829 + 38.1288) / 2)  # and not that of a unit


def test_a_simulated_archive_is_searched_as_a_whole(here):
    make_safe("archive/sentinel2")
    reference_map(here / "archive" / "reference")
    radar(here / "archive" / "sentinel1")
    path = settings_file(here / "s", images=["sentinel2", "sentinel1"],
                         catalog={"source": "simulated"})  # fmt: skip
    lock = plan(path, archive=here / "archive")
    assert lock.source == "simulated"
    assert {s: len(ids) for s, ids in lock.units[0].items.items()} == {
        "sentinel2": 1, "sentinel1": 1, "label": 1
    }  # fmt: skip
    with pytest.raises(InputError, match="no simulated archive"):
        plan(path, archive=here / "elsewhere")


# --- bad input -----------------------------------------------------------------------------------


def test_an_empty_plan_says_for_every_scene_why(here):
    make_safe("in", start="20210125T105341")
    make_safe("in", cloud=90)
    make_safe("in", start="20220301T105341", left=600_000.0,
              footprint=((44.9, 4.2), (45, 4.2), (45, 4.4), (44.9, 4.2)))  # fmt: skip
    write_raster("in/dem.tif")
    with pytest.raises(IncompleteError) as info:
        plan(settings(here, catalog={"cloud_percent": 50}), here / "lock.json")
    text = str(info.value)
    assert "the plan is empty: no scene of sentinel2 is left" in text
    for reason in ("outside the period", "90.0 % cloud", "outside the area"):
        assert reason in text
    assert "in/dem.tif: 1 raster(s) of no known kind: describe under catalog.rasters" in text
    assert not (here / "lock.json").exists()


def test_a_plan_without_any_find_is_empty_too(here):
    (here / "in").mkdir()
    with pytest.raises(IncompleteError, match="nothing was found in the given places"):
        plan(settings(here))


def test_the_wrong_level_is_a_reason_among_others_and_an_error_alone(here):
    make_safe("in", level="L1C")
    with pytest.raises(
        SceneError, match=r"level that the recipe asks for; set layers\.sentinel2\.level"
    ):
        plan(settings(here))
    make_safe("in", start="20220125T105341")
    (excluded,) = plan(settings(here)).excluded
    assert "product of the wrong level: L1C" in excluded.reason


def test_a_scene_outside_the_area_is_left_out(here):
    make_safe("in")
    # A crop: by its metadata it lies in the area, by its pixels it does not.
    make_safe("in", start="20220125T105341", left=502_400.0, extent_m=600.0)
    lock = plan(settings(here, area={"bbox": [3.0, 44.98, 3.02, 44.99]}))
    assert [(e.id[11:19], e.reason) for e in lock.excluded] == [
        ("20220125", "its pixels meet no patch of the area")
    ]


def test_a_reference_elsewhere_is_an_empty_plan(here):
    make_safe("in")
    write_raster("map.tif", crs="EPSG:4674", left=10, top=50, res=0.001, dtype="uint8")
    with pytest.raises(IncompleteError, match=r"no scene of label .*\n  map: outside the area"):
        plan(settings(here))


def test_every_broken_product_is_named_before_the_plan_fails(here):
    first = make_safe("in", baseline="05.10", offsets=None)
    second = make_safe("in", start="20220125T105341", bands=("B02",))
    with pytest.raises(SceneError) as info:
        plan(settings(here), here / "lock.json")
    assert f"in/{first.name}/MTD_MSIL2A.xml: metadata without offset node" in str(info.value)
    assert f"in/{second.name}: {second.stem} lacks the band(s) B05" in str(info.value)
    assert not (here / "lock.json").exists()


def test_a_broken_product_that_is_not_chosen_harms_nobody(here):
    make_safe("in")
    make_safe("in", start="20210125T105341", bands=())
    assert len(plan(settings(here)).items) == 2


def test_a_crs_that_does_not_match_stops_the_plan(here):
    make_safe("in", code="EPSG:32632")
    with pytest.raises(GridError, match="CRS that does not match"):
        plan(settings(here))


@pytest.mark.parametrize(
    ("section", "error", "said"),
    [
        ({"catalog": {"paths": ["nowhere"]}}, InputError, "nowhere: no such file or folder"),
        ({"label": {"path": "no.tif"}}, InputError, r"no\.tif: no such file"),
        ({"area": {"file": "no.geojson"}}, InputError, r"no\.geojson: no such file"),
        ({"sampling": {"crs": "EPSG:99999"}}, RecipeError, "EPSG:99999"),
        (
            {"area": {"bbox": [2.9, -1, 94, 45.1]}, "sampling": {"crs": "EPSG:32631"}},
            GridError,
            "the area cannot be drawn in EPSG:32631",
        ),
        (
            {"sampling": {"resolution": 1e-4}},
            RecipeError,
            r"sampling\.resolution: 0\.0001 cuts the area into .* units; .* degrees where metres",
        ),
        ({"sampling": {"size_px": 2000}}, GridError, "holds no patch of 2000 px"),
    ],
)
def test_wrong_entries_are_named(here, section, error, said):
    make_safe("in")
    plain = {"catalog": {"paths": ["in"], "period": PERIOD}, "label": {"path": "map.tif"}}
    merged = {k: plain.get(k, {}) | section.get(k, {}) for k in plain | section}
    with pytest.raises(error, match=said):
        plan(settings_file(here / "s", **merged))


def test_remote_assets_are_a_source_that_failed(shared_data, here):
    path = shared_data / "stac" / "S2B_31QGB_20200831_0_L2A.json"
    bad = settings_file(
        here / "s", area={"bbox": [5.0, 19.0, 5.5, 19.5]},
        catalog={"paths": [str(path)], "period": ["2020-01-01", "2020-12-31"],
                 "rasters": [{"sensor": "reference", "path": "wide.tif", "date": "2020-01-01"}]},
    )  # fmt: skip
    write_raster("wide.tif", crs="EPSG:4326", left=4, top=21, res=0.05, size=100, dtype="uint8")
    with pytest.raises(
        SourceError, match=r"2 asset\(s\) of S2B_31QGB_20200831_0_L2A are not local"
    ):
        plan(bad)


# --- the lock in words ---------------------------------------------------------------------------


def test_the_printed_table_is_aligned_and_says_all(here):
    make_safe("in")
    make_safe("in", start="20220120T105341", cloud=80)
    lines = describe(plan(settings(here, catalog={"cloud_percent": 50}))).splitlines()
    assert lines[0] == "test: 2 scenes for 1 unit"
    head = next(line for line in lines if "scene " in line and "date" in line)
    row = next(line for line in lines if "20220115T105341_N0400" in line)
    for column, value in (("date", "2022-01-15"), ("tile", "T31TEK"), ("orbit", "R051 desc"),
                          ("cloud %", "3.5"), ("baseline", "04.00"), ("units", "1")):  # fmt: skip
        assert row[head.index(column) :].startswith(value)
    assert any("left out: 1 scene" in line for line in lines)
    assert lines[-1].endswith("80.0 % cloud, the limit is 50 %")


def test_changes_name_what_a_new_plan_would_do(here):
    first = make_safe("in")
    second = make_safe("in", start="20220120T105341")
    path = settings(here)
    old = plan(path)
    assert changes(old, plan(path)) == []
    third = make_safe("in", start="20220125T105341", cloud=0)
    (image,) = second.rglob("*_B02_10m.jp2")
    write_raster(here / image, left=500_000.0, size=240, value=9)
    shutil.rmtree(first)
    lines = changes(old, plan(path))
    assert f"removed: scene {first.stem} (sentinel2): not found" in lines
    assert f"added: scene {third.stem} (sentinel2)" in lines
    assert any(
        line.startswith(f"changed: scene {second.stem} (sentinel2): B02 (") and "sha256" in line
        for line in lines
    )
    assert "changed: unit b000_000: its scenes or their order" in lines
    now = plan(path)
    other = plan(settings(here, sampling={"unit_patches": 1}))
    assert any(line.startswith("added: unit b000_001") for line in changes(now, other))
    limited = plan(settings(here, catalog={"cloud_percent": 1}))
    assert any("removed: " in x and "3.5 % cloud" in x for x in changes(now, limited))


def test_a_lock_is_plain_json_with_no_defaults(here):
    make_safe("in")
    plan(settings(here), here / "lock.json")
    data = json.loads((here / "lock.json").read_text())
    assert set(data) == {"name", "source", "units", "items", "scenes"}
    assert "quantification" not in data["items"][0]["assets"]["B02"]


def test_two_names_of_one_square_are_one_unit(here):
    """33TVP and 33UVP are one square on 48 degrees north: no ground twice, no scene lost."""
    outline = ((48.25, 14.40), (48.29, 14.40), (48.29, 14.46), (48.25, 14.46), (48.25, 14.40))
    where = {"crs": "EPSG:32633", "code": "EPSG:32633", "left": 456_000.0, "top": 5_348_400.0,
             "footprint": outline}  # fmt: skip
    make_safe("in", tile="T33TVP", cloud=5, **where)
    make_safe("in", tile="T33UVP", start="20220125T105341", cloud=2, **where)
    make_safe("in", tile="T33UVP", start="20220303T105341", cloud=9, **where)
    write_raster(here / "map.tif", crs="EPSG:4326", left=14.0, top=48.6, res=0.001, size=800,
                 dtype="uint8", nodata=255)  # fmt: skip
    area = {"bbox": [14.412, 48.262, 14.432, 48.28]}
    lock = plan(settings(here, area=area, sampling={"kind": "tiles"}))
    (unit,) = lock.units
    assert unit.id == "33UVP"
    days = [i.datetime[:10] for i in lock.items_of("33UVP", "sentinel2")]
    assert days == ["2022-01-25", "2022-01-15", "2022-03-03"]
    one = plan(settings(here, area=area, sampling={"kind": "tiles"},
                        catalog={"scenes_per_tile": 1}))  # fmt: skip
    assert [i.datetime[:10] for i in one.items_of("33UVP", "sentinel2")] == ["2022-01-25"]
