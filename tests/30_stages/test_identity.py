# SPDX-License-Identifier: Apache-2.0
"""A scene is what its content says: never a file's name, never twice, never lost."""

import json
import shutil
from itertools import permutations

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine

from made.catalog import make_safe, reference_map, settings_file, write_raster
from terrapatch.catalog import plan
from terrapatch.catalog.folder import search
from terrapatch.catalog.policy import best_first, choose, distinct, newest_versions, once
from terrapatch.catalog.scene import Scene
from terrapatch.errors import RecipeError, SceneError, SourceError
from terrapatch.rasters import BlockReader
from terrapatch.records import LockedAsset
from terrapatch.settings import CatalogSettings, Sentinel1Settings

RING = [[2.99, 44.96], [3.04, 44.96], [3.04, 45.0], [2.99, 45.0], [2.99, 44.96]]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    reference_map(tmp_path)
    return tmp_path


def settings(here, *, catalog=None, **recipe):
    plain = {"label": {"path": "map.tif"}, "sentinel2": {"bands": ["B02"]}}
    catalog = {"period": ["2022-01-01", "2022-12-31"]} | (catalog or {})
    return settings_file(here, catalog=catalog, **(plain | recipe))


def item(name, day, href="B02.tif", **properties):
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": name,
        "geometry": {"type": "Polygon", "coordinates": [RING]},
        "properties": {
            "datetime": f"{day}T10:53:41Z", "constellation": "sentinel-2", "platform": "sentinel-2a",
            "grid:code": "MGRS-31TEK", "s2:processing_baseline": "05.09",
            "s2:datatake_id": f"GS2A_{day.replace('-', '')}T105341_1_N05.09",
        } | properties,
        "assets": {"blue": {"href": href, "raster:bands": [{"scale": 0.0001, "offset": -0.1}]}},
    }  # fmt: skip


def collection(path, *items):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    return path


def used(lock):
    return [i.id for i in lock.items if i.sensor == "sentinel2"]


# --- one file, one scene -------------------------------------------------------------------------

FAR = "https://far/{}/B02.tif"


@pytest.mark.parametrize("wanted", [("2022-01-01", "2022-12-31"), ("2022-01-15", "2022-01-15")])
def test_a_file_that_three_dates_would_share_is_an_error(here, wanted):
    # Also where the period leaves one date: the file may be of any of them.
    write_raster("in/B02.tif")
    days = ("2022-01-15", "2022-01-20", "2022-01-25")
    collection(here / "in/items.json", *(item(f"S2A_{d}", d, FAR.format(d)) for d in days))
    with pytest.raises(SourceError, match=r"in/B02\.tif: 3 items name this one file") as info:
        plan(settings(here, catalog={"paths": ["in"], "period": wanted}))
    assert "in a folder of its own" in str(info.value)


def test_two_tiles_of_a_day_do_not_share_a_file_and_two_items_of_a_scene_do(here):
    write_raster("in/B02.tif")
    first = item("a", "2022-01-15", FAR.format("a"))
    other = item("b", "2022-01-15", FAR.format("b"), **{"grid:code": "MGRS-31TDK"})
    path = collection(here / "in/items.json", first, other)
    with pytest.raises(SourceError, match="2 items name this one file"):
        plan(settings(here, catalog={"paths": ["in"]}))
    # Two catalogues describe one acquisition: its files are its own.
    collection(path, first, item("a_v0", "2022-01-15"))
    assert used(plan(settings(here, catalog={"paths": ["in"]}))) == ["a"]


def test_two_bands_of_an_item_do_not_share_a_file(here):
    write_raster("in/image.tif")
    one = item("a", "2022-01-15", "https://far/B02/image.tif")
    one["assets"]["nir08"] = {"href": "https://far/B8A/image.tif"}
    collection(here / "in/items.json", one)
    with pytest.raises(SourceError, match="stands for B02 and B8A of a"):
        plan(settings(here, catalog={"paths": ["in"]}, sentinel2={"bands": ["B02", "B8A"]}))


def raster(path, day, **more):
    plain = {"sensor": "sentinel2", "path": path, "bands": ["B02"], "date": day, "add_offset": 0}
    return plain | more


def test_a_described_file_is_of_one_date(here):
    write_raster("s2.tif")
    two = [raster("s2.tif", "2022-01-15"), raster("s2.tif", "2022-02-15")]
    with pytest.raises(RecipeError, match=r"rasters\.1\.date: s2\.tif is described with two dates"):
        plan(settings(here, catalog={"rasters": two}))
    # The same entry twice is one scene.
    assert used(plan(settings(here, catalog={"rasters": [two[0], two[0]]}))) == ["s2"]


def test_a_file_of_an_item_and_of_the_recipe_is_an_error(here):
    write_raster("in/B02.tif")
    collection(here / "in/items.json", item("a", "2022-01-15"))
    catalog = {"paths": ["in"], "rasters": [raster("in/B02.tif", "2022-02-15")]}
    with pytest.raises(SceneError, match=r"both a and B02 would take band 1 of this file"):
        plan(settings(here, catalog=catalog))


# --- names of files are no identity --------------------------------------------------------------


@pytest.mark.parametrize(
    ("entries", "ids"),
    [
        # Dates tell apart, then folders; without a clash the id is the file's name as ever.
        ([("a", "2022-06-01"), ("b", "2022-07-01")], ["s2_20220601", "s2_20220701"]),
        ([("a", "2022-06-01"), ("b", "2022-06-01")], ["s2_a", "s2_b"]),
        (
            [("a", "2022-06-01"), ("b", "2022-06-01"), ("a/c", "2022-07-01")],
            ["s2_a", "s2_b", "s2_c"],
        ),
        ([("a", "2022-06-01")], ["s2"]),
    ],
)
def test_files_of_one_name_are_scenes_of_their_own(here, entries, ids):
    rasters = [
        raster(str(write_raster(f"{folder}/s2.tif").as_posix()), day) for folder, day in entries
    ]
    for order in (rasters, rasters[::-1]):
        assert used(plan(settings(here, catalog={"rasters": order}))) == ids


def test_a_folder_s_name_stands_in_where_the_file_s_is_the_band(here):
    rasters = []
    for day in ("2022-06-01", "2022-07-01"):
        write_raster(f"{day}/B02.tif")
        rasters.append(raster(f"{day}/{{band}}.tif", day))
    lock = plan(settings(here, catalog={"rasters": rasters}))
    assert used(lock) == ["2022-06-01", "2022-07-01"]


def test_a_newer_version_without_the_polarisations_does_not_replace_one_with_them():
    old = slice_("old", 0, 1, "003.31")
    new = slice_("new", 0, 1, "003.40")
    old, new = (
        Scene(**(vars(s) | {"level": "GRD", "polarisations": p}))
        for s, p in ((old, ("VV", "VH")), (new, ("VV",)))
    )
    settings = CatalogSettings(source="local", paths=("x",), period=("2022-01-01", "2022-12-31"))
    for order in permutations((old, new)):
        kept, _ = choose(
            order, settings, shapely.box(0, 0, 1, 1), Sentinel1Settings(level="GRD").policy
        )
        assert [s.id for s in kept] == ["old"]


def test_maps_of_one_name_are_two_maps(here):
    for folder in ("2020", "2021"):
        (here / folder).mkdir()
        shutil.copy("map.tif", f"{folder}/map.tif")
    write_raster("s2.tif")
    maps = [
        {"sensor": "reference", "path": f"{year}/map.tif", "date": f"{year}-01-01"}
        for year in (2020, 2021)
    ]
    catalog = {"rasters": [raster("s2.tif", "2022-06-01"), *maps]}
    lock = plan(settings(here, catalog=catalog, label={}))
    found = {i.id: i.assets["map"].href for i in lock.items if i.sensor == "reference"}
    assert found == {"map_20200101": "2020/map.tif", "map_20210101": "2021/map.tif"}


def test_an_id_that_the_recipe_gives_twice_is_refused(here):
    rasters = [
        raster(str(write_raster(f"{n}.tif").as_posix()), f"2022-06-0{n}", id="mine") for n in (1, 2)
    ]
    with pytest.raises(RecipeError, match=r"rasters\.1\.id: mine is the id of catalog\.rasters\.0"):
        plan(settings(here, catalog={"rasters": rasters}))


def scene(name, **facts):
    plain = {
        "id": name, "sensor": "sentinel2", "level": "L2A", "datetime": "2022-06-01T10:00:00Z",
        "footprint": shapely.box(0, 0, 1, 1), "bands": {}, "family": "safe", "where": name, "tile": "T31TEK",
        "platform": "Sentinel-2A", "processing_baseline": "05.10", "datatake": "GS2A_1",
    }  # fmt: skip
    return Scene(**(plain | facts))


def test_ids_made_apart_never_meet_another_id():
    scenes = [scene("s2", origin="a/s2.tif"), scene("s2_a"), scene("s2", origin="b/s2.tif")]
    for order in permutations(scenes):
        names = [s.id for s in distinct(order)]
        assert len({*names}) == 3
        assert "s2_a" in names


# --- an id listed twice --------------------------------------------------------------------------


@pytest.mark.parametrize("split", [False, True])
def test_an_item_listed_twice_is_one_scene(here, split):
    for name in ("a", "b"):
        write_raster(f"in/{name}/B02.tif")
    first, second = (
        item("first", "2022-01-15", "a/B02.tif"),
        item("second", "2022-01-20", "b/B02.tif"),
    )
    if split:  # as pages of a server that overlap
        collection(here / "in/page1.json", first, second)
        collection(here / "in/page2.json", second)
    else:
        collection(here / "in/items.json", first, first, second)
    lock = plan(settings(here, catalog={"paths": ["in"]}))
    assert used(lock) == ["first", "second"]
    (left,) = lock.excluded
    assert ("page1.json" if split else "listed several times") in left.reason


def test_of_copies_the_newest_is_read_whatever_its_path(here):
    # Servers reprocess items under one id.
    for folder, version in (("a_old", "05.9"), ("b_new", "05.10"), ("c_old", "04.00")):
        write_raster(f"in/{folder}/B02.tif")
        collection(
            here / f"in/{folder}/item.json",
            item("same", "2022-01-15", **{"s2:processing_baseline": version}),
        )
    lock = plan(settings(here, catalog={"paths": ["in"]}))
    (asset,) = [i.assets["B02"].href for i in lock.items if i.sensor == "sentinel2"]
    assert asset == "in/b_new/B02.tif"
    assert [e.reason for e in lock.excluded] == [
        "an older version of same in in/b_new/item.json (baseline 04.00, made ?)",
        "an older version of same in in/b_new/item.json (baseline 05.9, made ?)",
    ]


def test_a_renamed_product_is_the_same_product(here):
    root = make_safe("in/a", bands=("B02",))
    shutil.copytree(root, here / "in/b/renamed")
    lock = plan(settings(here, catalog={"paths": ["in"]}))
    assert used(lock) == [root.stem]
    assert [e.id for e in lock.excluded] == [root.stem]


# --- versions ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (("05.09", ""), ("05.10", "")),
        (("5.9", "2024"), ("5.10", "2023")),
        (("003.40", "2022-01"), ("003.40", "2022-02")),
        (("99.98", ""), ("100.1", "")),
    ],
)
def test_baselines_are_numbers_and_generation_decides_between_equals(old, new):
    scenes = [
        scene("a_new", processing_baseline=new[0], generation=new[1]),
        scene("b_old", processing_baseline=old[0], generation=old[1]),
    ]
    for order in permutations(scenes):
        kept, excluded = newest_versions(order)
        assert [s.id for s in kept] == ["a_new"]
        assert excluded[0].reason.startswith("an older version of a_new")
        same = [scene("x", where=s.id, processing_baseline=s.processing_baseline,
                      generation=s.generation) for s in order]  # fmt: skip
        assert [s.where for s in once(same)[0]] == ["a_new"]


def slice_(name, west, east, baseline):
    return scene(name, sensor="sentinel1", tile=None, processing_baseline=baseline,
                 footprint=shapely.box(west, 0, east, 1))  # fmt: skip


@pytest.mark.parametrize(
    ("newer", "kept"),
    [
        # A newer product over a part of the old one; two that cover it; one over all of it.
        ([(0.2, 0.9)], {"old", "new0"}),
        ([(-0.5, 0.5), (0.5, 1.5)], {"new0", "new1"}),
        ([(-0.1, 1.1)], {"new0"}),
        # Outlines of versions differ by a little.
        ([(0.005, 0.995)], {"new0"}),
        ([(0.6, 1.6)], {"old", "new0"}),
    ],
)
def test_a_newer_product_in_other_slices_never_removes_ground_that_it_lacks(newer, kept):
    scenes = [slice_("old", 0, 1, "003.31")]
    scenes += [slice_(f"new{n}", *span, "003.40") for n, span in enumerate(newer)]
    for order in permutations(scenes):
        assert {s.id for s in newest_versions(order)[0]} == kept
    # Ground outside of the area needs no old version.
    area = shapely.box(newer[0][0] + 0.05, 0.2, newer[0][0] + 0.1, 0.4)
    assert "old" not in {s.id for s in newest_versions(scenes, area)[0]} or newer[0] == (0.6, 1.6)


def test_slices_of_a_pass_are_no_versions_where_the_area_lies_in_both():
    scenes = [slice_("first", 0, 1, "003.40"), slice_("second", 0.9, 2, "003.31")]
    kept, _ = newest_versions(scenes, shapely.box(0.92, 0.2, 0.98, 0.4))
    assert {s.id for s in kept} == {"first", "second"}


def test_where_versions_overlap_the_newer_one_comes_first():
    scenes = [
        slice_("old", 0, 1, "003.31"),
        slice_("new", 0.2, 1.2, "003.40"),
        slice_("later", 1.2, 2, "003.40"),
    ]
    times = ("00", "02", "12")
    scenes = [
        Scene(**(vars(s) | {"datetime": f"2022-06-01T10:00:{t}Z"}))
        for s, t in zip(scenes, times, strict=True)
    ]
    for order in permutations(scenes):
        assert [s.id for s in best_first(order, Sentinel1Settings().policy)] == [
            "new",
            "old",
            "later",
        ]


def test_scenes_of_unknown_datatake_are_no_versions_of_each_other(here):
    for name in ("a", "b"):
        root = make_safe(
            f"in/{name}", start=f"202201{'15' if name == 'a' else '20'}T105341", bands=("B02",)
        )
        xml = root / "MTD_MSIL2A.xml"
        text = xml.read_text()
        begin = text.index('datatakeIdentifier="')
        end = text.index('"', begin + 22)
        xml.write_text(text[:begin] + 'datatakeIdentifier="' + text[end:])
    assert len(search([here / "in"]).scenes) == 2
    assert len(used(plan(settings(here, catalog={"paths": ["in"]})))) == 2


# --- files whose header lies beside them ---------------------------------------------------------


@pytest.mark.parametrize(
    ("driver", "name"), [("ENVI", "s2.img"), ("ENVI", "s2"), ("GTiff", "s2.tif")]
)
def test_headers_beside_a_file_are_seen_by_plan_and_stage(here, driver, name):
    values = np.arange(240 * 240, dtype="uint16").reshape(240, 240)
    profile = {"driver": driver, "count": 1, "width": 240, "height": 240, "dtype": "uint16",
               "crs": "EPSG:32631", "transform": Affine(10, 0, 500_000, 0, -10, 4_982_400)}  # fmt: skip
    if driver == "GTiff":  # its place stands in a world file and .aux.xml alone
        profile["PROFILE"] = "BASELINE"
        profile["TFW"] = "YES"
    with rasterio.open(name, "w", **profile) as dataset:
        dataset.write(values, 1)
    lock = plan(settings(here, catalog={"rasters": [raster(name, "2022-06-01")]}))
    (asset,) = [i.assets["B02"] for i in lock.items if i.sensor == "sentinel2"]
    assert (asset.crs, asset.transform[2]) == ("EPSG:32631", 500_000)
    out = np.empty((4, 5), "uint16")
    with BlockReader() as reader:
        reader.read(LockedAsset(**asset.model_dump()), (slice(8, 12), slice(3, 8)), out)
    np.testing.assert_array_equal(out, values[8:12, 3:8])
