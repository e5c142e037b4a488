# SPDX-License-Identifier: Apache-2.0
"""Speckle filters: theory on simulated speckle, brute force, halos bit for bit, real series."""

import numpy as np
import pytest
import rasterio

from made.netcdf import read_netcdf
from terrapatch.sentinel1.speckle import (
    add_ratio,
    apply_ratio,
    boxcar,
    despeckle,
    equivalent_looks,
    halo,
    lee,
    multitemporal,
    refined_lee,
)

LOOKS = 4.4
SPATIAL = ("boxcar", "lee", "refined_lee")


def speckled(mean, seed=0, looks=LOOKS):
    """Speckle of so many looks over a landscape of means."""
    rng = np.random.default_rng(seed)
    return (np.asarray(mean) * rng.gamma(looks, 1 / looks, np.shape(mean))).astype(np.float32)


def with_holes(image, seed=1, share=0.05):
    rng = np.random.default_rng(seed)
    holes = rng.random(image.shape) < share
    holes[..., 10:16, 20:30] = True
    return np.where(holes, np.float32(np.nan), image)


def windows(image, radius):
    """Every pixel's window as (y, x, n), NaN outside of the image."""
    padded = np.pad(image.astype(float), radius, constant_values=np.nan)
    side = 2 * radius + 1
    view = np.lib.stride_tricks.sliding_window_view(padded, (side, side))
    return view.reshape(*image.shape, side * side)


def nan_mean(stack):
    known = np.isfinite(stack)
    return np.where(known, stack, 0).sum(-1) / np.maximum(known.sum(-1), 1)


@pytest.mark.parametrize("radius", [1, 2, 3])
def test_boxcar_is_the_mean_of_known_pixels(radius):
    image = with_holes(speckled(np.ones((40, 50))))
    expected = np.where(np.isnan(image), np.nan, nan_mean(windows(image, radius)))
    np.testing.assert_allclose(boxcar(image, radius), expected, rtol=1e-6)


@pytest.mark.parametrize("radius", [1, 2, 3])
def test_boxcar_multiplies_the_looks_by_the_window(radius):
    """Pixels a window apart are independent: looks go up by exactly their number, n."""
    n = (2 * radius + 1) ** 2
    image = boxcar(speckled(np.ones((1200, 1200))), radius)
    assert equivalent_looks(image) / (LOOKS * n) == pytest.approx(1, abs=0.05)
    assert image.mean() == pytest.approx(1, abs=0.005)


@pytest.mark.parametrize(("dates", "radius"), [(1, 1), (4, 1), (21, 1), (10, 2)])
def test_multitemporal_gains_looks_as_theory_says(dates, radius):
    """L looks, N dates, n pixels: L · n · N / (n + N − 1)."""
    n = (2 * radius + 1) ** 2
    series = speckled(np.ones((dates, 400, 400)))
    expected = LOOKS * n * dates / (n + dates - 1)
    found = [equivalent_looks(image) for image in multitemporal(series, radius)[:3]]
    np.testing.assert_allclose(found, expected, rtol=0.05)


def test_multitemporal_keeps_each_dates_level_and_sharp_edges():
    """A field that is twice as bright on one date, beside one that is not."""
    levels = np.ones((12, 60, 200))
    levels[:, :, 100:] *= 4
    levels[5] *= 2
    filtered = multitemporal(speckled(levels), 1)
    for k in (0, 5, 11):
        for part in (slice(0, 98), slice(102, 200)):
            ratio = filtered[k, :, part].mean() / levels[k, 0, part].mean()
            assert 10 * np.log10(ratio) == pytest.approx(0, abs=0.1)
    # The step is between columns 99 and 100, as sharp as the window is wide.
    profile = filtered[0].mean(0)
    assert profile[97] < 1.3
    assert profile[102] > 3.5
    assert np.argmax(np.diff(profile)) == 99


@pytest.mark.parametrize("method", SPATIAL)
def test_a_step_stays_where_it_is(method):
    mean = np.ones((80, 80))
    mean[:, 40:] = 10
    for landscape in (mean, mean.T):
        filtered = despeckle(speckled(landscape)[None], method, radius=2, looks=LOOKS)[0]
        profile = filtered.mean(0 if landscape is mean else 1)
        middle = np.interp(5.5, profile[36:44], np.arange(36, 44))
        assert middle == pytest.approx(39.5, abs=0.5)


def test_lees_filters_keep_edges_sharper_than_the_mean():
    mean = np.ones((200, 80))
    mean[:, 40:] = 10
    image = speckled(mean)
    blur = {}
    for name, filtered in {
        "boxcar": boxcar(image, 3), "lee": lee(image, 3, LOOKS), "refined": refined_lee(image, LOOKS),
    }.items():  # fmt: skip
        profile = filtered.mean(0)
        blur[name] = np.abs(profile - mean[0])[34:46].sum()
    assert blur["lee"] < 0.6 * blur["boxcar"]
    assert blur["refined"] < 0.6 * blur["boxcar"]
    # On the dark side of the edge Lee's filter leaves speckle; the refined one does not.
    beside = (slice(None), slice(37, 39))
    dark = {"lee": lee(image, 3, LOOKS)[beside], "refined": refined_lee(image, LOOKS)[beside]}
    assert equivalent_looks(dark["refined"]) > 2 * equivalent_looks(dark["lee"])


def test_lees_filters_smooth_what_is_even():
    image = speckled(np.ones((400, 400)))
    assert equivalent_looks(lee(image, 3, LOOKS)) > 0.5 * 49 * LOOKS
    assert equivalent_looks(refined_lee(image, LOOKS)) > 8 * LOOKS


def test_lee_is_its_formula():
    image = with_holes(speckled(np.linspace(1, 5, 50) * np.ones((40, 1))))
    stack = windows(image, 2)
    count, mean = np.isfinite(stack).sum(-1), nan_mean(stack)
    squares = np.where(np.isfinite(stack), (stack - mean[..., None]) ** 2, 0).sum(-1)
    variance = squares / np.maximum(count - 1, 1)
    signal = (variance - mean**2 / LOOKS) / (1 + 1 / LOOKS)
    gain = np.where(signal > 0, signal / np.where(variance > 0, variance, 1), 0)
    expected = np.where(np.isnan(image), np.nan, mean + gain * (image - mean))
    np.testing.assert_allclose(lee(image, 2, LOOKS), expected, rtol=1e-5)


def test_refined_lee_takes_the_half_window_on_the_pixels_side():
    """Two even halves, divided in four directions: each side keeps its own value exactly."""
    y, x = np.indices((31, 31)) - 15
    for side in (x, y, x + y, x - y):
        image = np.where(side >= 0, 8.0, 1.0).astype(np.float32)
        near = refined_lee(image, LOOKS)[4:-4, 4:-4]
        clear = np.abs(side[4:-4, 4:-4]) != 0
        np.testing.assert_allclose(near[clear], image[4:-4, 4:-4][clear], rtol=0.35)
        assert np.abs(near - boxcar(image, 3)[4:-4, 4:-4]).max() > 2


def test_a_bright_point_survives_lees_filters():
    image = speckled(np.ones((41, 41)))
    image[20, 20] = 500
    for filtered in (lee(image, 2, LOOKS), refined_lee(image, LOOKS)):
        assert filtered[20, 20] > 300
    assert boxcar(image, 2)[20, 20] < 25


def test_multitemporal_is_its_formula_also_around_missing_pixels():
    series = np.stack([with_holes(speckled(np.ones((40, 50)), seed=k), seed=k) for k in range(5)])
    series[3, 30:, :] = np.nan
    means = np.stack([nan_mean(windows(image, 1)) for image in series])
    ratios = series.astype(float) / np.where(means > 0, means, 1)
    average = nan_mean(np.moveaxis(ratios, 0, -1))
    expected = np.where(np.isnan(series), np.nan, means * average)
    np.testing.assert_allclose(multitemporal(series, 1), expected, rtol=1e-6)


def test_one_date_of_the_multitemporal_filter_is_the_image_itself():
    image = with_holes(speckled(np.ones((1, 40, 40))))
    np.testing.assert_allclose(multitemporal(image, 1), image, rtol=1e-6)


def test_valid_zeros_stay_zero_and_are_not_counted():
    series = speckled(np.ones((3, 20, 20)))
    series[1, 5:12, 5:12] = 0
    filtered = multitemporal(series, 1)
    assert (filtered[1, 6:11, 6:11] == 0).all()
    alone = multitemporal(series[[0, 2]], 1)
    np.testing.assert_array_equal(filtered[0, 6:11, 6:11], alone[0, 6:11, 6:11])
    assert np.isfinite(filtered).all()
    nothing = multitemporal(np.zeros((2, 5, 5), np.float32), 1)
    assert (nothing == 0).all()


def test_dates_added_one_by_one_give_the_same_bits():
    series = with_holes(speckled(np.ones((4, 40, 40))))
    total, count = np.zeros((40, 40)), np.zeros((40, 40), np.int32)
    for image in series:
        add_ratio(image, 1, total, count)
    out = np.empty_like(series)
    for image, filtered in zip(series, out, strict=True):
        apply_ratio(image, 1, total, count, filtered)
    np.testing.assert_array_equal(out, multitemporal(series, 1))


METHODS = [("none", 1), ("boxcar", 1), ("boxcar", 3), ("lee", 2), ("refined_lee", 1),
           ("multitemporal", 1), ("multitemporal", 2)]  # fmt: skip


@pytest.mark.parametrize(("method", "radius"), METHODS)
def test_patches_cut_with_their_halo_equal_the_whole_image(method, radius):
    mean = np.ones((70, 90))
    mean[20:50, 30:60] = 8
    mean += np.eye(70, 90) * 20
    series = with_holes(speckled(np.stack([mean, 2 * mean, mean])))
    whole = despeckle(series, method, radius=radius, looks=LOOKS)
    reach = halo(method, radius)
    size = 16
    padded = np.pad(series, ((0, 0), (reach, reach), (reach, reach)), constant_values=np.nan)
    for y in range(0, 64, size):
        for x in range(0, 80, size):
            cut = padded[:, y : y + size + 2 * reach, x : x + size + 2 * reach]
            patch = despeckle(np.ascontiguousarray(cut), method, radius=radius, looks=LOOKS)
            inner = patch[:, reach : reach + size, reach : reach + size]
            np.testing.assert_array_equal(inner, whole[:, y : y + size, x : x + size])


@pytest.mark.parametrize(("method", "radius"), [m for m in METHODS if halo(*m) > 0])
def test_the_halo_is_no_larger_than_it_must_be(method, radius):
    """With one pixel less, patches differ from the whole image."""
    mean = np.ones((40, 40))
    mean[:, 20:] = 6
    series = speckled(np.stack([mean, mean]))
    whole = despeckle(series, method, radius=radius, looks=LOOKS)
    less = halo(method, radius) - 1
    cut = np.ascontiguousarray(series[:, 12 - less :, 18 - less :])
    patch = despeckle(cut, method, radius=radius, looks=LOOKS)[:, less:, less:]
    assert not np.array_equal(patch, whole[:, 12:, 18:])


@pytest.mark.parametrize("method", [*SPATIAL, "multitemporal"])
def test_missing_pixels_stay_missing_and_spoil_no_others(method):
    series = with_holes(speckled(np.ones((3, 40, 40))))
    filtered = despeckle(series, method, radius=1, looks=LOOKS)
    np.testing.assert_array_equal(np.isnan(series), np.isnan(filtered))
    assert filtered.dtype == np.float32


@pytest.mark.parametrize("method", [*SPATIAL, "multitemporal"])
def test_filters_commute_with_gain(method):
    series = speckled(np.ones((3, 40, 40)))
    double = despeckle(4 * series, method, radius=1, looks=LOOKS)
    np.testing.assert_allclose(double, 4 * despeckle(series, method, radius=1), rtol=1e-6)


def evenest(series, side=10):
    """The most even square of a series: where its time mean varies least."""
    mean = np.nanmean(series, 0)
    best = None
    for y in range(0, mean.shape[0] - side, 5):
        for x in range(0, mean.shape[1] - side, 5):
            part = mean[y : y + side, x : x + side]
            if np.isfinite(part).all() and (best is None or equivalent_looks(part) > best[0]):
                best = equivalent_looks(part), (slice(y, y + side), slice(x, x + side))
    return best[1]


def judge_real(series, *, bias_db, change):
    """Looks go up on even ground, means and the scene's edges stay."""
    filtered = multitemporal(series, 1)
    where = evenest(series)
    looks = np.array([[equivalent_looks(i[where]) for i in s] for s in (series, filtered)])
    assert (looks[1] > looks[0]).mean() > 0.9
    # Neighbours are not independent in resampled images; what a plain mean gains is their number.
    # With it, theory holds within a third: what is left is ground that differs in the same way on
    # all dates, which the filter keeps and looks count as speckle.
    before = np.median(looks[0])
    n = np.median([equivalent_looks(boxcar(image, 1)[where]) for image in series]) / before
    theory = n * len(series) / (n + len(series) - 1)
    assert 0.7 * theory < np.median(looks[1]) / before < 1.2 * theory
    bias = 10 * np.log10(np.nanmean(filtered, (1, 2)) / np.nanmean(series, (1, 2)))
    assert np.abs(bias).max() < bias_db
    # What the dates have in common stays: time means change far less than by a 3×3 mean.
    before, after = np.nanmean(series, 0), np.nanmean(filtered, 0)
    blurred = boxcar(before.astype(np.float32), 1)
    assert np.nanmean(np.abs(after - before)) < change * np.nanmean(np.abs(blurred - before))


@pytest.mark.parametrize("burst", ["292322", "292323"])
@pytest.mark.parametrize("polarisation", ["VV", "VH"])
def test_real_series_of_21_dates(shared_data, burst, polarisation):
    files = sorted((shared_data / "s1_rtc_series").glob(f"*-{burst}-*_{polarisation}.tif"))
    assert len(files) == 21
    images = []
    for path in files:
        with rasterio.open(path) as dataset:
            images.append(dataset.read(1))
    judge_real(np.stack(images), bias_db=0.15, change=0.5)


@pytest.mark.parametrize("polarisation", ["VV", "VH"])
def test_real_series_over_antwerp(shared_data, polarisation):
    path = shared_data / "s1s2_series_antwerp" / "cdse_sentinel1_grd.nc"
    # Unsigned numbers that netCDF 3 has no type for; 20 · log10(DN) − 83 is σ⁰ in dB.
    dn = read_netcdf(path, f"S1-SIGMA0-{polarisation}").astype(np.uint16)
    series = (dn.astype(np.float64) ** 2 * 10**-8.3).astype(np.float32)
    assert series.shape == (10, 66, 64)
    assert -22 < 10 * np.log10(np.median(series)) < -8
    # Ten dates only, of several orbits, and much of it is town.
    judge_real(series, bias_db=0.25, change=0.7)
