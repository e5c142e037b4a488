# SPDX-License-Identifier: Apache-2.0
"""The lock hashes what pixels come from, and every stage holds its files against it."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.shutil import copy as gdal_copy

from made.catalog import make_safe, reference_map, settings_file, write_raster
from made.patches import write_footprints
from terrapatch import sums
from terrapatch.access import file_of
from terrapatch.catalog import changes, plan
from terrapatch.errors import InputError, SceneError, SourceError
from terrapatch.labels import labels
from terrapatch.lock import read_lock, unit_geobox, write_lock
from terrapatch.rasterfiles import files_beside
from terrapatch.records import LockedFile
from terrapatch.settings import LabelsSettings
from terrapatch.sums import Sums, check_unchanged

RASTER = {"size": 20, "dtype": "uint8"}


def source(name, *, relative=1, x=0):
    return (
        f'<SimpleSource><SourceFilename relativeToVRT="{relative}">{name}</SourceFilename>'
        '<SourceBand>1</SourceBand><SrcRect xOff="0" yOff="0" xSize="20" ySize="20"/>'
        f'<DstRect xOff="{x}" yOff="0" xSize="20" ySize="20"/></SimpleSource>'
    )


def write_vrt(path, *sources, mask=""):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        '<VRTDataset rasterXSize="40" rasterYSize="20"><SRS>EPSG:32631</SRS>'
        "<GeoTransform>0,10,0,200,0,-10</GeoTransform>"
        f'<VRTRasterBand dataType="Byte" band="1">{"".join(sources)}</VRTRasterBand>'
        f"{mask}</VRTDataset>"
    )
    return path


def names(address, folder):
    return [path.relative_to(folder).as_posix() for path in files_beside(str(address))]


# --- which files a raster is made of -------------------------------------------------------------


def test_a_vrt_is_made_of_its_sources_through_vrts_and_their_sidecars(tmp_path, monkeypatch):
    for name in ("a.tif", "deep/b.tif", "deep/mask.tif"):
        write_raster(tmp_path / name, **RASTER)
    (tmp_path / "deep/b.tif.aux.xml").write_text("<PAMDataset/>")
    write_vrt(
        tmp_path / "deep/inner.vrt", source("b.tif"),
        mask=f'<MaskBand><VRTRasterBand dataType="Byte">{source("mask.tif")}'
        "</VRTRasterBand></MaskBand>",
    )  # fmt: skip
    outer = write_vrt(
        tmp_path / "outer.vrt",
        source("deep/inner.vrt"),
        source(tmp_path / "a.tif", relative=0, x=20),
    )
    assert names(outer, tmp_path) == [
        "a.tif", "deep/b.tif", "deep/b.tif.aux.xml", "deep/inner.vrt", "deep/mask.tif"
    ]  # fmt: skip
    # Names do not depend on where one stands.
    monkeypatch.chdir(tmp_path / "deep")
    assert names("../outer.vrt", tmp_path) == names(outer, tmp_path)


def test_sidecars_count_and_overviews_of_plain_files_do_not(tmp_path):
    path = write_raster(tmp_path / "a.tif", **RASTER)
    assert files_beside(str(path)) == ()
    with rasterio.Env(TIFF_USE_OVR=True), rasterio.open(path, "r+") as dataset:
        dataset.build_overviews([2])
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as dataset:
        dataset.write_mask(np.ones((20, 20), bool))
    (tmp_path / "a.tif.aux.xml").write_text("<PAMDataset/>")
    assert (tmp_path / "a.tif.ovr").is_file()
    assert names(path, tmp_path) == ["a.tif.aux.xml", "a.tif.msk"]
    over = write_vrt(tmp_path / "o.vrt", source("a.tif"))
    assert names(over, tmp_path) == ["a.tif", "a.tif.aux.xml", "a.tif.msk", "a.tif.ovr"]


def test_an_envi_image_has_its_header(tmp_path):
    plain = write_raster(tmp_path / "a.tif", **RASTER)
    gdal_copy(str(plain), str(tmp_path / "e.img"), driver="ENVI")
    assert "e.hdr" in names(tmp_path / "e.img", tmp_path)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("/vsicurl/https://example.invalid/x.tif", r"x\.tif is not on this machine"),
        ("https://example.invalid/x.tif", r"x\.tif is not on this machine"),
        ("/vsis3/bucket/x.tif", r"x\.tif is not on this machine"),
        ("gone.tif", r"gone\.tif is missing"),
    ],
)
def test_a_vrt_of_what_is_not_here_is_refused(tmp_path, name, told):
    inner = write_vrt(tmp_path / "in.vrt", source(name, relative=int(name == "gone.tif")))
    outer = write_vrt(tmp_path / "out.vrt", source(inner.name))
    with pytest.raises(InputError, match=rf"out\.vrt: its source .*{told}"):
        files_beside(str(outer))


def test_a_damaged_source_of_a_vrt_is_named(tmp_path):
    (tmp_path / "b.tif").write_bytes(b"no raster")
    outer = write_vrt(tmp_path / "out.vrt", source("b.tif"))
    with pytest.raises(SceneError, match=r"out\.vrt: its source .*b\.tif cannot be read"):
        files_beside(str(outer))


def test_the_file_behind_an_address(tmp_path):
    archive = tmp_path / "p.zip"
    archive.write_bytes(b"")
    for address in (f"/vsizip/{archive}/a/b.tif", f"/vsizip/{{{archive}}}/b.tif", str(archive)):
        assert file_of(address) == archive
    assert file_of("/vsizip//elsewhere/q.zip/a/b.tif") == Path("/elsewhere/q.zip")
    assert file_of("/vsicurl/https://x/y.tif") is None
    assert file_of("https://x/y.tif") is None


# --- sums are kept by path, size and times -------------------------------------------------------


def counted(monkeypatch):
    """Names of the files that are read for their sums, in order."""
    read, real = [], sums.sha256_of
    monkeypatch.setattr(sums, "sha256_of", lambda path: read.append(path.name) or real(path))
    return read


def test_a_file_is_hashed_once_and_again_when_it_moved(tmp_path, monkeypatch):
    read = counted(monkeypatch)
    path = tmp_path / "a.bin"
    path.write_bytes(b"0123")
    first = Sums(tmp_path)
    digest = first.of(path)
    first.save()
    assert Sums(tmp_path).of(path) == digest
    assert read == ["a.bin"]
    os.utime(path, ns=(1, 1))  # touched, and the same
    assert Sums(tmp_path).of(path) == digest
    before = path.stat().st_mtime_ns
    path.write_bytes(b"3210")  # another content of the same size
    os.utime(path, ns=(before, before))  # under the old time
    assert Sums(tmp_path).of(path) != digest
    assert read == ["a.bin"] * 3


def test_a_damaged_memory_is_no_error(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"0123")
    (tmp_path / sums.NAME).write_text('["half a li')
    known = Sums(tmp_path)
    digest = known.of(path)
    known.save()
    assert Sums(tmp_path).knows(path)
    assert Sums(tmp_path).of(path) == digest


def test_few_names_of_many_are_looked_up_without_reading_all(tmp_path, monkeypatch):
    paths = [
        tmp_path / f"{stem}{n}" for n in range(80) for stem in ("a", "a/", "é", '"', "\n", "😀")
    ]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.write_text(path.name)
    first = Sums(tmp_path)
    digests = [first.of(path) for path in paths]
    first.save()
    read, whole = counted(monkeypatch), sums._kept
    many = Sums(tmp_path)
    assert [many.of(path) for path in paths] == digests
    monkeypatch.setattr(sums, "_kept", lambda path: pytest.fail("all is read"))
    for path, digest in zip(paths, digests, strict=True):
        assert Sums(tmp_path).of(path) == digest
    assert not Sums(tmp_path).knows(tmp_path / sums.NAME)
    assert read == []
    assert len(whole(tmp_path / sums.NAME)) == len(paths)


def test_all_files_that_changed_are_told_with_the_command_that_helps(tmp_path):
    lock = tmp_path / "my results" / "lock.json"
    lock.parent.mkdir()
    files = []
    for name in ("a", "b", "c", "d"):
        path = tmp_path / name
        path.write_bytes(b"0123")
        files.append(LockedFile(href=str(path), size=4, sha256=sums.sha256_of(path)))
    files = [files[0].model_copy(update={"beside": tuple(files[1:])})]
    check_unchanged(files, lock)
    (tmp_path / "b").write_bytes(b"3210")
    (tmp_path / "c").write_bytes(b"01234")
    (tmp_path / "d").unlink()
    with pytest.raises(SourceError) as caught:
        check_unchanged(files, lock)
    lines = str(caught.value).splitlines()
    assert [line.removeprefix(f"{tmp_path}/") for line in lines[:3]] == [
        "b: changed since it was planned (as many bytes, but others)",
        "c: changed since it was planned (5 bytes, the lock says 4)",
        "d: no longer there",
    ]
    assert f"terrapatch plan --results '{lock.parent}'" in lines[3]


# --- plan and stages -----------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory with one scene, and a map that is a VRT of two files."""
    monkeypatch.chdir(tmp_path)
    make_safe("in")
    reference_map(".")
    write_raster("sub/east.tif", crs="EPSG:4674", left=2.9, top=45.1, res=0.001, size=300,
                 dtype="uint8", nodata=255, value=1)  # fmt: skip
    gdal_copy("sub/east.tif", "map.vrt", driver="VRT")
    return tmp_path


def settings(here, reference="map.vrt", **recipe):
    return settings_file(
        here / "results" / "settings",
        catalog={"paths": ["in"], "period": ["2022-01-01", "2022-12-31"]},
        label={"path": reference, "edges": "none"}, **recipe,
    )  # fmt: skip


def alter(path):
    """Other bytes of the same number, in the middle of a file; gives back the old ones."""
    path = Path(path)
    data = path.read_bytes()
    middle = len(data) // 2
    path.write_bytes(data[:middle] + bytes(255 - b for b in data[middle : middle + 8])
                     + data[middle + 8 :])  # fmt: skip
    return data


def make_labels(here):
    stage = here / "results" / "settings" / "label.json"
    plain = json.loads((here / "results" / "settings" / "plan.json").read_text())
    label = LabelsSettings(**plain["layers"]["label"]).model_dump(mode="json")
    stage.write_text(json.dumps({"layers": {"label": label}}))
    lock = here / "results" / "lock.json"
    write_footprints(here / "footprints.parquet", unit_geobox(read_lock(lock).units[0]), 16)
    labels(lock, "b000_000", here / "footprints.parquet", stage, here / "label.zarr")


def test_a_map_that_is_a_vrt_is_refused_when_its_source_changed(here):
    path = settings(here)
    lock = plan(path, here / "results" / "lock.json")
    (asset,) = [item.assets["map"] for item in lock.items if item.sensor == "reference"]
    assert [file.href for file in asset.beside] == ["sub/east.tif"]
    make_labels(here)
    old = alter("sub/east.tif")
    with pytest.raises(SourceError, match=r"sub/east\.tif: changed since it was planned"):
        make_labels(here)
    (line,) = changes(lock, plan(path))
    assert line.endswith("map (sub/east.tif)")
    Path("sub/east.tif").write_bytes(old)  # the old content at a new time
    assert changes(lock, plan(path)) == []
    make_labels(here)


def test_a_plain_map_is_held_against_the_lock(here):
    plan(settings(here, "map.tif"), here / "results" / "lock.json")
    alter("map.tif")
    with pytest.raises(SourceError, match=r"map\.tif: changed since it was planned"):
        make_labels(here)


def test_a_map_whose_mask_is_taken_away_is_refused(here):
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open("map.tif", "r+") as dataset:
        dataset.write_mask(np.ones((300, 300), bool))
    lock = plan(settings(here, "map.tif"), here / "results" / "lock.json")
    assert [
        f.href for i in lock.items for f in i.assets.get("map", i.assets.get("B02")).beside
    ] == ["map.tif.msk"]
    Path("map.tif.msk").unlink()
    with pytest.raises(SourceError, match=r"map\.tif\.msk: no longer there"):
        make_labels(here)


def test_a_second_plan_hashes_nothing_and_gives_the_same_bytes(here, monkeypatch):
    path = settings(here)
    first = here / "results" / "lock.json"
    plan(path, first)
    read = counted(monkeypatch)
    write_lock(plan(path), here / "again.json")
    assert read == []
    (here / "results" / sums.NAME).unlink()
    write_lock(plan(path), here / "third.json")
    assert sorted(set(read)) == sorted(read) != []
    assert first.read_bytes() == Path("again.json").read_bytes() == Path("third.json").read_bytes()


def test_a_recipe_that_wants_no_hashes_is_held_to_sizes(here, monkeypatch):
    read = counted(monkeypatch)
    path = settings(here)
    plain = json.loads(path.read_text())
    plain["catalog"]["hash_files"] = False
    path.write_text(json.dumps(plain))
    plan(path, here / "results" / "lock.json")
    make_labels(here)
    assert read == []
    with Path("sub/east.tif").open("ab") as file:
        file.write(b"more")
    with pytest.raises(SourceError, match=r"sub/east\.tif: changed since it was planned"):
        make_labels(here)
