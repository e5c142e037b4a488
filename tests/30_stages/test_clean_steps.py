# SPDX-License-Identifier: Apache-2.0
"""Cleaning steps one by one: truth tables, plain judges, and other libraries."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt
from skimage import morphology

from made.labels import (
    NODATA,
    closed,
    components,
    filled_nearest,
    footprint,
    most_frequent,
    opened,
    raster,
    rasters,
    sieved,
    small_pixels,
    text,
    voted,
)
from terrapatch.errors import GridError, LegendError, RecipeError
from terrapatch.labels.clean import components as runs
from terrapatch.labels.clean import published, run, strips
from terrapatch.labels.clean.components import component_sizes, remove_small
from terrapatch.labels.clean.filling import _rings, fill_nearest, fill_vote
from terrapatch.labels.clean.majority import majority
from terrapatch.labels.clean.shapes import (
    close_classes,
    close_grey,
    disc,
    open_classes,
    rectangle,
)
from terrapatch.labels.clean.sieve import sieve_border, sieve_size
from terrapatch.labels.clean.steps import least_pixels
from terrapatch.settings import (
    ClosingStep,
    FillStep,
    MajorityStep,
    MmuStep,
    NetworksStep,
    OpeningStep,
    SieveStep,
)

PIXEL = (10.0, 10.0)
CODES = (1, 2, 3, 4)
MANY = settings(max_examples=300, deadline=None)
PIXELS = st.sampled_from([PIXEL, (10.0, 8.0), (7.5, 10.0)])


def table(size=0):
    """(256,) least sizes of the test classes."""
    least = np.zeros(256, np.int64)
    least[list(CODES)] = size
    return least


def marked(codes):
    """(256,) true at codes."""
    result = np.zeros(256, bool)
    result[list(codes)] = True
    return result


def cleaned(rows, *steps, **options):
    """Text in, text out."""
    return text(run(raster(rows), steps, pixel_m=PIXEL, codes=CODES, **options))


# --- minimum mapping unit -------------------------------------------------------------------

SPECKS = """
    11112
    12121
    11211
    33311
"""


@pytest.mark.parametrize(
    ("connectivity", "expected"),
    [
        # By sides: the 2s are four components of one pixel each.
        (4, "1111.\n1.1.1\n11.11\n33311"),
        # By corners too: all 2s are one component of four.
        (8, "11112\n12121\n11211\n33311"),
    ],
)
def test_mmu_takes_components_away(connectivity, expected):
    step = MmuStep(area_m2=300, connectivity=connectivity)
    assert cleaned(SPECKS, step) == expected


def test_mmu_counts_area_not_pixels():
    assert [least_pixels(a, PIXEL) for a in (24_999, 25_000, 25_001)] == [250, 250, 251]
    assert least_pixels(25_000, (10.0, 9.0)) == 278
    # 0.1 m pixels are no round number in floats: 2.5 m² are 250 of them, not 251.
    assert least_pixels(2.5, (0.1, 0.1)) == 250


def test_mmu_knows_other_units_for_single_classes():
    step = MmuStep(area_m2=300, areas_m2={2: 500, 3: 0}, connectivity=8)
    assert cleaned("11112\n12121\n11211\n11331", step) == "1111.\n1.1.1\n11.11\n11331"
    only = MmuStep(area_m2=900, classes=(3,))
    assert cleaned(SPECKS, only) == "11112\n12121\n11211\n...11"


def test_mmu_can_spare_what_the_edge_may_have_cut():
    rows = """
        211113
        111211
        11.111
        112111
    """
    keep = MmuStep(area_m2=300, at_nodata="keep")
    assert cleaned(rows, keep) == "211113\n111.11\n11.111\n112111"
    assert cleaned(rows, MmuStep(area_m2=300)) == ".1111.\n111.11\n11.111\n11.111"


@MANY
@given(rasters(), st.integers(1, 12), st.sampled_from([4, 8]), st.booleans())
def test_mmu_is_scipys_components(labels, size, connectivity, spare):
    result = labels.copy()
    pixels, count = remove_small(
        result, table(size), connectivity=connectivity, spare_at_nodata=spare, hole=254
    )
    small = small_pixels(labels, dict.fromkeys(CODES, size), connectivity, spare)
    np.testing.assert_array_equal(result, np.where(small, 254, labels))
    assert pixels == small.sum()
    if not spare:
        sizes = [components(labels, code, connectivity)[1] for code in CODES]
        assert count == sum(((s > 0) & (s < size)).sum() for s in sizes)


@MANY
@given(rasters(), st.sampled_from([4, 8]))
def test_sizes_of_components_are_scipys(labels, connectivity):
    sizes = component_sizes(labels, connectivity)
    for code in np.unique(labels[labels != NODATA]):
        wanted = components(labels, code, connectivity)[1]
        assert sorted(sizes[code]) == sorted(wanted[wanted > 0])


@pytest.mark.parametrize("limit", [1, 300, 3000])
def test_mmu_in_strips_is_mmu(monkeypatch, limit):
    rng = np.random.default_rng(7)
    labels = rng.integers(1, 3, (120, 40)).astype(np.uint8)
    whole, parts = labels.copy(), labels.copy()
    options = {"connectivity": 4, "spare_at_nodata": True, "hole": 254}
    expected = remove_small(whole, table(9), **options)
    monkeypatch.setattr(runs, "_RUNS", limit)
    assert remove_small(parts, table(9), **options) == expected
    np.testing.assert_array_equal(parts, whole)


# --- filling --------------------------------------------------------------------------------


def test_fill_takes_the_nearest_class():
    rows = """
        111122
        1ooo22
        1ooo22
        333322
    """
    labels = raster(rows)
    fill_nearest(labels, marked(CODES), hole=254, max_distance_m=100, pixel_m=PIXEL)
    # (1, 1) and (1, 2) have a 1 above; (1, 3) a 1 above and a 2 at the right: the smaller row.
    # (2, 1) has 1 at the left and 3 below; (2, 3) 2 at the right and 3 below: the smaller row.
    assert text(labels) == "111122\n111122\n113222\n333322"


def test_fill_in_metres_not_in_pixels():
    labels = raster("1111\noooo\noooo\noooo\n2oo1")
    wide, high = labels.copy(), labels.copy()
    fill_nearest(wide, marked(CODES), hole=254, max_distance_m=100, pixel_m=(10, 50))
    assert text(wide) == "1111\n1111\n1111\n2111\n2111"
    fill_nearest(high, marked(CODES), hole=254, max_distance_m=100, pixel_m=(50, 10))
    assert text(high) == "1111\n1111\n1111\n2211\n2211"


def test_fill_reaches_no_farther_than_it_may():
    step = MmuStep(area_m2=10_000, classes=(2,))
    rows = "1222222221"
    assert cleaned(rows, step, FillStep(max_distance_m=20)) == "111....111"
    assert cleaned(rows, step, FillStep(max_distance_m=39.9)) == "1111..1111"
    assert cleaned(rows, step, FillStep(max_distance_m=40)) == "1111111111"


def test_fill_does_not_jump_over_what_has_no_label():
    """The hole at the right of the gap stands nearer to the 3s, but they are behind it."""
    rows = """
        3.2222221
        3.2222221
        3.2222221
    """
    step = MmuStep(area_m2=2_000, classes=(2,))
    assert cleaned(rows, step, FillStep()) == "\n".join(["3.1111111"] * 3)
    # Nothing but the other side of the gap: no class stands beside the hole.
    assert cleaned("3.2\n3.2\n3.2", MmuStep(area_m2=400, classes=(2,)), FillStep()) == (
        "3..\n3..\n3.."
    )


def test_fill_makes_no_island_where_the_nearest_pixel_is_out_of_touch():
    """Nearest pixels alone leave pixels that touch their class nowhere."""
    rng = np.random.default_rng(3)
    islands = 0
    for _ in range(60):
        labels = np.full((24, 24), 254, np.uint8)
        for code, (y, x) in zip(CODES * 3, rng.integers(0, 24, (12, 2)), strict=True):
            labels[y, x] = code
        seeds = {c: np.argwhere(labels == c) for c in CODES}
        rows, columns = distance_transform_edt(labels == 254, return_indices=True)[1]
        plain = labels[rows, columns]
        fill_nearest(labels, marked(CODES), hole=254, max_distance_m=1000, pixel_m=PIXEL)
        for code in CODES:
            for judged, expected in ((plain, None), (labels, 0)):
                number, sizes = components(judged, code, 4)
                held = {number[tuple(p)] for p in seeds[code]}
                orphans = len(np.flatnonzero(sizes)) - len(held)
                islands += orphans if expected is None else 0
                assert expected is None or orphans == expected
    assert islands > 0, "the test never met what it is about"


@MANY
@given(rasters(), PIXELS, st.sampled_from([10, 25, 60]), st.booleans())
def test_fill_is_its_definition(labels, pixel_m, reach_m, less):
    labels = np.where(labels == 2, 254, labels).astype(np.uint8)
    sources = (1, 3) if less else (1, 3, 4)
    expected = filled_nearest(labels, sources, pixel_m, reach_m, _rings(reach_m / min(pixel_m)))
    fill_nearest(labels, marked(sources), hole=254, max_distance_m=reach_m, pixel_m=pixel_m)
    labels[labels == 254] = NODATA
    np.testing.assert_array_equal(labels, expected)


@MANY
@given(rasters(side=20))
def test_fill_is_scipys_distance_transform_but_for_ties_and_islands(labels):
    labels[labels == NODATA] = 1
    labels = np.where(labels == 2, 254, labels).astype(np.uint8)
    if not (labels != 254).any():
        return
    result = labels.copy()
    fill_nearest(result, marked(CODES), hole=254, max_distance_m=1000, pixel_m=PIXEL)
    away = distance_transform_edt(labels == 254)
    for y, x in np.argwhere(labels == 254):
        rows, columns = np.nonzero(labels == result[y, x])
        nearest = np.hypot(rows - y, columns - x).min()
        # Without gaps nothing stands between: islands are at most a pixel out of touch.
        assert away[y, x] <= nearest + 1e-9 <= away[y, x] + 1


@MANY
@given(rasters(), PIXELS, st.sampled_from([10, 25, 60]), st.integers(1, 7))
def test_vote_is_its_definition(labels, pixel_m, reach_m, voters):
    labels = np.where(labels == 2, 254, labels).astype(np.uint8)
    expected = voted(labels, (1, 3, 4), pixel_m, reach_m, voters)
    options = {"hole": 254, "voters": voters, "max_distance_m": reach_m, "pixel_m": pixel_m}
    fill_vote(labels, marked((1, 3, 4)), **options)
    labels[labels == 254] = NODATA
    np.testing.assert_array_equal(labels, expected)


def test_vote_weighs_by_distance():
    mmu = MmuStep(area_m2=200, classes=(3,))
    # 1/1 for class 2 against 1/1 + 1/2 + 1/3 for class 1.
    assert cleaned("23111", mmu, FillStep(method="vote", neighbours=4)) == "21111"
    # 1/1 for both: the first in the order of rows and columns is the 2.
    assert cleaned("23111", mmu, FillStep(method="vote", neighbours=2)) == "22111"


def test_gaps_of_the_source_are_filled_only_when_asked_and_inside():
    rows = "11..22\n11..22"
    assert cleaned(rows, FillStep()) == rows
    assert cleaned(rows, FillStep(gaps=True)) == "111222\n111222"
    assert cleaned(rows, FillStep(gaps=True, max_distance_m=1)) == rows
    inside = np.array([[True] * 6, [False] * 6])
    assert cleaned(rows, FillStep(gaps=True), inside=inside) == "111222\n11..22"


def test_holes_never_become_classes_that_the_recipe_rules_out():
    rows = """
        1113333
        1223333
        1113333
    """
    mmu = MmuStep(area_m2=300, classes=(2,))
    assert cleaned(rows, mmu, FillStep()) == "1113333\n1113333\n1113333"
    assert cleaned(rows, mmu, FillStep(never_into=(1,))) == "1113333\n1333333\n1113333"
    everywhere = FillStep(never_into=(1, 3))
    assert cleaned(rows, mmu, everywhere) == "1113333\n1..3333\n1113333"


# --- published filling ----------------------------------------------------------------------


def knn_rows(values, k):
    """Rows as samples, by the definition of nan-Euclidean distance."""
    missing = np.isnan(values)
    result = values.copy()
    for row, column in np.argwhere(missing):
        away = []
        for other in range(len(values)):
            both = ~missing[row] & ~missing[other]
            if other == row or missing[other, column] or not both.any():
                continue
            squared = ((values[row] - values[other])[both] ** 2).sum()
            away.append((np.sqrt(squared * values.shape[1] / both.sum()), other))
        away.sort()
        if not away or (len(away) > k and np.isclose(away[k - 1][0], away[k][0])):
            continue  # the column's mean, or a tie that no rule decides
        away = away[:k]
        zero = [other for d, other in away if d == 0]
        weights = [1.0] * len(zero) if zero else [1 / d for d, _ in away]
        rows = zero or [other for _, other in away]
        result[row, column] = np.average(values[rows, column], weights=weights)
    return result


def test_published_filling_copies_from_the_most_similar_row():
    """The hole stands among 1s; the row most like its own is far and has a 4 in that column."""
    rows = """
        1113
        1o33
        1113
        1111
        1433
    """
    filled = published.fill_knn_rows(raster(rows), hole=254, neighbours=1)
    assert text(filled) == "1113\n1433\n1113\n1111\n1433"
    nearest = raster(rows)
    fill_nearest(nearest, marked(CODES), hole=254, max_distance_m=100, pixel_m=PIXEL)
    assert nearest[1, 1] == 1


def test_the_mean_of_codes_is_another_class():
    """Between 1 and 3 lies 2, which stands nowhere near."""
    rows = """
        1o1
        112
        132
    """
    filled = published.fill_knn_rows(raster(rows), hole=254, neighbours=2)
    assert text(filled) == "121\n112\n132"


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 3))
def test_published_filling_is_its_definition(seed, k):
    rng = np.random.default_rng(seed)
    labels = rng.integers(1, 14, (8, 9)).astype(np.uint8)
    labels[rng.random(labels.shape) < 0.1] = 254
    values = np.where(labels == 254, np.nan, labels.astype(float))
    expected = knn_rows(values, k)
    judged = np.isfinite(expected)
    result = published.fill_knn_rows(labels, hole=254, neighbours=k)
    # Means are cut to whole numbers; a last bit decides where they are whole themselves.
    low, high = np.floor(expected[judged] - 1e-6), np.floor(expected[judged] + 1e-6)
    assert ((result[judged] == low) | (result[judged] == high)).all()
    assert (result[labels != 254] == labels[labels != 254]).all()


def test_published_filling_refuses_whole_tiles():
    labels = np.zeros((10980, 10980), np.uint8)
    with pytest.raises(
        RecipeError, match="10980 x 10980 pixels would take about 31 minutes and 14"
    ):
        published.fill_knn_rows(labels, hole=254, neighbours=1)


# --- closing and opening --------------------------------------------------------------------


def test_closing_bridges_gaps_and_the_first_class_wins():
    rows = """
        111211
        111211
        222222
        111211
        111211
    """
    cross = ClosingStep(size_m=(10, 20), priority=(1,))
    assert cleaned(rows, cross) == "111111\n111111\n222222\n111111\n111111"
    square = ClosingStep(size_m=(20, 20), priority=(1, 2))
    assert cleaned(rows, square) == "\n".join(["111111"] * 5)
    # Its closing holds nothing new for the 2s; without a claim before them the 1s keep out.
    assert cleaned(rows, ClosingStep(size_m=(20, 20), priority=(2,))) == raster_text(rows)
    assert cleaned(rows, ClosingStep(size_m=(20, 20), classes=(2,))) == raster_text(rows)


def raster_text(rows):
    return text(raster(rows))


def test_closing_by_the_legends_order_and_protection():
    rows = "1121122"
    line = {"size_m": (10, 20)}
    assert cleaned(rows, ClosingStep(**line)) == "1111122"
    assert cleaned(rows, ClosingStep(**line, priority=(2,))) == rows
    assert cleaned(rows, ClosingStep(**line), protect=(2,)) == rows
    # A protected class may grow.
    assert cleaned(rows, ClosingStep(**line), protect=(1,)) == "1111122"


def test_closing_with_an_even_element_shifts_nothing():
    rows = """
        22222222
        22111222
        22121222
        22111222
        22222222
    """
    expected = "22222222\n22111222\n22111222\n22111222\n22222222"
    for size in ((20, 20), (20, 30), (30, 20)):
        assert cleaned(rows, ClosingStep(size_m=size)) == expected


def test_closing_leaves_what_has_no_label():
    assert cleaned("11.11", ClosingStep(size_m=(10, 20))) == "11.11"
    # But a gap that is a hole is taken.
    mmu = MmuStep(area_m2=200, classes=(2,))
    assert cleaned("11211", mmu, ClosingStep(size_m=(10, 20))) == "11111"


def test_opening_takes_thin_parts_but_not_at_the_edge_of_what_is_seen():
    rows = """
        2222222
        2111222
        2111112
        2111222
        2222222
    """
    hole = OpeningStep(size_m=(30, 30), classes=(1,))
    assert cleaned(rows, hole) == "2222222\n2111222\n2111..2\n2111222\n2222222"
    # The line runs out of the raster: it may be the edge of something wide.
    assert cleaned("22222\n22222\n11111", OpeningStep(size_m=(30, 30), classes=(1,))) == (
        "22222\n22222\n11111"
    )


ELEMENTS = st.one_of(
    st.tuples(st.integers(1, 5), st.integers(1, 5)).map(
        lambda s: rectangle((s[0] * 10.0, s[1] * 10.0), PIXEL)
    ),
    st.tuples(st.sampled_from([5, 10, 14.2, 20, 31]), PIXELS).map(lambda s: disc(*s)),
)


@MANY
@given(rasters(), ELEMENTS, st.permutations(CODES), st.sets(st.sampled_from(CODES)), st.booleans())
def test_closing_is_scipys_class_by_class(labels, spans, order, active, protect):
    fixed = (3,) if protect else ()
    expected = closed(labels, footprint(spans), order, active, fixed)
    result = labels.copy()
    changed = close_classes(
        result, spans, tuple(order), tuple(active), marked((*fixed, NODATA)), hole=254
    )
    np.testing.assert_array_equal(result, expected)
    assert changed == (result != labels).sum()


@MANY
@given(rasters(), ELEMENTS, st.sets(st.sampled_from(CODES)))
def test_opening_is_scipys_class_by_class(labels, spans, active):
    expected = opened(labels, footprint(spans), active)
    open_classes(labels, spans, tuple(active), hole=254)
    np.testing.assert_array_equal(labels, expected)


def test_more_classes_than_a_word_has_bits():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 40, (60, 70)).astype(np.uint8).repeat(2, 0).repeat(2, 1)
    labels[rng.random(labels.shape) < 0.2] = 7
    order = tuple(rng.permutation(40).tolist())
    spans = rectangle((40.0, 50.0), PIXEL)
    expected = closed(labels, footprint(spans), order, order, ())
    close_classes(labels, spans, order, order, marked([NODATA]), hole=254)
    np.testing.assert_array_equal(labels, expected)
    expected = opened(labels, footprint(spans), order)
    open_classes(labels, spans, order, hole=254)
    np.testing.assert_array_equal(labels, expected)


def test_elements_in_metres():
    assert footprint(rectangle((40, 50), PIXEL)).shape == (4, 5)
    assert footprint(rectangle((40, 50), (20.0, 10.0))).shape == (2, 5)
    assert footprint(disc(10, PIXEL)).tolist() == [[0, 1, 0], [1, 1, 1], [0, 1, 0]]
    assert footprint(disc(15, PIXEL)).sum() == 9
    assert footprint(disc(20, (10.0, 20.0))).shape == (5, 3)
    for radius in range(6):
        ours = footprint(disc(max(radius * 10, 1), PIXEL))
        np.testing.assert_array_equal(ours, morphology.disk(radius).astype(bool))


@pytest.mark.parametrize("size", [(4, 5), (3, 3), (2, 2), (5, 4), (1, 6)])
def test_grey_closing_is_scikit_images_to_the_border(size):
    rng = np.random.default_rng(0)
    for shape in ((40, 31), (7, 9)):
        labels = rng.integers(0, 15, shape).astype(np.uint8)
        element = morphology.footprint_rectangle(size)
        np.testing.assert_array_equal(close_grey(labels, size), morphology.closing(labels, element))


def test_grey_closing_lets_greater_codes_win_and_keeps_nodata():
    step = ClosingStep(kind="grey", size_m=(10, 20))
    assert cleaned("331331", step) == "333331"
    assert cleaned("113113", step) == "113113"
    assert cleaned("33.133", step) == "33.133"


# --- majority -------------------------------------------------------------------------------


def test_majority_smooths_and_keeps_ties():
    rows = """
        11112
        12122
        11122
    """
    assert cleaned(rows, MajorityStep(radius_m=10)) == "11112\n11122\n11122"
    assert cleaned("12\n21", MajorityStep(radius_m=10)) == "12\n21"


@MANY
@given(rasters(), PIXELS, st.sampled_from([10, 20, 31]), st.booleans())
def test_majority_is_its_definition(labels, pixel_m, radius_m, protect):
    fixed = (3,) if protect else ()
    radius = tuple(int(radius_m / p + 1e-9) for p in pixel_m)
    expected = most_frequent(labels, CODES, fixed, radius, pixel_m)
    result = labels.copy()
    changed = majority(result, marked(CODES), marked((*fixed, NODATA)), radius_m, pixel_m)
    np.testing.assert_array_equal(result, expected)
    assert changed == (result != labels).sum()


# --- sieve ----------------------------------------------------------------------------------


def test_sieve_gives_a_component_to_its_longest_border():
    rows = """
        111333
        112233
        112233
        111333
    """
    # The 2s share two sides with 1s at the left, one above and below; the same with 3s: the first
    # met is the 1 above.
    assert cleaned(rows, SieveStep(area_m2=500)) == "111333\n111133\n111133\n111333"
    rows = rows.replace("111333", "333333")
    assert cleaned(rows, SieveStep(area_m2=450)) == "333333\n333333\n333333\n333333"


def test_sieve_leaves_holes_where_nothing_large_stands_beside():
    rows = "11111.23"
    assert cleaned(rows, SieveStep(area_m2=300)) == "11111..."


@MANY
@given(rasters(), st.integers(1, 9), st.sampled_from([4, 8]), st.integers(1, 3))
def test_sieve_is_its_definition(labels, size, connectivity, rounds):
    expected = sieved(labels, dict.fromkeys(CODES, size), connectivity, rounds)
    sieve_border(
        labels, table(size), marked(CODES), connectivity=connectivity, rounds=rounds, hole=254
    )
    np.testing.assert_array_equal(labels, expected)


@MANY
@given(rasters(), st.integers(2, 9), st.sampled_from([4, 8]))
def test_gdals_sieve_changes_only_what_is_small(labels, size, connectivity):
    """Ours and GDAL's agree on which pixels go; GDAL gives up on more of them than we do."""
    gdal = sieve_size(labels, size, connectivity=connectivity, fixed=marked([NODATA]))
    small = small_pixels(labels, dict.fromkeys(CODES, size), connectivity)
    assert not (gdal != labels)[~small].any()
    kept = small & (gdal == labels)
    border = sieved(labels, dict.fromkeys(CODES, size), connectivity, rounds=50)
    if connectivity == 4:
        # Largest neighbours may lead in a circle: then GDAL leaves a component that had others.
        assert kept[border == 254].all()
    # What it changes goes to a class of a component that is large enough.
    for code in np.unique(gdal[gdal != labels]):
        number, sizes = components(labels, code, connectivity)
        assert sizes.max() >= size
        grown, _ = components(gdal, code, 8)
        large = np.unique(grown[(number > 0) & (sizes >= size)[number]])
        assert np.isin(grown[(gdal == code) & (labels != code)], large).all()


# --- networks and protection ----------------------------------------------------------------


def test_networks_are_burnt_over_classes():
    network = raster("....\n4444\n....")
    rows = "1122\n11.3\n1122"
    assert cleaned(rows, NetworksStep(), network=network) == "1122\n44.4\n1122"
    assert cleaned(rows, NetworksStep(), network=network, protect=(3,)) == "1122\n44.3\n1122"
    assert cleaned(rows, NetworksStep(over_nodata=True), network=network) == "1122\n4444\n1122"


def test_networks_need_something_to_burn():
    with pytest.raises(RecipeError, match=r"networks"):
        cleaned("11", NetworksStep())


def test_wrong_codes_and_shapes_are_named():
    with pytest.raises(LegendError, match=r"\{7: 2\}"):
        cleaned("1177", MmuStep(area_m2=1))
    with pytest.raises(LegendError, match=r"\[9\] are no classes"):
        cleaned("11", FillStep(never_into=(9,)))
    with pytest.raises(LegendError, match=r"networks: codes \[8\]"):
        cleaned("11", NetworksStep(), network=raster("88"))
    with pytest.raises(GridError, match="network"):
        cleaned("11", NetworksStep(), network=raster("1"))


@pytest.mark.parametrize("strip", [1, 50, 400])
def test_strips_change_nothing(monkeypatch, strip):
    rng = np.random.default_rng(5)
    labels = rng.integers(1, 5, (50, 12)).astype(np.uint8).repeat(2, 0).repeat(2, 1)
    steps = [
        MmuStep(area_m2=1000), FillStep(max_distance_m=40), MajorityStep(radius_m=20),
        ClosingStep(size_m=(40, 50)), OpeningStep(radius_m=20), FillStep(method="vote", max_distance_m=50),
    ]  # fmt: skip
    expected = run(labels, steps, pixel_m=PIXEL, codes=CODES)
    monkeypatch.setattr(strips, "STRIP_PX", strip)
    np.testing.assert_array_equal(run(labels, steps, pixel_m=PIXEL, codes=CODES), expected)
