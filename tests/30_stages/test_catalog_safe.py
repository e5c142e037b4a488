# SPDX-License-Identifier: Apache-2.0
"""SAFE products: what their metadata say, and what is refused."""

import hashlib
import re
import zipfile

import numpy as np
import pytest
import rasterio
import shapely

from made.catalog import make_safe, write_raster, zipped
from terrapatch.catalog import safe
from terrapatch.catalog.files import Files
from terrapatch.catalog.folder import search
from terrapatch.catalog.locking import locked_item
from terrapatch.errors import GridError, SceneError
from terrapatch.grid import tile_footprint

NO_HASH = Files(hash_files=False)


def one(path):
    (scene,) = search([path]).scenes
    return scene


def edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


# --- genuine products ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tile", "offset", "facts"),
    [
        ("T07HFE", 0.0, ("02.12", 51.580326, 13, "descending")),
        ("T22HBD", 0.0, ("02.14", 0.447807, 81, "descending")),
        ("T33XWJ", -1000.0, ("04.00", 98.944211, 25, "ascending")),
        ("T01WCP", -1000.0, ("05.09", 15.047897, 73, "descending")),
    ],
)
def test_offsets_of_four_genuine_baselines(shared_data, tile, offset, facts):
    (folder,) = (shared_data / "s2_l2a_safe_metadata").glob(f"*_{tile}_*.SAFE")
    scene = one(folder)
    assert scene.id == folder.stem
    assert (scene.tile, scene.level) == (tile, "L2A")
    found = (scene.processing_baseline, scene.cloud_percent, scene.relative_orbit)
    assert (*found, scene.orbit_direction) == facts
    product = safe.parse(safe.Tree(folder, (), None), "MTD_MSIL2A.xml")
    offsets = safe.band_offsets(product, "L2A", "here")
    assert {offsets[b] for b in offsets if b != "B10"} == {offset}
    with pytest.raises(SceneError, match=r"lacks the band\(s\) B02, B8A, SCL .* fetch the product"):
        locked_item(scene, ["B02", "B8A", "SCL"], NO_HASH)


def test_a_genuine_footprint_over_the_antimeridian_is_cut_in_two(shared_data):
    (folder,) = (shared_data / "s2_l2a_safe_metadata").glob("*_T01WCP_*.SAFE")
    west, east = sorted(one(folder).footprint.geoms, key=lambda g: g.bounds[0])
    assert west.bounds[0] == -180
    assert west.bounds[2] == pytest.approx(-178.96619)
    assert east.bounds[2] == 180
    assert east.bounds[0] == pytest.approx(178.47410712)
    # The whole is one tile of about 110 km, not a belt around the Earth.
    assert west.area + east.area == pytest.approx(2.46 * 1.03, rel=0.25)


def test_genuine_crops_of_two_dates(shared_data):
    found = search([shared_data / "s2_l1c_safe"])
    january, march = (s for s in found.scenes if s.tile == "T31TCJ")
    items = [locked_item(s, ["B01", "B02", "B8A", "B10", "B12"], NO_HASH) for s in (january, march)]
    assert [i.datetime for i in items] == ["2024-01-20T10:53:41.024Z", "2024-03-05T10:48:19.024Z"]
    assert [i.cloud_percent for i in items] == [0.0, 63.960614]
    assert [i.platform for i in items] == ["Sentinel-2A", "Sentinel-2B"]
    for item, dtype in zip(items, ("uint16", "int16"), strict=True):
        for asset in item.assets.values():
            # Crops: the header, not the metadata, knows that every band has 30 pixels of 10 m.
            assert asset.shape == (30, 30)
            assert asset.transform == (10, 0, 350_000, 0, -10, 4_850_020)
            assert (asset.crs, asset.dtype, asset.nodata) == ("EPSG:32631", dtype, 0.0)
            assert (asset.add_offset, asset.quantification) == (-1000.0, 10_000.0)
        # The footprint is that of the pixels: 300 m, not the 110 km of the metadata.
        west, south, east, north = shapely.geometry.shape(item.footprint).bounds
        assert (east - west, north - south) == pytest.approx((0.0038, 0.0028), abs=3e-4)


def test_a_genuine_zip_is_read_in_place(shared_data):
    path = next((shared_data / "s2_l1c_safe").glob("*.zip"))
    scene = one(path)
    item = locked_item(scene, ["B01", "B02", "B10"], Files(hash_files=True))
    assert (item.tile, item.processing_baseline, item.level) == ("T56JMM", "02.06", "L1C")
    assert [a.shape for a in item.assets.values()] == [(73, 73), (439, 439), (73, 73)]
    for asset in item.assets.values():
        assert asset.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert asset.size == path.stat().st_size
        assert (asset.add_offset, asset.nodata) == (0.0, 0.0)
        with rasterio.open(asset.href) as dataset:
            assert dataset.read(1).max() > 0
    # 26 % of the tile was not observed: the swath's edge runs through it.
    share = shapely.geometry.shape(item.footprint).area / tile_footprint("T56JMM").area
    assert share == pytest.approx(0.74, abs=0.02)


def test_a_genuine_product_with_one_band_says_what_is_missing(shared_data):
    (folder,) = (shared_data / "s2_l1c_safe").glob("*_T31TDH_*.SAFE")
    item = locked_item(one(folder), ["B01"], NO_HASH)
    assert item.assets["B01"].shape == (1830, 1830)
    with pytest.raises(SceneError, match=r"lacks the band\(s\) B02, B03 \(it has B01\)"):
        locked_item(one(folder), ["B01", "B02", "B03"], NO_HASH)


# --- small products ------------------------------------------------------------------------------


def test_bands_are_taken_at_their_native_pixel_size(tmp_path):
    root = make_safe(tmp_path, bands=("B01", "B02", "B05"), scl=True)
    granule = next((root / "GRANULE").iterdir())
    for band, size in (("B02", 20), ("B02", 60), ("B05", 60), ("SCL", 60)):
        # Level-2A products hold copies at coarser sizes.
        write_raster(granule / f"IMG_DATA/R{size}m/T31TEK_20220115T105341_{band}_{size}m.jp2",
                     res=size, size=2400 // size)  # fmt: skip
    item = locked_item(one(root), ["SCL", "B05", "B01", "B02"], NO_HASH)
    assert list(item.assets) == ["SCL", "B05", "B01", "B02"]
    sizes = {band: asset.transform[0] for band, asset in item.assets.items()}
    assert sizes == {"SCL": 20, "B05": 20, "B01": 60, "B02": 10}
    assert item.assets["SCL"].add_offset == 0
    assert item.assets["SCL"].dtype == "uint8"


def test_offsets_go_by_band_id(tmp_path):
    root = make_safe(tmp_path, level="L1C", bands=("B08", "B8A", "B09", "B12"))
    xml = root / "MTD_MSIL1C.xml"
    for number in range(13):
        edit(xml, f'band_id="{number}">-1000<', f'band_id="{number}">{-1000 - number}<')
    item = locked_item(one(root), ["B08", "B8A", "B09", "B12"], NO_HASH)
    offsets = {band: asset.add_offset for band, asset in item.assets.items()}
    assert offsets == {"B08": -1007, "B8A": -1008, "B09": -1009, "B12": -1012}


@pytest.mark.parametrize("baseline", ["04.00", "05.10", "99.99"])
def test_an_early_product_has_no_offset_and_a_late_one_must_have_it(tmp_path, baseline):
    early = one(make_safe(tmp_path / "early", baseline="02.14", offsets=None))
    assert locked_item(early, ["B02"], NO_HASH).assets["B02"].add_offset == 0
    late = make_safe(tmp_path / "late", baseline=baseline, offsets=None)
    with pytest.raises(
        SceneError, match=f"metadata without offset node: baseline {baseline}"
    ) as info:
        locked_item(one(late), ["B02"], NO_HASH)
    assert f"{late}/MTD_MSIL2A.xml" in str(info.value)
    assert "fetch the product again" in str(info.value)


def test_one_missing_offset_among_many_is_seen(tmp_path):
    root = make_safe(tmp_path, baseline="05.10")
    xml = root / "MTD_MSIL2A.xml"
    edit(xml, '<BOA_ADD_OFFSET band_id="8">-1000</BOA_ADD_OFFSET>', "")
    with pytest.raises(SceneError, match=r"BOA_ADD_OFFSET for B8A;"):
        locked_item(one(root), ["B02"], NO_HASH)


@pytest.mark.parametrize("old", ['_id="1">-1000<', ">10000<"])
def test_an_offset_or_quantification_that_is_no_number_is_refused(tmp_path, old):
    root = make_safe(tmp_path)
    edit(root / "MTD_MSIL2A.xml", old, old.split(">")[0] + ">many<")
    with pytest.raises(SceneError, match="broken metadata"):
        locked_item(one(root), ["B02"], NO_HASH)


def test_an_early_baseline_with_offsets_keeps_them(tmp_path):
    # Reprocessed products are judged by what they say, not by date.
    scene = one(make_safe(tmp_path, start="20160101T105341", baseline="05.00", offsets=-1000))
    assert locked_item(scene, ["B02"], NO_HASH).assets["B02"].add_offset == -1000


def test_the_crs_of_file_and_metadata_must_agree(tmp_path):
    scene = one(make_safe(tmp_path, crs="EPSG:32632"))
    with pytest.raises(GridError, match=r"CRS that does not match: the file says EPSG:32632, .*"
                                        r"metadata say EPSG:32631"):  # fmt: skip
        locked_item(scene, ["B02"], NO_HASH)


def test_pixels_far_from_the_footprint_are_refused(tmp_path):
    scene = one(make_safe(tmp_path, left=600_000.0))
    with pytest.raises(GridError, match="outside the footprint"):
        locked_item(scene, ["B02"], NO_HASH)


def test_a_file_without_crs_lies_where_the_tile_metadata_say(tmp_path):
    root = make_safe(tmp_path, level="L1C", bands=("B05",))
    (image,) = root.rglob("*_B05.jp2")
    profile = {"driver": "JP2OpenJPEG", "width": 120, "height": 120, "count": 1, "dtype": "uint16"}
    bare = {"QUALITY": 100, "REVERSIBLE": "YES", "GMLJP2": "NO", "GeoJP2": "NO"}
    with (
        pytest.warns(rasterio.errors.NotGeoreferencedWarning),
        rasterio.open(image, "w", **profile, **bare) as dataset,
    ):
        dataset.write(np.ones((1, 120, 120), "uint16"))
    for extra in root.rglob("*.aux.xml"):
        extra.unlink()
    asset = locked_item(one(root), ["B05"], NO_HASH).assets["B05"]
    assert (asset.crs, asset.transform) == ("EPSG:32631", (20, 0, 500_000, 0, -20, 4_982_400))


def test_a_zip_and_its_folder_give_the_same_pixels_and_metadata(tmp_path):
    root = make_safe(tmp_path, scl=True)
    from_folder = locked_item(one(root), ["B02", "SCL"], NO_HASH)
    archive = zipped(root)
    from_zip = locked_item(one(archive), ["B02", "SCL"], NO_HASH)
    plain = {"assets"}
    assert from_folder.model_dump(exclude=plain) == from_zip.model_dump(exclude=plain)
    for band, asset in from_zip.assets.items():
        assert asset.href.startswith(f"/vsizip/{archive}/{root.name}/GRANULE/")
        same = asset.model_copy(update={"href": from_folder.assets[band].href,
                                        "size": from_folder.assets[band].size})  # fmt: skip
        assert same == from_folder.assets[band]


def test_a_zip_of_any_name_is_known_by_what_it_holds(tmp_path):
    archive = zipped(make_safe(tmp_path))
    other = archive.rename(tmp_path / "962adbbe-8796.zip")
    assert one(other).tile == "T31TEK"
    with zipfile.ZipFile(tmp_path / "unrelated.zip", "w") as unrelated:
        unrelated.writestr("a.txt", "nothing")
    (tmp_path / "broken_unrelated.zip").write_bytes(b"not a zip")
    assert len(search([tmp_path]).scenes) == 1


def broken_member(archive, pattern):
    """Flip one byte in the compressed data of a member."""
    with zipfile.ZipFile(archive) as opened:
        info = next(i for i in opened.infolist() if re.search(pattern, i.filename))
    data = bytearray(archive.read_bytes())
    place = info.header_offset + 30 + len(info.filename) + info.compress_size // 2
    data[place] ^= 0xFF
    archive.write_bytes(bytes(data))
    return info.filename


def test_a_zip_with_a_broken_member_names_file_and_member(tmp_path):
    archive = zipped(make_safe(tmp_path))
    name = broken_member(archive, "_B05_20m")
    with pytest.raises(SceneError) as info:
        locked_item(one(archive), ["B02", "B05"], NO_HASH)
    assert str(archive) in str(info.value)
    assert name in str(info.value)
    assert "fetch the archive again" in str(info.value)
    # The band alone that is sound can be read, unless the whole archive is to be vouched for.
    locked_item(one(archive), ["B02"], NO_HASH)
    with pytest.raises(SceneError, match="is broken"):
        locked_item(one(archive), ["B02"], Files(hash_files=True))


def test_a_zip_with_broken_metadata_names_them(tmp_path):
    archive = zipped(make_safe(tmp_path))
    name = broken_member(archive, r"MTD_MSIL2A\.xml")
    with pytest.raises(SceneError, match=re.escape(name)):
        search([archive])


def test_a_truncated_zip_is_refused(tmp_path):
    archive = zipped(make_safe(tmp_path))
    archive.write_bytes(archive.read_bytes()[:-300])
    with pytest.raises(SceneError, match=r"no complete zip archive .* fetch it again"):
        search([archive])


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("MTD_MSIL2A.xml", "<EXT_POS_LIST>", "<X", "broken metadata"),
        ("MTD_MSIL2A.xml", "PROCESSING_BASELINE", "X", "metadata without PROCESSING_BASELINE"),
        ("MTD_MSIL2A.xml", "EXT_POS_LIST", "X", "metadata without footprint"),
        ("MTD_MSIL2A.xml", "LIST>44.96 2.99 ", "LIST>44.96 ", "EXT_POS_LIST is no ring"),
        ("MTD_MSIL2A.xml", ">3.5<", ">cloudy<", "broken metadata"),
        ("MTD_TL.xml", "TILE_ID", "X", "metadata without TILE_ID"),
    ],
)
def test_damaged_metadata_are_named(tmp_path, name, old, new, said):
    root = make_safe(tmp_path)
    (file,) = root.rglob(name)
    edit(file, old, new)
    with pytest.raises(SceneError, match=said) as info:
        search([root])
    assert str(root) in str(info.value)
    assert "fetch" in str(info.value)


@pytest.mark.parametrize("name", ["MTD_MSIL2A.xml", "MTD_TL.xml"])
def test_a_product_without_its_metadata_is_refused(tmp_path, name):
    root = make_safe(tmp_path)
    next(root.rglob(name)).unlink()
    with pytest.raises(SceneError, match=rf"the product lacks .*{name}.*; fetch it again"):
        search([tmp_path])


def test_an_empty_second_granule_folder_is_no_granule(tmp_path):
    root = make_safe(tmp_path)
    (root / "GRANULE" / "L2A_T31TEK_null" / "IMG_DATA").mkdir(parents=True)
    assert one(root).tile == "T31TEK"


def test_hidden_and_half_written_products_are_no_products(tmp_path):
    root = make_safe(tmp_path)
    root.rename(tmp_path / f".{root.name}.123.part")
    assert search([tmp_path]).scenes == ()
