# SPDX-License-Identifier: Apache-2.0
"""What a forest learns of points: months of a pixel by a plain loop, both scores, and the whole stage."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from made.sen4map import MOMENTS, make_survey
from terrapatch.errors import RecipeError
from terrapatch.legend import task_legends
from terrapatch.recipe import read_settings
from terrapatch.tasks import load_task_legend
from terrapatch.training import points, training
from terrapatch.training.inputs import Task, open_samples
from terrapatch.training.points import MASKED, PlacePixels, median, read_places

IGNORE = 255
TASKS = {"landcover": {"column": "lc1", "legend": "lucas_landcover"},
         "crops": {"column": "lc1", "legend": "sen4map_crops"}}  # fmt: skip


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    return make_survey(
        tmp_path_factory.mktemp("survey") / "r", tasks=TASKS,
        training={"models": ["forest"], "trees": 15, "required": False},
    )  # fmt: skip


def samples_of(survey, target="landcover"):
    level = load_task_legend(TASKS[target]["legend"]).level
    return open_samples(survey.built(), Task(("sentinel2",), target, level, of_points=True))


@given(st.lists(st.tuples(st.integers(-50, 50), st.booleans()), max_size=9))
def test_a_median_is_that_of_the_dates_that_count(dates):
    values = np.array([[v] for v, _ in dates], np.float32).reshape(-1, 1)
    good = np.array([g for _, g in dates], bool)
    chosen = [v for v, g in dates if g]
    assert median(values, good).tolist() == [np.median(chosen) if chosen else 0]


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_pixels_are_described_as_a_plain_loop_does(survey, split):
    samples = samples_of(survey)
    places = read_places(samples, split)
    table = samples.patches[split]
    middle = survey.data[table["unit"].iloc[0]].shape[-1] // 2
    offsets = [(0, 0)] + [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)]
    filled = 0
    for row, (patch, tile) in enumerate(zip(table["patch_id"], table["unit"], strict=True)):
        own = survey.table.loc[survey.table["unit"] == tile, "patch_id"].tolist()
        number = own.index(patch)
        whole = survey.source[tile][number].all(axis=(1, 2))  # dates that are published
        for place, (y, x) in enumerate(offsets):
            at = (middle + y, middle + x)
            good = [
                t for t in range(len(whole))
                if whole[t] and survey.scl[tile][number, t][at] not in MASKED
            ]  # fmt: skip
            assert places.seen[row, place] == bool(good)
            months = [int(sensed[4:6]) for sensed, _ in MOMENTS[tile]]
            for month in range(1, 13):
                mine = [t for t in good if months[t] == month] or good
                filled += mine is good
                for band in range(10):
                    series = [float(survey.data[tile][number, t, band][at]) for t in mine]
                    wanted = np.float32(np.median(series)) if series else 0
                    assert places.pixels[row, place, (month - 1) * 10 + band] == wanted
    assert filled
    codes = table["class_landcover"].tolist()
    order = list(samples.level.codes)
    assert [
        IGNORE if not seen else order.index(code)
        for code, seen in zip(codes, places.seen[:, 0], strict=True)
    ] == places.labels.tolist()


def test_points_outside_a_task_are_neither_learnt_nor_scored(survey):
    samples = samples_of(survey, "crops")
    places = read_places(samples, "train")
    outside = samples.patches["train"]["class_crops"].to_numpy() < 0
    assert outside.any()
    assert (places.labels[outside] == IGNORE).all()
    assert points.support(places, 8).sum() == (places.labels != IGNORE).sum() > 0


def test_one_right_pixel_of_nine_is_enough_for_the_generous_score():
    pixels = np.zeros((4, 9, 1), np.float32)
    pixels[:, 0, 0] = [0, 1, 1, 2]  # the model answers what it sees
    pixels[1, 5, 0] = 2
    pixels[2, 3, 0] = 2
    seen = np.ones((4, 9), bool)
    seen[2, 3] = False
    labels = np.array([0, 2, 2, IGNORE], np.uint8)
    answer = {control: lambda rows: rows[:, 0].astype(np.uint8) for control in (False, True)}
    confusions, generous = points.test(PlacePixels(pixels, seen, labels), answer, 3)
    assert confusions[False].tolist() == [[1, 0, 0], [0, 0, 0], [0, 2, 0]]
    assert generous.tolist() == [[1, 0, 0], [0, 0, 0], [0, 1, 1]]
    assert points.described(generous) == {
        "overall_accuracy": pytest.approx(2 / 3, abs=1e-6),
        "weighted_f1": pytest.approx((1 * 1 + 2 * (2 / 3)) / 3, abs=1e-6),
    }


def test_the_stage_says_both_scores_and_writes_the_same_bytes_twice(survey, tmp_path):
    written = []
    for threads in (1, 2):
        built = survey.built(
            metrics=tmp_path / f"m{threads}.json", predictions=tmp_path / f"p{threads}.npz"
        )
        training(built, survey.settings("training"), threads)
        written.append(built.metrics.read_bytes() + built.predictions.read_bytes())
    assert written[0] == written[1]
    report = json.loads((tmp_path / "m1.json").read_text())
    assert report["target"] == next(iter(TASKS))
    model = report["models"]["forest"]
    assert set(model["points"]) == {"centre", "window_3x3"}
    assert model["points"]["centre"]["overall_accuracy"] == model["overall_accuracy"]
    assert model["points"]["window_3x3"]["overall_accuracy"] >= model["overall_accuracy"]
    assert report["split_sizes"]["train"] == (survey.table["split"] == "train").sum()


def test_points_are_learnt_by_a_forest_alone(tmp_path):
    survey = make_survey(
        tmp_path / "r", tasks=TASKS, training={"models": ["unet"], "target": "crops"}
    )
    assert read_settings(survey.settings("training")).training.target == "crops"
    built = survey.built(metrics=tmp_path / "m.json", predictions=tmp_path / "p.npz")
    with pytest.raises(RecipeError, match="points are learnt by a forest"):
        training(built, survey.settings("training"))


def test_legends_of_tasks_fit_into_bytes():
    assert all(len(load_task_legend(name).level.codes) < IGNORE for name in task_legends())
