# SPDX-License-Identifier: Apache-2.0
"""The catalogue finds raw Sentinel-1 products: folders, archives, COG_SAFE, genuine and broken."""

import re
import zipfile

import numpy as np
import pytest
import rasterio
import shapely

from made.grd import copy_of, plan_of, recipe_of, simulate
from terrapatch.access import read_bytes
from terrapatch.catalog.files import Files
from terrapatch.catalog.folder import search
from terrapatch.catalog.grd import read_product
from terrapatch.catalog.locking import locked_item
from terrapatch.catalog.policy import newest_versions, of_level, with_polarisations
from terrapatch.catalog.tree import Reading
from terrapatch.errors import IncompleteError, SceneError
from terrapatch.records import LockedAsset

NO_HASH = Files(False)
SAMPLES = "s1_grd_safe"
ROME = "S1B_IW_GRDH_1SDV_20211223T051122_20211223T051147_030148_039993_5371"


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("grd"))


@pytest.fixture
def product(simulated, tmp_path):
    return copy_of(simulated.products["descending"][0], tmp_path)


def zipped(product, folder, inner=True):
    path = folder / f"{product.name.removesuffix('.SAFE')}.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(p for p in product.rglob("*") if p.is_file()):
            name = file.relative_to(product).as_posix()
            archive.write(file, f"{product.name}/{name}" if inner else name)
    return path


def test_a_genuine_product_says_all_that_the_lock_needs(shared_data):
    scene = read_product(shared_data / SAMPLES / f"{ROME}.SAFE")
    assert (scene.id, scene.sensor, scene.level) == (ROME, "sentinel1", "GRD")
    assert scene.datetime == "2021-12-23T05:11:22.594Z"
    assert (scene.platform, scene.processing_baseline) == ("Sentinel-1B", "003.40")
    assert (scene.relative_orbit, scene.orbit_direction) == (22, "descending")
    assert scene.polarisations == ("VV", "VH")
    assert scene.footprint.bounds == pytest.approx((11.865704, 40.876698, 15.321935, 42.780445))
    item = locked_item(scene, ["VV"], NO_HASH)
    asset = item.assets["VV"]
    assert (asset.crs, asset.transform) == ("", (1, 0, 0, 0, 1, 0))
    assert (asset.shape, asset.dtype, asset.nodata) == ((16705, 26102), "uint16", 0.0)
    assert read_bytes(asset.annotation).startswith(b"<?xml")
    assert b"<calibration>" in read_bytes(asset.calibration)[:200]
    assert b"<noise>" in read_bytes(asset.noise)[:200]
    assert shapely.geometry.shape(item.footprint).equals_exact(scene.footprint, 1e-6)


def test_what_a_genuine_manifest_promises_and_the_product_lacks_is_an_error(shared_data):
    scene = read_product(shared_data / SAMPLES / f"{ROME}.SAFE")
    with pytest.raises(SceneError, match=r"5371.* lacks the band\(s\) VH \(it has VV\)"):
        locked_item(scene, ["VV", "VH"], NO_HASH)


@pytest.mark.parametrize(
    ("end", "ipf", "orbit", "direction"),
    [
        ("CEAB", "002.36", 117, "ascending"),
        ("3768", "002.36", 117, "ascending"),
        ("9550", "003.31", 45, "ascending"),
    ],
)
def test_genuine_archives_are_read_and_their_missing_measurement_is_named(
    shared_data, end, ipf, orbit, direction
):
    (path,) = (shared_data / SAMPLES).glob(f"*{end}.zip")
    scene = read_product(path)
    assert (scene.id, scene.processing_baseline) == (path.stem, ipf)
    assert (scene.relative_orbit, scene.orbit_direction) == (orbit, direction)
    with pytest.raises(SceneError, match=rf"{end}.* lacks the band\(s\) VV, VH \(it has none\)"):
        locked_item(scene, ["VV", "VH"], NO_HASH)


def test_two_slices_of_one_pass_are_both_kept(shared_data):
    paths = sorted((shared_data / SAMPLES).glob("*20150222*.zip"))
    scenes = [read_product(path) for path in paths]
    assert scenes[0].datatake == scenes[1].datatake
    assert len(newest_versions(scenes)[0]) == 2


def test_folder_and_archive_give_the_same_pixels_and_annotations(product, tmp_path):
    folder = locked_item(read_product(product), ["VH", "VV"], NO_HASH)
    archive = tmp_path / "zip"
    archive.mkdir()
    packed = locked_item(read_product(zipped(product, archive)), ["VH", "VV"], NO_HASH)
    assert packed.id == folder.id
    for band in ("VH", "VV"):
        left, right = folder.assets[band], packed.assets[band]
        assert right.href.startswith("/vsizip/")
        for kind in ("annotation", "calibration", "noise"):
            assert f"-{band.lower()}-" in getattr(left, kind)
            assert read_bytes(getattr(left, kind)) == read_bytes(getattr(right, kind))
        with rasterio.open(left.href) as one, rasterio.open(right.href) as two:
            np.testing.assert_array_equal(one.read(1), two.read(1))


def test_an_archive_without_a_folder_inside_is_read(product, tmp_path):
    folder = tmp_path / "zip"
    folder.mkdir()
    item = locked_item(read_product(zipped(product, folder, inner=False)), ["VV"], NO_HASH)
    assert read_bytes(item.assets["VV"].annotation)


def test_raw_products_are_read_only_where_the_recipe_asks_for_them(product):
    found = search([product.parent])
    assert found.scenes == ()
    assert "radar geometry" in found.excluded[0].reason
    (scene,) = search([product.parent], Reading(raw=True)).scenes
    assert scene.id == product.name.removesuffix(".SAFE")
    assert of_level([scene], "GRD")[0] == [scene]
    (excluded,) = of_level([scene], "RTC")[1]
    assert excluded.reason == "product of the wrong level: GRD, the recipe asks for RTC"


def test_complex_products_stay_out(tmp_path):
    name = "S1A_IW_SLC__1SDV_20150222T170725_20150222T170750_004739_005DD8_CEAB"
    (tmp_path / f"{name}.SAFE").mkdir()
    (excluded,) = search([tmp_path], Reading(raw=True)).excluded
    assert "another kind than GRD" in excluded.reason


def test_a_single_polarisation_is_left_out_where_two_are_wanted(product):
    manifest = product / "manifest.safe"
    text = manifest.read_text()
    text = re.sub(r"<(\w+:)transmitterReceiverPolarisation>VH</\S+>", "", text)
    manifest.write_text(text)
    scene = read_product(product)
    assert scene.polarisations == ("VV",)
    (excluded,) = with_polarisations([scene], ("VV", "VH"))[1]
    assert excluded.reason == "has VV, lacks VH"


def test_a_plan_takes_raw_products_where_the_recipe_says_so(simulated, tmp_path):
    recipe = recipe_of(simulated, tmp_path, simulated.folder / "grd")
    lock = plan_of(recipe, tmp_path)
    names = sorted(p.name for paths in simulated.products.values() for p in paths)
    (unit,) = lock.units
    assert sorted(f"{name}.SAFE" for name in unit.items["sentinel1"]) == names
    assert [i.datetime for i in lock.items_of(unit.id, "sentinel1")] == sorted(
        i.datetime for i in lock.items if i.sensor == "sentinel1"
    )
    with pytest.raises(IncompleteError, match="radar geometry"):
        plan_of(recipe | {"sentinel1": {"level": "RTC"}}, tmp_path)


def drop(pattern):
    def change(product):
        for path in product.glob(pattern):
            path.unlink()

    return change


def cut(product):
    manifest = product / "manifest.safe"
    manifest.write_bytes(manifest.read_bytes()[:3000])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (drop("manifest.safe"), "lacks manifest.safe"),
        (cut, "manifest.safe: broken metadata"),
        (drop("measurement/*-vv-*"), r"lacks the band\(s\) VV \(it has VH\)"),
        (drop("annotation/*-vv-*"), "no annotation of VV"),
        (drop("annotation/calibration/calibration-*-vv-*"), "no calibration of VV"),
    ],
)
def test_broken_products_are_named(product, change, says):
    change(product)
    with pytest.raises(SceneError, match=says) as info:
        locked_item(read_product(product), ["VV"], NO_HASH)
    assert product.name in str(info.value)


def test_a_truncated_archive_is_named(product, tmp_path):
    folder = tmp_path / "zip"
    folder.mkdir()
    path = zipped(product, folder)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(SceneError, match="no complete zip archive"):
        read_product(path)


def test_a_footprint_across_the_antimeridian_is_cut(product):
    manifest = product / "manifest.safe"
    ring = "10,179.5 10,-178 12,-177.6 12,179.9"
    text = re.sub(r"(<gml:coordinates>)[^<]+", rf"\g<1>{ring}", manifest.read_text())
    manifest.write_text(text)
    west, east = sorted(g.bounds[0] for g in read_product(product).footprint.geoms)
    assert (west, east) == (-180, 179.5)


def test_products_without_noise_have_none_in_the_lock(product):
    drop("annotation/calibration/noise-*")(product)
    asset = locked_item(read_product(product), ["VV"], NO_HASH).assets["VV"]
    assert asset.noise is None
    assert asset.calibration is not None


def test_the_lock_of_geocoded_products_has_no_new_entries():
    plain = LockedAsset(href="a", crs="EPSG:4326", transform=(1, 0, 0, 0, 1, 0), shape=(1, 1),
                        dtype="float32")  # fmt: skip
    assert not {"annotation", "calibration", "noise"} & set(plain.model_dump(exclude_defaults=True))
