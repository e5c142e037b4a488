# SPDX-License-Identifier: Apache-2.0
"""Theia's products of the embedded archive: the same pixels as the SAFE ones, through the reader."""

import json

import numpy as np
import pytest
import rasterio
import shapely
from test_simulate import settings_file

from made.recipes import resolve
from terrapatch.catalog.families import uncovered
from terrapatch.catalog.folder import search
from terrapatch.catalog.plan import plan
from terrapatch.grid import mgrs_tile_geobox
from terrapatch.kinds import stack as make
from terrapatch.recipe import write_settings
from terrapatch.sampling import sampling
from terrapatch.settings import THEIA_10
from terrapatch.simulate import simulate, theia
from terrapatch.stacks import open_stack

AREA = (-48.013, -6.013, -47.987, -5.987)
"""On the border of two zones; every second date has the edge of the swath in it."""


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("theia")
    settings = settings_file(folder / "s", passes=3, s2_format="both")
    simulate(settings, folder / "out", threads=2)
    return folder / "out"


@pytest.fixture(scope="module")
def scenes(archive):
    found = [s for s in search([archive]).scenes if s.sensor == "sentinel2"]
    return {p: [s for s in found if s.processor == p] for p in ("esa", "theia")}


def read(path):
    with rasterio.open(path) as dataset:
        assert dataset.nodata is None
        return dataset.read(1)


def test_both_forms_are_of_the_same_acquisitions(scenes):
    def key(scene):
        return scene.tile, scene.platform, scene.relative_orbit, scene.datetime[:16]

    assert {key(s) for s in scenes["esa"]} == {key(s) for s in scenes["theia"]}
    assert len({s.tile[1:3] for s in scenes["theia"]}) == 2
    assert len(scenes["theia"]) == len({key(s) for s in scenes["theia"]})  # no duplicates
    first = {key(s): s for s in reversed(scenes["esa"])}
    for scene in scenes["theia"]:
        assert abs(scene.cloud_percent - first[key(scene)].cloud_percent) <= 0.5
    assert max(s.cloud_percent for s in scenes["theia"]) > 10


def test_masks_and_nodata_tell_one_story(archive, scenes):
    cut = 0
    for scene in scenes["theia"]:
        root = archive / "sentinel2_theia" / scene.id
        masks = {k: read(root / "MASKS" / f"{scene.id}_{k}.tif") for k in
                 ("EDG_R1", "EDG_R2", "CLM_R1", "CLM_R2", "MG2_R1", "MG2_R2")}  # fmt: skip
        for band in THEIA_10:
            values = read(root / f"{scene.id}_FRE_{theia.short(band)}.tif")
            group = "R1" if band in ("B02", "B03", "B04", "B08") else "R2"
            np.testing.assert_array_equal(values == -10_000, masks[f"EDG_{group}"] == 1)
            assert values[values != -10_000].min() >= 1
        assert set(np.unique(masks["EDG_R1"])) <= {0, 1}
        cut += masks["EDG_R1"].any()
        clm, mg2 = masks["CLM_R2"], masks["MG2_R2"]
        np.testing.assert_array_equal(clm & 2 > 0, mg2 & 2 > 0)
        np.testing.assert_array_equal(clm & 32 > 0, mg2 & 8 > 0)
        np.testing.assert_array_equal(clm & 1 > 0, (clm & (2 | 32)) > 0)
        seen = masks["EDG_R2"] == 0
        share = 100 * np.isin(clm & (2 | 16), (2, 16, 18))[seen].mean()
        assert share == pytest.approx(scene.cloud_percent, abs=0.6)
        np.testing.assert_array_equal(masks["CLM_R1"][::2, 1::2], clm)
    assert cut > 0


def test_the_edge_mask_says_what_the_policy_asks(scenes):
    area = shapely.box(*AREA)
    shares = {s.id: uncovered(s, area) for s in scenes["theia"]}
    whole = [share for share in shares.values() if share == 0]
    assert whole
    assert len(whole) < len(shares)


def stacks(archive, folder, processor, **options):
    """The stacks of all units of a series on tile grids, made of one processor's products."""
    recipe = resolve(
        {
            "name": "tiles", "images": ["sentinel2"], "area": {"bbox": list(AREA)},
            "catalog": {"source": "simulated", "hash_files": False, **options},
            "simulate": {"s2_format": "both"},
            "sampling": {"kind": "tiles", "size_px": 64, "stride_px": 65},
            "sentinel2": {"processor": processor, "bands": list(THEIA_10), "dtype": "int16", "time": "series",
                          "kernel": "cubic"},
        }
    )  # fmt: skip
    write_settings(recipe, folder / "settings")
    lock = plan(folder / "settings" / "plan.json", folder / "lock.json", archive)
    found = {}
    for unit in lock.units:
        footprints = folder / f"{unit.id}.parquet"
        sampling(folder / "lock.json", unit.id, folder / "settings" / "sampling.json", footprints)
        target = folder / f"{unit.id}.zarr"
        make(
            folder / "lock.json", unit.id, "sentinel2", footprints,
            folder / "settings" / "stack" / "sentinel2.json", target, threads=2,
        )  # fmt: skip
        found[unit.id] = open_stack(target)
    return lock, found


@pytest.fixture(scope="module")
def of_theia(archive, tmp_path_factory):
    """Lock and stacks of Theia's products; only read."""
    return stacks(archive, tmp_path_factory.mktemp("theia"), "theia")


def test_theia_and_safe_give_the_same_reflectances(archive, of_theia, tmp_path):
    locks, found = {}, {}
    locks["esa"], found["esa"] = stacks(archive, tmp_path, "esa")
    locks["theia"], found["theia"] = of_theia
    assert found["esa"].keys() == found["theia"].keys()
    assert len(found["esa"]) >= 2
    offsets = {
        item.assets["B02"].add_offset for item in locks["esa"].items if item.sensor == "sentinel2"
    }
    assert offsets == {0.0, -1000.0}  # before baseline 04.00, and later
    missing = 0
    for unit, esa in found["esa"].items():
        other = found["theia"][unit]
        assert esa.info.patch_ids == other.info.patch_ids
        assert len(esa.info.times) == len(other.info.times) > 1
        for name in ("data", "source"):
            np.testing.assert_array_equal(
                esa.read(slice(None), name), other.read(slice(None), name)
            )
        missing += (esa.read(slice(None), "source") == 0).sum()
    assert missing > 0
    for item in locks["theia"].items:
        if item.sensor == "sentinel2":
            assert (item.processor, "EDG" in item.assets) == ("theia", True)


def test_pixels_of_10_m_are_those_of_the_files(of_theia):
    lock, found = of_theia
    for unit, stack in found.items():
        whole = mgrs_tile_geobox(f"T{unit}")
        items = {i.id: i for i in lock.items}
        for time, (name,) in enumerate(stack.info.items):
            asset = items[name].assets["B08"]
            values = read(asset.href)
            left = round((asset.transform[2] - whole.affine.c) / 10)
            top = round((whole.affine.f - asset.transform[5]) / 10)
            data = stack.read(slice(None), time=time)[:, THEIA_10.index("B08")]
            source = stack.read(slice(None), "source", time)
            for patch_id, patch, seen in zip(stack.info.patch_ids, data, source, strict=True):
                x, y = (int(n) for n in patch_id.split("_")[1:])
                assert (x % 65, y % 65) == (0, 0)
                part = values[y - top : y - top + 64, x - left : x - left + 64]
                np.testing.assert_array_equal(patch[seen > 0], part[seen > 0])
                assert (part[seen > 0] != -10_000).all()


def test_full_cover_leaves_out_the_dates_at_the_edge(archive, tmp_path):
    lock, _ = stacks(archive, tmp_path, "theia", require_full_cover=True, cloud_percent=90)
    reasons = [e.reason for e in lock.excluded if e.sensor == "sentinel2"]
    assert any("of the area in its grid lies outside the image" in r for r in reasons)
    kept = [i for i in lock.items if i.sensor == "sentinel2"]
    for item in kept:
        assert not read(item.assets["EDG"].href).all()


def test_the_archive_can_hold_theias_products_alone_with_the_same_bytes(archive, tmp_path):
    settings = settings_file(
        tmp_path / "s", passes=3, s2_format="theia", sentinel2={"processor": "theia", "bands": list(THEIA_10)},
    )  # fmt: skip
    simulate(settings, tmp_path / "out", threads=1)
    assert not (tmp_path / "out" / "sentinel2").exists()
    files = {
        p.relative_to(archive) for p in (archive / "sentinel2_theia").rglob("*") if p.is_file()
    }
    assert len(files) % 17 == 0  # ten images, six masks, metadata
    for name in files:
        assert (tmp_path / "out" / name).read_bytes() == (archive / name).read_bytes(), name
    catalogue = json.loads((tmp_path / "out" / "catalog.json").read_text())
    assert "sentinel-2-l2a" not in str(catalogue)


def test_orbits_of_the_archive_have_the_tracks_of_the_names():
    from terrapatch.catalog.maja import relative_orbit
    from terrapatch.simulate.safe_metadata import Product
    from terrapatch.simulate.schedule import passes2, processings

    for seed in range(6):
        for scene in passes2(seed, 2022, 20, 6.0):
            product = Product("T31UGQ", scene, processings(scene)[0], mgrs_tile_geobox("T31UGQ"))
            number = theia.orbit_number(product)
            assert abs(number - scene.orbit) <= 71
            assert relative_orbit(f"Sentinel-{scene.platform[1:]}", number) == scene.relative_orbit
