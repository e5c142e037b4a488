# SPDX-License-Identifier: Apache-2.0
"""Footprints window by window against those of whole images, and what is read for them."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from terrapatch.errors import SceneError
from terrapatch.sentinel1 import footprint
from terrapatch.sentinel1.border import Cut
from terrapatch.sentinel1.footprint import Footprint, find

NEW, OLD = "003.31", "002.36"
SHAPE = (700, 500)


def ground(seed=0):
    """Speckled ground without a zero."""
    rng = np.random.default_rng(seed)
    return np.maximum(80 * np.sqrt(rng.gamma(4.4, 1 / 4.4, SHAPE)), 25).astype(np.uint16)


def border_everywhere(fill):
    """Sides, first and last lines of several depths, stepping from line to line."""
    image, (y, x) = ground(1), np.indices(SHAPE)
    left, right = 12 + (y // 90) * 7 % 40, 499 - (y // 130) * 11 % 33
    first, last = 5 + (x // 150) * 21, 699 - (x // 170) * 33
    image[(x < left) | (x > right) | (y < first) | (y > last)] = fill
    return image


def deep_ends():
    """First and last lines empty further than the first look goes, here and there."""
    image = ground(2)
    image[:150, 100:260] = 0
    image[-220:, 300:] = 0
    image[:90, 40:90] = 0
    image[:, :6] = 0
    image[200:, 3] = 90  # a column that is empty at first, beside others that stay so
    return image


def zeros_within():
    image = ground(3)
    image[np.random.default_rng(4).random(SHAPE) < 0.02] = 0
    image[300:340, 200:280] = 0
    return image


def dark_lines():
    """Lines without image within reach, singly and many in a row, up to an end."""
    image = border_everywhere(6)
    image[120:330] = 7
    image[400] = 7
    image[620:] = 7
    return image


IMAGES = {
    "plain": ground(), "zeros": border_everywhere(0), "fringe": border_everywhere(7),
    "deep": deep_ends(), "zeros within": zeros_within(), "dark": dark_lines(),
    "dark everywhere": np.full(SHAPE, 5, np.uint16),
}  # fmt: skip


class Reader:
    """An image that counts what is read of it."""

    def __init__(self, image):
        self.image, self.lines = image, np.zeros(len(image), int)

    def __call__(self, rows, cols):
        self.lines[rows] += 1
        assert 0 <= rows.start < rows.stop <= self.image.shape[0]
        assert 0 <= cols.start < cols.stop <= self.image.shape[1]
        return self.image[rows, cols]


def windows(seed):
    """Windows that cover the image, in any order: strips, tiles, and odd ones."""
    rng = np.random.default_rng(seed)
    rows, cols = ((64, 500), (128, 128), (37, 91))[seed % 3]
    found = [
        (slice(y, min(y + rows, SHAPE[0])), slice(x, min(x + cols, SHAPE[1])))
        for y in range(0, SHAPE[0], rows)
        for x in range(0, SHAPE[1], cols)
    ]
    return [found[k] for k in rng.permutation(len(found))]


@pytest.mark.parametrize("wide", [False, True], ids=["window", "full width"])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("ipf", [NEW, OLD])
@pytest.mark.parametrize("name", IMAGES)
def test_windows_are_told_what_the_whole_image_says(monkeypatch, name, ipf, seed, wide):
    monkeypatch.setattr(footprint, "_FEW", 40)
    monkeypatch.setattr(footprint, "_SIDE_PX", 64)
    image = IMAGES[name]
    options = {"reach_px": 120}
    whole = find(Reader(image), SHAPE, ipf, **options)
    windowed = Footprint(Reader(image), SHAPE, ipf, **options)
    for rows, cols in windows(seed):
        mask = windowed.inside(rows, cols, image[rows] if wide else image[rows, cols])
        wanted = whole.inside(rows, cols)
        if mask is None:
            assert wanted.all()
        else:
            np.testing.assert_array_equal(mask, wanted)


@pytest.mark.parametrize("ipf", [NEW, OLD])
def test_threads_do_not_show(ipf):
    image = IMAGES["deep"]
    whole = find(Reader(image), SHAPE, ipf, reach_px=120)
    windowed = Footprint(Reader(image), SHAPE, ipf, reach_px=120)

    def look(window):
        mask = windowed.inside(*window, image[window])
        wanted = whole.inside(*window)
        return wanted.all() if mask is None else np.array_equal(mask, wanted)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(look, windows(2)))


def test_windows_without_zeros_ask_for_nothing_else():
    reader = Reader(ground())
    windowed = Footprint(reader, SHAPE, NEW)
    for rows, cols in windows(1):
        assert windowed.inside(rows, cols, reader.image[rows, cols]) is None
    assert reader.lines.sum() == 0


@pytest.mark.parametrize("ipf", [NEW, OLD])
def test_lines_in_full_width_ask_for_the_ends_alone(ipf):
    reader = Reader(border_everywhere(0))
    windowed = Footprint(reader, SHAPE, ipf, reach_px=120)
    for rows, cols in windows(0):
        windowed.inside(rows, cols, reader.image[rows])
    assert reader.lines[140:560].sum() == 0
    if ipf == NEW:  # the columns at the sides stay in doubt, but their pixels are border anyway
        assert reader.lines[footprint._FEW : -footprint._FEW].sum() == 0


def test_valid_zeros_within_ask_for_nothing_of_the_sides():
    image = ground()
    image[300:340, 200:280] = 0
    reader = Reader(image)
    window = slice(256, 384), slice(128, 384)
    mask = Footprint(reader, SHAPE, NEW).inside(*window, image[window])
    assert mask is None or mask.all()
    assert reader.lines[200:500].sum() == 0


@pytest.mark.parametrize("ipf", [NEW, OLD])
def test_a_measurement_of_zeros_is_an_error(ipf):
    image = np.zeros(SHAPE, np.uint16)
    with pytest.raises(SceneError, match="no pixel with a signal"):
        Footprint(Reader(image), SHAPE, ipf).inside(slice(0, 64), slice(0, 500), image[:64])


@pytest.mark.parametrize("ipf", [NEW, OLD])
def test_a_window_of_zeros_in_a_sound_measurement_is_border(ipf):
    image = ground()
    image[:100] = 0
    mask = Footprint(Reader(image), SHAPE, ipf).inside(slice(0, 64), slice(0, 500), image[:64])
    assert not mask.any()


@pytest.mark.parametrize("name", ["plain", "zeros"])
def test_fixed_cuts_are_taken_besides(name):
    image, cut = IMAGES[name], Cut(left=70, right=5, first=90, last=33)
    whole = find(Reader(image), SHAPE, NEW).cut(cut)
    windowed = Footprint(Reader(image), SHAPE, NEW, cut=cut)
    for rows, cols in windows(2):
        mask = windowed.inside(rows, cols, image[rows, cols])
        wanted = whole.inside(rows, cols)
        np.testing.assert_array_equal(np.ones_like(wanted) if mask is None else mask, wanted)
