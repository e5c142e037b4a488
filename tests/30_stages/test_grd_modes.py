# SPDX-License-Identifier: Apache-2.0
"""Stripmap and extra-wide products, single polarisation, COG_SAFE: the same pixels by other names.

A simulated IW product is given the names and entries of another mode, as the product
specification has them (S1-RS-MDA-52-7441): what is read must not depend on the mode.
"""

import re
import shutil

import numpy as np
import pytest
import rasterio

from made.grd import plan_of, recipe_of, simulate
from made.scenes import all_corners, pixels, write_footprints
from terrapatch.access import read_bytes
from terrapatch.catalog.files import Files
from terrapatch.catalog.folder import search
from terrapatch.catalog.grd import read_product
from terrapatch.catalog.locking import locked_item
from terrapatch.catalog.tree import Reading
from terrapatch.errors import SceneError
from terrapatch.kinds import stack as make
from terrapatch.lock import unit_geobox
from terrapatch.radar.annotation import read_annotation
from terrapatch.radar.luts import read_noise
from terrapatch.radar.product import read_sidecars
from terrapatch.stacks import open_stack


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    return simulate(tmp_path_factory.mktemp("grd"))


def as_mode(product, folder, mode, swath, bands="SDV", cog=False):
    """The product as one of another mode: `SM`, swath `S3`; single polarisation `SSV`, `SSH`.

    For `SSH` what was VV is called HH.
    """
    single = bands.startswith("SS")
    co = "HH" if bands == "SSH" else "VV"
    short = {"SM": swath, "EW": "EW", "IW": "IW"}[mode]

    def renamed(name):
        name = name.replace("_IW_", f"_{short}_").replace("_1SDV_", f"_1{bands}_")
        name = re.sub(r"(s1a)-iw-", rf"\1-{short.lower()}-", name)
        name = re.sub(r"-vv-", f"-{co.lower()}-", name)
        if cog:
            name = re.sub(r"(-00\d)\.(xml|tiff)$", r"\1-cog.\2", name.replace(".SAFE", "_COG.SAFE"))
        return name

    target = folder / renamed(product.name)
    for path in sorted(p for p in product.rglob("*") if p.is_file()):
        if single and "-vh-" in path.name:
            continue
        new = target / "/".join(map(renamed, path.relative_to(product).parts))
        new.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".tiff":
            as_cog(path, new) if cog else shutil.copyfile(path, new)
            continue
        text = path.read_text()
        text = re.sub(r"(<(?:\w+:)?mode>)IW<", rf"\g<1>{mode}<", text)
        text = re.sub(r"(<(?:\w+:)?swath>)IW(\d?)<", rf"\g<1>{swath}\g<2><" if mode == "EW" else rf"\g<1>{swath}<", text)  # fmt: skip
        if single:
            text = re.sub(r"<(\w+:)?transmitterReceiverPolarisation>VH</\S+>", "", text)
        new.write_text(text.replace("olarisation>VV<", f"olarisation>{co}<"))
    return target


def as_cog(source, target):
    with rasterio.open(source) as dataset:
        numbers = dataset.read(1)
        points, crs = dataset.gcps
    with rasterio.open(
        target, "w", driver="GTiff", dtype="uint16", count=1, width=numbers.shape[1],
        height=numbers.shape[0], tiled=True, blockxsize=128, blockysize=128, compress="deflate",
        gcps=points, crs=crs,
    ) as dataset:  # fmt: skip
        dataset.write(numbers, 1)


def stacked(simulated, archive, folder, **radar):
    """Plan and stack what lies in a folder: (band, y, x)."""
    lock = plan_of(recipe_of(simulated, folder, archive, **radar), folder)
    (unit,) = lock.units
    corners = all_corners(unit_geobox(unit).shape, 64)
    write_footprints(folder / "footprints.parquet", corners, 64)
    settings = folder / "settings" / "stack" / "sentinel1.json"
    footprints = folder / "footprints.parquet"
    make(folder / "lock.json", unit.id, "sentinel1", footprints, settings, folder / "s.zarr")
    stack = open_stack(folder / "s.zarr")
    return pixels(stack), pixels(stack, "source")


@pytest.fixture(scope="module")
def plain(simulated, tmp_path_factory):
    """What the IW products give, VV."""
    folder = tmp_path_factory.mktemp("plain")
    for product in simulated.products["descending"]:
        shutil.copytree(product, folder / "in" / product.name)
    return stacked(simulated, folder / "in", folder, polarisations=("VV",))


@pytest.mark.parametrize(
    ("mode", "swath", "bands", "cog"),
    [
        ("SM", "S1", "SDV", False),
        ("SM", "S3", "SSV", False),
        ("SM", "S6", "SSH", False),
        ("EW", "EW", "SSH", False),
        ("IW", "IW", "SSV", False),
        ("IW", "IW", "SDV", True),
        ("SM", "S4", "SSV", True),
    ],
)
def test_modes_and_polarisations_give_the_pixels_of_the_same_numbers(
    simulated, plain, tmp_path, mode, swath, bands, cog
):
    for product in simulated.products["descending"]:
        as_mode(product, tmp_path / "in", mode, swath, bands, cog)
    scenes = search([tmp_path / "in"], Reading(raw=True)).scenes
    assert len(scenes) == 2
    band = "HH" if bands == "SSH" else "VV"
    assert scenes[0].polarisations == ((band,) if bands.startswith("SS") else ("VV", "VH"))
    asset = locked_item(scenes[0], [band], Files(False)).assets[band]
    assert f"-{swath.lower()}-grd-{band.lower()}-" in asset.annotation
    found = read_sidecars(asset, band, ipf="003.40", relative_orbit=None, noise=True)
    assert (found.annotation.mode, found.annotation.swath) == (mode, swath)
    data, source = stacked(simulated, tmp_path / "in", tmp_path, polarisations=(band,))
    np.testing.assert_array_equal(source, plain[1])
    np.testing.assert_array_equal(data, plain[0])


def test_noise_of_stripmap_before_scalloping_is_read(simulated, tmp_path):
    """One swath, noise along range alone, as stripmap has it before IPF 2.90."""
    product = as_mode(simulated.products["descending"][0], tmp_path, "SM", "S2", "SSV")
    (path,) = product.glob("annotation/calibration/noise-*")
    text = path.read_text().replace("noiseRangeVector", "noiseVector")
    text = text.replace("noiseRangeLut", "noiseLut")
    text = re.sub(r"<noiseAzimuthVectorList.*</noiseAzimuthVectorList>", "", text, flags=re.S)
    path.write_text(text)
    noise = read_noise(path.read_bytes(), path.name)
    assert noise.blocks == ()
    assert not noise.is_zero


@pytest.mark.parametrize("mode", ["SM", "EW"])
def test_complex_images_of_any_mode_stay_out(tmp_path, mode):
    short = {"SM": "S3", "EW": "EW"}[mode]
    (tmp_path / f"S1A_{short}_SLC__1SDV_20220618T085927_20220618T085950_043999_06A0AD_734E.SAFE").mkdir()  # fmt: skip
    (excluded,) = search([tmp_path], Reading(raw=True)).excluded
    assert "another kind than GRD" in excluded.reason


def test_every_genuine_sample_is_read(shared_data):
    """All four products of the samples; what they lack is named."""
    folder = shared_data / "s1_grd_safe"
    paths = sorted(p for p in folder.iterdir() if p.name.startswith("S1"))
    assert len(paths) == 4
    for path in paths:
        scene = read_product(path)
        assert scene.slice.number <= scene.slice.total
        assert 20 < (scene.slice.stop - scene.slice.start).total_seconds() < 30
        assert scene.polarisations == ("VV", "VH")
        if path.suffix == ".SAFE":  # the one with a measurement; of VV, its pixels are all zero
            item = locked_item(scene, ["VV"], Files(False))
            found = read_sidecars(
                item.assets["VV"], "VV", ipf=scene.processing_baseline,
                relative_orbit=scene.relative_orbit, noise=True,
            )  # fmt: skip
            assert (found.annotation.mode, found.annotation.slice_number) == ("IW", 9)
            assert found.noise.blocks
        else:
            with pytest.raises(SceneError, match=r"lacks the band\(s\)"):
                locked_item(scene, ["VV"], Files(False))


def test_a_genuine_annotation_says_its_mode(shared_data):
    (path,) = (shared_data / "s1_grd_safe").glob("*.SAFE/annotation/s1b-*.xml")
    text = read_bytes(str(path)).replace(b"<mode>IW<", b"<mode>SM<").replace(b"<swath>IW<", b"<swath>S5<")  # fmt: skip
    found = read_annotation(text, path.name, "003.40")
    assert (found.mode, found.swath) == ("SM", "S5")
