# SPDX-License-Identifier: Apache-2.0
"""Theia's products through the Sentinel-2 stage: int16, masks, series on tile grids, real crops."""

import numpy as np
import pandas as pd
import pytest
import rasterio
import scipy.ndimage
from affine import Affine
from odc.geo.geobox import GeoBox

from made.scenes import Unit, all_corners, item, pixels, write_asset
from made.theia import BANDS, GROUND, NODATA, make_theia
from terrapatch.catalog.described import described_scenes
from terrapatch.catalog.files import Files
from terrapatch.catalog.folder import search
from terrapatch.catalog.locking import locked_item
from terrapatch.sentinel2 import with_bits
from terrapatch.settings import THEIA_10, RasterSource

NO_HASH = Files(hash_files=False)
EVERYTHING = (*THEIA_10, "EDG", "CLM", "MG2")


def locked(folder, bands=EVERYTHING):
    """Products of a folder as the lock has them, in the order of their dates."""
    scenes = sorted(search([folder]).scenes, key=lambda s: s.datetime)
    return [locked_item(scene, bands, NO_HASH) for scene in scenes]


@pytest.fixture
def unit(tmp_path):
    """A unit on the tile's own grid, one column and one row off the 20 m pixels."""
    geobox = GROUND[3:61, 5:89]
    return Unit(tmp_path / "unit", geobox, all_corners(geobox.shape, 16), 16)


INNER = (slice(3, 51), slice(5, 85))
"""What the unit's patches show of the crops, rows and columns of 10 m."""


def shown(stack, name="data"):
    return pixels(stack, name)[..., :48, :80]


def enlarged(values):
    return values.repeat(2, axis=0).repeat(2, axis=1)


# --- values --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", ["nearest", "bilinear", "cubic"])
def test_bands_of_10_m_are_copied_bit_for_bit(shared_data, tmp_path, unit, kernel):
    _, values = make_theia(tmp_path / "p", shared_data)
    stack = unit.build(locked(tmp_path / "p"), bands=THEIA_10, kernel=kernel, dtype="int16")
    assert stack.info.dtype == "int16"
    data = shown(stack)
    assert data.min() < 0
    assert (data == 0).any()
    assert (shown(stack, "source") == 1).all()
    for band in ("B02", "B03", "B04", "B08"):
        np.testing.assert_array_equal(data[THEIA_10.index(band)], values["FRE", band][INNER])


def test_nearest_is_the_zoom_of_the_released_code(shared_data, tmp_path, unit):
    _, values = make_theia(tmp_path / "p", shared_data)
    stack = unit.build(
        locked(tmp_path / "p"), bands=("B05", "B12"), kernel="nearest", dtype="int16"
    )
    for place, band in enumerate(("B05", "B12")):
        zoomed = scipy.ndimage.zoom(values["FRE", band], 2, order=0)
        np.testing.assert_array_equal(zoomed, enlarged(values["FRE", band]))
        np.testing.assert_array_equal(shown(stack)[place], zoomed[INNER])


def test_cubic_rounds_negative_reflectances_as_positive_ones(shared_data, tmp_path, unit):
    """Keys' kernel by the textbook in float64; halves up, also below zero."""
    root, _ = make_theia(tmp_path / "p", shared_data)
    coarse = np.random.default_rng(1).integers(-300, 300, (32, 48)).astype(np.int16)
    with rasterio.open(next(root.glob("*_FRE_B11.tif")), "r+") as dataset:
        dataset.write(coarse, 1)
    stack = unit.build(locked(tmp_path / "p"), bands=("B11",), kernel="cubic", dtype="int16")
    inner = coarse.astype(float)
    weights = {}
    for f in (0.25, 0.75):
        near = [abs(n - f) for n in (-1, 0, 1, 2)]
        weights[f] = [
            1.5 * t**3 - 2.5 * t**2 + 1 if t <= 1 else -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
            for t in near
        ]

    def finer(array):
        padded = np.pad(array, ((2, 2), (0, 0)), mode="edge")
        out = np.empty((2 * len(array), array.shape[1]))
        for row in range(len(out)):
            t = (row + 0.5) / 2 - 0.5
            low = int(np.floor(t))
            out[row] = np.tensordot(weights[t - low], padded[low + 1 : low + 5], 1)
        return out

    exact = finer(finer(inner).T).T[INNER]
    found = shown(stack)[0]
    assert (exact < -1).mean() > 0.4
    sure = np.abs(exact - np.floor(exact) - 0.5) > 1e-3
    np.testing.assert_array_equal(found[sure], np.floor(exact + 0.5)[sure])
    assert sure.mean() > 0.95


def test_uint16_stacks_keep_valid_pixels_at_one_or_more(shared_data, tmp_path, unit):
    _, values = make_theia(tmp_path / "p", shared_data)
    data = shown(unit.build(locked(tmp_path / "p"), bands=("B02",)))[0]
    np.testing.assert_array_equal(data, np.maximum(values["FRE", "B02"][INNER], 1))


# --- masks ---------------------------------------------------------------------------------------


def swath_edge():
    edge = np.zeros(GROUND.shape, bool)
    edge[:, 61:] = True
    return edge


def test_outside_the_image_all_is_missing_and_nodata_never_bleeds(shared_data, tmp_path, unit):
    _, values = make_theia(tmp_path / "p", shared_data, edge=swath_edge())
    stack = unit.build(locked(tmp_path / "p"), bands=THEIA_10, kernel="bilinear", dtype="int16")
    data, source = shown(stack), shown(stack, "source")
    # A 20 m pixel at the edge (columns 60 and 61) is missing, and so is who needs it.
    np.testing.assert_array_equal(source[0], (np.arange(5, 85) < 59).astype(int))
    assert (source == source[0]).all()
    assert (data[:, source == 0] == 0).all()
    assert (data[:, source == 1] > -61).all()
    nearest = unit.build(
        locked(tmp_path / "p"), bands=THEIA_10, kernel="nearest", dtype="int16", output="n.zarr"
    )
    np.testing.assert_array_equal(shown(nearest, "source")[0], (np.arange(5, 85) < 60).astype(int))
    assert (values["FRE", "B02"][:, 61:] == NODATA).all()


def test_the_edge_mask_counts_where_bands_have_values(shared_data, tmp_path, unit):
    """As where a mask was drawn wider than nodata; `mask_edg: false` takes the pixels."""
    root, values = make_theia(tmp_path / "p", shared_data)
    mask = next((root / "MASKS").glob("*_EDG_R1.tif"))
    with rasterio.open(mask, "r+") as dataset:
        dataset.write(swath_edge().astype(np.uint8), 1)
    items = locked(tmp_path / "p")
    source = shown(unit.build(items, bands=("B02",), dtype="int16"), "source")
    np.testing.assert_array_equal(source[0], (np.arange(5, 85) < 61).astype(int))
    stack = unit.build(items, bands=("B02",), dtype="int16", mask_edg=False, output="all.zarr")
    np.testing.assert_array_equal(shown(stack)[0], values["FRE", "B02"][INNER])


def test_bits_of_the_cloud_and_the_geophysical_mask_can_be_missing(shared_data, tmp_path, unit):
    rng = np.random.default_rng(3)
    clm = rng.integers(0, 256, GROUND.shape).astype(np.uint8)
    mg2 = rng.integers(0, 256, GROUND.shape).astype(np.uint8)
    make_theia(tmp_path / "p", shared_data, clm=clm, mg2=mg2)
    items = locked(tmp_path / "p")
    for number, (clouds, ground) in enumerate([((), ()), ((1,), ()), ((4, 7), (2, 3))]):
        stack = unit.build(
            items, bands=("B02", "B05"), kernel="nearest", dtype="int16", processor="theia", mask_clm=clouds,
            mask_mg2=ground, output=f"{number}.zarr", threads=2,
        )  # fmt: skip
        expected = np.ones(GROUND.shape, bool)
        for bit in clouds:
            expected &= (clm >> bit) & 1 == 0
        for bit in ground:
            expected &= (mg2 >> bit) & 1 == 0
        np.testing.assert_array_equal(shown(stack, "source") > 0, expected[INNER])


def test_bits_count_from_the_lowest():
    assert with_bits((7,)) == tuple(range(128, 256))
    assert with_bits((0,)) == tuple(range(1, 256, 2))
    assert with_bits(()) == ()
    assert with_bits((0, 0, 1)) == tuple(v for v in range(256) if v % 4)


# --- series --------------------------------------------------------------------------------------


def test_a_series_holds_each_date_as_it_is(shared_data, tmp_path, unit):
    found = {}
    for seed, day in enumerate(("20200305", "20200112", "20200723")):
        edge = swath_edge() if day == "20200305" else None
        _, found[day] = make_theia(
            tmp_path / "p", shared_data, day=day, seed=seed, edge=edge, cloud=seed
        )
    best_first = sorted(locked(tmp_path / "p"), key=lambda i: i.cloud_percent)
    stack = unit.build(best_first, bands=THEIA_10, kernel="nearest", dtype="int16", time="series")
    assert stack.info.series
    assert [t[:10] for t in stack.info.times] == ["2020-01-12", "2020-03-05", "2020-07-23"]
    assert {p["platform"] for p in stack.info.passes} == {"Sentinel-2A"}
    assert {p["relative_orbit"] for p in stack.info.passes} == {51}
    for time, day in enumerate(sorted(found)):
        for place, band in enumerate(THEIA_10):
            values = found[day]["FRE", band]
            whole = values if BANDS[band.replace("B0", "B")] == 10 else enlarged(values)
            data = stack.read(slice(None), time=time)[:, place]
            source = stack.read(slice(None), "source", time)
            for (y, x), patch, seen in zip(unit.corners, data, source, strict=True):
                expected = whole[y + 3 : y + 19, x + 5 : x + 21]
                np.testing.assert_array_equal(patch[seen > 0], expected[seen > 0])
    shares = (stack.read(slice(None), "source") > 0).mean(axis=(2, 3))
    right = np.array([x + 5 + 16 > 60 for _, x in unit.corners])
    np.testing.assert_array_equal(shares[:, 0], 1)
    np.testing.assert_array_equal(shares[:, 1] < 1, right)
    mosaic = unit.build(best_first, bands=THEIA_10, dtype="int16", output="mosaic.zarr")
    assert len(mosaic.info.times) == 1
    # The mosaic begins with the least cloudy date and fills its gap from the next one.
    assert (shown(mosaic, "source")[0] == np.where(np.arange(5, 85) < 59, 1, 2)).all()


# --- real crops ----------------------------------------------------------------------------------

CROPS = GeoBox((256, 256), Affine(10, 0, 676_800, 0, -10, 7_895_560), "EPSG:32738")


def crop(shared, tile, day):
    """A real FRE crop of one band, described by hand: its metadata are fragments.

    The files do not say which band they are; B03 stands for it here.
    """
    (path,) = (shared / "s2_theia_l2a" / tile).glob(f"*_{day}-*/*_FRE_STACK.tif")
    day = f"{day[:4]}-{day[4:6]}-{day[6:]}"
    source = RasterSource(
        sensor="sentinel2", path=str(path), bands=("B03",), date=day, add_offset=0
    )
    (scene,) = described_scenes([source], "L2A")
    assert scene.processor is None
    with rasterio.open(path) as dataset:
        return locked_item(scene, ("B03",), NO_HASH), dataset.read(1)


@pytest.fixture
def madagascar(tmp_path):
    return Unit(tmp_path / "unit", CROPS, all_corners(CROPS.shape, 64), 64)


def test_real_crops_pass_through_unchanged(shared_data, madagascar):
    days = [("T38KPD", "20170203"), ("T38KPE", "20170213"), ("T38KPD", "20170223")]
    found = [crop(shared_data, *day) for day in days]
    items = [i for i, _ in found]
    stack = madagascar.build(items, bands=("B03",), kernel="cubic", dtype="int16", time="series")
    assert stack.info.times == ("2017-02-03T00:00:00Z", "2017-02-13T00:00:00Z",
                                "2017-02-23T00:00:00Z")  # fmt: skip
    for time, (_, values) in enumerate(found):
        data = stack.read(slice(None), time=time)[:, 0]
        for (y, x), patch in zip(madagascar.corners, data, strict=True):
            np.testing.assert_array_equal(patch, values[y : y + 64, x : x + 64])
    assert (stack.read(slice(None), "source") == 1).all()
    # The middle date is cloudy: far brighter.
    means = [stack.read(slice(None), time=t).mean() for t in range(3)]
    assert means[1] > 2 * max(means[0], means[2])


def test_two_tiles_of_one_datatake_show_the_same_ground_nearly_alike(shared_data, madagascar):
    """MAJA corrects each tile by its own aerosols: the same ground differs by a few percent.

    So tiles are not exchangeable bit for bit; on a mosaic the seam rule takes one of them whole.
    """
    (first, one), (second, other) = (
        crop(shared_data, tile, "20170223") for tile in ("T38KPD", "T38KPE")
    )
    second = second.model_copy(update={"id": "second"})
    difference = one.astype(int) - other
    assert (difference == 0).mean() < 0.1
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.995
    assert abs(np.median(difference)) <= 20  # 0.002 of reflectance
    assert np.quantile(np.abs(difference), 0.99) < 60
    # No shift between the tiles: moving one by a pixel only makes it worse.
    spread = {
        (dy, dx): np.std(one[1:-1, 1:-1] - np.roll(other.astype(int), (dy, dx), (0, 1))[1:-1, 1:-1])
        for dy in (-1, 0, 1)
        for dx in (-1, 0, 1)
    }
    assert min(spread, key=spread.get) == (0, 0)
    stack = madagascar.build([second, first], bands=("B03",), dtype="int16")
    np.testing.assert_array_equal(pixels(stack)[0], other)
    assert (pixels(stack, "source") == 1).all()


# --- the table of dates --------------------------------------------------------------------------


def test_the_table_of_dates_says_how_cloudy_the_scenes_were(tmp_path):
    from made.patches import (
        WORLD,
        settings_folder,
        small_lock,
        utm_geobox,
        write_footprints,
        write_labels,
        write_stack,
    )
    from terrapatch.legend import load_legend
    from terrapatch.patches import patches
    from terrapatch.records import LockedItem

    geobox = utm_geobox((8, 24))
    clouds = {"a": 3.5, "b": 8.5, "c": None}
    scenes = [
        LockedItem(
            id=name, sensor="sentinel2", level="L2A", datetime="2020-01-01T00:00:00Z",
            footprint=WORLD, cloud_percent=cloud, processor="theia", assets={},
        )
        for name, cloud in clouds.items()
    ]  # fmt: skip
    lock = small_lock(tmp_path, geobox, scenes)
    frame = write_footprints(tmp_path / "f.parquet", geobox, 8)
    source = np.ones((3, 4, 8, 8), np.uint8)
    source[0, 0, 4:] = 2  # both scenes
    source[1, 1] = 0  # no pixel at all
    source[2, 0, 0, 0] = 0  # one pixel missing
    data = np.ones((3, 4, 1, 8, 8), np.int16)
    steps = [["a", "b"], ["b"], ["c"], ["c", "a"]]
    nothing = {"direction": None, "relative_orbit": 51, "platform": "Sentinel-2A"}
    write_stack(tmp_path / "s.zarr", geobox, frame["patch_id"], data=data, source=source,
                items=steps, passes=[nothing] * 4)  # fmt: skip
    legend = load_legend("cerradata4mm")
    layers = [*(level.name for level in legend.levels)]
    corners = frame[["y_px", "x_px"]].to_numpy().tolist()
    write_labels(tmp_path / "l.zarr", geobox, frame["patch_id"], corners, 8,
                 np.full((len(layers), *geobox.shape), 0, np.uint8), layers)  # fmt: skip
    settings = settings_folder(
        tmp_path / "settings", images=["sentinel2"], sentinel2={"time": "series"}
    )
    stacks = {"sentinel2": tmp_path / "s.zarr", "label": tmp_path / "l.zarr"}
    patches([lock], "u1", tmp_path / "f.parquet", stacks, settings / "patches.json",
            tmp_path / "p.parquet", tmp_path / "dates.parquet")  # fmt: skip
    dates = pd.read_parquet(tmp_path / "dates.parquet")
    nan = np.nan
    expected = [6.0, 8.5, nan, nan, 3.5, nan, nan, nan, 3.5, 8.5, nan, nan]
    np.testing.assert_array_equal(dates["cloud_percent"], expected)
    assert dates["kept"].tolist() == [True] * 4 + [True, False, True, True] + [False] + [True] * 3
    assert [list(s) for s in dates["scenes"]][:5] == [["a", "b"], ["b"], ["c"], ["c"], ["a"]]


@pytest.mark.parametrize(("zeros", "kept"), [(0.94, True), (0.95, True), (0.96, False)])
def test_radar_dates_above_95_percent_zeros_are_dropped(tmp_path, zeros, kept):
    """MultiSenGE's rule is `require: {sentinel1: {valid: 0.05}}`: 5 % of pixels are enough."""
    from terrapatch.patches import observe
    from terrapatch.settings import PatchesSettings

    geobox = GeoBox((20, 20), Affine(10, 0, 300_000, 0, -10, 9_100_000), "EPSG:32722")
    values = np.random.default_rng(0).gamma(4, 0.02, (20, 20)).astype(np.float32)
    values.ravel()[: round(400 * zeros)] = np.nan
    assets = {
        band: write_asset(tmp_path / f"{band}.tif", values, geobox.affine, "EPSG:32722", jp2=False,
                          block=32, nodata_nan=True)
        for band in ("VV", "VH")
    }  # fmt: skip
    unit = Unit(tmp_path / "u", geobox, [(0, 0)], 20)
    stack = unit.build([item("S1", assets, sensor="sentinel1")], time="series")
    share = observe(stack, 0.05).shares[0, 0]
    assert share == pytest.approx(1 - zeros)
    least = PatchesSettings(require={"sentinel1": {"valid": 0.05}}).of("sentinel1").valid
    assert (share >= least) == kept
