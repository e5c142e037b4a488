# SPDX-License-Identifier: Apache-2.0
"""Legends and crosswalks: the packaged tables against the published numbers, and their laws."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from terrapatch.errors import LegendError
from terrapatch.legend import (
    NODATA,
    Legend,
    LegendClass,
    Level,
    crosswalks,
    legends,
    load_crosswalk,
    load_legend,
)

# RECIPES §1.4: L2 id, abbreviation, L1 id, RGB, pixels of Table II.
TABLE_II = [
    (0, "Pa", 0, (206, 239, 98), 174_929_011),
    (1, "V1", 1, (22, 152, 13), 259_126_072),
    (2, "V2", 1, (31, 212, 18), 30_874_079),
    (3, "Wt", 5, (19, 50, 255), 6_447_232),
    (4, "Mg", 3, (176, 176, 176), 63_964),
    (5, "UA", 4, (223, 124, 38), 2_241_073),
    (6, "OB", 4, (250, 128, 114), 508_261),
    (7, "Ft", 2, (85, 107, 47), 7_388_637),
    (8, "PR", 2, (230, 32, 108), 371_519),
    (9, "SP", 2, (139, 105, 20), 767_292),
    (10, "T1", 2, (255, 215, 0), 1_348_807),
    (11, "T1+", 2, (255, 255, 0), 5_702_780),
    (12, "OU", 6, (117, 10, 194), 52_959),
    (13, "Df", 2, (205, 0, 0), 6_466_058),
]
L1_COLORS = [
    (206, 239, 98), (22, 152, 13), (230, 32, 108), (176, 176, 176), (223, 124, 38), (19, 50, 255),
    (117, 10, 194),
]  # fmt: skip


def rgb(color):
    return tuple(int(color[n : n + 2], 16) for n in (1, 3, 5))


def test_the_packaged_legend_is_the_published_one():
    found = [
        (c.code, c.abbrev, c.parent, rgb(c.color), c.published_pixels)
        for c in load_legend("cerradata4mm").finest.classes
    ]
    assert found == TABLE_II
    coarse = load_legend("cerradata4mm").level("l1")
    assert [rgb(c.color) for c in coarse.classes] == L1_COLORS
    assert [level.name for level in load_legend("cerradata4mm").levels] == ["l2", "l1"]


def test_published_pixels_make_whole_patches():
    total = sum(c.published_pixels for c in load_legend("cerradata4mm").finest.classes)
    assert divmod(total, 128 * 128) == (30_291, 0)


def test_published_pixels_of_the_coarse_level_are_sums_of_the_fine_one():
    legend = load_legend("cerradata4mm")
    to_l1 = legend.derive("l1")
    sums = dict.fromkeys(legend.level("l1").codes, 0)
    for entry in legend.finest.classes:
        sums[int(to_l1[entry.code])] += entry.published_pixels
    assert sums == {c.code: c.published_pixels for c in legend.level("l1").classes}
    by_abbrev = {c.abbrev: sums[c.code] for c in legend.level("l1").classes}
    assert (by_abbrev["Ab"], by_abbrev["Ag"], by_abbrev["Bg"]) == (
        290_000_151, 22_045_093, 2_749_334,
    )  # fmt: skip


def test_terraclass_codes_reach_every_class_once_and_unobserved_ones_none():
    crosswalk = load_crosswalk("terraclass_cerrado")
    classes = [code for code in crosswalk.codes.values() if code != NODATA]
    assert sorted(classes) == list(range(14))
    assert {source for source, code in crosswalk.codes.items() if code == NODATA} == {0, 25}
    assert crosswalk.codes[11] == 0
    assert crosswalk.codes[22] == 13
    assert crosswalk.codes[23] == 3


def test_all_packaged_tables_load():
    assert "cerradata4mm" in legends()
    assert "terraclass_cerrado" in crosswalks()
    for name in legends():
        for level in load_legend(name).levels:
            assert all(len(c.color) == 7 and c.color[0] == "#" for c in level.classes)
    for name in crosswalks():
        walk = load_crosswalk(name)
        assert walk.codes or walk.words
        assert set(walk.names) == {*walk.codes, *walk.words}


@pytest.mark.parametrize("name", legends())
def test_derived_levels_map_codes_to_codes_and_everything_else_to_nodata(name):
    legend = load_legend(name)
    assert legend.derive(legend.finest.name)[list(legend.finest.codes)].tolist() == list(
        legend.finest.codes
    )
    for level in legend.levels:
        table = legend.derive(level.name)
        assert table.dtype == np.uint8
        assert table[NODATA] == NODATA
        strangers = sorted(set(range(256)) - set(legend.finest.codes))
        assert (table[strangers] == NODATA).all()
        assert set(table[list(legend.finest.codes)]) == set(level.codes)  # onto


@st.composite
def legends_of_three_levels(draw):
    sizes = sorted(draw(st.lists(st.integers(1, 9), min_size=3, max_size=3)), reverse=True)
    codes = [
        sorted(draw(st.sets(st.integers(0, 254), min_size=n, max_size=n))) for n in sizes
    ]  # fmt: skip
    levels = []
    for number, own in enumerate(codes):
        above = codes[number + 1] if number < 2 else [None]
        classes = [
            LegendClass(c, f"c{c}", f"c{c}", "#000000", draw(st.sampled_from(above))) for c in own
        ]
        levels.append(Level(f"level{number}", tuple(classes)))
    return Legend("drawn", tuple(levels))


@given(legends_of_three_levels())
def test_deriving_follows_the_parents_step_by_step(legend):
    table = legend.derive("level2")
    for entry in legend.finest.classes:
        parent = legend.level("level1")[entry.parent].parent
        assert table[entry.code] == parent


@given(legends_of_three_levels(), st.data())
def test_deriving_commutes_with_cutting(legend, data):
    codes = [*legend.finest.codes, NODATA]
    labels = np.array(data.draw(st.lists(st.sampled_from(codes), min_size=1, max_size=20)))
    whole = legend.derive("level1")[labels]
    assert [int(legend.derive("level1")[label]) for label in labels] == whole.tolist()


def test_a_legend_survives_pickling():
    legend = load_legend("cerradata4mm")
    assert pickle.loads(pickle.dumps(legend)) == legend


def write_legend(path, rows):
    path.write_text("level,code,abbrev,name,parent,color\n" + "\n".join(rows) + "\n")
    return str(path)


def test_a_users_legend_may_stand_in_any_order(tmp_path):
    fine = ["fine,0,a,A,0,#000000", "fine,7,b,B,1,#ffffff"]
    coarse = ["coarse,0,x,X,,#000000", "coarse,1,y,Y,,#ffffff"]
    for number, rows in enumerate(([*fine, *coarse], [*coarse, *fine])):
        legend = load_legend(write_legend(tmp_path / f"own{number}.csv", rows))
        assert [level.name for level in legend.levels] == ["fine", "coarse"]
        assert legend.derive("coarse")[[0, 7, 3, NODATA]].tolist() == [0, 1, NODATA, NODATA]


def test_a_users_crosswalk_knows_nodata_by_an_empty_code(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("# a note\nsource_code,source_name,code\n5,Water,3\n\n9,Cloud,\n-1,,2\n")
    crosswalk = load_crosswalk(str(path))
    assert crosswalk.codes == {5: 3, 9: NODATA, -1: 2}
    assert crosswalk.names == {5: "Water", 9: "Cloud", -1: "-1"}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["l1,300,a,A,,#000000"], "0..254"),
        (["l1,255,a,A,,#000000"], "0..254"),
        (["l1,1,a,A,,#000000", "l1,1,b,B,,#000000"], "unique"),
        (["l1,2,a,A,,#000000", "l1,1,b,B,,#000000"], "ascending"),
        (["l2,1,a,A,5,#000000", "l1,0,x,X,,#000000"], r"classes \[1\].*complete the column"),
        (["l1,one,a,A,,#000000"], "row 1"),
    ],
)
def test_broken_legends_are_refused(tmp_path, rows, message):
    with pytest.raises(LegendError, match=message):
        load_legend(write_legend(tmp_path / "broken.csv", rows))


def test_broken_and_missing_tables_are_refused_with_what_there_is(tmp_path):
    with pytest.raises(LegendError, match=r"no table 'nothing'.*cerradata4mm"):
        load_legend("nothing")
    with pytest.raises(LegendError, match=r"no table 'nothing'.*terraclass_cerrado"):
        load_crosswalk("nothing")
    with pytest.raises(LegendError, match="no such table"):
        load_crosswalk(str(tmp_path / "absent.csv"))
    path = tmp_path / "broken.csv"
    path.write_text("source_code,source_name,code\nx,Water,3\n")
    with pytest.raises(LegendError, match="row 1"):
        load_crosswalk(str(path))


def test_unknown_levels_and_codes_are_refused():
    legend = load_legend("cerradata4mm")
    with pytest.raises(LegendError, match="has no level 'l9'; it has l2, l1"):
        legend.derive("l9")
    with pytest.raises(LegendError, match="no class with code 14"):
        legend.finest[14]
    assert legend.finest[13].abbrev == "Df"
