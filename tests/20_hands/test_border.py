# SPDX-License-Identifier: Apache-2.0
"""Borders of GRD slices: synthetic ones of old and new processors, and a real measurement."""

import numpy as np
import pytest
import rasterio

from terrapatch.errors import SceneError
from terrapatch.sentinel1 import border, footprint
from terrapatch.sentinel1.border import Cut, has_clean_borders, s1tiling_cut, threshold
from terrapatch.sentinel1.footprint import find

NEW, OLD = "003.31", "002.36"


def reader(image):
    return lambda rows, cols: image[rows, cols]


def scene(shape=(900, 700), seed=0, mean=80.0):
    """Speckled ground of 4.4 looks without a border."""
    rng = np.random.default_rng(seed)
    return np.round(mean * np.sqrt(rng.gamma(4.4, 1 / 4.4, shape))).astype(np.uint16)


def skewed(shape, *, left, right, top, bottom):
    """Sides that run askew: where they begin, and by how much they move across the image."""
    lines, samples = shape
    y, x = np.arange(lines), np.arange(samples)

    def side(at, along):
        return np.int32(at[0] + np.floor(at[1] * along / along[-1]))

    return (
        side(left, y), samples - side(right, y), side(top, x), lines - side(bottom, x)
    )  # fmt: skip


def with_border(image, sides, fill):
    left, right, top, bottom = sides
    y, x = np.indices(image.shape)
    inside = (x >= left[:, None]) & (x < right[:, None]) & (y >= top) & (y < bottom)
    return np.where(inside, image, fill).astype(np.uint16), inside


def test_a_new_processors_zeros_are_found_to_the_pixel():
    sides = skewed((900, 700), left=(0, 40), right=(90, -50), top=(0, 25), bottom=(30, 10))
    image, inside = with_border(np.maximum(scene(), 1), sides, 0)
    image[400:403, 300:320] = 0  # a valid zero within
    inside[400:403, 300:320] = True
    found = find(reader(image), image.shape, NEW)
    np.testing.assert_array_equal(found.inside(slice(None)), inside)


def test_an_image_without_border_is_whole():
    image = np.maximum(scene(), 1)
    for ipf in (NEW, OLD):
        assert find(reader(image), image.shape, ipf).inside(slice(None)).all()


def test_new_processors_low_values_are_image():
    image = scene()
    image[:, :60] = 3
    assert find(reader(image), image.shape, NEW).inside(slice(None)).all()


@pytest.mark.parametrize("zeros", [0.0, 0.5])
def test_an_old_processors_fringe_is_cut_and_the_image_kept(zeros):
    sides = skewed((900, 700), left=(50, 60), right=(20, 30), top=(40, 20), bottom=(10, 50))
    rng = np.random.default_rng(5)
    fringe = rng.integers(1, 15, (900, 700)) * (rng.random((900, 700)) >= zeros)
    fringe[rng.random(fringe.shape) < 0.01] = 60  # lone bright pixels
    image, inside = with_border(scene(), sides, fringe)
    found = find(reader(image), image.shape, OLD, reach_px=300)
    assert not (found.inside(slice(None)) & ~inside).any()
    # The margin is the loss, less at most a quarter of a stretch where a bright pixel of the fringe
    # stands right before the image. Away from the corners, where two fringes overlap:
    left, right, top, bottom = sides
    for lost in (found.left - left, right - found.right, found.top - top, bottom - found.bottom):
        middle = lost[120:-120]
        assert ((middle >= border.MARGIN_PX - 6) & (middle <= border.MARGIN_PX + 4)).all()
        assert np.median(middle) == border.MARGIN_PX


def test_corners_where_both_fringes_meet_are_cut():
    sides = skewed((400, 400), left=(60, 0), right=(0, 0), top=(70, 0), bottom=(0, 0))
    image, inside = with_border(scene((400, 400)), sides, 5)
    found = find(reader(image), image.shape, OLD, reach_px=100, margin_px=0).inside(slice(None))
    assert not found[:60, :50].any()
    assert not (found & ~inside).any()


def test_a_line_without_image_takes_the_border_of_the_nearest_that_has():
    image = np.full((80, 400), 100, np.uint16)
    image[:40, :10] = 5
    image[40:, :30] = 5
    image[20:70] = 5  # dark from side to side; halves lie at lines 44 and 45
    found = find(reader(image), image.shape, OLD, reach_px=100, margin_px=0)
    assert set(found.left[:45]) == {10}
    assert set(found.left[45:]) == {30}


def test_dark_ground_deeper_than_the_reach_is_no_border():
    image = scene((300, 900))
    image[:, :500] = 8
    found = find(reader(image), image.shape, OLD, reach_px=200)
    assert found.inside(slice(None)).all()
    image[:, :30] = 0
    found = find(reader(image), image.shape, OLD, reach_px=200)
    assert (found.left == 30).all()
    assert not found.inside(slice(None))[:, :30].any()


def test_calm_water_above_the_noise_is_kept_by_the_noise_threshold():
    noise = 1500.0
    image = scene((300, 600), mean=np.sqrt(noise))  # no signal at all, only the sensor's noise
    image[:, :40] = 6
    low = threshold(np.full(600, noise))
    assert low[0] == pytest.approx(27.386, abs=1e-3)
    found = find(reader(image), image.shape, OLD, low_dn=low, margin_px=0)
    assert (found.left >= 40).all()
    assert np.mean(found.left - 40) < 1
    assert found.inside(slice(None))[:, 60:].mean() > 0.99


def test_threshold_without_noise_is_about_minus_thirty_decibel():
    low = threshold(np.zeros(3))
    assert 20 * np.log10(low[0] / 600) == pytest.approx(-29.5, abs=0.1)


def test_strips_do_not_show(monkeypatch):
    sides = skewed((900, 700), left=(50, 60), right=(20, 30), top=(40, 20), bottom=(10, 50))
    image, _ = with_border(scene(), sides, 4)
    whole = find(reader(image), image.shape, OLD)
    monkeypatch.setattr(footprint, "_STRIP", 37)
    strips = find(reader(image), image.shape, OLD, reach_px=2000)
    for side in ("left", "right", "top", "bottom"):
        np.testing.assert_array_equal(getattr(whole, side), getattr(strips, side))
    window = (slice(30, 90), slice(20, 130))
    np.testing.assert_array_equal(whole.inside(slice(None))[window], whole.inside(*window))


def test_lines_of_zeros_deeper_than_the_reach_are_outside():
    image = np.maximum(scene((2800, 50)), 1)
    image[:2300] = 0
    found = find(reader(image), image.shape, NEW).inside(slice(None))
    assert not found[:2300].any()
    assert found[2300:].all()


def test_fixed_cuts_count_from_the_sides():
    image = np.maximum(scene((60, 50)), 1)
    image[:, :3] = 0
    found = find(reader(image), image.shape, NEW).cut(Cut(left=2, right=5, first=7, last=9))
    expected = np.zeros((60, 50), bool)
    expected[7:51, 3:45] = True
    np.testing.assert_array_equal(expected, found.inside(slice(None)))


def test_s1tiling_cuts_ranges_of_old_processors_and_empty_ends():
    full, empty = np.ones(25000, np.uint16), np.ones(25000, np.uint16)
    empty[:2001] = 0
    assert s1tiling_cut(full, full, NEW) == Cut()
    assert s1tiling_cut(full, full, OLD) == Cut(1000, 1000, 0, 0)
    assert s1tiling_cut(empty, full, NEW) == Cut(0, 0, 1600, 0)
    assert s1tiling_cut(full, empty, OLD, range_px=900, azimuth_px=100) == Cut(900, 900, 0, 100)
    empty[2000] = 1
    assert s1tiling_cut(empty, empty, NEW) == Cut()


@pytest.mark.parametrize(
    ("ipf", "clean"),
    [("002.36", False), ("002.84", False), ("2.90", True), ("002.91", True), ("003.31", True)],
)
def test_borders_are_clean_from_version_2_90_on(ipf, clean):
    assert has_clean_borders(ipf) == clean


@pytest.mark.parametrize("ipf", [NEW, OLD])
def test_a_measurement_of_zeros_is_an_error(ipf):
    with pytest.raises(SceneError, match="no pixel with a signal"):
        find(reader(np.zeros((40, 30), np.uint16)), (40, 30), ipf)


def test_real_edges_of_a_measurement(shared_data):
    """IPF 2.91, decimated ×20: zeros of 25 and 26 pixels at the right, none elsewhere."""
    sides = []
    for path in sorted(shared_data.glob("s1_grd_measurement/*/measurement/*.tiff")):
        with rasterio.open(path) as dataset:
            image = dataset.read(1)
            software = dataset.tags()["TIFFTAG_SOFTWARE"]
        found = find(reader(image), image.shape, software.rsplit(" ", 1)[1])
        mask = found.inside(slice(None))
        assert set(np.unique(found.right)) == {1254, 1255}
        assert mask[:, :1254].all()
        assert not (image[~mask] > 0).any()
        assert (image[mask] == 0).sum() <= 2
        sides.append(found.right)
        # Taken for an old product, the same image loses no more than the margin besides.
        old = find(reader(image), image.shape, OLD, reach_px=100)
        assert (old.right >= found.right - border.MARGIN_PX - 2).all()
        assert old.inside(slice(None))[20:-20, 20:1200].all()
    assert len(sides) == 2
    # Both polarisations have one footprint, but for a valid zero at the very side of one line.
    assert np.count_nonzero(sides[0] != sides[1]) <= 1
