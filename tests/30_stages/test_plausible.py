# SPDX-License-Identifier: Apache-2.0
"""The value gate: numbers that cannot be what was said are refused, true ones pass."""

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from made.scenes import Unit, all_corners, item, write_asset
from terrapatch.cutting import plausible
from terrapatch.cutting.evidence import Sampler
from terrapatch.errors import SceneError
from terrapatch.records import LockedAsset, LockedItem

CRS = "EPSG:32631"
HERE = Affine(10, 0, 500_000, 0, -10, 4_982_400)
BOX = GeoBox((64, 64), HERE, CRS)

# Reflectance x 10,000 as surface products have it: B02, B03, B04, B08, B11.
FOREST = (180, 350, 220, 2600, 1200)
WATER = (350, 300, 120, 40, 15)
DESERT = (1500, 2200, 3000, 3600, 4200)
SNOW = (8200, 8000, 7800, 7400, 900)
SHADE = (900, 800, 700, 650, 200)
BANDS = ("B02", "B03", "B04", "B08", "B11")


def ground(*covers, seed=1):
    """(band, y, x) float: equal parts of covers, with a quarter of variation."""
    rng = np.random.default_rng(seed)
    kinds = np.array(covers, float)[rng.integers(0, len(covers), BOX.shape)]
    values = np.moveaxis(kinds, -1, 0)
    return values * rng.lognormal(0, 0.25, values.shape)


def build(folder, bands, *, offset=0.0, dtype="uint16", facts=None, locked=None, **settings):
    """Run the stage on images by band."""
    assets = {
        name: write_asset(folder / f"{name}.tif", image.astype(dtype), HERE, CRS, jp2=False,
                          add_offset=offset, **(locked or {}))
        for name, image in bands.items()
    }  # fmt: skip
    radar = next(iter(bands)) in ("VV", "VH")
    scene = item("scene", assets, sensor="sentinel1" if radar else "sentinel2")
    wanted = {"polarisations": tuple(bands)} if radar else {"bands": tuple(bands)}
    unit = Unit(folder / "unit", BOX, all_corners(BOX.shape, 32), 32)
    return unit.build([scene.model_copy(update=facts or {})], **(wanted | settings))


def seen(bands, *, offset=0.0, dtype="uint16", level="L2A", taken=True, locked=None, **facts):
    """What the gate says of images by band, without a stage."""
    samples = {}
    for name, image in bands.items():
        plain = {"nodata": 0.0, "add_offset": offset} | (locked or {})
        asset = LockedAsset(href=f"{name}.tif", crs=CRS, transform=tuple(HERE)[:6],
                            shape=image.shape, dtype=dtype, **plain)  # fmt: skip
        sampler = Sampler(asset, np.nan if asset.nodata is None else asset.nodata)
        sampler.look(
            image.astype(dtype), None, (slice(0, image.shape[0]), slice(0, image.shape[1]))
        )
        samples[name] = sampler.sample
    plain = {"id": "scene", "sensor": "sentinel2", "level": level, "footprint": {}, "assets": {},
             "datetime": "2022-06-18T10:00:00Z"}  # fmt: skip
    return plausible.reflectance(LockedItem(**(plain | facts)), samples, offset=taken) or ""


def optical(values, offset=0.0):
    return dict(zip(BANDS, np.maximum(values + offset, 1), strict=True))


@pytest.mark.parametrize(
    "covers", [(FOREST,), (WATER,), (DESERT,), (SNOW,), (FOREST, WATER), (DESERT, SHADE),
               (SNOW, SHADE), (FOREST, DESERT, WATER)],
)  # fmt: skip
@pytest.mark.parametrize("baseline", ["02.11", "05.09", None])
def test_true_ground_passes(covers, baseline):
    facts = {"processing_baseline": baseline}
    assert seen(optical(ground(*covers)), **facts) == ""
    if baseline != "02.11":
        assert seen(optical(ground(*covers), 1000), offset=-1000.0, **facts) == ""
        assert seen(optical(ground(*covers), 1000), taken=False, **facts) == ""


@pytest.mark.parametrize("bands", [BANDS, ("B02",), ("B04",), ("B02", "B08")])
@pytest.mark.parametrize("covers", [(FOREST,), (WATER,), (FOREST, WATER)])
def test_an_offset_that_was_taken_off_before_is_seen(bands, covers):
    values = {b: v for b, v in optical(ground(*covers)).items() if b in bands}
    assert "do they hold it already?" in seen(values, offset=-1000.0)


def test_the_stage_refuses_and_names_file_and_remedy(tmp_path):
    with pytest.raises(SceneError, match=r"offset of -1000 .*do they hold it already\?") as info:
        build(tmp_path, optical(ground(FOREST)), offset=-1000.0)
    assert not (tmp_path / "unit" / "out.zarr").exists()
    assert f"scene ({tmp_path}" in str(info.value)
    assert "catalog.rasters with add_offset: 0" in str(info.value)
    assert "check_values: false" in str(info.value)


@pytest.mark.parametrize(
    ("bands", "covers"),
    [
        (BANDS, (FOREST,)),
        (BANDS, (WATER, DESERT)),
        (("B04",), (FOREST,)),
        (("B02", "B03"), (FOREST,)),
    ],
)
@pytest.mark.parametrize("baseline", ["05.09", "N0511", None])
def test_an_offset_that_nobody_takes_off_is_seen(bands, covers, baseline):
    values = {b: v for b, v in optical(ground(*covers), 1000).items() if b in bands}
    finding = seen(values, processing_baseline=baseline)
    assert "nothing is darker than" in finding
    assert "set add_offset: -1000" in finding


def test_air_over_dark_ground_is_no_offset():
    toa = optical(ground(FOREST, SHADE), 0)
    toa["B02"] = toa["B02"] + 1050  # as Rayleigh scattering adds
    toa["B03"] = toa["B03"] + 600
    assert seen(toa, level="L1C", processing_baseline="05.09") == ""
    raised = {band: values + 1000 for band, values in toa.items()}
    assert "set add_offset" in seen(raised, level="L1C", processing_baseline="05.09")


def test_what_is_refused_can_be_let_pass(tmp_path):
    stack = build(tmp_path, optical(ground(FOREST)), offset=-1000.0, check_values=False)
    assert stack.read(slice(None), "source").all()


@pytest.mark.parametrize(
    ("scale", "dtype", "remedy"),
    [(1e-4, "float32", "set scale: 1"), (1e-4, "float64", "set scale: 1"),
     (1e-2, "float32", "set scale: 0.01"), (2e-3, "uint16", "set scale to what")],
)  # fmt: skip
def test_reflectance_and_percent_are_no_dn(scale, dtype, remedy):
    values = dict(zip(BANDS, ground(FOREST, SHADE) * scale, strict=True))
    assert f"hardly any light: {remedy}" in seen(values, dtype=dtype)
    assert seen(values, dtype=dtype, locked={"quantification": 10_000 * scale}) == ""


def test_a_picture_for_the_eye_is_no_reflectance():
    values = np.clip(ground(DESERT, FOREST) / 12, 1, 255)
    finding = seen(dict(zip(BANDS, values, strict=True)), dtype="uint8")
    assert "8 bits, as in a picture for the eye" in finding


def test_a_scale_of_one_for_dn_is_seen():
    finding = seen(optical(ground(FOREST)), locked={"quantification": 1.0}, dtype="float32")
    assert "correct scale (0.0001 for DN)" in finding


def test_blocks_of_exact_zeros_are_seen_where_0_is_a_value(tmp_path):
    values = optical(ground(FOREST))
    for image in values.values():
        image[10:30, 20:50] = 0
    with pytest.raises(SceneError, match=r"blocks of exact 0 .* nodata is -9999.*nodata: 0"):
        build(tmp_path / "a", values, dtype="int16", locked={"nodata": -9999})
    stack = build(tmp_path / "b", values)
    assert np.count_nonzero(stack.read(slice(None), "source") == 0) == 600


def test_single_zeros_are_values_where_the_product_says_so(tmp_path):
    values = optical(ground(WATER))
    values["B11"] = ground(WATER)[4] - 15  # around 0, as MAJA measures over water
    facts = {"processor": "theia", "processing_baseline": "3.1"}
    stack = build(tmp_path, values, dtype="int16", locked={"nodata": -10_000}, facts=facts)
    assert stack.read(slice(None), "source").all()


# --- backscatter ---------------------------------------------------------------------------------


def power(seed=2):
    return np.random.default_rng(seed).gamma(4, 0.02, BOX.shape)


def test_decibel_taken_for_power_are_seen(tmp_path):
    with pytest.raises(SceneError, match=r"taken for linear power, .*Set unit: db") as info:
        build(tmp_path, {"VV": 10 * np.log10(power())}, dtype="float32")
    assert "check_values: false" in str(info.value)


def test_power_taken_for_decibel_is_seen(tmp_path):
    with pytest.raises(SceneError, match=r"none is negative: .*Set unit: linear"):
        build(tmp_path, {"VV": power()}, dtype="float32", locked={"scale": "db"})


def test_hundredths_of_decibel_are_seen(tmp_path):
    with pytest.raises(SceneError, match=r"hundredths\? Set scale: 0\.1 or 0\.01"):
        build(tmp_path, {"VV": 1000 * np.log10(power())}, dtype="int16", locked={"scale": "db"})


def test_blocks_of_zero_decibel_are_seen(tmp_path):
    db = 10 * np.log10(power())
    db[10:30, 20:50] = 0
    with pytest.raises(SceneError, match=r"blocks of exact 0 .* Set nodata: 0"):
        build(tmp_path / "a", {"VV": db}, dtype="float32", locked={"scale": "db"})
    stack = build(tmp_path / "b", {"VV": db}, dtype="float32", locked={"scale": "db", "nodata": 0})
    assert np.count_nonzero(stack.read(slice(None), "source") == 0) == 600


def test_true_backscatter_passes(tmp_path):
    build(tmp_path / "power", {"VV": power()}, dtype="float32")
    build(tmp_path / "calm", {"VV": power() * 1e-3}, dtype="float32")
    build(tmp_path / "amplitude", {"VV": 300 * np.sqrt(power())}, dtype="uint16")
    build(tmp_path / "db", {"VV": 10 * np.log10(power())}, dtype="float32", locked={"scale": "db"})
    noise = power() - 0.07  # after noise was taken off calm water
    build(tmp_path / "noise", {"VV": noise}, dtype="float32")
