# SPDX-License-Identifier: Apache-2.0
"""What file, metadata and recipe say about numbers: obeyed in the lock, or contradicted aloud."""

import json
from datetime import date

import numpy as np
import pytest
import rasterio

from made.catalog import make_safe, reference_map, settings_file, write_raster
from terrapatch.catalog.described import described_scenes, map_scene
from terrapatch.catalog.files import Files
from terrapatch.catalog.folder import search
from terrapatch.catalog.locking import locked_item
from terrapatch.catalog.plan import plan
from terrapatch.catalog.policy import distinct
from terrapatch.errors import RecipeError, SceneError
from terrapatch.records import baseline_number, since_offset
from terrapatch.settings import RasterSource

NO_HASH = Files(hash_files=False)


def tagged(path, *, scale=None, offset=None, unit=None, alpha=None, **options):
    """A raster with GDAL's tags."""
    write_raster(path, **options)
    with rasterio.open(path, "r+") as dataset:
        if scale is not None:
            dataset.scales = (scale,) * dataset.count
        if offset is not None:
            dataset.offsets = (offset,) * dataset.count
        if unit is not None:
            dataset.units = (unit,) * dataset.count
        if alpha is not None:
            kinds = list(dataset.colorinterp)
            kinds[alpha - 1] = rasterio.enums.ColorInterp.alpha
            dataset.colorinterp = kinds
    return str(path)


def described(path, bands=("B04",), sensor="sentinel2", **entry):
    """The asset of the first band of an entry of `catalog.rasters`."""
    plain = {"sensor": sensor, "path": str(path), "bands": bands, "date": date(2022, 6, 1)}
    (scene,) = described_scenes([RasterSource(**(plain | entry))], "L2A")
    band = next(iter(bands))
    return locked_item(scene, [band], NO_HASH).assets[band]


def item(folder, asset, properties=None, *, name="B02.tif", key="blue"):
    """The asset of an item that shows one band."""
    path = folder / "item.json"
    square = [[2.99, 44.96], [3.04, 44.96], [3.04, 45.0], [2.99, 45.0], [2.99, 44.96]]
    facts = {"datetime": "2023-06-15T10:53:41Z", "constellation": "sentinel-2",
             "grid:code": "MGRS-31TEK", "s2:processing_baseline": "05.09"}  # fmt: skip
    path.write_text(json.dumps({
        "type": "Feature", "stac_version": "1.1.0", "id": "S2A_31TEK_20230615_0_L2A",
        "geometry": {"type": "Polygon", "coordinates": [square]},
        "properties": facts | (properties or {}), "assets": {key: {"href": name} | asset},
    }))  # fmt: skip
    (scene,) = search([path]).scenes
    band = "B02" if scene.sensor == "sentinel2" else "VV"
    return locked_item(scene, [band], NO_HASH).assets[band]


# --- nodata and masks ----------------------------------------------------------------------------


def test_a_file_s_own_nodata_goes_into_the_lock(tmp_path):
    path = write_raster(tmp_path / "a.tif", dtype="int16", nodata=-9999)
    assert described(path, add_offset=0).nodata == -9999.0
    assert described(path, add_offset=0, nodata=-9999).nodata == -9999.0
    assert described(write_raster(tmp_path / "b.tif"), add_offset=0).nodata == 0.0


@pytest.mark.parametrize("said", [{"raster:bands": [{"nodata": -9999}]}, {"nodata": -9999},
                                  {"bands": [{"name": "B02", "nodata": -9999}]}])  # fmt: skip
@pytest.mark.parametrize("tag", [None, -9999])
def test_an_item_s_nodata_goes_into_the_lock(tmp_path, said, tag):
    write_raster(tmp_path / "B02.tif", dtype="int16", nodata=tag)
    assert item(tmp_path, said).nodata == -9999.0


def test_tag_and_recipe_that_disagree_about_nodata_are_both_named(tmp_path):
    path = write_raster(tmp_path / "a.tif", dtype="int16", nodata=0)
    with pytest.raises(SceneError) as info:
        described(path, add_offset=0, nodata=-10_000)
    assert f"{path}: contradicting statements about missing pixels" in str(info.value)
    assert "the file's tags say nodata 0, catalog.rasters.0 says nodata -10000" in str(info.value)
    assert "gdal_edit.py -a_nodata" in str(info.value)


def test_tag_and_item_that_disagree_about_nodata_are_both_named(tmp_path):
    write_raster(tmp_path / "B02.tif", dtype="int16", nodata=-32768)
    with pytest.raises(SceneError, match=r"tags say nodata -32768, .*item\.json says nodata 0"):
        item(tmp_path, {"raster:bands": [{"nodata": 0}]})


def test_a_safe_band_with_another_nodata_is_refused(tmp_path):
    root = make_safe(tmp_path)
    (band,) = root.rglob("*_B02_10m.jp2")
    (tmp_path / "tagged").mkdir()
    write_raster(band.with_suffix(".tif"), nodata=65535)
    band.unlink()
    (scene,) = search([tmp_path]).scenes
    with pytest.raises(SceneError, match=r"nodata 65535, MTD_MSIL2A\.xml says nodata 0"):
        locked_item(scene, ["B02"], NO_HASH)


def test_nan_is_missing_beside_any_other_value(tmp_path):
    path = write_raster(tmp_path / "a.tif", dtype="float32", nodata=float("nan"))
    asset = described(path, add_offset=0, scale=1, nodata=-1)
    assert (asset.nodata, asset.nodata_nan) == (-1.0, True)


def test_a_nodata_value_that_no_pixel_can_have_is_refused(tmp_path):
    path = write_raster(tmp_path / "a.tif")
    with pytest.raises(
        SceneError, match=r"catalog\.rasters\.0 says nodata -9999, which no pixel of"
    ):
        described(path, add_offset=0, nodata=-9999)


def test_masks_and_alpha_bands_go_into_the_lock(tmp_path):
    plain = write_raster(tmp_path / "plain.tif", count=2)
    assert described(plain, ("B04", "B08"), add_offset=0).mask is None
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(plain, "r+") as dataset:
        dataset.write_mask(np.full(dataset.shape, 255, np.uint8))
    assert described(plain, ("B04", "B08"), add_offset=0).mask == 0
    beside = write_raster(tmp_path / "beside.tif", nodata=7)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(beside, "r+") as dataset:
        dataset.write_mask(np.full(dataset.shape, 255, np.uint8))
    assert (tmp_path / "beside.tif.msk").exists()
    assert described(beside, add_offset=0).mask == 0
    alpha = tagged(tmp_path / "alpha.tif", count=2, alpha=2, nodata=0)
    assert described(alpha, add_offset=0).mask == 2
    with pytest.raises(SceneError, match="band 2 is wanted, and the file says that it is an alpha"):
        described(alpha, {"B08": 2}, add_offset=0)


def test_a_map_s_mask_goes_into_the_lock(tmp_path):
    path = tagged(tmp_path / "map.tif", dtype="uint8", count=2, alpha=2)
    assert locked_item(map_scene(path), ["map"], NO_HASH).assets["map"].mask == 2


def test_codes_with_a_scale_are_refused(tmp_path):
    path = tagged(tmp_path / "map.tif", dtype="uint8", scale=0.5)
    with pytest.raises(SceneError, match=r"its codes a scale of 0\.5 .*gdal_edit\.py -scale 1"):
        locked_item(map_scene(path), ["map"], NO_HASH)


# --- maps and crosswalks -------------------------------------------------------------------------


def _planned(folder, codes, nodata):
    make_safe(folder / "archive")
    path = reference_map(folder)
    with rasterio.open(path, "r+") as dataset:
        dataset.nodata = nodata
    (folder / "cw.csv").write_text("source_code,source_name,code\n" + codes)
    return plan(
        settings_file(
            folder, label={"path": str(path), "crosswalk": str(folder / "cw.csv")},
            catalog={"paths": [str(folder / "archive")], "period": ["2022-01-01", "2022-12-31"]},
        )
    )  # fmt: skip


def test_a_class_that_the_map_calls_missing_is_refused_by_the_plan(tmp_path):
    with pytest.raises(SceneError) as info:
        _planned(tmp_path, "0,pasture,0\n7,wood,1\n", nodata=0)
    assert "map.tif: contradicting statements about code 0" in str(info.value)
    assert "the map says nodata 0" in str(info.value)
    assert "cw.csv' lists it as 'pasture', class 0" in str(info.value)


@pytest.mark.parametrize(("codes", "nodata"), [("0,none,\n7,wood,1\n", 0), ("7,wood,1\n", 0),
                                               ("0,pasture,0\n7,wood,1\n", 255)])  # fmt: skip
def test_a_crosswalk_that_agrees_with_the_map_passes(tmp_path, codes, nodata):
    lock = _planned(tmp_path, codes, nodata)
    assert lock.items_of(lock.units[0].id, "label")[0].assets["map"].nodata == nodata


# --- scale and offset ----------------------------------------------------------------------------


def test_gdal_tags_that_agree_with_the_recipe_pass(tmp_path):
    path = tagged(tmp_path / "a.tif", scale=0.0001, offset=-0.1)
    for entry in ({}, {"add_offset": -1000}, {"offset": -0.1}, {"scale": 0.0001}):
        asset = described(path, **entry)
        assert (asset.add_offset, asset.quantification) == (-1000.0, 10_000.0)


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"add_offset": 0}, "say -1000 to be added to each DN, catalog.rasters.0 says 0 to be"),
        ({"offset": 0, "scale": 0.0001}, "offset: the file's tags say -1000 to be added"),
        ({"scale": 0.001}, "scale: the file's tags say scale 0.0001, catalog.rasters.0 says scale 0.001"),
    ],
)  # fmt: skip
def test_gdal_tags_that_contradict_the_recipe_are_refused(tmp_path, entry, says):
    path = tagged(tmp_path / "a.tif", scale=0.0001, offset=-0.1)
    with pytest.raises(SceneError, match="contradicting statements about the ") as info:
        described(path, **entry)
    assert says in str(info.value)


def test_add_offset_and_offset_of_one_entry_must_agree(tmp_path):
    path = write_raster(tmp_path / "a.tif")
    assert described(path, add_offset=-1000, offset=-0.1).add_offset == -1000.0
    with pytest.raises(SceneError, match="contradicting statements about the radiometric offset"):
        described(path, add_offset=0, offset=-0.1)


def test_a_file_of_reflectances_needs_its_scale_alone(tmp_path):
    path = write_raster(tmp_path / "a.tif", dtype="float32", value=0.25)
    asset = described(path, scale=1, offset=0)
    assert (asset.add_offset, asset.quantification) == (0.0, 1.0)


def test_an_entry_without_any_offset_is_asked_for_it(tmp_path):
    path = write_raster(tmp_path / "a.tif")
    with pytest.raises(RecipeError, match=r"catalog\.rasters\.0\.add_offset: .*a\.tif carries no"):
        described(path, scale=0.0001)


@pytest.mark.parametrize(
    ("asset", "properties", "offset", "quantification"),
    [
        # What software writes that knows neither scale nor offset is no statement.
        ({"raster:bands": [{"scale": 1.0, "offset": 0.0}]}, {}, -1000, 10_000),
        ({"bands": [{"raster:scale": 1.0, "raster:offset": 0.0}]}, {}, -1000, 10_000),
        ({"raster:bands": [{"scale": 0.001, "offset": 0}]}, {}, 0, 1000),
        ({"bands": [{"raster:scale": 0.0001, "raster:offset": 0}]}, {}, 0, 10_000),
        ({"bands": [{"scale": 0.0001, "offset": -0.1}]}, {}, -1000, 10_000),
        ({"raster:scale": 0.0001, "raster:offset": -0.1}, {}, -1000, 10_000),
        ({"raster:bands": [{"scale": 1, "offset": -1000}]}, {}, -1000, 10_000),
        ({}, {"s2:processing_baseline": "5.9"}, -1000, 10_000),
        ({}, {"s2:processing_baseline": "4.0"}, -1000, 10_000),
        ({}, {"s2:processing_baseline": "N0400"}, -1000, 10_000),
        ({}, {"s2:processing_baseline": "2.14"}, 0, 10_000),
        ({}, {"s2:processing_baseline": "10.00"}, -1000, 10_000),
        ({}, {"s2:processing_baseline": None, "sentinel:processing_baseline": "05.09",
              "sentinel:boa_offset_applied": True}, 0, 10_000),
        ({}, {"s2:processing_baseline": None, "sentinel:processing_baseline": "04.00",
              "sentinel:boa_offset_applied": False}, -1000, 10_000),
    ],
)  # fmt: skip
def test_scale_and_offset_of_items(tmp_path, asset, properties, offset, quantification):
    write_raster(tmp_path / "B02.tif")
    found = item(tmp_path, asset, properties)
    assert (found.add_offset, found.quantification) == (offset, quantification)


def test_a_baseline_of_no_ground_segment_tells_nothing(tmp_path):
    write_raster(tmp_path / "B02.tif")
    with pytest.raises(SceneError, match=r"metadata without offset node.*99\.99.*add_offset"):
        item(tmp_path, {}, {"s2:processing_baseline": "99.99"})


def test_an_item_of_reflectances_may_have_a_scale_of_one(tmp_path):
    write_raster(tmp_path / "B02.tif", dtype="float32", value=0.25)
    found = item(tmp_path, {"raster:bands": [{"scale": 1.0, "offset": 0.0}]})
    assert (found.add_offset, found.quantification) == (0.0, 1.0)


def test_tags_go_before_what_the_baseline_suggests(tmp_path):
    tagged(tmp_path / "B02.tif", scale=0.0001, offset=0.0)
    assert item(tmp_path, {}).add_offset == 0.0


def test_tags_and_item_that_disagree_are_both_named(tmp_path):
    tagged(tmp_path / "B02.tif", scale=0.0001, offset=-0.1)
    with pytest.raises(SceneError, match=r"tags say -1000 to be added .*item\.json says 0 to be"):
        item(tmp_path, {"raster:bands": [{"scale": 0.0001, "offset": 0}]})


def test_safe_s_quantification_goes_into_the_lock(tmp_path):
    root = make_safe(tmp_path, offsets=None, baseline="2.14")
    path = root / "MTD_MSIL2A.xml"
    path.write_text(path.read_text().replace(">10000</BOA_Q", ">1000</BOA_Q"))
    (scene,) = search([tmp_path]).scenes
    asset = locked_item(scene, ["B02"], NO_HASH).assets["B02"]
    assert (asset.add_offset, asset.quantification) == (0.0, 1000.0)


@pytest.mark.parametrize(
    ("text", "number"),
    [("05.09", (5, 9)), ("5.9", (5, 9)), ("4.0", (4, 0)), ("N0400", (4, 0)), ("0511", (5, 11)),
     ("10.00", (10, 0)), ("99.99", (99, 99)), ("", None), (None, None), ("new", None)],
)  # fmt: skip
def test_baselines_are_numbers(text, number):
    assert baseline_number(text) == number


def test_offsets_began_with_a_number():
    texts = ("02.14", "3.1", "04.00", "4", "5.9", "10.00", "99.99", None)
    assert [since_offset(t) for t in texts] == [False, False, True, True, True, True, None, None]


# --- backscatter ---------------------------------------------------------------------------------


def test_the_unit_of_backscatter_is_what_file_item_or_recipe_say(tmp_path):
    db = tagged(tmp_path / "db.tif", dtype="float32", unit="dB")
    assert described(db, ("VV",), "sentinel1").scale == "db"
    named = write_raster(tmp_path / "n.tif", dtype="float32", descriptions=["Sigma0_VV_db"])
    assert described(named, ("VV",), "sentinel1").scale == "db"
    plain = write_raster(tmp_path / "p.tif", dtype="float32")
    assert described(plain, ("VV",), "sentinel1").scale == "linear"
    assert described(plain, ("VV",), "sentinel1", scale="db").scale == "db"
    assert described(plain, ("VV",), "sentinel1", unit="db").scale == "db"
    with pytest.raises(SceneError, match=r"about the unit: the file's tags say db, .* says linear"):
        described(db, ("VV",), "sentinel1", scale="linear")


def test_whole_decibel_with_a_scale_have_a_gain(tmp_path):
    path = tagged(tmp_path / "a.tif", dtype="int16", scale=0.01, unit="dB", nodata=-32768)
    asset = described(path, ("VV",), "sentinel1")
    assert (asset.gain, asset.scale, asset.nodata) == (pytest.approx(0.01), "db", -32768.0)
    plain = write_raster(tmp_path / "b.tif", dtype="int16")
    asset = described(plain, ("VV",), "sentinel1", unit="db", scale=0.01)
    assert (asset.gain, asset.scale) == (pytest.approx(0.01), "db")


def test_an_item_s_scale_of_backscatter_is_read(tmp_path):
    write_raster(tmp_path / "vv.tif", dtype="int16")
    radar = {"constellation": "sentinel-1", "platform": "sentinel-1a"}
    asset = item(tmp_path, {"bands": [{"raster:scale": 0.1, "unit": "dB", "nodata": -999}]}, radar,
                 name="vv.tif", key="vv")  # fmt: skip
    assert (asset.gain, asset.scale, asset.nodata) == (pytest.approx(0.1), "db", -999.0)


def test_decibel_are_no_unit_of_reflectance(tmp_path):
    with pytest.raises(ValueError, match="decibel are a unit of sentinel1"):
        RasterSource(sensor="sentinel2", path="a.tif", date=date(2022, 6, 1), unit="db")


# --- bands ---------------------------------------------------------------------------------------


def numbers(path, sensor="sentinel2", **entry):
    """Band numbers that an entry means."""
    plain = {"sensor": sensor, "path": str(path), "date": date(2022, 6, 1), "add_offset": 0}
    (scene,) = described_scenes([RasterSource(**(plain | entry))], "L2A")
    band = "B04" if sensor == "sentinel2" else "VV"
    return {band: scene.bands[band].band}


@pytest.mark.parametrize(
    "names", [("B2", "B3", "B4"), ("Band 2", "Band 3", "Band 4"), ("blue", "green", "red"),
              ("B02_10m", "B03_10m", "B04_10m"), ("B02: Blue", "B03: Green", "B04: Red")],
)  # fmt: skip
def test_bands_are_found_by_what_the_file_calls_them(tmp_path, names):
    path = write_raster(tmp_path / "a.tif", count=3, descriptions=names)
    assert numbers(path) == {"B04": 3}
    assert numbers(path, bands=["B04"]) == {"B04": 3}
    assert numbers(path, bands={"B04": 3}) == {"B04": 3}
    assert numbers(path, bands={"B04": names[2]}) == {"B04": 3}
    assert numbers(path, bands=["B02", "B03", "B04"]) == {"B04": 3}
    with pytest.raises(RecipeError, match=r"B04 is to be band 1 .* describes that band as"):
        numbers(path, bands=["B04", "B03", "B02"])
    with pytest.raises(RecipeError, match=r"B04 is to be band 2 .* describes that band as"):
        numbers(path, bands={"B04": 2})


def test_a_file_a_band_must_not_describe_another_one(tmp_path):
    for band, text in (("B03", "Band 3"), ("B04", "red"), ("B08", "B8A")):
        write_raster(tmp_path / f"s_{band}.tif", descriptions=[text])
    assert numbers(tmp_path / "s_{band}.tif", bands=["B03", "B04"]) == {"B04": 1}
    with pytest.raises(RecipeError, match=r"s_B08\.tif describes its band as B8A, not as B08"):
        numbers(tmp_path / "s_{band}.tif", bands=["B04", "B08"])


def test_numbers_of_the_file_are_no_names_of_the_sensor(tmp_path):
    texts = ("Band 1", "Band 2", "Band 3", "Band 4")
    path = write_raster(tmp_path / "a.tif", count=4, descriptions=texts)
    assert numbers(path, bands=["B02", "B03", "B04", "B08"]) == {"B04": 3}
    with pytest.raises(RecipeError, match="name the bands"):
        numbers(path)


def test_polarisations_are_found_by_name(tmp_path):
    texts = ("Gamma0_VH", "Gamma0_VV", "localIncidenceAngle")
    path = write_raster(tmp_path / "a.tif", count=3, dtype="float32", descriptions=texts)
    assert numbers(path, "sentinel1", bands=["VV"]) == {"VV": 2}
    assert numbers(path, "sentinel1") == {"VV": 2}


def test_a_stacked_series_is_split_by_numbers(tmp_path):
    path = str(write_raster(tmp_path / "stack.tif", count=4, descriptions=["B04", "B08"] * 2))
    with pytest.raises(RecipeError, match=r"several bands of one name \(B04 are \[1, 3\].*B04: 1"):
        numbers(path, bands=["B04"])
    entries = [
        RasterSource(sensor="sentinel2", path=path, date=date(2022, month, 1), add_offset=0,
                     bands={"B04": first, "B08": first + 1})
        for month, first in ((5, 1), (6, 3))
    ]  # fmt: skip
    scenes = distinct(described_scenes(entries, "L2A"))
    assert [s.id for s in scenes] == ["stack_20220501", "stack_20220601"]
    assert [s.bands["B08"].band for s in scenes] == [2, 4]
