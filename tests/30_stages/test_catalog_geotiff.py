# SPDX-License-Identifier: Apache-2.0
"""Families of plain rasters, and rasters that a recipe describes."""

from datetime import date

import pytest
import rasterio

from made.catalog import write_raster
from terrapatch.catalog.described import described_scenes, map_scene
from terrapatch.catalog.files import Files
from terrapatch.catalog.folder import search
from terrapatch.catalog.locking import locked_item
from terrapatch.errors import GridError, InputError, RecipeError, SceneError
from terrapatch.settings import RasterSource

NO_HASH = Files(hash_files=False)
OPERA = "OPERA_L2_RTC-S1_T137-292322-IW2_20211119T015906Z_{made}Z_S1A_30_v1.0_{band}.tif"


def source(**entry):
    return RasterSource(**({"date": date(2020, 5, 1)} | entry))


# --- genuine files -------------------------------------------------------------------------------


def test_the_genuine_rtc_series_holds_21_dates_of_two_bursts(shared_data):
    scenes = search([shared_data / "s1_rtc_series"]).scenes
    assert len(scenes) == 42
    assert len({s.day for s in scenes}) == 21
    bursts = {s.datatake.rpartition("_")[2] for s in scenes}
    assert bursts == {"T137-292322-IW2", "T137-292323-IW2"}
    assert {s.platform for s in scenes} == {"Sentinel-1A", "Sentinel-1B"}
    assert {s.relative_orbit for s in scenes} == {137}
    first = min(scenes, key=lambda s: s.id)
    assert (first.datetime, first.polarisations) == ("2021-11-19T01:59:06Z", ("VH", "VV"))
    item = locked_item(first, ["VV", "VH"], NO_HASH)
    for band, asset in item.assets.items():
        assert asset.href.endswith(f"_{band}.tif")
        assert (asset.crs, asset.shape, asset.dtype) == ("EPSG:32611", (100, 100), "float32")
        assert (asset.nodata, asset.nodata_nan, asset.scale) == (None, True, "linear")


def test_genuine_bigearthnet_patches_of_both_sensors_lie_on_each_other(shared_data):
    scenes = search([shared_data / "s1s2_bigearthnet"]).scenes
    radar = {s.id[-5:]: s for s in scenes if s.sensor == "sentinel1"}
    optical = {s.id[-5:]: s for s in scenes if s.sensor == "sentinel2"}
    assert len(radar) == len(optical) == 3
    for key, scene in optical.items():
        assert scene.tile == radar[key].tile
        s2 = locked_item(scene, ["B02", "B05", "B01"], NO_HASH)
        s1 = locked_item(radar[key], ["VV", "VH"], NO_HASH)
        assert s2.footprint == s1.footprint
        shapes = [a.shape for a in (*s2.assets.values(), *s1.assets.values())]
        assert shapes == [(120, 120), (60, 60), (20, 20), (120, 120), (120, 120)]
        assert s2.assets["B02"].transform == s1.assets["VV"].transform
        assert (s2.assets["B05"].add_offset, s2.assets["B05"].nodata) == (0.0, 0.0)
        assert s1.assets["VV"].scale == "db"
    assert sorted({s.tile for s in scenes}) == ["T29SND", "T29UPU"]


def test_the_genuine_brandenburg_crop_needs_a_description(shared_data):
    folder = shared_data / "s2_l1c_crop_brandenburg" / "IMG_DATA"
    (scene,) = search([folder]).scenes
    assert (scene.tile, scene.datetime) == ("T33UUU", "2017-02-16T10:21:01Z")
    assert "add an entry to catalog.rasters with add_offset" in scene.unusable
    (described,) = described_scenes(
        [source(sensor="sentinel2", path=f"{folder}/T33UUU_20170216T102101_{{band}}.jp2",
                bands=("B02", "B05", "B01", "B10"), level="L1C", add_offset=0)], "L1C"
    )  # fmt: skip
    assert (described.id, described.tile) == ("T33UUU_20170216T102101", "T33UUU")
    item = locked_item(described, ["B01", "B02", "B05"], NO_HASH)
    assert {b: a.shape for b, a in item.assets.items()} == {
        "B01": (128, 256), "B02": (768, 1536), "B05": (384, 768)
    }  # fmt: skip
    assert {a.crs for a in item.assets.values()} == {"EPSG:32633"}
    assert {a.nodata for a in item.assets.values()} == {0.0}


def test_genuine_files_of_many_bands_name_their_bands_themselves(shared_data):
    folder = shared_data / "s1s2_water_spain"
    s1, s2 = described_scenes(
        [
            source(sensor="sentinel1", path=f"{folder}/Spain_7370579_S1Hand.tif", scale="db"),
            source(sensor="sentinel2", path=f"{folder}/Spain_7370579_S2Hand.tif", add_offset=0),
        ],
        "L1C",
    )
    radar = locked_item(s1, ["VH", "VV"], NO_HASH)
    assert {b: a.band for b, a in radar.assets.items()} == {"VH": 2, "VV": 1}
    assert {(a.scale, a.nodata, a.nodata_nan) for a in radar.assets.values()} == {
        ("db", None, True)
    }
    optical = locked_item(s2, ["B01", "B8A", "B09", "B12"], NO_HASH)
    assert {b: a.band for b, a in optical.assets.items()} == {
        "B01": 1, "B8A": 9, "B09": 10, "B12": 13
    }  # fmt: skip
    assert {(a.dtype, a.nodata) for a in optical.assets.values()} == {("int16", 0.0)}
    assert optical.level == "L1C"
    assert radar.footprint == optical.footprint


def test_the_genuine_prodes_map_is_a_reference(shared_data):
    (path,) = (shared_data / "ref_prodes_amazon").glob("PRODES*.tif")
    item = locked_item(map_scene(str(path)), ["map"], NO_HASH)
    asset = item.assets["map"]
    assert (item.sensor, item.level, item.datetime) == ("reference", "map", "")
    assert (asset.crs, asset.shape, asset.nodata) == ("EPSG:4674", (484, 633), 255.0)


# --- small files ---------------------------------------------------------------------------------


def test_a_family_without_a_band_says_which(tmp_path):
    write_raster(tmp_path / "S2A_MSIL2A_20170617T113321_4_55_B02.tif")
    (scene,) = search([tmp_path]).scenes
    with pytest.raises(SceneError, match=r"lacks the band\(s\) B03 \(it has B02\)"):
        locked_item(scene, ["B02", "B03"], NO_HASH)


def test_bursts_that_were_made_twice_share_their_datatake(tmp_path):
    for made in ("20211120T000000", "20250830T120333"):
        write_raster(tmp_path / OPERA.format(made=made, band="VV"), dtype="float32")
    old, new = sorted(search([tmp_path]).scenes, key=lambda s: s.generation)
    assert old.datatake == new.datatake
    assert new.generation == "2025-08-30T12:03:33Z"
    assert new.polarisations == ("VV",)


def test_bigearthnet_names_of_the_second_release_are_known(tmp_path):
    name = "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_26_57_B01.tif"
    write_raster(tmp_path / name)
    (scene,) = search([tmp_path]).scenes
    assert (scene.tile, scene.relative_orbit) == ("T33UUP", 22)


def test_files_of_no_family_are_counted_and_left(tmp_path):
    path = write_raster(tmp_path / "dem.tif")
    found = search([tmp_path])
    assert (found.scenes, found.unknown) == ((), (path,))


def test_raw_radar_products_are_left_out_with_a_reason(tmp_path):
    name = "S1A_IW_GRDH_1SDV_20150222T170725_20150222T170750_004739_005DD8_CEAB"
    (tmp_path / f"{name}.SAFE").mkdir()
    (tmp_path / f"{name}.zip").write_bytes(b"")
    assert [(e.id, "radar geometry" in e.reason) for e in search([tmp_path]).excluded] == [
        (name, True), (name, True)
    ]  # fmt: skip


def test_all_open_points_of_descriptions_come_at_once(tmp_path):
    path = str(write_raster(tmp_path / "a.tif", count=2))
    with pytest.raises(RecipeError) as info:
        described_scenes(
            [
                source(sensor="sentinel2", path=path),
                source(sensor="sentinel1", path=path, bands=("VV", "XX")),
            ],
            "L2A",
        )
    text = str(info.value)
    assert "3 finding(s)" in text
    assert "catalog.rasters.0.add_offset" in text
    assert "catalog.rasters.0.bands: name the bands" in text
    assert "catalog.rasters.1.bands: ['XX'] are no bands of sentinel1" in text


def test_a_described_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nothing_B02\.tif: no such file"):
        described_scenes([source(sensor="sentinel2", path=f"{tmp_path}/nothing_{{band}}.tif",
                                 bands=("B02",), add_offset=0)], "L2A")  # fmt: skip


def test_more_bands_than_the_file_has_are_refused(tmp_path):
    path = str(write_raster(tmp_path / "a.tif", count=2))
    (scene,) = described_scenes(
        [source(sensor="sentinel2", path=path, bands=("B02", "B03", "B04"), add_offset=0)], "L2A"
    )
    with pytest.raises(SceneError, match="band 3 was asked for, the file has 2"):
        locked_item(scene, ["B04"], NO_HASH)


def test_a_raster_without_crs_lies_nowhere(tmp_path):
    path = tmp_path / "bare.tif"
    with (
        pytest.warns(rasterio.errors.NotGeoreferencedWarning),
        rasterio.open(path, "w", driver="GTiff", width=4, height=4, count=1, dtype="uint8"),
    ):
        pass
    with pytest.raises(GridError, match="has no CRS"):
        map_scene(str(path))


def test_bands_of_one_scene_in_two_crs_are_refused(tmp_path):
    write_raster(tmp_path / "x_B02.tif")
    write_raster(tmp_path / "x_B03.tif", crs="EPSG:32632")
    (scene,) = described_scenes([source(sensor="sentinel2", path=f"{tmp_path}/x_{{band}}.tif",
                                        bands=("B02", "B03"), add_offset=-1000)], "L2A")  # fmt: skip
    assert locked_item(scene, ["B02"], NO_HASH).assets["B02"].add_offset == -1000
    with pytest.raises(GridError, match=r"CRS that does not match: the bands of x lie in"):
        locked_item(scene, ["B02", "B03"], NO_HASH)


def test_a_recipe_may_state_nodata_that_the_file_does_not(tmp_path):
    path = str(write_raster(tmp_path / "a.tif", dtype="float32"))
    entry = source(sensor="sentinel1", path=path, bands=("VV",), nodata=-99.0)
    asset = locked_item(described_scenes([entry], "L2A")[0], ["VV"], NO_HASH).assets["VV"]
    assert (asset.nodata, asset.nodata_nan) == (-99.0, True)
