# SPDX-License-Identifier: Apache-2.0
"""The training stage: models that learn, controls that do not, and the verdict."""

import importlib.abc
import json
import shutil
import sys

import numpy as np
import pytest

from made.training import make_dataset, write_settings
from terrapatch.errors import (
    IncompleteError,
    LegendError,
    RecipeError,
    StorageError,
    ValidationError,
)
from terrapatch.layers import Values
from terrapatch.legend import load_legend
from terrapatch.settings import TrainingSettings
from terrapatch.stacks import create_stack, open_stack
from terrapatch.tables import read_geoparquet
from terrapatch.training import forest, require_passed, training, validate
from terrapatch.training import inputs as rows

DN = Values("reflectance", scale=1e-4, nodata=0.0)

L1 = load_legend("cerradata4mm").level("l1")
FOREST = {"models": ["forest"], "trees": 12, "pixels_per_class": 200}
UNET = {"models": ["unet"], "epochs": 8, "width": 8, "crop_px": 32, "batch_size": 4,
        "learning_rate": 5e-3}  # fmt: skip


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Two units of 16 patches of 32 px; pixels follow the labels."""
    return make_dataset(tmp_path_factory.mktemp("dataset"))


def run(dataset, folder, settings, *, images=None, threads=1):
    """Run the stage with these settings; returns its two files."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "settings.json"
    write_settings(path, settings, images)
    out, pictures = folder / "metrics.json", folder / "predictions.npz"
    training(dataset.built(metrics=out, predictions=pictures), path, threads)
    return out, pictures


@pytest.mark.parametrize("split", ["train", "test"])
def test_an_empty_split_names_the_manifest_and_the_remedy(tmp_path, split):
    other = "test" if split == "train" else "train"
    empty = make_dataset(tmp_path, grid=(1, 2), units=1, splits=lambda n: (other, "val")[n])
    with pytest.raises(
        IncompleteError, match=rf"manifest\.parquet: no patch in the split '{split}'"
    ):
        run(empty, tmp_path, FOREST)
    assert not (tmp_path / "metrics.json").exists()


OPTIONAL = {**FOREST, "required": False}


def _nothing(made, tmp_path, settings, **how):
    """Run what cannot be run: the reason, once in the metrics and once for `require_passed`."""
    out, pictures = run(made, tmp_path, settings, **how)
    report = json.loads(out.read_text())
    assert (report["passed"], report["required"], report["models"]) == (False, False, {})
    text = require_passed(out, tmp_path / "passed")
    assert text == f"not validated: {report['skipped']}"
    assert (tmp_path / "passed").is_file()
    with np.load(pictures) as file:
        assert file["patch_ids"].size == file["truth"].size == 0
    return report["skipped"]


@pytest.mark.parametrize("split", ["train", "test"])
def test_an_empty_split_fails_nothing_where_training_is_not_required(tmp_path, split):
    other = "test" if split == "train" else "train"
    made = make_dataset(tmp_path, grid=(1, 2), units=1, splits=lambda n: (other, "val")[n])
    assert f"no patch in the split '{split}'" in _nothing(made, tmp_path, OPTIONAL)


def test_no_pixel_to_learn_or_to_score_fails_nothing_where_training_is_not_required(tmp_path):
    for name, empty in (("train", lambda n: "train" if n == 0 else "test"),
                        ("test", lambda n: "test" if n == 0 else "train")):  # fmt: skip
        made = make_dataset(tmp_path / name, grid=(1, 2), units=1, splits=empty)
        path = made.stacks / "b000_000" / "label.zarr"
        old = open_stack(path)
        data = old.read(slice(None), time=0)
        data[0] = 255
        shutil.rmtree(path)
        with create_stack(path, old.info) as writer:
            writer.write(0, 0, data, (data[:, 0] != 255).astype("uint8"))
        out, _ = run(made, tmp_path / name, OPTIONAL)
        report = json.loads(out.read_text())
        reason = report.get("skipped") or report["models"]["forest"]["skipped"]
        assert f"no {name} pixel" in reason or f"no pixel of the {name} split" in reason
        assert require_passed(out, tmp_path / "passed").endswith(")") or "skipped" in report
        with pytest.raises(IncompleteError, match="pixel"):
            run(made, tmp_path / name, FOREST)


def test_levels_and_inputs_that_are_not_there_fail_nothing_where_training_is_not_required(
    dataset, tmp_path
):
    assert "no level 'l9'" in _nothing(dataset, tmp_path, {**OPTIONAL, "level": "l9"})
    wanted = {**OPTIONAL, "inputs": ["sentinel1"]}
    assert "training.inputs" in _nothing(dataset, tmp_path, wanted, images=["sentinel2"])


def test_one_class_alone_fails_nothing_where_training_is_not_required(tmp_path):
    made = make_dataset(tmp_path, grid=(2, 2), units=1, codes=(1,),
                        splits=lambda n: "train" if n else "test")  # fmt: skip
    out, _ = run(made, tmp_path, OPTIONAL)
    assert "forest: macro F1" in require_passed(out, tmp_path / "passed")


def test_a_model_that_breaks_is_named_and_the_others_go_on(dataset, tmp_path, monkeypatch):
    def broken(*_):
        raise RuntimeError("not enough memory: you tried to allocate 8 bytes")

    monkeypatch.setitem(validate._FITS, "unet", broken)
    both = {**OPTIONAL, "models": ["unet", "forest"]}
    report = json.loads(run(dataset, tmp_path, both)[0].read_text())
    assert report["models"]["forest"]["passed"]
    assert report["models"]["unet"]["skipped"].startswith("RuntimeError: not enough memory")
    with pytest.raises(RuntimeError, match="not enough memory"):
        run(dataset, tmp_path, {**both, "required": True})


def test_damage_fails_whatever_training_requires(tmp_path):
    made = make_dataset(tmp_path, grid=(2, 2), units=1,
                        splits=lambda n: "train" if n else "test")  # fmt: skip
    shutil.rmtree(made.stacks / "b000_000" / "sentinel1.zarr")
    with pytest.raises(StorageError, match=r"sentinel1\.zarr"):
        run(made, tmp_path, OPTIONAL)


def test_metrics_say_which_classes_their_means_are_over(dataset, tmp_path):
    out, _ = run(dataset, tmp_path, FOREST)
    report = json.loads(out.read_text())
    found = report["models"]["forest"]
    assert set(report["averages"]) <= set(found)
    assert set(found["baselines"]["majority"]) == set(report["averages"])
    assert "over 4 classes with truth" in require_passed(out, tmp_path / "passed")


# --- forest ---


def test_forest_features_are_bands_decibels_and_differences():
    inputs = np.array([[400.0, 800.0, 0.1], [0.0, 0.0, 0.0]], np.float32)
    channels = (rows.Channel("sentinel2", "B04", DN),
                rows.Channel("sentinel2", "B08", DN),
                rows.Channel("sentinel1", "VV", Values("linear power")))  # fmt: skip
    expected = [[400, 800, -10, 1 / 3], [0, 0, -60, 0]]
    assert np.array(expected) == pytest.approx(forest.features(inputs, channels), rel=1e-6)


def test_forest_passes_on_a_dataset_that_can_be_learned(dataset, tmp_path):
    out, _pictures = run(dataset, tmp_path, FOREST)
    report = json.loads(out.read_text())
    found = report["models"]["forest"]
    assert report["passed"]
    assert found["passed"]
    assert found["macro_f1"] > 0.9
    assert found["margin"]["macro_f1"] > 0.5
    assert found["baselines"]["majority"]["macro_f1"] < 0.2
    assert found["baselines"]["shuffled"]["macro_f1"] < 0.4
    assert report["split_sizes"] == {"train": 20, "val": 6, "test": 6}
    assert report["inputs"] == ["sentinel2", "sentinel1"]
    assert report["level"] == "l1"
    assert report["classes"] == [c.name for c in L1.classes]
    assert set(found["per_class"]) == set(report["classes"])
    text = require_passed(out, tmp_path / "passed")
    assert "forest: macro F1" in text
    assert (tmp_path / "passed").read_text() == text + "\n"


def test_the_report_is_what_the_pictures_show(dataset, tmp_path):
    """With no more test patches than pictures, the file of pictures gives the same scores."""
    from sklearn.metrics import confusion_matrix, f1_score

    out, pictures = run(dataset, tmp_path, FOREST)
    found = json.loads(out.read_text())["models"]["forest"]
    with np.load(pictures) as file:
        truth, guess, ids = file["truth"], file["forest"], file["patch_ids"]
    table = read_geoparquet(dataset.manifest)
    assert ids.tolist() == table.loc[table["split"] == "test", "patch_id"].tolist()
    assert truth.shape == guess.shape == (6, 32, 32)
    assert truth.dtype == guess.dtype == np.uint8
    pair = truth.ravel(), guess.ravel()
    assert confusion_matrix(*pair, labels=L1.codes).tolist() == found["confusion"]
    f1 = f1_score(*pair, labels=np.unique(truth), average="macro")
    assert f1 == pytest.approx(found["macro_f1"], abs=1e-6)


def test_forest_has_the_same_bytes_for_one_and_two_threads_and_other_shards(tmp_path):
    results = []
    for name, threads, shards in (("a", 1, (5, 3)), ("b", 2, (16, 4))):
        made = make_dataset(tmp_path / name, shards=shards)
        results.append(
            [p.read_bytes() for p in run(made, tmp_path / name, FOREST, threads=threads)]
        )
    assert results[0] == results[1]


def test_random_labels_fail_with_figures_after_the_metrics_are_written(tmp_path):
    made = make_dataset(tmp_path, labels="random")
    out, pictures = run(made, tmp_path, FOREST)
    report = json.loads(out.read_text())
    assert not report["passed"]
    assert not report["models"]["forest"]["passed"]
    assert pictures.is_file()
    with pytest.raises(
        ValidationError, match=r"(?s)metrics\.json: .*forest: macro F1 0\.\d+.*shuf"
    ):
        require_passed(out, tmp_path / "passed")
    assert not (tmp_path / "passed").exists()


def test_a_recipe_may_let_a_failure_pass(tmp_path):
    made = make_dataset(tmp_path, labels="random")
    out, _ = run(made, tmp_path, {**FOREST, "required": False})
    assert "failed" in require_passed(out, tmp_path / "passed")
    assert (tmp_path / "passed").is_file()


def test_margins_are_those_of_the_recipe(dataset, tmp_path):
    out, _ = run(dataset, tmp_path, {**FOREST, "margin_f1": 0.99})
    assert not json.loads(out.read_text())["passed"]
    with pytest.raises(ValidationError, match=r"0\.99 macro F1"):
        require_passed(out, tmp_path / "passed")


def test_a_class_missing_in_test_is_null_and_out_of_the_means(tmp_path):
    def only_first(n):
        return "train" if n < 16 else "test"

    made = make_dataset(tmp_path, splits=only_first)
    # The second unit, all of test, is exchanged for one that shows two classes alone.
    make_dataset(tmp_path / "two", splits=only_first, codes=(0, 1))
    target = tmp_path / "stacks/b000_001"
    target.rename(tmp_path / target.name)
    (tmp_path / "two/stacks/b000_001").rename(target)
    found = json.loads(run(made, tmp_path, FOREST)[0].read_text())["models"]["forest"]
    water = found["per_class"]["Water body"]
    assert (water["f1"], water["iou"], water["support"]) == (None, None, 0)
    rows = found["per_class"].items()
    assert set(found["classes_with_truth"]) == {name for name, row in rows if row["support"]}
    more = found["classes_predicted_alone"]
    assert set(more) == {name for name, row in rows if row["predicted"] and not row["support"]}
    wider = found["macro_f1"] * 2 / (2 + len(more))
    assert found["macro_f1_truth_or_predicted"] == pytest.approx(wider, abs=1e-6)
    present = [row["f1"] for row in found["per_class"].values() if row["support"]]
    assert len(present) == 2
    assert np.mean(present) == pytest.approx(found["macro_f1"], abs=1e-6)
    assert found["passed"]


def test_one_class_alone_fails_and_says_why(tmp_path):
    made = make_dataset(tmp_path, grid=(2, 2), units=1, codes=(1,),
                        splits=lambda n: "train" if n else "test")  # fmt: skip
    out, _ = run(made, tmp_path, FOREST)
    with pytest.raises(ValidationError, match="one class alone"):
        require_passed(out, tmp_path / "passed")


def test_the_finest_level_can_be_learned_too(dataset, tmp_path):
    report = json.loads(run(dataset, tmp_path, {**FOREST, "level": "l2"})[0].read_text())
    assert report["level"] == "l2"
    assert len(report["classes"]) == 14
    assert report["passed"]
    with pytest.raises(LegendError, match="no level 'l9'"):
        run(dataset, tmp_path, {**FOREST, "level": "l9"})


@pytest.mark.parametrize("modality", ["sentinel2", "sentinel1"])
def test_one_modality_is_enough(dataset, tmp_path, modality):
    out, _ = run(dataset, tmp_path, FOREST, images=[modality])
    report = json.loads(out.read_text())
    assert [modality] == report["inputs"]
    assert report["passed"]


def test_inputs_that_the_dataset_lacks_are_a_recipe_error(dataset, tmp_path):
    with pytest.raises(RecipeError, match=r"training\.inputs \['sentinel1'\]"):
        run(dataset, tmp_path, {**FOREST, "inputs": ["sentinel1"]}, images=["sentinel2"])


def test_damaged_metrics_are_a_storage_error(tmp_path):
    path = tmp_path / "metrics.json"
    for text in ("{", "{}", "[]"):
        path.write_text(text)
        with pytest.raises(StorageError, match=r"metrics\.json: no readable metrics"):
            require_passed(path, tmp_path / "passed")
    with pytest.raises(StorageError, match=r"none\.json"):
        require_passed(tmp_path / "none.json", tmp_path / "passed")


def test_pictures_are_spread_over_the_test_split():
    assert validate.evenly(3, 12) == [0, 1, 2]
    assert validate.evenly(34, 4) == [0, 8, 17, 25]


def _confusions(diagonal, control):
    return {"forest": {False: np.diag(diagonal), True: np.array(control)}}


def test_a_model_must_beat_the_control_as_well_as_the_majority():
    chance = [[25, 25], [25, 25]]
    settings = TrainingSettings()
    level = load_legend("cerradata4mm").level("l1")
    two = type(level)("l1", level.classes[:2])
    good = validate.assess(_confusions([50, 50], chance), np.array([9, 1]), two, settings)
    assert good["passed"]
    assert good["models"]["forest"]["margin"]["macro_f1"] == 0.5
    leaky = validate.assess(
        _confusions([50, 50], [[49, 1], [1, 49]]), np.array([9, 1]), two, settings
    )
    assert not leaky["passed"]
    assert leaky["models"]["forest"]["margin"]["macro_f1"] == pytest.approx(0.02)


def test_a_margin_of_nothing_still_asks_to_be_better():
    two = type(L1)("l1", L1.classes[:2])
    same = _confusions([50, 50], [[50, 0], [0, 50]])
    settings = TrainingSettings(margin_f1=0, margin_miou=0)
    assert not validate.assess(same, np.array([9, 1]), two, settings)["passed"]


# --- unet ---


def _without_torch(monkeypatch):
    class Absent(importlib.abc.MetaPathFinder):
        """As if it were not installed: an entry None in `sys.modules` is one for SciPy, which looks."""

        def find_spec(self, fullname, path=None, target=None):
            if fullname.partition(".")[0] == "torch":
                raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)

    monkeypatch.setattr(sys, "meta_path", [Absent(), *sys.meta_path])
    for name in [name for name in sys.modules if name.partition(".")[0] == "torch"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "terrapatch.training.unet", raising=False)
    import terrapatch.training as package

    monkeypatch.delattr(package, "unet", raising=False)


def test_without_torch_the_forest_decides_and_the_unet_is_marked_skipped(
    dataset, tmp_path, monkeypatch
):
    _without_torch(monkeypatch)
    out, pictures = run(dataset, tmp_path, {**FOREST, "models": ["forest", "unet"]})
    report = json.loads(out.read_text())
    assert report["passed"]
    assert "terrapatch[train]" in report["models"]["unet"]["skipped"]
    assert "unet: skipped" in require_passed(out, tmp_path / "passed")
    with np.load(pictures) as file:
        assert {"patch_ids", "truth", "forest"} == set(file.files)


def test_without_torch_and_forest_nothing_is_validated(dataset, tmp_path, monkeypatch):
    _without_torch(monkeypatch)
    out, _ = run(dataset, tmp_path, UNET)
    with pytest.raises(ValidationError, match="no model ran"):
        require_passed(out, tmp_path / "passed")


def test_the_core_does_not_import_torch():
    import subprocess

    code = "import terrapatch.training, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unet_passes_and_has_the_same_bytes_for_one_and_two_threads(dataset, tmp_path):
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    state = torch.get_rng_state()
    results = [
        [p.read_bytes() for p in run(dataset, tmp_path / str(threads), UNET, threads=threads)]
        for threads in (1, 2)
    ]
    assert results[0] == results[1]
    assert before == (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled())
    assert torch.equal(state, torch.get_rng_state())
    found = json.loads(results[0][0])["models"]["unet"]
    assert found["passed"]
    assert found["macro_f1"] > 0.9


@pytest.mark.parametrize("form", ["none", "minmax", "log"])
def test_unet_trains_with_every_scaling_and_with_class_weights(dataset, tmp_path, form):
    pytest.importorskip("torch")
    settings = {**UNET, "epochs": 2, "normalisation": form, "class_weights": True}
    found = json.loads(run(dataset, tmp_path, settings, images=["sentinel2"])[0].read_text())
    assert 0 <= found["models"]["unet"]["macro_f1"] <= 1


def test_unet_fails_on_random_labels(tmp_path):
    pytest.importorskip("torch")
    made = make_dataset(tmp_path, labels="random")
    out, _ = run(made, tmp_path, {**UNET, "epochs": 3})
    with pytest.raises(ValidationError, match="unet: macro F1"):
        require_passed(out, tmp_path / "passed")


def test_unet_needs_no_val_split_and_takes_fewer_patches_than_there_are(tmp_path):
    pytest.importorskip("torch")
    made = make_dataset(tmp_path, grid=(2, 3), units=1, size=20,
                        splits=lambda n: "test" if n == 5 else "train")  # fmt: skip
    settings = {**UNET, "epochs": 1, "max_patches": 2, "required": False}
    out, pictures = run(made, tmp_path, settings)  # 20 px: not a multiple of 8
    assert json.loads(out.read_text())["split_sizes"] == {"train": 5, "val": 0, "test": 1}
    with np.load(pictures) as file:
        assert file["unet"].shape == (1, 20, 20)


def test_unet_answers_have_the_side_of_the_inputs_and_learn_from_a_single_small_patch():
    torch = pytest.importorskip("torch")
    from terrapatch.training.unet import UNet

    network = UNet(channels=3, classes=5, width=4).train()
    for side in (8, 13, 32):
        assert network(torch.zeros(1, 3, side, side)).shape == (1, 5, side, side)


def test_crops_turn_inputs_and_labels_alike():
    pytest.importorskip("torch")
    from terrapatch.training import unet

    labels = np.random.default_rng(0).integers(0, 200, (5, 16, 16)).astype(np.uint8)
    train = unet._Arrays(labels[:, None].astype(np.float32), labels)
    settings = TrainingSettings(crop_px=8, batch_size=2)
    seen = 0
    for inputs, target in unet._crops(train, settings, np.random.default_rng(1)):
        assert inputs.shape[-2:] == (8, 8)
        assert np.array_equal(inputs[:, 0].numpy(), target.numpy())
        seen += len(target)
    assert seen == 5


def test_the_eight_turns_are_all_different():
    pytest.importorskip("torch")
    from terrapatch.training.unet import _turned

    square = np.arange(9).reshape(3, 3)
    assert len({_turned(square, kind).tobytes() for kind in range(8)}) == 8


def test_patches_without_any_label_are_left_out_of_training_steps():
    pytest.importorskip("torch")
    from terrapatch.training import unet

    train = unet._Arrays(np.zeros((2, 1, 8, 8), np.float32), np.full((2, 8, 8), 255, np.uint8))
    assert list(unet._crops(train, TrainingSettings(), np.random.default_rng(0))) == []
