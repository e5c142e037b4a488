# SPDX-License-Identifier: Apache-2.0
"""Forms of products that are legal and in use are read; all else that lies there is told."""

import io
import json
import os
import re
import shutil
import tarfile
import tempfile
import zipfile
from pathlib import Path

import geopandas as gpd
import pytest
import rasterio
import shapely

from made.catalog import make_safe, reference_map, settings_file, write_raster, zipped
from terrapatch.access import address, file_of, read_bytes, split_address
from terrapatch.catalog import describe, plan
from terrapatch.catalog.files import Files
from terrapatch.catalog.folder import search
from terrapatch.catalog.locking import locked_item
from terrapatch.catalog.tree import Reading
from terrapatch.errors import (
    IncompleteError,
    InputError,
    RecipeError,
    SceneError,
    TerrapatchError,
)
from terrapatch.vectors.archives import unpacked
from terrapatch.vectors.layers import open_layer
from terrapatch.vectors.schema import schema_of

NO_HASH = Files(hash_files=False)
GRD = "S1A_IW_GRDH_1SDV_20220612T085724_20220612T085749_043633_082D88"
TAKE = 0x082D88


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    reference_map(tmp_path)
    return tmp_path


def settings(here, *, catalog=None, **recipe):
    plain = {"label": {"path": "map.tif"}, "sentinel2": {"bands": ["B02"]}}
    catalog = {"period": ["2022-01-01", "2022-12-31"], "paths": ["in"]} | (catalog or {})
    return settings_file(here, catalog=catalog, **(plain | recipe))


def ids(*paths, **how):
    return [s.id for s in search(paths, Reading(**how)).scenes]


def told(*paths, **how):
    return {e.id: e.reason for e in search(paths, Reading(**how)).excluded}


def make_grd(
    folder, name=f"{GRD}_AAE7.SAFE", *, kind="GRD", start="08:57:24.4", files="s1a-iw-{}-{}-x"
):
    """A Sentinel-1 product of a manifest and empty files."""
    root = Path(folder) / name
    for inner in ("annotation/calibration", "measurement"):
        (root / inner).mkdir(parents=True)
    for band in ("vv", "vh"):
        stem = files.format(kind.lower(), band)
        (root / f"annotation/{stem}.xml").write_text("<a/>")
        (root / f"annotation/calibration/calibration-{stem}.xml").write_text("<a/>")
        (root / f"annotation/calibration/noise-{stem}.xml").write_text("<a/>")
        (root / f"measurement/{stem}.tiff").write_bytes(b"II*\0")
    (root / "manifest.safe").write_text(f"""<x xmlns:s="s" xmlns:g="g">
<s:platform><s:familyName>SENTINEL-1</s:familyName><s:number>A</s:number></s:platform>
<s:instrumentMode><s:mode>IW</s:mode></s:instrumentMode><s:productType>{kind}</s:productType>
<s:startTime>2022-06-12T{start}</s:startTime><s:stopTime>2022-06-12T08:57:49.9</s:stopTime>
<s:orbitNumber type="start">43633</s:orbitNumber><s:relativeOrbitNumber>10</s:relativeOrbitNumber>
<s:pass>DESCENDING</s:pass><s:missionDataTakeID>{TAKE}</s:missionDataTakeID>
<s:transmitterReceiverPolarisation>VV</s:transmitterReceiverPolarisation>
<s:transmitterReceiverPolarisation>VH</s:transmitterReceiverPolarisation>
<s:processing stop="2022-06-12T12:00:00"/><s:software version="003.52"/>
<g:coordinates>45,3 45,6 43,6 43,3</g:coordinates></x>""")
    return root


def packed(root, path, *, inside="{}/", separator="/"):
    """An archive of a folder under any name, with any names inside."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(p for p in root.rglob("*") if p.is_file()):
            name = inside.format(root.name) + file.relative_to(root).as_posix()
            info = zipfile.ZipInfo("x")
            info.filename = name.replace("/", separator)
            archive.writestr(info, file.read_bytes())
    shutil.rmtree(root)
    return path


# --- Sentinel-2 ----------------------------------------------------------------------------------


def moved(root, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    return root.rename(target)


FORMS = {
    "no suffix": lambda root: moved(root, root.parent / root.stem),
    "small suffix": lambda root: moved(root, root.with_suffix(".safe")),
    "any name": lambda root: moved(root, root.parent / "product 1"),
    "SAFE in SAFE": lambda root: moved(moved(root, root.parent / "x"), root / root.name),
    "SAFE in folder of its name": lambda root: moved(root, root.parent / root.stem / root.name),
    "zip": zipped,
    "zip, capitals": lambda root: moved(zipped(root), root.with_suffix(".ZIP")),
    "zip without suffix": lambda root: moved(zipped(root), root.parent / root.stem),
    "zip named .SAFE": lambda root: moved(zipped(root), root),
    "zip named download.zip": lambda root: moved(zipped(root), root.parent / "download.zip"),
    "zip named by a server": lambda root: moved(zipped(root), root.parent / "Products(962ad)"),
    "SAFE in SAFE in a zip": lambda root: packed(root, root.parent / "a.zip", inside="{0}/{0}/"),
    "zip without a folder": lambda root: packed(root, root.parent / "a.zip", inside=""),
    "zip with backslashes": lambda root: packed(root, root.parent / "a.zip", separator="\\"),
    "zip with ./": lambda root: packed(root, root.parent / "a.zip", inside="./{}/"),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_sentinel2_product_is_read_in_every_form(tmp_path, form):
    root = make_safe(tmp_path / "in", bands=("B02",))
    FORMS[form](root)
    found = search([tmp_path / "in"])
    assert ([s.id for s in found.scenes], found.excluded, found.unknown) == ([root.stem], (), ())
    asset = locked_item(found.scenes[0], ["B02"], Files(hash_files=True)).assets["B02"]
    with rasterio.open(asset.href) as dataset:
        assert dataset.read(1).max() == 7
    if "zip" in form:
        at = split_address(asset.href)
        assert at.local.is_file()
        assert at.local == file_of(asset.href)
        assert address(at.path, at.member) == asset.href
        assert read_bytes(asset.href)[4:8] == b"jP  "


def test_a_product_is_found_by_its_metadata_file(tmp_path):
    root = make_safe(tmp_path, bands=("B02",))
    assert ids(root / "MTD_MSIL2A.xml") == [root.stem]
    grd = make_grd(tmp_path)
    assert ids(grd / "manifest.safe", raw=True) == [grd.stem]


def test_what_macos_leaves_beside_files_is_passed_over(tmp_path):
    root = make_safe(tmp_path / "in", bands=("B02",))
    (image,) = root.rglob("*_B02_10m.jp2")
    (image.parent / f"._{image.name}").write_bytes(b"\0\5\x16\7")
    (root.parent / f"._{root.name}").write_bytes(b"\0\5\x16\7")
    (root.parent / ".DS_Store").write_bytes(b"x")
    (root.parent / "__MACOSX" / root.name).mkdir(parents=True)
    (scene,) = search([tmp_path / "in"]).scenes
    assert locked_item(scene, ["B02"], NO_HASH).assets["B02"].href == str(image)
    archive = zipped(root)
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr(f"__MACOSX/{root.name}/._MTD_MSIL2A.xml", b"\0\5\x16\7")
        opened.writestr(f"__MACOSX/{root.name}/MTD_MSIL2A.xml", b"\0\5\x16\7")
    found = search([tmp_path / "in"])
    assert ([s.id for s in found.scenes], found.excluded) == ([root.stem], ())


def test_linked_granules_and_products_are_read_once(tmp_path):
    root = make_safe(tmp_path / "disk", bands=("B02",))
    granule = next((root / "GRANULE").iterdir())
    away = granule.rename(tmp_path / granule.name)
    (root / "GRANULE" / granule.name).symlink_to(away)
    (tmp_path / "in").mkdir()
    (tmp_path / "in/one").symlink_to(root)
    (tmp_path / "in/two").symlink_to(root.parent)
    (scene,) = search([tmp_path / "in"]).scenes
    assert locked_item(scene, ["B02"], NO_HASH).assets["B02"].shape == (240, 240)


@pytest.mark.parametrize("target", [".", "..", "b", "loop"])
def test_links_in_circles_end(tmp_path, target):
    root = make_safe(tmp_path / "in", bands=("B02",))
    (tmp_path / "in/b").mkdir()
    (tmp_path / "in/b/loop").symlink_to(target)
    (root / "GRANULE/again").symlink_to("..")
    found = search([tmp_path / "in"])
    assert [s.id for s in found.scenes] == [root.stem]
    assert len(found.excluded) == (target in ("loop", "b"))


def test_an_archive_of_two_products_gives_both(tmp_path):
    first = make_safe(tmp_path, bands=("B02",))
    second = make_safe(tmp_path, start="20220120T105341", bands=("B02",))
    grd = make_grd(tmp_path)
    names = [root.stem for root in (first, second, grd)]
    (tmp_path / "in").mkdir()
    with zipfile.ZipFile(tmp_path / "in/cart.zip", "w") as archive:
        for root in (first, second, grd):
            for file in (p for p in root.rglob("*") if p.is_file()):
                archive.write(file, f"order/{file.relative_to(tmp_path).as_posix()}")
    assert sorted(ids(tmp_path / "in", raw=True)) == sorted(names)
    assert told(tmp_path / "in") == {
        names[2]: "raw Sentinel-1 product in radar geometry: geocoded backscatter is needed"
    }


def edited(root, name, *pairs):
    (file,) = root.rglob(name)
    text = file.read_text()
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    file.write_text(text)
    return file


def test_first_level_2a_products_have_nodes_of_other_names(tmp_path):
    root = make_safe(tmp_path, baseline="02.05", offsets=None, bands=("B02",), scl=True)
    edited(root, "MTD_TL.xml", ("TILE_ID>", "TILE_ID_2A>"))
    edited(root, "MTD_MSIL2A.xml", ("PRODUCT_URI>", "PRODUCT_URI_2A>"),
           ("BOA_QUANTIFICATION_VALUE", "L2A_BOA_QUANTIFICATION_VALUE"))  # fmt: skip
    (scene,) = search([tmp_path]).scenes
    assert (scene.id, scene.tile, scene.level) == (root.stem, "T31TEK", "L2A")
    asset = locked_item(scene, ["B02"], NO_HASH).assets["B02"]
    assert (asset.add_offset, asset.quantification) == (0, 10_000)


def old_form(folder, tiles):
    """A product of before December 2016: long names, several granules."""
    name = "S2A_OPER_PRD_MSIL1C_PDMC_20160105T100000_R051_V20160104T105342_20160104T105342"
    product = Path(folder) / f"{name}.SAFE"
    for number, tile in enumerate(tiles):
        root = make_safe(folder, level="L1C", tile=tile, baseline="02.01", offsets=None,
                         bands=("B02",), start="20160104T105342")  # fmt: skip
        long = f"S2A_OPER_MSI_L1C_TL_SGS__20160104T150000_A002735_{tile}"
        granule = product / "GRANULE" / f"{long}_N02.01"
        (old,) = root.glob("GRANULE/*")
        granule.parent.mkdir(parents=True, exist_ok=True)
        old.rename(granule)
        (image,) = granule.rglob("*_B02.jp2")
        image.rename(image.parent / f"{long}_B02.jp2")
        xml = edited(granule, "MTD_TL.xml", ("</n1:T>", "<Size resolution=\"10\"><NROWS>240</NROWS>"
                     f"<NCOLS>240</NCOLS></Size><CLOUDY_PIXEL_PERCENTAGE>{number}.5"
                     "</CLOUDY_PIXEL_PERCENTAGE></n1:T>"))  # fmt: skip
        xml.rename(granule / f"{long.replace('_MSI_', '_MTD_')}.xml")
        main = edited(root, "MTD_MSIL1C.xml", (root.name, f"http://pdmc/{name}.SAFE"))
        main.replace(product / f"{name.replace('_PRD_MSIL1C_', '_MTD_SAFL1C_')}.xml")
        shutil.rmtree(root)
    return product


def test_products_of_before_december_2016_give_a_scene_a_tile(tmp_path):
    product = old_form(tmp_path, ["T31TEK"])
    (scene,) = search([tmp_path]).scenes
    assert (scene.id, scene.tile, scene.level) == (product.stem, "T31TEK", "L1C")
    assert scene.cloud_percent == 3.5
    assert locked_item(scene, ["B02"], NO_HASH).assets["B02"].shape == (240, 240)
    shutil.rmtree(product)
    old_form(tmp_path, ["T31TEK", "T31TEL"])
    scenes = search([tmp_path]).scenes
    assert [s.id for s in scenes] == [f"{product.stem}_T31TEK", f"{product.stem}_T31TEL"]
    # Cloud and outline are those of the tile: 240 px of 10 m.
    assert [s.cloud_percent for s in scenes] == [0.5, 1.5]
    west, south, east, north = scenes[1].footprint.bounds
    assert (east - west, north - south) == pytest.approx((0.0305, 0.0216), abs=1e-3)
    assert "T31TEL" in locked_item(scenes[1], ["B02"], NO_HASH).assets["B02"].href


def test_metadata_of_two_products_in_one_folder_are_refused(tmp_path):
    root = make_safe(tmp_path, bands=("B02",))
    other = make_safe(tmp_path / "other", level="L1C", bands=("B02",))
    shutil.copy(other / "MTD_MSIL1C.xml", root)
    with pytest.raises(SceneError, match="metadata of 2 products in one folder"):
        search([root])


@pytest.mark.parametrize("time", ["93020", "093020"])
def test_patches_of_bigearthnet_of_both_versions_are_read(tmp_path, time):
    name = f"S2B_MSIL2A_20170924T{time}_76_60"
    write_raster(tmp_path / name / f"{name}_B02.tif")
    radar = f"S1A_IW_GRDH_1SDV_20170613T{time}_33UUP_61_39"
    write_raster(tmp_path / radar / f"{radar}_VV.tif", dtype="float32")
    one, two = search([tmp_path]).scenes
    assert {one.id, two.id} == {name, radar}
    assert {one.datetime[-9:], two.datetime[-9:]} == {"09:30:20Z"}


# --- Sentinel-1 ----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [f for f in FORMS if f != "any name"])
def test_a_sentinel1_product_is_read_in_every_form(tmp_path, form):
    root = make_grd(tmp_path / "in")
    FORMS[form](root)
    found = search([tmp_path / "in"], Reading(raw=True))
    assert found.excluded == ()
    (scene,) = found.scenes
    # A product without its name has one from its content: the CRC is the manifest's own.
    assert re.fullmatch(rf"{GRD}_[0-9A-F]{{4}}", scene.id)
    files = scene.bands
    for file in files.values():
        assert read_bytes(file.href) == b"II*\0"
        assert read_bytes(file.sidecars["noise"].href) == b"<a/>"


def test_the_name_of_a_genuine_product_follows_from_its_manifest(shared_data, tmp_path):
    (rome,) = (shared_data / "s1_grd_safe").glob("*_5371.SAFE")
    shutil.copytree(rome, tmp_path / "in/scene one")
    assert ids(tmp_path / "in", raw=True) == [rome.stem]
    for number, path in enumerate(sorted((shared_data / "s1_grd_safe").glob("*.zip"))):
        with zipfile.ZipFile(path) as archive:  # the product alone, without its folder's name
            names = [n for n in archive.namelist() if not n.endswith("/")]
            target = tmp_path / f"zips{number}" / "download"
            target.parent.mkdir()
            with zipfile.ZipFile(target, "w") as other:
                for name in names:
                    other.writestr(name.partition("/")[2], archive.read(name))
        assert ids(target.parent, raw=True) == [path.stem]


def test_a_folder_that_bears_the_name_of_another_product_is_known_by_its_content(tmp_path):
    make_grd(tmp_path, start="08:56:59.4")
    (found,) = ids(tmp_path, raw=True)
    assert found.startswith("S1A_IW_GRDH_1SDV_20220612T085659_20220612T085749_043633_082D88_")


def test_amazon_s_copies_of_sentinel1_are_read(tmp_path):
    root = make_grd(tmp_path, files="iw-{1}")
    (scene,) = search([tmp_path], Reading(raw=True)).scenes
    files = scene.bands
    assert files["VH"].at.local == root / "measurement/iw-vh.tiff"
    assert set(files["VH"].sidecars) == {"annotation", "calibration", "noise"}


@pytest.mark.parametrize("kind", ["SLC", "OCN", "RAW"])
@pytest.mark.parametrize("name", [None, "renamed"])
def test_sentinel1_products_of_other_kinds_are_told(tmp_path, kind, name):
    name = name or f"{GRD.replace('GRDH', f'{kind}_')}_AAE7.SAFE"
    make_grd(tmp_path, name, kind=kind)
    (reason,) = told(tmp_path, raw=True).values()
    assert reason == f"raw Sentinel-1 product of another kind than GRD ({kind})"


# --- told ----------------------------------------------------------------------------------------


def tar(path):
    with tarfile.open(path, "w:gz") as archive:
        info = tarfile.TarInfo("a")
        info.size = 5
        archive.addfile(info, io.BytesIO(b"hello"))


def zip_of(path, *names):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"x" * 100)


def text(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


FINDS = {
    "a.tar.gz": (tar, "a form that is not looked into: unpack it"),
    "packed": (tar, "a form that is not looked into: unpack it"),
    "a.7z": (lambda p: p.write_bytes(b"7z\xbc\xaf"), "a form that is not looked into"),
    "in.zip": (lambda p: zip_of(p, "S2.zip", "b.tar.gz"), "2 archive(s) inside, for example S2.zip"),
    "images.zip": (lambda p: zip_of(p, "a.tif", "b.tif"), "2 raster(s) without metadata"),
    "texts.zip": (lambda p: zip_of(p, "a.txt"), "no product in the archive"),
    "broken.zip": (lambda p: p.write_bytes(b"PK\3\4 and no more of it at all"), "no complete zip"),
    "x.tif.part": (lambda p: p.write_bytes(b"II"), "a download that has not ended"),
    ".x.tif": (lambda p: p.write_bytes(b"II"), "a hidden name"),
    ".S2A_MSIL2A_20220101T000000_N0400.SAFE": (lambda p: p.mkdir(), "a hidden name"),
    "gone": (lambda p: p.symlink_to("nowhere"), "a link that leads nowhere"),
    "cube.zarr": (lambda p: p.mkdir(), "a Zarr store"),
    "s2.tif": (write_raster, "1 raster(s) of no known kind: describe under catalog.rasters"),
    "s2.nc": (lambda p: p.write_bytes(b"CDF\1"), "1 raster(s) of no known kind"),
    "nameless": (lambda p: write_raster(p.with_suffix(".tif")).rename(p), "1 raster(s) of no known"),
    "LC08_L1TP_197030_20220101_20220101_02_T1_B4.TIF": (
        lambda p: write_raster(p), "1 file(s) of Landsat, which is not read"),
    "modis.json": (
        lambda p: text(p, json.dumps({"type": "Feature", "stac_version": "1.0.0", "id": "m",
                                      "properties": {"platform": "terra"}, "assets": {}})),
        "1 item(s) of terra, not read: for example m"),
    "items.ndjson": (
        lambda p: text(p, '{"type": "Feature", "stac_version": "1.0.0"}\n'), "STAC items a line"),
    "feature.json": (
        lambda p: text(p, json.dumps({"type": "Feature", "id": "f", "properties": {},
                                      "assets": {"B02": {"href": "x"}}})),
        "1 item(s) without stac_version"),
}  # fmt: skip


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("name", FINDS)
def test_what_is_found_and_not_used_is_told(here, name, beside):
    make, reason = FINDS[name]
    (here / "in").mkdir()
    make(here / "in" / name)
    if not beside:
        with pytest.raises(IncompleteError, match=re.escape(reason)):
            plan(settings(here))
        return
    make_safe("in", bands=("B02",))
    lock = plan(settings(here))
    (left,) = lock.excluded
    assert (left.sensor, left.id) == ("other", f"in/{name}")
    assert reason in left.reason
    assert reason in describe(lock)


def test_files_of_many_folders_have_one_line_and_those_of_the_recipe_none(here):
    make_safe("in", bands=("B02",))
    for number in range(30):
        write_raster(f"in/more/{number:02d}/a.tif", size=2)
    (here / "map.tif").rename("in/map.tif")
    write_raster("in/mine.tif")
    area = {
        "type": "Polygon",
        "coordinates": [[[3, 44.97], [3.02, 44.97], [3.02, 44.99], [3, 44.97]]],
    }
    (here / "in/area.json").write_text(json.dumps(area))
    mine = {"sensor": "sentinel2", "path": "in/mine.tif", "bands": ["B02"], "date": "2022-03-01",
            "add_offset": 0}  # fmt: skip
    lock = plan(settings(here, area={"file": "in/area.json"}, label={"path": "in/map.tif"},
                         catalog={"paths": ["."], "rasters": [mine]}))  # fmt: skip
    (left,) = lock.excluded
    assert left.id == "in/more"
    assert left.reason.startswith("30 raster(s) of no known kind")
    assert left.reason.endswith("in 30 folders, for example 00/a.tif")


def test_names_that_are_no_text_are_told(here):
    make_safe("in", bands=("B02",))
    (here / os.fsdecode(b"in/d\xe9j\xe0.tif")).write_bytes(b"II*\0")
    lock = plan(settings(here), here / "lock.json")
    assert [e.id for e in lock.excluded] == ["in/d\\xe9j\\xe0.tif"]


def test_products_of_a_sensor_that_the_recipe_does_not_want_are_counted(here):
    make_safe("in", bands=("B02",))
    make_grd("in")
    (left,) = plan(settings(here)).excluded
    assert (left.sensor, left.id) == ("sentinel1", "1 product(s)")
    assert left.reason == "the recipe asks for no sentinel1 (layers)"


def test_a_tile_of_amazon_is_named_as_such_and_an_item_may_still_name_its_files(here):
    folder = here / "in/tiles/31/T/EK/2022/1/15/0"
    write_raster(folder / "B02.jp2")
    text(folder / "tileInfo.json", "{}")
    text(folder / "metadata.xml", "<x/>")
    assert "layout of Amazon's buckets" in told(Path("in"))["in/tiles/31/T/EK/2022/1/15/0"]
    item = {"type": "Feature", "stac_version": "1.0.0", "id": "x", "assets": {
                "B02": {"href": "tiles/31/T/EK/2022/1/15/0/B02.jp2"}},
            "geometry": {"type": "Polygon", "coordinates": [
                [[2.99, 44.96], [3.04, 44.96], [3.04, 45.0], [2.99, 45.0], [2.99, 44.96]]]},
            "properties": {"datetime": "2022-01-15T10:53:41Z", "constellation": "sentinel-2"}}  # fmt: skip
    text(here / "in/item.json", json.dumps(item))
    assert (ids(Path("in")), told(Path("in"))) == (["x"], {})


def test_band_files_of_amazon_without_their_metadata_are_named_as_such(here):
    for size in (10, 20):
        write_raster(here / f"in/tiles/31/T/EK/2022/1/15/0/R{size}m/B02.jp2")
    assert plan_of_nothing(here).count("layout of Amazon's buckets") == 2


def plan_of_nothing(here):
    with pytest.raises(IncompleteError) as info:
        plan(settings(here))
    return str(info.value)


def test_an_explicit_path_that_is_nothing_is_told(here):
    (here / "notes.txt").write_text("x")
    assert told(Path("notes.txt")) == {"notes.txt": "no product, archive, STAC item or raster"}


def test_an_area_in_metres_that_claims_degrees_is_named_as_such(here):
    table = gpd.GeoDataFrame(geometry=[shapely.box(5e5, 4.98e6, 5.02e5, 4.982e6)], crs="EPSG:4326")
    table.to_file("area.gpkg")
    make_safe("in", bands=("B02",))
    with pytest.raises(InputError, match="these are metres"):
        plan(settings(here, area={"file": "area.gpkg"}))


def test_our_own_results_are_no_finds(here):
    make_safe("in", bands=("B02",))
    write_raster("results/test/labels/u.tif", dtype="uint8")
    path = settings(here / "results/test/settings", catalog={"paths": ["."]})
    assert [e.id for e in plan(path).excluded] == []


# --- archives that cannot be read ----------------------------------------------------------------


def test_an_encrypted_archive_has_one_clear_line(tmp_path):
    archive = zipped(make_safe(tmp_path, bands=("B02",)))
    data = bytearray(archive.read_bytes())
    for signature, place in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = -1
        while (at := data.find(signature, at + 1)) >= 0:
            data[at + place] |= 1
    archive.write_bytes(bytes(data))
    with pytest.raises(SceneError, match="the archive is encrypted; unpack it") as info:
        search([archive])
    assert "fetch" not in str(info.value)


def test_a_way_of_packing_that_is_unknown_is_no_reason_to_fetch_again(tmp_path):
    archive = zipped(make_safe(tmp_path, bands=("B02",)))
    data = bytearray(archive.read_bytes())
    at = -1
    while (at := data.find(b"PK\1\2", at + 1)) >= 0:
        data[at + 10] = 9  # Deflate64, as Windows writes it
    archive.write_bytes(bytes(data))
    with pytest.raises(SceneError, match="packed in a way that is not read") as info:
        search([archive])
    assert "fetch" not in str(info.value)


@pytest.mark.parametrize("name", ["S2A_MSIL2A_20220101T000000_N0400_R051_T31TEK_20220101T1.zip",
                                  f"{GRD}_AAE7.zip"])  # fmt: skip
def test_an_archive_named_as_a_product_that_holds_none_is_an_error(tmp_path, name):
    zip_of(tmp_path / name, "readme.txt")
    with pytest.raises(SceneError, match="the product lacks"):
        search([tmp_path], Reading(raw=True))


# --- JSON that is broken -------------------------------------------------------------------------

BROKEN = {
    "null properties": '{"type": "Feature", "stac_version": "1.0.0", "id": "a", "properties": null}',
    "no properties": '{"type": "Feature", "stac_version": "1.0.0", "id": "a"}',
    "assets are a list": '{"type": "Feature", "stac_version": "1.0.0", "id": "a", "properties": '
    '{"constellation": "sentinel-2"}, "assets": []}',
    "cut off": '{"type": "Feature", "stac_version": "1.0.0", "id": "a", "prop',
    "null geometry": '{"type": "Feature", "stac_version": "1.0.0", "id": "a", "properties": '
    '{"constellation": "sentinel-2", "datetime": "2022-01-01T00:00:00Z"}, "geometry": null}',
    "null time": '{"type": "Feature", "stac_version": "1.0.0", "id": "a", "properties": '
    '{"constellation": "sentinel-2", "datetime": null}, "geometry": null}',
    "assets are text": '{"type": "Feature", "stac_version": "1.0.0", "id": "a", "properties": '
    '{"platform": "sentinel-1a"}, "assets": "none"}',
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_item_has_one_clear_line(tmp_path, name):
    text(tmp_path / "item.json", BROKEN[name])
    if name == "assets are a list":
        text(tmp_path / "item.json", BROKEN[name].replace("[]", '["B02"]'))
    with pytest.raises(SceneError, match=r"item\.json: ") as info:
        search([tmp_path])
    assert "fetch the item" in str(info.value)


@pytest.mark.parametrize(
    "content",
    ["[1, 2", "null", "[[null]]", '{"features": [null, 3]}', "[" * 100_000, "\ufeff[]", "", "{}"],
)
def test_other_json_is_passed_over(tmp_path, content):
    text(tmp_path / "other.json", content)
    found = search([tmp_path])
    assert (found.scenes, found.excluded) == ((), ())


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_items_of_windows_are_read(tmp_path, encoding):
    item = {"type": "Feature", "stac_version": "1.0.0", "id": "x", "assets": {},
            "geometry": {"type": "Polygon", "coordinates": [[[3, 45], [4, 45], [4, 44], [3, 45]]]},
            "properties": {"datetime": "2022-01-15T10:53:41Z", "constellation": "sentinel-2"}}  # fmt: skip
    (tmp_path / "item.json").write_text(json.dumps(item), encoding=encoding)
    assert ids(tmp_path) == ["x"]


@pytest.mark.parametrize(
    ("href", "file"),
    [
        ("./my%20files/B02.tif", "my files/B02.tif"),
        ("my files/B02.tif", "my files/B02.tif"),
        ("a%23b.tif", "a#b.tif"),
        ("a#b.tif", "a#b.tif"),
        ("100%.tif", "100%.tif"),
        ("https://far/x/a%20b.tif?sig=1%2F2", "a b.tif"),
        ("https://far/x/a%20b.tif", "a%20b.tif"),
        ("https://far/bucket/x%2Fy%2FB02.tif", "B02.tif"),
        ("https://far/bucket/x%2FB02.tif", "x%2FB02.tif"),
        ("https://far/a#b.tif", "a#b.tif"),
    ],
)
def test_escaped_addresses_lead_to_their_files(tmp_path, href, file):
    from terrapatch.catalog.stac import local_file

    write_raster(tmp_path / file, size=2)
    assert local_file(href, tmp_path / "item.json") == tmp_path / file


# --- permissions ---------------------------------------------------------------------------------


@pytest.fixture
def as_nobody():
    """A folder, and the life of a user who owns nothing: root may read everything."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    root = os.geteuid() == 0
    yield folder, lambda: os.seteuid(65534) if root else None
    if root:
        os.seteuid(0)
    shutil.rmtree(folder)


def test_what_may_not_be_read_is_told_with_the_right_advice(as_nobody):
    folder, become = as_nobody
    root = make_safe(folder / "in", bands=("B02",))
    (folder / "in/closed").mkdir(mode=0o000)
    become()
    found = search([folder / "in"])
    assert [s.id for s in found.scenes] == [root.stem]
    (left,) = found.excluded
    assert left.id == str(folder / "in/closed")
    assert "no permission to read it" in left.reason
    with pytest.raises(InputError, match="no permission to read it"):
        search([folder / "in/closed"])


@pytest.mark.parametrize(
    "what", ["MTD_MSIL2A.xml", "MTD_TL.xml", "*_B02_10m.jp2", "IMG_DATA", "zip"]
)
def test_permission_errors_do_not_advise_to_fetch_again(as_nobody, what):
    folder, become = as_nobody
    root = make_safe(folder, bands=("B02",))
    target = zipped(root) if what == "zip" else next(root.rglob(what))
    mode = target.stat().st_mode
    target.chmod(0o000)
    become()
    with pytest.raises(SceneError, match="permission") as info:
        locked_item(search([folder]).scenes[0], ["B02"], Files(hash_files=False))
    assert "fetch" not in str(info.value)
    if os.geteuid() == 65534:
        os.seteuid(0)
    target.chmod(mode)


@pytest.mark.parametrize("name", ["area.geojson", "area.zip"])
def test_a_vector_file_without_permission_is_not_called_damaged(as_nobody, name):
    folder, become = as_nobody
    (folder / "out").mkdir()
    (folder / "out").chmod(0o777)
    (folder / name).write_bytes(b"x")
    (folder / name).chmod(0o000)
    become()
    with pytest.raises(TerrapatchError, match="permission") as info:
        read_vectors(folder / name, folder / "out")
    assert "fetch" not in str(info.value)


def read_vectors(path, out):
    if path.suffix == ".zip":
        return unpacked(path, out)
    return open_layer(str(path), schema_of("custom"), layer=None, unpack_to=out, any_kind=True)


# --- latitude and longitude ----------------------------------------------------------------------


def test_swapped_latitude_and_longitude_get_a_hint(here):
    make_safe("in", bands=("B02",))
    with pytest.raises(IncompleteError, match="with latitude and longitude swapped"):
        plan(settings(here, area={"bbox": [44.97, 3.0, 44.99, 3.02]}))
    with pytest.raises(IncompleteError) as info:
        plan(settings(here, area={"bbox": [13.0, 44.97, 13.02, 44.99]}))
    assert "swapped" not in str(info.value)
    ring = [[44.97, 3.0], [44.99, 3.0], [44.99, 3.02], [44.97, 3.0]]
    text(here / "area.geojson", json.dumps({"type": "Polygon", "coordinates": [ring]}))
    with pytest.raises(IncompleteError, match="with latitude and longitude swapped"):
        plan(settings(here, area={"file": "area.geojson"}))


def test_latitudes_beyond_the_poles_get_a_hint(here):
    with pytest.raises(RecipeError, match="south, west, north, east"):
        settings(here, area={"bbox": [-33.9, 150.8, -33.8, 151.0]})
    make_safe("in", bands=("B02",))
    ring = [[-33.9, 150.8], [-33.8, 150.8], [-33.8, 151.0], [-33.9, 150.8]]
    text(here / "area.geojson", json.dumps({"type": "Polygon", "coordinates": [ring]}))
    table = gpd.GeoDataFrame(geometry=[shapely.Polygon(ring)], crs="EPSG:4326")
    table.to_file("area.gpkg")
    for name in ("area.geojson", "area.gpkg"):
        with pytest.raises(InputError, match="swapped in the file"):
            plan(settings(here, area={"file": name}))
