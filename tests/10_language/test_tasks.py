# SPDX-License-Identifier: Apache-2.0
"""Legends of tasks: each code of the survey in one class, overlapping prefixes, bad tables, bad recipes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from terrapatch.errors import LegendError, RecipeError
from terrapatch.legend import task_legends
from terrapatch.recipe import resolve
from terrapatch.settings import TaskSettings
from terrapatch.tasks import TaskLegend, code_text, columns_of, load_task_legend


def codes(text):
    """`B11-B19 B55`: codes with ranges of their last digit."""
    for part in text.split():
        first, _, last = part.partition("-")
        for end in range(int(first[-1]), int((last or first)[-1]) + 1):
            yield f"{first[:-1]}{end}"


# All leaf codes of lc1 in LUCAS 2018, typed from the papers' tables (Sen4Map I and II).
LAND = (
    "A11-A13 A21 A30", "A22 F10 F20 F30 F40", "E10 E20 E30 B51-B55",
    "B11-B19 B21-B23 B31-B37 B41-B45 B71-B77 B81-B84", "C10", "C21-C23 C31-C33 CXX1-CXX9", "D10 D20",
    "G11-G12 G21-G22 G30 G40 G50", "H11-H12 H21-H23",
)  # fmt: skip
CROPS = (
    "B11-B19", "B21-B23", "B31-B37", "B41-B45", "B51-B54", "F10 F20 F30 F40",
    "B71-B77 B81-B84 C10 C21-C23 C31-C33 D10 D20", "B55 E10 E20 E30",
)  # fmt: skip
PAPER = (*CROPS[:2], "B34-B37", "B31-B33 B41-B45", *CROPS[4:])


@pytest.mark.parametrize(
    ("name", "groups"),
    [("lucas_landcover", LAND), ("sen4map_crops", CROPS), ("sen4map_crops_paper", PAPER)],
)
def test_each_code_of_the_survey_is_in_the_class_of_the_publication(name, groups):
    legend = load_task_legend(name)
    truth = {code: n for n, text in enumerate(groups) for code in codes(text)}
    everything = {code for text in LAND for code in codes(text)}
    found = dict(zip(everything, legend.classes_of(list(everything)).tolist(), strict=True))
    assert found == {code: truth.get(code, -1) for code in everything}
    assert legend.level.codes == tuple(range(len(groups)))


def test_what_no_legend_knows_has_no_class():
    for name in task_legends():
        found = load_task_legend(name).classes_of(["", "8", "a11", "Z10", "8 Not relevant"])
        assert found.dtype == np.int16
        assert set(found.tolist()) == {-1}


letters = st.text("ab1", min_size=1, max_size=5)


@given(st.dictionaries(letters, st.integers(-1, 4)), letters)
def test_the_longest_prefix_decides(prefixes, code):
    legend = TaskLegend(load_task_legend("sen4map_crops").level, prefixes)
    fitting = sorted((p for p in prefixes if code.startswith(p)), key=len)
    assert legend.class_of(code) == (prefixes[fitting[-1]] if fitting else -1)


def write(tmp_path, *rows):
    path = tmp_path / "mine.csv"
    path.write_text("\n".join(["code,name,prefix", *rows]) + "\n")
    return str(path)


def test_a_prefix_within_another_may_leave_codes_out(tmp_path):
    legend = load_task_legend(write(tmp_path, "4,Crops,B", ",,B7", "9,Apples,B71"))
    assert legend.classes_of(["B11", "B72", "B71", "B"]).tolist() == [4, -1, 9, 4]
    assert legend.level.codes == (4, 9)


@pytest.mark.parametrize(
    ("rows", "word"),
    [
        (["1,Crops,B", "2,Trees,B"], "row 2: prefix 'B' has another class"),
        (["1,Crops,B", "1,Trees,C"], "row 2: class 1 has another name"),
        (["1,Crops,B", "2,Crops,C"], "several classes are called Crops"),
        (["1,Crops,"], "row 1: the row has no prefix"),
        (["1,,B"], "row 1: the class has no name"),
        (["x,Crops,B"], "row 1: 'x' is no whole number"),
        (["255,Crops,B"], "none of 0..254"),
        ([",,B"], "no row has a code"),
    ],
)
def test_a_broken_legend_is_told_with_its_row(tmp_path, rows, word):
    with pytest.raises(LegendError, match=word):
        load_task_legend(write(tmp_path, *rows))


def test_cells_as_codes():
    cells = ["B11 ", 11, 11.0, 1.5, None, float("nan"), np.float64("nan"), np.int64(7)]
    assert [code_text(c) for c in cells] == ["B11", "11", "11", "1.5", "", "", "", "7"]


def test_a_column_that_is_not_there_is_told_with_those_that_are_near():
    task = {"crops": TaskSettings(column="LC1", legend="sen4map_crops")}
    assert columns_of(task, ["id", "lc1"]) == {"crops": "lc1"}
    with pytest.raises(RecipeError, match=r"tasks\.crops\.column.*'LC1'; did you mean lc1_label"):
        columns_of(task, ["id", "lc1_label"])


def recipe(**changes):
    points = {"kind": "points", "path": "p.csv", "id": "id", "x": "x", "y": "y", "size_px": 32}
    plain = {
        "name": "q", "area": {"bbox": [0, 0, 1, 1]}, "catalog": {"source": "simulated"}, "sampling": points,
        "layers": {"sentinel2": {"kind": "sentinel2"}},
        "tasks": {"crops": {"column": "lc1", "legend": "sen4map_crops"}},
    }  # fmt: skip
    return resolve({**plain, **changes})


def test_tasks_of_a_recipe():
    made = recipe(splits={"stratify": "crops"})
    assert made.tasks["crops"].column == "lc1"
    for stage in ("plan", "splits", "publish"):
        assert made.stage_settings(stage)["tasks"]["crops"] == {
            "column": "lc1", "legend": "sen4map_crops",
        }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"sampling": {}}, "tasks: their classes stand in a table of places"),
        ({"tasks": {"crops": {"column": "lc1", "legend": "nothing"}}}, "tasks.crops.legend: no 'nothing'"),
        ({"tasks": {"sentinel2": {"column": "lc1", "legend": "sen4map_crops"}}}, "a layer is called so"),
        ({"tasks": {"Crops!": {"column": "lc1", "legend": "sen4map_crops"}}}, "tasks"),
        ({"tasks": {"crops": {"column": "lc1"}}}, "tasks.crops.legend"),
        ({"splits": {"stratify": "crop"}}, "splits.stratify: no layer 'crop' of that kind; did you mean 'crops'"),
    ],
)  # fmt: skip
def test_tasks_that_make_no_sense_are_refused(changes, word):
    with pytest.raises(RecipeError, match=word.replace("?", r"\?")):
        recipe(**changes)
