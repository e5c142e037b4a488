# SPDX-License-Identifier: Apache-2.0
"""What the models are given: patches of a split, drawn pixels, scaled inputs."""

import json
from dataclasses import replace

import numpy as np
import pytest

from made.training import S1, S2, make_dataset
from terrapatch.errors import IncompleteError, StorageError
from terrapatch.layers import Values
from terrapatch.legend import load_legend
from terrapatch.training import inputs as rows
from terrapatch.training.scaling import class_figures, scaling

DN = Values("reflectance", scale=1e-4, nodata=0.0)

L1 = load_legend("cerradata4mm").level("l1")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Two units of 16 patches of 32 px; pixels follow the labels."""
    return make_dataset(tmp_path_factory.mktemp("dataset"))


TASK = rows.Task(("sentinel2", "sentinel1"), "label", L1)


def opened(dataset, inputs=TASK.inputs, level=L1):
    task = rows.Task(tuple(inputs), "label", level)
    return rows.open_samples(dataset.built(), task)


def test_batches_give_every_patch_once_in_the_order_of_the_manifest(dataset):
    found = opened(dataset)
    for split, expected in (("train", 20), ("val", 6), ("test", 6)):
        ids = [i for batch in rows.read_batches(found, split) for i in batch.patch_ids]
        assert found.patches[split]["patch_id"].tolist() == ids
        assert expected == len(ids)


def test_batches_hold_the_pixels_of_their_patches(dataset):
    import zarr

    found = opened(dataset)
    assert [(c.layer, c.band) for c in found.channels] == [
        *(("sentinel2", band) for band in S2), *(("sentinel1", band) for band in S1),
    ]  # fmt: skip
    [*_, batch] = rows.read_batches(found, "val")
    patch = found.patches["val"].iloc[-1]
    assert patch.patch_id == batch.patch_ids[-1]
    number = (patch.y_px // 32) * 4 + patch.x_px // 32
    for modality, part in (("sentinel2", slice(0, 4)), ("sentinel1", slice(4, 6))):
        data = zarr.open_group(dataset.stacks / patch.unit / f"{modality}.zarr", mode="r")["data"]
        assert np.array_equal(data[number, 0], batch.inputs[-1, part])
    codes = zarr.open_group(dataset.stacks / patch.unit / "label.zarr", mode="r")["data"]
    assert np.array_equal(codes[number, 0, 1], batch.labels[-1])  # l1: codes are indices


def test_pixels_that_an_input_missed_are_neither_learned_nor_scored(tmp_path):
    holed = make_dataset(tmp_path, grid=(2, 3), units=1, hole=0,
                         splits=lambda n: ("train", "test", "val")[n % 3])  # fmt: skip
    batch = next(rows.read_batches(opened(holed), "train"))
    assert not batch.valid[0, :16, :16].any()
    assert batch.valid[0, 16:].all()
    assert (batch.labels[0, :16, :16] == 255).all()
    assert (batch.labels[0, 16:] != 255).all()
    assert not batch.inputs[0, :, :16, :16].any()
    alone = next(rows.read_batches(opened(holed, ["sentinel2"]), "train"))
    assert alone.valid.all()


def test_times_are_averaged_where_they_were_observed():
    data = np.array([2.0, 4.0, 9.0], np.float32).reshape(1, 3, 1, 1, 1)
    data = np.repeat(data, 3, axis=-1)
    source = np.array([[1, 1, 0], [1, 0, 0], [0, 1, 0]], np.uint8).reshape(1, 3, 1, 3)
    values, valid = rows.composite(data, source)
    assert values.ravel().tolist() == [3.0, 5.5, 0.0]
    assert valid.ravel().tolist() == [True, True, False]


def test_decibels_are_averaged_as_power():
    data = np.array([0.0, -10.0], np.float32).reshape(1, 2, 1, 1, 1)
    values, _ = rows.composite(data, np.ones((1, 2, 1, 1), np.uint8), decibel=True)
    assert 10 * np.log10((1 + 0.1) / 2) == pytest.approx(float(values.item()), abs=1e-5)


def test_codes_and_indices_lead_back_and_forth():
    level = load_legend("cerradata4mm").finest
    codes = np.array([13, 255, 0, 5], np.uint8)
    indices = rows.codes_to_indices(codes, level, "x.tif")
    assert codes.tolist() == rows.indices_to_codes(indices, level).tolist()
    with pytest.raises(StorageError, match=r"x\.tif: codes \[14\]"):
        rows.codes_to_indices(np.array([14, 255], np.uint8), level, "x.tif")


def _one_batch(labels):
    values = np.arange(labels.size, dtype=np.float32).reshape(labels.shape)[:, None]
    return rows.Minibatch(tuple(map(str, range(len(labels)))), values, labels, labels != 255)


def test_drawn_pixels_are_stratified_and_do_not_depend_on_batches():
    rng = np.random.default_rng(1)
    labels = rng.choice(np.array([0, 1, 2, 255], np.uint8), (6, 8, 8), p=[0.9, 0.06, 0.02, 0.02])
    whole = _one_batch(labels)
    pieces = [
        rows.Minibatch(whole.patch_ids[i : i + 1], whole.inputs[i : i + 1], labels[i : i + 1],
                      whole.valid[i : i + 1])
        for i in range(6)
    ]  # fmt: skip
    options = {"classes": 4, "per_class": 15, "seed": 3}
    pixels, classes = rows.draw_pixels([whole], lambda x: x, **options)
    again, same = rows.draw_pixels(pieces, lambda x: x, **options)
    assert np.array_equal(pixels, again)
    assert np.array_equal(classes, same)
    counts = np.bincount(labels[labels != 255], minlength=3)
    assert [min(15, n) for n in counts] == np.bincount(classes).tolist()
    assert len(np.unique(pixels)) == len(pixels)
    assert np.array_equal(labels.ravel()[pixels[:, 0].astype(int)], classes)


def test_drawn_pixels_are_spread_over_all_patches():
    labels = np.zeros((10, 20, 20), np.uint8)
    pixels, _ = rows.draw_pixels(
        [_one_batch(labels)], lambda x: x, classes=1, per_class=1000, seed=0
    )
    share = np.bincount(pixels[:, 0].astype(int) // 400, minlength=10)
    assert share.min() > 60
    assert share.max() < 140


def test_no_labelled_pixel_is_a_clear_error():
    with pytest.raises(IncompleteError, match="no train pixel"):
        rows.draw_pixels([_one_batch(np.full((1, 4, 4), 255, np.uint8))], lambda x: x,
                            classes=2, per_class=3, seed=0)  # fmt: skip


def test_shuffled_labels_keep_frequencies_and_lose_their_places():
    rng = np.random.default_rng(0)
    labels = rng.choice(np.array([0, 1, 2, 255], np.uint8), (4, 32, 32), p=[0.6, 0.2, 0.1, 0.1])
    shuffled = rows.shuffled_labels(labels, 5)
    assert np.bincount(labels.ravel()).tolist() == np.bincount(shuffled.ravel()).tolist()
    assert np.array_equal(labels == 255, shuffled == 255)
    seen = labels != 255
    expected = np.square(np.bincount(labels[seen]) / seen.sum()).sum()  # agreement by chance
    assert expected == pytest.approx((labels == shuffled)[seen].mean(), abs=0.03)


def test_a_level_that_the_labels_lack_is_a_clear_error(dataset, tmp_path):
    from terrapatch.legend import Level

    found = opened(dataset, level=Level("l3", L1.classes))
    with pytest.raises(StorageError, match=r"label\.zarr: has no band l3"):
        next(rows.read_batches(found, "train"))


def test_a_patch_that_the_stack_lacks_is_a_clear_error(dataset):
    found = opened(dataset)
    strange = found.patches["train"].assign(patch_id="r99999_c99999")
    with pytest.raises(StorageError, match="r99999_c99999"):
        next(rows.read_batches(replace(found, patches={"train": strange}), "train"))


# --- scaling ---


CHANNELS = (
    rows.Channel("sentinel2", "B03", DN),
    rows.Channel("sentinel2", "B08", DN),
    rows.Channel("sentinel1", "VV", Values("linear power")),
)
STATISTICS = {
    "layers": {
        "sentinel2": {"bands": ["B08", "B03"], "mean": [3000.0, 1400.0], "std": [900.0, 480.0],
                      "min": [200.0, 330.0], "max": [9500.0, 9000.0]},
        "sentinel1": {"bands": ["VV"], "mean": [105.0], "std": [80.0], "min": [0.2],
                      "max": [1900.0]},
    }
}  # fmt: skip


def _scaled(tmp_path, form, values, statistics=STATISTICS, channels=CHANNELS):
    path = tmp_path / "statistics.json"
    path.write_text(json.dumps(statistics))
    inputs = np.array(values, np.float32).reshape(1, len(channels), 1, -1)
    valid = np.ones((1, 1, inputs.shape[-1]), bool)
    return scaling(path, channels, form).apply(inputs, valid)[0, :, 0]


VALUES = np.array([[1400.0, 700.0], [3000.0, 0.0], [105.0, 0.0]])
MEAN, STD = np.array([[1400.0], [3000.0], [105.0]]), np.array([[480.0], [900.0], [80.0]])
LOW, HIGH = np.array([[330.0], [200.0], [0.2]]), np.array([[9000.0], [9500.0], [1900.0]])


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("none", VALUES),
        ("minmax", (VALUES - LOW) / (HIGH - LOW)),
        ("standard", (VALUES - MEAN) / STD),
        ("log", (np.log(np.maximum(VALUES, 1e-6)) - np.log(MEAN)) / np.log(STD)),
    ],
)
def test_inputs_are_scaled_as_the_published_loaders_do(tmp_path, form, expected):
    assert expected == pytest.approx(_scaled(tmp_path, form, VALUES), rel=1e-5)


def test_the_mean_and_the_range_land_where_they_should(tmp_path):
    assert np.zeros(3) == pytest.approx(_scaled(tmp_path, "log", MEAN)[:, 0], abs=1e-6)
    both = _scaled(tmp_path, "minmax", np.hstack([LOW, HIGH]))
    assert np.array([[0, 1]] * 3) == pytest.approx(both, abs=1e-6)


def test_pixels_that_were_not_observed_are_zero_in_every_form(tmp_path):
    path = tmp_path / "statistics.json"
    path.write_text(json.dumps(STATISTICS))
    inputs = np.zeros((1, 3, 1, 2), np.float32)
    valid = np.array([[[True, False]]])
    for form in ("none", "minmax", "standard", "log"):
        scaled = scaling(path, CHANNELS, form).apply(inputs, valid)
        assert not scaled[..., 1].any()
        assert not np.shares_memory(scaled, inputs)
        assert not inputs.any()


def test_decibels_are_not_put_through_a_logarithm_again(tmp_path):
    table = {"layers": {"sentinel1": {"bands": ["VV"], "mean": [-10.0], "std": [4.0],
                                          "min": [-30.0], "max": [5.0]}}}  # fmt: skip
    channels = (rows.Channel("sentinel1", "VV", Values("dB", decibel=True)),)
    assert pytest.approx(_scaled(tmp_path, "log", [-14.0], table, channels).item()) == -1.0


@pytest.mark.parametrize("form", ["minmax", "standard", "log"])
def test_bands_without_spread_or_with_unit_spread_stay_finite(tmp_path, form):
    table = {"layers": {"sentinel1": {"bands": ["VV", "VH"], "mean": [2.0, 2.0],
             "std": [0.0, 1.0], "min": [2.0, 1.0], "max": [2.0, 2.0]}}}  # fmt: skip
    channels = tuple(
        rows.Channel("sentinel1", band, Values("linear power")) for band in ("VV", "VH")
    )
    assert np.isfinite(_scaled(tmp_path, form, [2.0, 2.0], table, channels)).all()


@pytest.mark.parametrize("text", [None, "{", "{}", '{"layers": {"sentinel2": {"bands": []}}}'])
def test_unreadable_statistics_name_file_and_remedy(tmp_path, text):
    path = tmp_path / "dataset" / "statistics.json"
    path.parent.mkdir()
    if text is not None:
        path.write_text(text)
    with pytest.raises(
        StorageError, match=r"statistics\.json: .*sentinel2/B03.*terrapatch publish"
    ):
        scaling(path, CHANNELS, "standard")


def test_class_figures_are_those_of_the_train_labels(dataset):
    found = opened(dataset)
    labels = np.concatenate([b.labels.ravel() for b in rows.read_batches(found, "train")])
    pixels, weights = class_figures(dataset.statistics, TASK)
    assert pixels.tolist() == np.bincount(labels, minlength=7).tolist()
    assert weights.max() == 1
    assert weights[pixels == 0].max() == 0


def test_class_figures_of_another_legend_are_a_clear_error(dataset, tmp_path):
    other = tmp_path / "dataset" / "statistics.json"
    other.parent.mkdir()
    other.write_text(
        '{"classes": {"label": {"l1": {"pixels": {"train": [1, 2]}, "weights": [1, 0.5]}}}}'
    )
    for path in (other, tmp_path / "none" / "dataset" / "statistics.json"):
        with pytest.raises(StorageError, match=r"\.json: .* 7 classes of level 'l1'.*publish"):
            class_figures(path, TASK)
