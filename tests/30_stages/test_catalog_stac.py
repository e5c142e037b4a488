# SPDX-License-Identifier: Apache-2.0
"""STAC items of real servers, and small ones with local files."""

import json

import pytest

from made.catalog import make_safe, write_raster
from terrapatch.catalog import sentinel2, stac
from terrapatch.catalog.files import Files
from terrapatch.catalog.folder import search
from terrapatch.catalog.locking import locked_item
from terrapatch.catalog.statements import settled
from terrapatch.errors import GridError, SceneError, SourceError
from terrapatch.settings import S2_BANDS

NO_HASH = Files(hash_files=False)
EVERY_BAND = [*sentinel2.COMMON_NAMES, "SCL"]
L2A_BANDS = [band for band in EVERY_BAND if band != "B10"]


def genuine(shared_data, name):
    return stac.read_items(shared_data / "stac" / name)[0]


# --- items of real servers -----------------------------------------------------------------------


def test_a_genuine_cog_set_is_read_with_the_files_beside_its_item(shared_data):
    folder = shared_data / "s2_l2a_cog"
    (scene,) = search([folder]).scenes
    item = locked_item(scene, L2A_BANDS, NO_HASH)
    assert (item.id, item.tile, item.level) == ("S2A_29RKH_20200219_0_L2A", "T29RKH", "L2A")
    assert (item.processing_baseline, item.cloud_percent) == ("02.14", 4.051854)
    assert (item.platform, item.relative_orbit) == ("Sentinel-2A", 37)
    # Item and files disagree on the pixel size (the files are decimated): the files are right.
    sizes = {band: asset.transform[0] for band, asset in item.assets.items()}
    expected = {b: {10: 100.0, 20: 200.0, 60: 600.0}[n] for b, n in S2_BANDS.items()}
    assert sizes == {b: s for b, s in expected.items() if b != "B10"} | {"SCL": 200.0}
    assert {a.add_offset for a in item.assets.values()} == {0.0}
    assert {a.nodata for a in item.assets.values()} == {0.0}
    assert item.assets["B8A"].href.endswith("/B8A.tif")
    assert item.assets["B08"].href.endswith("/B08.tif")


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("S2B_31QGB_20200831_0_L2A.json", ("T31QGB", "02.14", 22, "L2A")),
        ("S2B_T37MGP_20240710T073012_L2A_C1.json", ("T37MGP", "05.10", 6, "L2A")),
        ("earth_search_search.json", ("T27VWK", "05.10", 81, "L1C")),
        ("sentinel-2-l2a-pc.json", ("T47XML", "05.10", 122, "L2A")),
    ],
)
def test_metadata_of_genuine_sentinel2_items(shared_data, name, facts):
    scene = genuine(shared_data, name)[0]
    found = (scene.tile, scene.processing_baseline, scene.relative_orbit, scene.level)
    assert found == facts
    assert scene.datatake.startswith(("GS2A_20", "GS2B_20"))
    assert scene.platform == "Sentinel-2B"
    with pytest.raises(SourceError, match=r"2 asset\(s\) of .* are not local"):
        locked_item(scene, ["B02", "B8A"], NO_HASH)


@pytest.mark.parametrize("name", ["mspc-s1-rtc.json", "sentinel-1-rtc-pc.json"])
def test_genuine_radar_backscatter_items(shared_data, name):
    for scene in genuine(shared_data, name):
        assert (scene.sensor, scene.level, scene.unusable) == ("sentinel1", "RTC", None)
        assert scene.polarisations == ("VV", "VH")
        assert scene.orbit_direction in ("ascending", "descending")
        assert scene.platform == "Sentinel-1A"
        with pytest.raises(SourceError, match="not local"):
            locked_item(scene, ["VV"], NO_HASH)


@pytest.mark.parametrize("name", ["mspc-s1-grd.json", "earthsearch-s1-grd.json"])
def test_genuine_raw_radar_items_are_found_and_not_used(shared_data, name):
    (scene,) = genuine(shared_data, name)
    assert scene.level == "GRD"
    assert "radar geometry" in scene.unusable


def test_other_genuine_json_is_passed_over(shared_data):
    for name in ("cop-dem-glo-30-pc.json", "3c893698_query_cdse_results.json",
                 "openeo_job_results_stac.json", "sentinel-2-l2a.collection.json"):  # fmt: skip
        assert genuine(shared_data, name) == []


def test_offsets_that_genuine_items_state(shared_data):
    def of(name, key, properties=None):
        item = next(stac._features(json.loads((shared_data / "stac" / name).read_text())))
        stated, usual = sentinel2.radiometry(item, item["assets"][key], name)
        found = settled(name, [stated], usual)
        return found.add_offset, found.quantification or 10_000.0

    assert of("S2B_31QGB_20200831_0_L2A.json", "blue") == (0.0, 10_000.0)
    assert of("S2B_T37MGP_20240710T073012_L2A_C1.json", "blue") == (-1000.0, 10_000.0)
    assert of("earth_search_search.json", "cirrus") == (-1000.0, 10_000.0)
    assert of("sentinel-2-l2a-pc.json", "B02") == (-1000.0, 10_000.0)


# --- small items with files ----------------------------------------------------------------------


def s2_item(folder, *, properties=None, assets=None, name="item.json", **facts):
    keys = assets or {"blue": {"href": "./B02.tif"}, "nir08": {"href": "B8A.tif"}}
    item = {
        "type": "Feature", "stac_version": "1.0.0", "id": "S2A_31TEK_20220115_0_L2A",
        "geometry": {"type": "Polygon", "coordinates": [
            [[2.99, 44.96], [3.04, 44.96], [3.04, 45.0], [2.99, 45.0], [2.99, 44.96]]]},
        "properties": {
            "datetime": "2022-01-15T10:53:41Z", "constellation": "sentinel-2",
            "grid:code": "MGRS-31TEK", "s2:processing_baseline": "04.00",
        } | (properties or {}),
        "assets": keys,
    } | facts  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(json.dumps(item))
    return path


def band_files(folder, *names, **options):
    for name in names:
        write_raster(folder / name, **options)


def only(path):
    (scene,) = search([path]).scenes
    return scene


@pytest.mark.parametrize(
    "keys",
    [
        {"blue": "B02.tif", "nir08": "B8A.tif"},
        {"B02": "B02.tif", "B8A": "B8A.tif"},
        {"B02_10m": "B02.tif", "B8A_20m": "B8A.tif", "B02_60m": "no.tif"},
        {"blue": "https://far/a/B02.tif?sig=x", "nir08": "s3://far/B8A.tif"},
        {"blue": "https://far/nowhere.tif", "blue-jp2": "B02.tif", "nir08-jp2": "B8A.tif"},
    ],
)
def test_every_provider_s_asset_keys_lead_to_the_same_files(tmp_path, keys):
    band_files(tmp_path, "B02.tif", "B8A.tif")
    s2_item(tmp_path, assets={key: {"href": href} for key, href in keys.items()})
    item = locked_item(only(tmp_path), ["B8A", "B02"], NO_HASH)
    assert {b: a.href for b, a in item.assets.items()} == {
        "B8A": str(tmp_path / "B8A.tif"), "B02": str(tmp_path / "B02.tif")
    }  # fmt: skip


@pytest.mark.parametrize(
    ("properties", "asset", "offset"),
    [
        # What the pixels hold already is not added again, whatever else is said.
        ({"earthsearch:boa_offset_applied": True}, {"raster:bands": [{"offset": -0.1}]}, 0),
        ({"earthsearch:boa_offset_applied": False}, {"raster:bands": [{"offset": -0.1}]}, -1000),
        ({"earthsearch:boa_offset_applied": False}, {}, -1000),
        ({}, {"raster:bands": [{"offset": -0.1, "scale": 0.0001}]}, -1000),
        ({}, {"raster:bands": [{"offset": 0, "scale": 0.0001}]}, 0),
        ({}, {"raster:offset": -0.1, "raster:scale": 0.0001}, -1000),
        ({}, {}, -1000),
        ({"s2:processing_baseline": "03.01"}, {}, 0),
        ({"s2:processing_baseline": None, "processing:version": "05.11"}, {}, -1000),
        (
            {
                "s2:processing_baseline": None,
                "s2:product_uri": "S2A_MSIL2A_20190101T000000_N0211_R051_T31TEK_2.SAFE",
            },
            {},
            0,
        ),
    ],
)
def test_the_offset_is_what_the_item_says_of_its_pixels(tmp_path, properties, asset, offset):
    band_files(tmp_path, "B02.tif")
    assets = {"blue": {"href": "B02.tif"} | asset}
    s2_item(tmp_path, properties=properties, assets=assets)
    found = locked_item(only(tmp_path), ["B02"], NO_HASH).assets["B02"]
    assert (found.add_offset, found.quantification) == (offset, 10_000)


def test_an_item_without_offset_and_baseline_is_refused(tmp_path):
    band_files(tmp_path, "B02.tif")
    s2_item(tmp_path, properties={"s2:processing_baseline": None})
    with pytest.raises(SceneError, match=r"metadata without offset node.*catalog\.rasters"):
        locked_item(only(tmp_path), ["B02"], NO_HASH)


def test_an_item_that_contradicts_itself_is_refused(tmp_path):
    band_files(tmp_path, "B02.tif")
    s2_item(tmp_path, properties={"earthsearch:boa_offset_applied": False},
            assets={"blue": {"href": "B02.tif", "raster:bands": [{"offset": 0}]}})  # fmt: skip
    with pytest.raises(SceneError, match="contradicts itself"):
        locked_item(only(tmp_path), ["B02"], NO_HASH)


def test_missing_assets_and_missing_files_are_named(tmp_path):
    path = s2_item(tmp_path)
    with pytest.raises(SceneError, match=r"lacks the band\(s\) B03, B12 \(it has blue, nir08\)"):
        locked_item(only(path), ["B02", "B03", "B12"], NO_HASH)
    with pytest.raises(SceneError, match=r"lacks the band\(s\) B02, B8A \(it has none\)"):
        locked_item(only(path), ["B02", "B8A"], NO_HASH)


@pytest.mark.parametrize("code", [{"proj:epsg": 32632}, {"proj:code": "EPSG:32632"}])
def test_the_item_s_crs_must_be_that_of_the_file(tmp_path, code):
    band_files(tmp_path, "B02.tif")
    s2_item(tmp_path, properties=code)
    with pytest.raises(GridError, match="CRS that does not match"):
        locked_item(only(tmp_path), ["B02"], NO_HASH)


def test_backscatter_items_keep_nodata_and_unit(tmp_path):
    band_files(tmp_path, "vv.tif", "vh.tif", dtype="float32")
    described = [{"nodata": -32768, "unit": "dB"}]
    s2_item(tmp_path, properties={"constellation": "Sentinel-1", "platform": "SENTINEL-1A"},
            assets={"vv": {"href": "vv.tif", "raster:bands": described},
                    "vh": {"href": "vh.tif"}}, collection="sentinel-1-rtc")  # fmt: skip
    item = locked_item(only(tmp_path), ["VV", "VH"], NO_HASH)
    vv, vh = item.assets["VV"], item.assets["VH"]
    assert (vv.nodata, vv.nodata_nan, vv.scale) == (-32768.0, True, "db")
    assert (vh.nodata, vh.nodata_nan, vh.scale) == (None, True, "linear")


def test_an_item_over_the_antimeridian_is_cut(tmp_path):
    ring = [[179.5, 10], [-179.5, 10], [-179.5, 11], [179.5, 11], [179.5, 10]]
    path = s2_item(tmp_path, geometry={"type": "Polygon", "coordinates": [ring]})
    assert only(path).footprint.area == pytest.approx(1.0)
    assert only(path).footprint.bounds == (-180, 10, 180, 11)


def test_a_broken_item_is_named_and_other_json_ignored(tmp_path):
    (tmp_path / "other.json").write_text("{not json")
    (tmp_path / "style.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    assert search([tmp_path]).scenes == ()
    path = s2_item(tmp_path, geometry=None)
    with pytest.raises(SceneError, match="lacks geometry or time") as info:
        search([tmp_path])
    assert str(path) in str(info.value)


def test_an_item_that_shows_a_safe_product_is_only_a_view_of_it(tmp_path):
    root = make_safe(tmp_path / "safe")
    (image,) = root.rglob("*_B02_10m.jp2")
    s2_item(tmp_path / "items", assets={"B02": {"href": f"../{image.relative_to(tmp_path)}"}})
    scenes = search([tmp_path]).scenes
    assert [s.id for s in scenes] == [root.stem]
    # Without the product itself the item stands for it.
    assert [s.id for s in search([tmp_path / "items"]).scenes] == ["S2A_31TEK_20220115_0_L2A"]


def test_files_that_an_item_names_are_no_scenes_of_their_own(tmp_path):
    name = "OPERA_L2_RTC-S1_T137-292322-IW2_20211119T015906Z_20250830T120333Z_S1A_30_v1.0_VV.tif"
    band_files(tmp_path, name, dtype="float32")
    s2_item(tmp_path, properties={"constellation": "sentinel-1"},
            assets={"vv": {"href": name}})  # fmt: skip
    found = search([tmp_path])
    assert len(found.scenes) == 1
    assert found.scenes[0].where.endswith("item.json")
    assert found.unknown == ()
