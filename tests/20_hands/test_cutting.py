# SPDX-License-Identifier: Apache-2.0
"""The engine: seams, missing pixels, what is decoded, invariance, and broken input."""

import errno
import hashlib
import os
from collections import Counter
from concurrent.futures import Executor, Future
from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
import rasterio.warp
from affine import Affine

from made.scenes import (
    Unit,
    all_corners,
    brute_bilinear,
    item,
    pixels,
    source_coordinates,
    write_asset,
)
from terrapatch import cutting, rasters, stacks
from terrapatch.cutting import engine, sources
from terrapatch.errors import GridError, SceneError, SourceError, StorageError
from terrapatch.grid import snapped_geobox
from terrapatch.places import read_places
from terrapatch.rasters import BlockReader
from terrapatch.tables import read_columns

DEGREES = 8.983152841195215e-05
UTM = "EPSG:32722"
TEN = Affine(10, 0, 600_000, 0, -10, 9_000_000)
TWENTY = Affine(20, 0, 600_000, 0, -20, 9_000_000)


def noise(seed, *shape):
    return np.random.default_rng(seed).integers(1, 10_000, shape).astype(np.uint16)


def degrees_box(left, top, right, bottom, crs=UTM):
    """The EPSG:4326 grid within a rectangle of a UTM zone."""
    there = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    west, south = there.transform(left, bottom)
    east, north = there.transform(right, top)
    return snapped_geobox((west, south, east, north), "EPSG:4326", DEGREES)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """One scene of 512 px: a 10 m and a 20 m band, blocks of 64."""
    folder = tmp_path_factory.mktemp("scene")
    return item(
        "S2_A",
        {
            "B02": write_asset(folder / "B02.jp2", noise(0, 512, 512), TEN, UTM, nodata=0),
            "B05": write_asset(folder / "B05.jp2", noise(1, 256, 256), TWENTY, UTM, nodata=0),
        },
    )


@pytest.fixture
def unit(tmp_path):
    """A unit of 14 x 14 patches of 32 px inside the scene, in degrees."""
    geobox = degrees_box(600_200, 8_999_800, 604_900, 8_995_100)[:448, :448]
    return Unit(tmp_path / "unit", geobox, all_corners(geobox.shape, 32), 32)


def read_asset(asset):
    with rasterio.open(asset.href) as dataset:
        return dataset.read(1)


def expected_bilinear(geobox, asset):
    return brute_bilinear(read_asset(asset), *source_coordinates(geobox, asset))


@pytest.fixture
def reads(monkeypatch):
    """Every window read: (file name, rows, cols)."""
    found = []
    read = rasters.BlockReader.read

    def spy(self, asset, window, out):
        rows, cols = window
        found.append((Path(asset.href).name, (rows.start, rows.stop), (cols.start, cols.stop)))
        read(self, asset, window, out)

    monkeypatch.setattr(rasters.BlockReader, "read", spy)
    return found


def blocks_of(rows, cols, side=64):
    """Row and column of the blocks of pixels."""
    found = np.unique(np.stack([rows, cols]).reshape(2, -1) // side, axis=1)
    return {(a, b) for a, b in found.T.tolist()}


def blocks(reads, side=64):
    """How often each block of each file was read."""
    return Counter(
        (name, row // side, col // side)
        for name, rows, cols in reads
        for row in range(*rows, side)
        for col in range(*cols, side)
    )


def test_warped_patches_equal_the_textbook(scene, unit):
    stack = unit.build([scene], bands=("B02", "B05"))
    found = pixels(stack)
    for place, band in enumerate(("B02", "B05")):
        expected = expected_bilinear(unit.geobox, scene.assets[band])
        # White noise over 0…10000 moves by some DN where a coordinate moves by 0.0006 px.
        assert np.abs(found[place] - expected).max() < 6
        assert np.abs(found[place] - expected).mean() < 0.6
    assert (pixels(stack, "source") == 1).all()
    assert stack.info.times == ("2022-06-18",)
    assert stack.info.items == (("S2_A",),)


def test_warped_patches_agree_with_gdal_within_its_tolerance(tmp_path):
    rows, cols = np.mgrid[:512, :512]
    smooth = (5000 + 3000 * np.sin(rows / 25) * np.cos(cols / 31)).astype(np.uint16)
    asset = write_asset(tmp_path / "B02.jp2", smooth, TEN, UTM, nodata=0)
    geobox = degrees_box(600_200, 8_999_800, 604_900, 8_995_100)[:448, :448]
    unit = Unit(tmp_path / "unit", geobox, all_corners(geobox.shape, 64), 64)
    stack = unit.build([item("A", {"B02": asset})], bands=("B02",))
    judge = np.zeros(geobox.shape, np.uint16)
    rasterio.warp.reproject(
        smooth, judge, src_transform=TEN, src_crs=UTM, dst_transform=geobox.affine,
        dst_crs="EPSG:4326", resampling=rasterio.warp.Resampling.bilinear, src_nodata=0,
    )  # fmt: skip
    # GDAL interpolates coordinates to 0.125 px; the field rises by at most 120 DN a pixel.
    assert np.abs(pixels(stack)[0].astype(int) - judge).max() <= 0.125 * 160 + 1


def hashes(stack):
    """Of every file of a stack but its description (which names the size of shards)."""
    files = sorted(p for p in stack.path.rglob("*") if p.is_file() and p.name != "zarr.json")
    return {
        str(p.relative_to(stack.path)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files
    }


def test_threads_change_no_byte(scene, unit):
    settings = {"bands": ("B02", "B05")}
    one = unit.build([scene], threads=1, output="one.zarr", **settings)
    assert hashes(one)
    for threads in (2, 5):
        other = unit.build([scene], threads=threads, output=f"{threads}.zarr", **settings)
        assert hashes(other) == hashes(one)


@pytest.mark.parametrize("patches", [1, 5, 14, 100])
def test_the_size_of_shards_changes_no_pixel(scene, unit, monkeypatch, patches):
    whole = pixels(unit.build([scene], bands=("B02", "B05"), output="whole.zarr"))
    size = patches * 32 * 32 * 2 * 2
    monkeypatch.setattr("terrapatch.cutting.unit.SHARD_BYTES", size)
    stack = unit.build([scene], bands=("B02", "B05"), threads=2, output="other.zarr")
    assert stack.info.shard_patches == min(patches, 14)
    np.testing.assert_array_equal(pixels(stack), whole)


def test_the_cutting_into_units_and_patches_changes_no_pixel(scene, unit, tmp_path):
    settings = {"bands": ("B02", "B05"), "kernel": "cubic"}
    whole = pixels(unit.build([scene], **settings))
    for top, left, size in ((0, 0, 96), (77, 131, 50), (200, 10, 128)):
        geobox = unit.geobox[top : top + 200, left : left + 200]
        part = Unit(tmp_path / f"{top}", geobox, [(0, 0), (13, 57)], size)
        patches = part.build([scene], **settings).read(slice(None))[:, 0]
        for (y, x), patch in zip(part.corners, patches, strict=True):
            window = np.s_[:, top + y : top + y + size, left + x : left + x + size]
            np.testing.assert_array_equal(patch, whole[window])


def test_each_block_is_decoded_once_and_only_if_touched(scene, unit, reads):
    unit.build([scene], bands=("B02", "B05"), threads=2)
    counted = blocks(reads)
    assert set(counted.values()) == {1}
    for name, size in (("B02", 512), ("B05", 256)):
        row, col = source_coordinates(unit.geobox, scene.assets[name])
        r, c = np.floor(row).astype(int), np.floor(col).astype(int)
        asked = {
            (name + ".jp2", a, b)
            for dr in (0, 1)
            for dc in (0, 1)
            for a, b in blocks_of(r + dr, c + dc)
        }
        read = {block for block in counted if block[0] == name + ".jp2"}
        assert asked <= read
        # A patch asks for the rectangle around it, which lies a little askew in the scene.
        assert len(read - asked) <= 8, size


def test_few_patches_decode_only_the_blocks_that_they_touch(scene, unit, reads):
    unit.corners = [(0, 0), (224, 224)]
    unit.build([scene], bands=("B02",))
    assert set(blocks(reads)) == {
        ("B02.jp2", 0, 0), ("B02.jp2", 3, 3), ("B02.jp2", 3, 4), ("B02.jp2", 4, 3), ("B02.jp2", 4, 4),
    }  # fmt: skip


def test_released_rows_are_never_asked_for_again(scene, unit, reads, monkeypatch):
    monkeypatch.setattr(engine, "AHEAD_BYTES", 1)
    released = []
    give_back = sources.BandGroup._give_back
    monkeypatch.setattr(
        sources.BandGroup,
        "_give_back",
        lambda self, *where: (released.append(where), give_back(self, *where)),
    )
    stack = unit.build([scene], bands=("B02", "B05"), threads=2)
    assert released
    assert set(blocks(reads).values()) == {1}
    expected = expected_bilinear(unit.geobox, scene.assets["B02"])
    assert np.abs(pixels(stack)[0] - expected).max() < 6


def two_zones(folder):
    """Scenes of two UTM zones that overlap at 48° W; the first one has gaps."""
    here = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32722", always_xy=True)
    east = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32723", always_xy=True)
    scenes = []
    for name, there, crs, lon in (("W", here, UTM, -48.02), ("E", east, "EPSG:32723", -48.006)):
        x, y = (round(v / 60) * 60 for v in there.transform(lon, -9.0))
        first, second = noise(len(name), 256, 256), noise(7, 128, 128)
        if name == "W":
            first[100:130, 60:90] = 0  # a gap in one band alone
            second[:20, :] = 0
        assets = {
            "B02": write_asset(folder / f"{name}_B02.jp2", first, Affine(10, 0, x, 0, -10, y), crs, nodata=0),
            "B05": write_asset(folder / f"{name}_B05.jp2", second, Affine(20, 0, x, 0, -20, y), crs, nodata=0),
        }  # fmt: skip
        day = "2022-06-18" if name == "W" else "2022-06-28"
        scenes.append(item(name, assets, day=day))
    geobox = snapped_geobox((-48.0195, -9.0225, -47.985, -9.0005), "EPSG:4326", DEGREES)
    return scenes, geobox


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_first_scene_with_all_bands_valid_wins_each_pixel(tmp_path, order):
    scenes, geobox = two_zones(tmp_path)
    scenes = [scenes[n] for n in order]
    unit = Unit(tmp_path / "unit", geobox, all_corners(geobox.shape, 40), 40)
    stack = unit.build(scenes, bands=("B02", "B05"), threads=2)
    height, width = (n // 40 * 40 for n in geobox.shape)
    each = [
        [expected_bilinear(geobox, scene.assets[band])[:height, :width] for band in ("B02", "B05")]
        for scene in scenes
    ]
    valid = [~np.isnan(a) & ~np.isnan(b) for a, b in each]
    source = np.where(valid[0], 1, np.where(valid[1], 2, 0))
    found = pixels(stack, "source")[:height, :width]
    # Where a point lies within a thousandth of a pixel of an edge either side is right.
    assert (found != source).mean() < 2e-4
    assert {1, 2} <= set(np.unique(found))
    data = pixels(stack)[:, :height, :width].astype(float)
    for number in (1, 2):
        chosen = (found == number) & (source == number)
        for band in (0, 1):
            assert np.abs(data[band][chosen] - each[number - 1][band][chosen]).max() < 8
    assert (data[:, found == 0] == 0).all()
    assert stack.info.times == ("2022-06-18/2022-06-28",)
    assert stack.info.items == (tuple(scene.id for scene in scenes),)


def test_a_second_scene_is_decoded_only_under_patches_with_gaps(tmp_path, reads):
    first = noise(0, 256, 256)
    first[10:20, 10:20] = 0
    transform = Affine(10, 0, 600_000, 0, -10, 9_000_000)
    scenes = [
        item(name, {"B02": write_asset(tmp_path / f"{name}.jp2", array, transform, UTM, nodata=0)})
        for name, array in (("first", first), ("second", noise(1, 256, 256)))
    ]
    geobox = degrees_box(600_000, 9_000_000, 602_560, 8_997_440)[4:228, 4:228]
    unit = Unit(tmp_path / "unit", geobox, all_corners(geobox.shape, 32), 32)
    stack = unit.build(scenes, bands=("B02",), threads=2)
    assert {block for block in blocks(reads) if block[0] == "second.jp2"} == {("second.jp2", 0, 0)}
    assert (pixels(stack, "source") > 0).all()
    assert 100 < (pixels(stack, "source") == 2).sum() < 200


def test_a_scene_whose_footprint_lies_elsewhere_is_not_decoded(tmp_path, reads):
    asset = write_asset(tmp_path / "B02.jp2", noise(0, 128, 128), TEN, UTM, nodata=0)
    far = {"type": "Polygon", "coordinates": [[[10, 50], [11, 50], [11, 51], [10, 51], [10, 50]]]}
    geobox = degrees_box(600_100, 8_999_900, 600_900, 8_999_100)
    unit = Unit(tmp_path / "unit", geobox, [(0, 0)], 32)
    stack = unit.build([item("A", {"B02": asset}, footprint=far)], bands=("B02",))
    assert not reads
    assert (pixels(stack, "source") == 0).all()


def test_a_unit_without_scenes_or_patches_is_an_empty_stack(tmp_path, scene):
    geobox = degrees_box(600_200, 8_999_800, 604_900, 8_995_100)
    without_scenes = Unit(tmp_path / "a", geobox, [(0, 0), (0, 32)], 32).build([], bands=("B02",))
    assert (without_scenes.read(slice(None)) == 0).all()
    assert without_scenes.info.times == ("none",)
    without_patches = Unit(tmp_path / "b", geobox, [], 32).build([scene], bands=("B02",))
    assert without_patches.info.patch_ids == ()


def test_far_away_scenes_give_nothing_and_do_no_harm(tmp_path):
    asset = write_asset(tmp_path / "B02.jp2", noise(0, 64, 64), TEN, "EPSG:32655", nodata=0)
    world = {
        "type": "Polygon",
        "coordinates": [[[-80, -80], [80, -80], [80, 80], [-80, 80], [-80, -80]]],
    }
    geobox = degrees_box(600_200, 8_999_800, 604_900, 8_995_100)
    unit = Unit(tmp_path / "unit", geobox, [(0, 0)], 32)
    stack = unit.build([item("A", {"B02": asset}, footprint=world)], bands=("B02",))
    assert (pixels(stack, "source") == 0).all()


# Broken input: one clear error, and nothing under the stack's name.


def nothing_left(unit):
    return not any("zarr" in path.name for path in unit.folder.iterdir())


def copy_of(scene, folder, size=True):
    """The scene with its files copied, so that they may be broken."""
    folder.mkdir()
    assets = {}
    for band, asset in scene.assets.items():
        path = folder / Path(asset.href).name
        path.write_bytes(Path(asset.href).read_bytes())
        assets[band] = asset.model_copy(
            update={"href": str(path), "size": asset.size if size else None}
        )
    return scene.model_copy(update={"assets": assets})


@pytest.mark.parametrize("threads", [1, 2])
def test_a_truncated_jp2_is_named_and_leaves_no_stack(scene, unit, tmp_path, threads):
    broken = copy_of(scene, tmp_path / "copy", size=False)
    path = Path(broken.assets["B05"].href)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(SceneError, match=r"B05\.jp2: cannot be read.*fetch the product again"):
        unit.build([broken], bands=("B02", "B05"), threads=threads)
    assert nothing_left(unit)


def test_files_that_changed_or_vanished_are_all_named(scene, unit, tmp_path):
    broken = copy_of(scene, tmp_path / "copy")
    first, second = (Path(broken.assets[band].href) for band in ("B02", "B05"))
    with first.open("ab") as file:
        file.write(b"more")
    second.unlink()
    with pytest.raises(SourceError, match=r"B02\.jp2: changed since it was planned") as caught:
        unit.build([broken], bands=("B02", "B05"))
    assert "B05.jp2: no longer there" in str(caught.value)
    assert "terrapatch plan" in str(caught.value)
    assert nothing_left(unit)


def test_a_file_of_another_shape_than_planned_is_refused(scene, unit, tmp_path):
    other = copy_of(scene, tmp_path / "copy", size=False)
    asset = other.assets["B02"]
    path = Path(asset.href)
    path.unlink()
    write_asset(path, noise(0, 128, 128), TEN, UTM)
    with pytest.raises(SourceError, match=r"\(128, 128\).*terrapatch plan"):
        unit.build([other], bands=("B02",))
    assert nothing_left(unit)


def test_missing_bands_are_listed_for_all_scenes_before_any_work(scene, unit, reads):
    twin = scene.model_copy(update={"id": "S2_B"})
    with pytest.raises(SceneError, match=r"(?s)S2_A: has no B8A, B11.*S2_B: has no B8A, B11"):
        unit.build([scene, twin], bands=("B02", "B8A", "B11"))
    assert not reads


def test_more_scenes_than_source_can_count_are_refused(scene):
    many = [scene.model_copy(update={"id": f"{n}"}) for n in range(256)]
    with pytest.raises(SceneError, match="255"):
        cutting.check_items(many, cutting.Layer(("B02",), "bilinear", "uint16"))


@pytest.mark.parametrize("threads", [1, 2])
def test_a_full_disk_is_reported_and_leaves_nothing(scene, unit, monkeypatch, threads):
    calls = []
    encode = stacks._encode_shard

    def full(array, capacity):
        yield from encode(array, capacity)
        calls.append(capacity)
        if len(calls) > 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(stacks, "_encode_shard", full)
    with pytest.raises(StorageError, match="disk is full"):
        unit.build([scene], bands=("B02", "B05"), threads=threads)
    assert nothing_left(unit)


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_job_leaves_nothing(scene, unit, monkeypatch, error):
    write = stacks.StackWriter.write

    def stop(self, shard, *arguments):
        if shard == 6:
            raise error
        write(self, shard, *arguments)

    monkeypatch.setattr(stacks.StackWriter, "write", stop)
    with pytest.raises(error):
        unit.build([scene], bands=("B02", "B05"), threads=2)
    assert nothing_left(unit)


def test_patches_outside_the_unit_or_of_several_sizes_are_refused(scene, unit, tmp_path):
    unit.corners = [(0, 0), (430, 0)]
    with pytest.raises(GridError, match="outside the unit"):
        unit.build([scene], bands=("B02",))
    with pytest.raises(StorageError, match="no readable table"):
        read_places(tmp_path / "none.parquet", unit.geobox)
    with pytest.raises(StorageError, match="no readable table"):
        read_columns(unit.folder / "footprints.parquet", ["patch_id", "colour"])
    assert read_columns(unit.folder / "footprints.parquet", ["y_px"]) == {"y_px": [0, 430]}


class AtOnce(Executor):
    """Does what is submitted before it returns: no race is faster."""

    def submit(self, function, /, *args, **kwargs):
        future = Future()
        try:
            future.set_result(function(*args, **kwargs))
        except SceneError as error:
            future.set_exception(error)
        return future


def test_a_block_that_fails_before_anyone_waits_is_still_told(tmp_path):
    """A fast failure must not leave memory that was never written for pixels."""

    class Broken(sources.Blocks):
        def load(self, number, window, out, reader):
            raise SceneError("B02.tif: cannot be read")

    grid = Affine(10, 0, 600_000, 0, -10, 9_000_000)
    asset = write_asset(
        tmp_path / "B02.tif", np.ones((64, 64), "uint16"), grid, UTM, block=16, jp2=False
    )
    blocks = Broken([asset], np.array([[0, 64, 0, 64], [0, 64, 0, 64]]), "uint16")
    with BlockReader() as reader:
        # Also whoever needs the same block later.
        for patch in (0, 1):
            waiting = blocks.decode(np.array([patch]), reader, AtOnce())
            assert waiting
            with pytest.raises(SceneError, match=r"B02\.tif"):
                waiting.pop().result()
