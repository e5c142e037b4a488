# SPDX-License-Identifier: Apache-2.0
"""Laws of chains of cleaning steps, on random rasters."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from made.labels import NODATA, components, raster, rasters, small_pixels, text
from made.recipes import resolve
from terrapatch.labels.clean import halo_px, run, trace
from terrapatch.settings import (
    ClosingStep,
    FillStep,
    LabelsSettings,
    MajorityStep,
    MmuStep,
    NetworksStep,
    OpeningStep,
    SettleStep,
    SieveStep,
)

CODES = (1, 2, 3, 4)
PIXEL = (10.0, 10.0)
MANY = settings(max_examples=200, deadline=None)
PIXELS = st.sampled_from([PIXEL, (10.0, 8.0)])

MMU = st.builds(
    MmuStep,
    area_m2=st.integers(1, 9).map(lambda n: n * 100.0),
    areas_m2=st.dictionaries(st.sampled_from(CODES), st.sampled_from([0.0, 300.0]), max_size=1),
    classes=st.sampled_from([(), (1, 2, 3)]),
    connectivity=st.sampled_from([4, 8]),
    at_nodata=st.sampled_from(["remove", "keep"]),
)
SIEVE = st.builds(
    SieveStep,
    area_m2=st.integers(1, 6).map(lambda n: n * 100.0),
    connectivity=st.sampled_from([4, 8]),
    rounds=st.integers(1, 2),
)
FILL = st.builds(
    FillStep,
    method=st.sampled_from(["nearest", "vote"]),
    neighbours=st.integers(1, 5),
    max_distance_m=st.sampled_from([10.0, 30.0, 50.0]),
    never_into=st.sampled_from([(), (), (4,)]),
)
NEAREST = st.builds(FillStep, max_distance_m=st.sampled_from([10.0, 30.0, 200.0]))
ELEMENT = st.one_of(
    st.tuples(st.sampled_from([10.0, 20.0, 30.0]), st.sampled_from([10.0, 20.0, 50.0])).map(
        lambda size: {"size_m": size}
    ),
    st.sampled_from([{"radius_m": 10.0}, {"radius_m": 20.0}]),
)
CLOSING = st.builds(
    lambda element, priority, classes: ClosingStep(**element, priority=priority, classes=classes),
    ELEMENT,
    st.permutations(CODES).map(tuple),
    st.sampled_from([(), (1, 3)]),
)
OPENING = st.builds(lambda element: OpeningStep(**element), ELEMENT)
MAJORITY = st.builds(MajorityStep, radius_m=st.sampled_from([10.0, 20.0]), rounds=st.integers(1, 2))
LOCAL = st.one_of(MMU, FILL, CLOSING, OPENING, MAJORITY, SIEVE)
PROTECT = st.sampled_from([(), (), (2,), (1, 4)])


def clean(labels, *steps, pixel_m=PIXEL, **options):
    return run(labels, steps, pixel_m=pixel_m, codes=CODES, **options)


def below(labels, step, protect=()):
    """Pixels in components that the step finds too small."""
    least = {}
    for code in CODES:
        if code not in protect and (not step.classes or code in step.classes):
            least[code] = np.ceil(step.areas_m2.get(code, step.area_m2) / 100 * (1 - 1e-9))
    spare = getattr(step, "at_nodata", "remove") == "keep"
    return small_pixels(labels, least, step.connectivity, spare)


# --- nothing below the unit -----------------------------------------------------------------


@MANY
@given(rasters(side=20), MMU, NEAREST, PROTECT)
def test_nothing_below_the_unit_remains_after_mmu_and_fill(labels, mmu, fill, protect):
    assert not below(clean(labels, mmu, fill, protect=protect), mmu, protect).any()


@MANY
@given(rasters(side=20), MMU, FILL, CLOSING, OPENING, st.integers(1, 3), PROTECT)
def test_nothing_below_the_unit_remains_after_settle(
    labels, mmu, fill, closing, opening, rounds, protect
):
    chain = (mmu, fill, closing, opening, fill, SettleStep(rounds=rounds))
    assert not below(clean(labels, *chain, protect=protect), mmu, protect).any()


@MANY
@given(rasters(side=20), SIEVE, PROTECT)
def test_nothing_below_the_unit_remains_after_sieve(labels, sieve, protect):
    assert not below(clean(labels, sieve, protect=protect), sieve, protect).any()


def test_closing_alone_makes_small_parts_again_and_settle_ends_that():
    """The 1s close over the middle of the 2s' bridge and leave a pixel of it on its own."""
    rng = np.random.default_rng(11)
    labels = rng.integers(1, 4, (20, 20)).astype(np.uint8).repeat(3, 0).repeat(3, 1)
    mmu = MmuStep(area_m2=1500, connectivity=4)
    chain = (mmu, FillStep(), ClosingStep(size_m=(40, 50)))
    assert below(clean(labels, *chain), mmu).any()
    assert not below(clean(labels, *chain, SettleStep()), mmu).any()


# --- a second pass changes nothing ----------------------------------------------------------


@pytest.mark.parametrize(
    "steps",
    [
        (MMU,), (NEAREST,), (FILL,), (CLOSING,), (OPENING,), (SIEVE,), (MMU, NEAREST),
        (MMU, NEAREST, CLOSING, st.builds(SettleStep, rounds=st.integers(1, 2))),
        (CLOSING, OPENING, MMU, FILL, SIEVE, CLOSING, st.builds(SettleStep, rounds=st.just(1))),
    ],
    ids=["mmu", "nearest", "fill", "closing", "opening", "sieve", "mmu, fill", "chain", "long"],
)  # fmt: skip
@MANY
@given(data=st.data(), labels=rasters(side=20), protect=PROTECT)
def test_a_second_pass_changes_nothing(steps, data, labels, protect):
    chain = [data.draw(step) for step in steps]
    once = clean(labels, *chain, protect=protect)
    np.testing.assert_array_equal(clean(once, *chain, protect=protect), once)


@MANY
@given(rasters(), rasters())
def test_a_second_burning_changes_nothing(labels, network):
    network = np.resize(network, labels.shape)
    once = clean(labels, NetworksStep(), network=network)
    np.testing.assert_array_equal(clean(once, NetworksStep(), network=network), once)


def test_a_second_majority_may_change_much():
    """Why `majority` is in no law of second rounds: stripes change places, round after round."""
    stripes = (np.indices((30, 30))[0] % 2 + 1).astype(np.uint8)
    step = MajorityStep(radius_m=10)
    for _ in range(5):
        once = clean(stripes, step)
        assert (once != stripes).mean() > 0.4
        stripes = once


# --- renumbering ----------------------------------------------------------------------------


def renumbered(step, number):
    """The same step for a legend whose class c is called number[c]."""
    plain = step.model_dump()
    for entry in ("classes", "priority", "never_into"):
        if plain.get(entry):
            plain[entry] = tuple(number[c] for c in plain[entry])
    if plain.get("areas_m2"):
        plain["areas_m2"] = {number[c]: area for c, area in plain["areas_m2"].items()}
    return type(step)(**plain)


@MANY
@given(
    rasters(side=18),
    st.lists(LOCAL, min_size=1, max_size=4),
    st.permutations([0, 3, 40, 253]),
    PROTECT,
    st.booleans(),
    PIXELS,
)
def test_renumbering_the_legend_commutes(labels, chain, numbers, protect, settle, pixel_m):
    number = dict(zip(CODES, numbers, strict=True))
    table = np.full(256, NODATA, np.uint8)
    table[list(CODES)] = numbers
    chain = [*chain, SettleStep(rounds=1)] if settle else chain
    expected = table[clean(labels, *chain, protect=protect, pixel_m=pixel_m)]
    result = run(
        table[labels],
        [renumbered(step, number) for step in chain],
        pixel_m=pixel_m,
        codes=numbers,
        protect=tuple(number[c] for c in protect),
    )
    np.testing.assert_array_equal(result, expected)


def test_the_published_closing_depends_on_the_numbers():
    """Which is why it is published, and not the default."""
    grey = ClosingStep(kind="grey", size_m=(10, 20))
    assert text(clean(raster("331331"), grey)) == "333331"
    assert text(clean(raster("113113"), grey)) == "113113"


# --- blocks with a halo ---------------------------------------------------------------------


def in_blocks(labels, steps, block, pixel_m, **options):
    """Clean each block by itself, with its halo; what lies outside of the raster is nodata."""
    halo = halo_px(steps, pixel_m)
    padded = np.pad(labels, halo, constant_values=NODATA)
    layers = {
        k: np.pad(v, halo, constant_values=NODATA) for k, v in options.items() if k == "network"
    }
    rest = {k: v for k, v in options.items() if k != "network"}
    result = np.empty_like(labels)
    for y in range(0, labels.shape[0], block[0]):
        for x in range(0, labels.shape[1], block[1]):
            part = result[y : y + block[0], x : x + block[1]]
            around = (
                slice(y, y + part.shape[0] + 2 * halo), slice(x, x + part.shape[1] + 2 * halo)
            )  # fmt: skip
            more = {k: v[around] for k, v in layers.items()}
            found = clean(padded[around], *steps, pixel_m=pixel_m, **rest, **more)
            part[:] = found[halo : halo + part.shape[0], halo : halo + part.shape[1]]
    return result


@MANY
@given(
    rasters(side=30),
    st.lists(LOCAL, min_size=1, max_size=3),
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    PROTECT,
    PIXELS,
)
def test_blocks_with_a_halo_give_the_whole(labels, steps, block, protect, pixel_m):
    expected = clean(labels, *steps, protect=protect, pixel_m=pixel_m)
    found = in_blocks(labels, steps, block, pixel_m, protect=protect)
    np.testing.assert_array_equal(found, expected)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([(40, 40), (17, 64), (90, 23)]), st.integers(1, 2))
def test_blocks_of_a_larger_raster_give_the_whole(seed, block, rounds):
    """Components cross blocks; halos end inside of the raster."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(1, 5, (60, 60)).astype(np.uint8).repeat(3, 0).repeat(3, 1)
    specks = rng.random(labels.shape) < 0.1
    labels[specks] = rng.integers(1, 5, specks.sum())
    labels[rng.random(labels.shape) < 0.01] = NODATA
    steps = [
        MmuStep(area_m2=1200, connectivity=4), FillStep(max_distance_m=40),
        ClosingStep(size_m=(40, 50)), SettleStep(rounds=rounds), NetworksStep(),
    ]  # fmt: skip
    network = np.where(rng.random(labels.shape) < 0.05, 3, NODATA).astype(np.uint8)
    expected = clean(labels, *steps, network=network)
    assert halo_px(steps, PIXEL) < 120
    np.testing.assert_array_equal(in_blocks(labels, steps, block, PIXEL, network=network), expected)


def test_a_shorter_halo_is_not_enough():
    """A line of n − 1 pixels is too small, one of n is not: n − 1 pixels decide."""
    step = MmuStep(area_m2=2000)
    assert halo_px([step], PIXEL) == 19
    long = np.full((1, 40), 2, np.uint8)
    long[0, 10:30] = 1
    for end, kept in ((30, True), (29, False)):
        seen = long[:, 10 - 9 : end]
        assert (clean(seen, step)[0, 9] == 1) == kept


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([MmuStep(area_m2=25_000)], 249),
        ([MmuStep(area_m2=2_500, areas_m2={5: 50_000})], 499),
        ([ClosingStep(size_m=(40, 50))], 4),
        ([OpeningStep(radius_m=20)], 4),
        ([MajorityStep(radius_m=20, rounds=3)], 6),
        ([FillStep(method="vote", max_distance_m=55)], 5),
        ([FillStep(max_distance_m=40)], 4 + 8 + 4),
        ([NetworksStep()], 0),
        ([MmuStep(area_m2=500), ClosingStep(size_m=(40, 50)), SettleStep(rounds=2)], 3 * 8 + 8),
    ],
)
def test_halos(steps, expected):
    assert halo_px(steps, PIXEL) == expected


# --- filled pixels, protection, nodata ------------------------------------------------------


@MANY
@given(rasters(side=20), MMU, NEAREST)
def test_filled_pixels_take_a_class_that_stands_beside_them(labels, mmu, fill):
    holes = clean(labels, mmu)
    filled = clean(labels, mmu, fill)
    new = (holes == NODATA) & (filled != NODATA)
    for code in CODES:
        number, _ = components(filled, code, 4)
        old = np.unique(number[holes == code])
        # Side by side with a pixel of the class that was there before.
        assert np.isin(number[new & (filled == code)], old).all()


@MANY
@given(rasters(side=18), st.lists(LOCAL, min_size=1, max_size=4), st.booleans())
def test_protected_pixels_never_change(labels, chain, settle):
    chain = [*chain, SettleStep(rounds=1)] if settle else chain
    network = np.full(labels.shape, 1, np.uint8)
    result = clean(labels, *chain, NetworksStep(), protect=(2, 4), network=network)
    keep = np.isin(labels, (2, 4))
    np.testing.assert_array_equal(result[keep], labels[keep])


@MANY
@given(rasters(side=18), st.lists(LOCAL, min_size=1, max_size=4))
def test_pixels_without_label_stay_so(labels, chain):
    assert (clean(labels, *chain)[labels == NODATA] == NODATA).all()


@MANY
@given(rasters(side=12), st.lists(LOCAL, min_size=1, max_size=3), st.integers(1, 4))
def test_outside_of_the_raster_is_nodata(labels, chain, margin):
    """A frame of pixels without label changes nothing: edges are defined."""
    padded = clean(np.pad(labels, margin, constant_values=NODATA), *chain)
    np.testing.assert_array_equal(padded[margin:-margin, margin:-margin], clean(labels, *chain))


@MANY
@given(rasters(side=12), st.lists(LOCAL, min_size=1, max_size=3))
def test_steps_leave_their_input_as_it_is(labels, chain):
    before = labels.copy()
    clean(labels, *chain)
    np.testing.assert_array_equal(labels, before)


# --- reports and settings -------------------------------------------------------------------


@MANY
@given(rasters(side=14), st.lists(LOCAL, min_size=1, max_size=4))
def test_the_trace_ends_with_the_result_and_counts_what_changed(labels, chain):
    reports = []
    expected = clean(labels, *chain, reports=reports)
    steps = list(trace(labels, chain, pixel_m=PIXEL, codes=CODES))
    np.testing.assert_array_equal(steps[-1][1], expected)
    assert [report for report, _ in steps] == reports
    for report, (_, now) in zip(reports, steps, strict=True):
        assert report.holes_px == (now == NODATA).sum()


def test_reports_of_a_chain():
    labels = raster("""
        1111122
        1112122
        1111122
        3.11122
    """)
    reports = []
    steps = (MmuStep(area_m2=300), FillStep(), ClosingStep(size_m=(10, 30)))
    result = clean(labels, *steps, reports=reports)
    assert [(r.step, r.changed_px, r.removed, r.holes_px) for r in reports] == [
        ("mmu", 2, 2, 3), ("fill", 2, 0, 1), ("closing", 0, 0, 1),
    ]  # fmt: skip
    assert text(result) == "1111122\n1111122\n1111122\n1.11122"


def test_a_recipe_lists_steps():
    settings_ = LabelsSettings(
        clean=[
            {"step": "mmu", "area_m2": 25_000},
            {"step": "fill", "method": "vote"},
            {"step": "closing", "size_m": [40, 50], "priority": [14, 5]},
            {"step": "settle"},
            {"step": "networks"},
        ],
        protect=[5],
    )
    assert [step.step for step in settings_.clean] == [
        "mmu",
        "fill",
        "closing",
        "settle",
        "networks",
    ]
    assert LabelsSettings.model_validate_json(settings_.model_dump_json()) == settings_


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([{"step": "melt"}], "melt"),
        ([{"step": "closing"}], "size_m"),
        ([{"step": "closing", "size_m": [1, 1], "radius_m": 3}], "size_m"),
        ([{"step": "closing", "kind": "grey", "radius_m": 3}], "grey"),
        ([{"step": "sieve", "area_m2": 5, "by": "size", "classes": [1]}], "by: size"),
        ([{"step": "settle"}], "settle"),
        ([{"step": "networks"}, {"step": "settle"}], "settle"),
        ([{"step": "mmu", "area_m2": 5}, {"step": "settle"}, {"step": "settle"}], "twice"),
        ([{"step": "mmu", "area_m2": -5}], "greater than 0"),
        ([{"step": "mmu", "area_m2": 5, "classes": [255]}], "254"),
    ],
)
def test_wrong_steps_are_findings(steps, message):
    with pytest.raises(ValidationError, match=message):
        LabelsSettings(clean=steps)


def test_a_recipe_names_the_step_that_is_wrong():
    with pytest.raises(Exception, match=r"clean\.0\.mmu\.area_m2"):
        resolve(
            {
                "extends": "cerradata4mm", "name": "x",
                "label": {"clean": [{"step": "mmu", "area_m2": 0}]},
            }
        )  # fmt: skip
