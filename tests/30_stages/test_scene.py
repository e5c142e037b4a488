# SPDX-License-Identifier: Apache-2.0
"""A scene is data: it can be stored, compared and sent, and planned without its files at hand."""

import json
import pickle
from dataclasses import replace
from datetime import date

import numpy as np
import pytest
import rasterio

from made.catalog import make_safe, write_raster
from made.theia import make_theia, zipped
from terrapatch import access
from terrapatch.access import Access
from terrapatch.catalog.described import described_scenes, map_scene
from terrapatch.catalog.files import Files
from terrapatch.catalog.folder import search
from terrapatch.catalog.locking import locked_item
from terrapatch.catalog.scene import BandFile, Numbers, scene_from_dict, scene_to_dict
from terrapatch.catalog.statements import Statement
from terrapatch.catalog.tree import Reading
from terrapatch.errors import SourceError
from terrapatch.rasters import BlockReader
from terrapatch.settings import RasterSource

NO_HASH = Files(hash_files=False)


@pytest.fixture
def scenes(shared_data, tmp_path):
    """Scenes of every family and form, genuine and made."""
    make_safe(tmp_path / "safe", bands=("B02", "B8A", "SCL"))
    make_safe(tmp_path / "late", baseline="05.10", offsets=None)  # no offset: refused once wanted
    theia, _ = make_theia(tmp_path / "theia", shared_data)
    zipped(theia)
    write_raster(tmp_path / "nan/B02.tif", dtype="float32")
    items(tmp_path / "nan", "B02.tif", **{"raster:bands": [{"nodata": "nan"}]})
    write_raster(tmp_path / "map.tif")
    entry = RasterSource(
        sensor="sentinel1", path=str(write_raster(tmp_path / "vv.tif", dtype="float32")),
        date=date(2022, 6, 1), bands=["VV"],
    )  # fmt: skip
    folders = [
        tmp_path / "safe", tmp_path / "nan", tmp_path / "late", tmp_path / "theia",
        *(shared_data / n for n in ("s1_grd_safe", "s1_rtc_series", "s1s2_bigearthnet", "s2_l2a_cog",
                                    "s2_l1c_safe", "stac")),
    ]  # fmt: skip
    found = [scene for folder in folders for scene in search([folder], Reading(raw=True)).scenes]
    return [*found, map_scene(str(tmp_path / "map.tif")), *described_scenes([entry], "L2A")]


def test_scenes_of_every_family_are_stored_sent_and_compared(scenes):
    assert {scene.family for scene in scenes} == {
        "safe", "maja", "grd", "stac", "geotiff", "described",
    }  # fmt: skip
    assert {band for s in scenes for band in s.bands} >= {
        "B02",
        "SCL",
        "EDG",
        "SRE_B02",
        "VV",
        "map",
    }
    for scene in scenes:
        text = json.dumps(scene_to_dict(scene), allow_nan=False)
        for again in (scene_from_dict(json.loads(text)), pickle.loads(pickle.dumps(scene))):
            assert again == scene
            assert scene_to_dict(again) == scene_to_dict(scene)
        assert scene != replace(scene, id="another")
        changed = {name: replace(file, band=9) for name, file in scene.bands.items()}
        assert not changed or scene != replace(scene, bands=changed)


@pytest.mark.parametrize("family", ["safe", "maja", "grd", "stac", "geotiff"])
def test_a_scene_that_was_stored_makes_the_same_item(scenes, family):
    scene = next(s for s in scenes if s.family == family and s.bands)
    again = scene_from_dict(json.loads(json.dumps(scene_to_dict(scene))))
    bands = [sorted(scene.bands)[-1]]
    assert locked_item(again, bands, NO_HASH) == locked_item(scene, bands, NO_HASH)


def test_nan_is_the_same_missing_value_after_a_round_trip():
    one, other = (Statement("x", nodata=float("nan")) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
    assert one != Statement("x", nodata=0.0)
    assert BandFile(Access("a.tif"), numbers=Numbers((one,))) == BandFile(
        Access("a.tif"), numbers=Numbers((other,))
    )


# --- what lies elsewhere -------------------------------------------------------------------------

PLACE = {"proj:epsg": 32631, "proj:shape": [240, 240],
         "proj:transform": [10, 0, 500_000, 0, -10, 4_982_400]}  # fmt: skip


def items(folder, href, **asset):
    """The scenes of an item with one asset."""
    described = (
        {"href": href, "raster:bands": [{"data_type": "uint16", "nodata": 0}]} | PLACE | asset
    )
    item = {
        "type": "Feature", "stac_version": "1.0.0", "id": "S2A_31TEK_20220115_0_L2A",
        "geometry": {"type": "Polygon", "coordinates": [
            [[2.99, 44.96], [3.04, 44.96], [3.04, 45.0], [2.99, 45.0], [2.99, 44.96]]]},
        "properties": {
            "datetime": "2022-01-15T10:53:41Z", "constellation": "sentinel-2",
            "grid:code": "MGRS-31TEK", "s2:processing_baseline": "04.00",
        },
        "assets": {"blue": described},
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "item.json").write_text(json.dumps(item))
    return search([folder]).scenes


def test_a_scene_elsewhere_is_planned_from_metadata_as_if_it_were_here(tmp_path, monkeypatch):
    write_raster(tmp_path / "here/B02.tif", nodata=0)
    (here,) = items(tmp_path / "here", "B02.tif")
    local = locked_item(here, ["B02"], NO_HASH)
    digest = "ab" * 32
    (there,) = items(tmp_path / "there", "https://host/B02.tif?sig=secret", **{
        "file:size": 11, "file:checksum": f"1220{digest}",
    })  # fmt: skip
    with pytest.raises(SourceError, match=r"not local, for example B02 \(https://host/B02\.tif\);"):
        locked_item(there, ["B02"], NO_HASH)

    def opened(*_):
        raise AssertionError("opened")

    monkeypatch.setattr(access.rasterio, "open", opened)
    remote = locked_item(there, ["B02"], NO_HASH, remote=True)
    asset = remote.assets["B02"]
    assert "secret" not in remote.model_dump_json()
    assert (asset.href, asset.size, asset.sha256) == ("https://host/B02.tif", 11, digest)
    same = {"href": asset.href, "size": 11, "sha256": digest}
    assert local.assets["B02"].model_copy(update=same) == asset
    assert remote.footprint == local.footprint


@pytest.mark.parametrize(("lacks", "says"), [
    ({"proj:shape": None}, "transform, shape"), ({"raster:bands": []}, "dtype"),
])  # fmt: skip
def test_what_its_metadata_do_not_tell_stops_the_plan_of_a_scene_elsewhere(tmp_path, lacks, says):
    (scene,) = items(tmp_path, "s3://bucket/B02.tif", **lacks)
    with pytest.raises(
        SourceError, match=f"is not on this machine, and its metadata state no {says}"
    ):
        locked_item(scene, ["B02"], NO_HASH, remote=True)


@pytest.mark.parametrize(("options", "says"), [
    ({}, None),
    ({"left": 500_010.0}, r"pixels at .*500010.*, the lock says .*500000"),
    ({"crs": "EPSG:32632"}, r"EPSG:32632, the lock says .*EPSG:32631"),
    ({"size": 120}, r"has \(120, 120\) pixels, the lock says \(240, 240\)"),
    ({"dtype": "int16"}, "pixels of int16, the lock says uint16"),
])  # fmt: skip
def test_a_file_is_held_against_its_metadata_when_it_is_opened(tmp_path, options, says):
    (scene,) = items(tmp_path / "plan", "https://host/B02.tif")
    planned = locked_item(scene, ["B02"], NO_HASH, remote=True).assets["B02"]
    fetched = write_raster(tmp_path / "fetched.tif", **options)
    asset = planned.model_copy(update={"href": str(fetched)})
    out = np.zeros((2, 2), rasterio.open(fetched).dtypes[0])
    with BlockReader() as reader:
        if says is None:
            reader.read(asset, (slice(0, 2), slice(0, 2)), out)
            return
        with pytest.raises(SourceError, match=says):
            reader.read(asset, (slice(0, 2), slice(0, 2)), out)


def test_the_grid_of_a_product_is_in_its_metadata(shared_data, tmp_path):
    whole = next((shared_data / "s2_l1c_safe").glob("*T31TDH*.SAFE"))
    (scene,) = search([whole]).scenes
    (asset,) = locked_item(scene, ["B01"], NO_HASH).assets.values()
    stated = scene.bands["B01"]
    assert (stated.crs, stated.transform, stated.shape, stated.dtype) == (
        asset.crs, asset.transform, asset.shape, asset.dtype,
    )  # fmt: skip
    assert scene.grid.shape == (10_980, 10_980)
    (scene,) = search([make_theia(tmp_path, shared_data)[0]]).scenes
    sizes = {band: scene.bands[band].transform[0] for band in ("B02", "EDG", "B8A")}
    assert sizes == {"B02": 10.0, "EDG": 10.0, "B8A": 20.0}
    assert scene.bands["B8A"].shape == (5490, 5490)
