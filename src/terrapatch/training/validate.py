# SPDX-License-Identifier: Apache-2.0
"""The stage: train small models on the train split and hold them against chance on the test split.

Laws:
1. A model passes when its macro F1 and its mIoU on the test split exceed those of both baselines
   (the majority class of the train split, and a control trained on shuffled labels) by the
   recipe's margins. The stage passes when at least one model ran and all that ran pass.
2. `training` measures, `require_passed` judges: Snakemake deletes what a failed job wrote, and
   the figures of a failure are what one wants to see.
3. Where the recipe does not require it, or has no labels, what cannot be trained or tested fails
   nothing: `metrics.json` says why instead. Damaged files always fail.
4. What is written has no times in it: the same data and settings give the same bytes.
"""

from __future__ import annotations

import json
import logging
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import (
    IncompleteError,
    RecipeError,
    SceneError,
    StorageError,
    TerrapatchError,
    ValidationError,
)
from ..files import atomic, write_json, write_text
from ..legend import load_legend
from ..paths import SPLITS, Built, remedy
from ..progress import bar, track
from ..recipe import StageSettings, read_settings
from ..tasks import load_task_legend
from . import metrics
from .inputs import (
    Predictor,
    Samples,
    Task,
    counted,
    indices_to_codes,
    open_samples,
)
from .scaling import class_figures, scaling

if TYPE_CHECKING:
    from ..legend import Level
    from ..settings import TrainingSettings

log = logging.getLogger(__name__)

_PICTURES = 12
"""Test patches whose predictions are kept for the report."""

_NO_POINTS = "learns from rasters of labels; the target is a task, which has points"
_SKIPPED = "PyTorch is not installed; pip install 'terrapatch[train]'"

Models = dict[str, dict[bool, Predictor]]
"""By name, then by whether it is the control."""


def training(built: Built, settings: Path, threads: int = 1) -> None:
    """Validate a dataset by learning from it.

    Args:
        built: manifest, stacks and the statistics of the train split are read; written are
            `metrics`: a model that fails is written down, not raised: the report shows it, then
            `require_passed` ends the build (where nothing could be learned or tested and
            `training.required` is false, it has `skipped`, the reason); and
            `predictions`: patch_ids, truth and one array per model, as (patch, y, x) uint8 legend
            codes (255: no truth) of up to 12 test patches.
        settings: settings file of the stage `training`.
        threads: processor threads; they change the time alone.

    Raises:
        IncompleteError: nothing to train or to test on, and `training.required`.
        RecipeError: a level or an input that the dataset does not have, and `training.required`.
        StorageError: an input is missing or damaged, or a result cannot be written.
    """
    wanted = read_settings(settings)

    def measured() -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        samples = open_samples(built, _task(wanted))
        if samples.task.of_points:
            return _of_points(samples, wanted.training, threads)
        with bar("training", 2, "part") as advance:
            models, skipped = _fit(samples, wanted.training, built.statistics, threads)
            advance(1)
            confusions, pictures = _test(samples, models)
        pixels, _ = class_figures(built.statistics, samples.task)
        report = assess(confusions, pixels, samples.level, wanted.training)
        return _told(report, samples, skipped), pictures

    if learnable := bool(wanted.labels or wanted.tasks):
        report, pictures = _unless_optional(measured, wanted.training)
    else:
        report, pictures = _skipped(
            "the recipe has neither a layer of labels nor a task, so there is nothing to learn"
        )
    report["required"] = wanted.training.required and learnable
    _write_npz(built.predictions, pictures)
    write_json(built.metrics, report)
    log.info("%s", summary(report))


def _of_points(
    samples: Samples, settings: TrainingSettings, threads: int
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Metrics of a task, and no picture: a point is one pixel."""
    from . import points

    classes = len(samples.level.codes)
    if "forest" not in settings.models:
        raise RecipeError(
            "training.models: points are learnt by a forest; name it, or choose a layer of labels as "
            "training.target"
        )
    train, test = (points.read_places(samples, split) for split in ("train", "test"))
    models = points.fit(train, settings, threads)
    confusions, generous = points.test(test, models, classes)
    report = assess({"forest": confusions}, points.support(train, classes), samples.level, settings)
    report["models"]["forest"]["points"] = {
        "centre": points.described(confusions[False]), "window_3x3": points.described(generous)
    }  # fmt: skip
    skipped: dict[str, str] = {name: _NO_POINTS for name in settings.models if name != "forest"}
    return _told(report, samples, skipped), _no_pictures()


def _told(report: dict[str, Any], samples: Samples, skipped: Mapping[str, str]) -> dict[str, Any]:
    """A report with what was learnt from what, and the models that were not."""
    report["models"] |= {name: {"skipped": reason} for name, reason in skipped.items()}
    report["inputs"] = list(samples.task.inputs)
    report["target"] = samples.task.target
    report["split_sizes"] = {split: len(samples.patches[split]) for split in SPLITS}
    return report


def _unless_optional(
    measured: Callable[[], tuple[dict[str, Any], dict[str, NDArray[Any]]]],
    settings: TrainingSettings,
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Metrics and pictures; where they cannot be had and need not, the reason and no picture."""
    try:
        return measured()
    except (StorageError, SceneError):
        raise  # what is damaged is no matter of training
    except Exception as error:
        if settings.required:
            raise
        reason = _reason(error)
        log.warning("not validated: %s", reason)
        return _skipped(reason)


def _skipped(reason: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Metrics that say why there are none, and no picture."""
    report = {"models": {}, "passed": False, "skipped": reason, "averages": metrics.MEANS}
    return report, _no_pictures()


def _no_pictures() -> dict[str, NDArray[Any]]:
    return {"patch_ids": np.array([], str), "truth": np.zeros((0, 0, 0), np.uint8)}


def _reason(error: Exception) -> str:
    known = isinstance(error, TerrapatchError)
    return str(error) if known else f"{type(error).__name__}: {error}"


def require_passed(metrics_json: Path, passed: Path) -> str:
    """Fail the build where the models did not pass; a stage of its own, after the report.

    Args:
        metrics_json: what `training` wrote.
        passed: text file that stands for success; written only then, or where the recipe says
            `training.required: false`.

    Returns:
        The figures, one line a model.

    Raises:
        ValidationError: a model does not beat its baselines and the recipe requires it.
        StorageError: the metrics are missing or damaged.
    """
    try:
        report = json.loads(metrics_json.read_text(encoding="utf-8"))
        text = summary(report)
        if report["required"] and not report["passed"]:
            raise ValidationError(_failure(report, metrics_json))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(
            f"{metrics_json}: no readable metrics ({error!r}); {remedy(metrics_json)}"
        ) from error
    write_text(passed, text + "\n")
    return text


def _task(wanted: StageSettings) -> Task:
    """What the recipe wants to be learned from what.

    Raises:
        RecipeError: a layer or level that is named is not there.
    """
    chosen = wanted.training
    inputs = chosen.inputs or tuple(wanted.images)
    target = chosen.target or next(iter([*wanted.labels, *wanted.tasks]))
    lost = [name for name in inputs if name not in wanted.images]
    if lost or target not in [*wanted.labels, *wanted.tasks]:
        what = f"training.inputs {lost}" if lost else f"training.target {target!r}"
        raise RecipeError(
            f"recipe {wanted.name!r}: {what}: no such layer in the dataset (images: "
            f"{list(wanted.images)}, labels: {list(wanted.labels)}, tasks: {list(wanted.tasks)})"
        )
    if target in wanted.tasks:
        level = load_task_legend(wanted.tasks[target].legend).level
        return Task(inputs, target, level, of_points=True, one_a_day=wanted.layouts.one_a_day)
    legend = load_legend(wanted.labels[target].legend)
    level = legend.levels[-1] if chosen.level is None else legend.level(chosen.level)
    return Task(inputs, target, level, one_a_day=wanted.layouts.one_a_day)


def _fit(
    samples: Samples, settings: TrainingSettings, statistics: Path, threads: int
) -> tuple[Models, dict[str, str]]:
    """Trained models, and reasons why others were left out."""
    models: Models = {}
    skipped: dict[str, str] = {}
    for name in track(settings.models, "models", len(settings.models), "model"):
        try:
            models[name] = _FITS[name](samples, settings, statistics, threads)
        except (StorageError, SceneError):
            raise
        except Exception as error:
            lacks_torch = (
                isinstance(error, ModuleNotFoundError)
                and (error.name or "").split(".")[0] == "torch"
            )
            if settings.required and not lacks_torch:
                raise
            skipped[name] = _SKIPPED if lacks_torch else _reason(error)
            log.warning("%s: %s", name, skipped[name])
    return models, skipped


def _fit_forest(
    samples: Samples, settings: TrainingSettings, _: Path, threads: int
) -> dict[bool, Predictor]:
    from . import forest

    return forest.fit(samples, settings, threads)


def _fit_unet(
    samples: Samples, settings: TrainingSettings, statistics: Path, threads: int
) -> dict[bool, Predictor]:
    from . import unet

    scale = scaling(statistics, samples.channels, settings.normalisation)
    _, weights = class_figures(statistics, samples.task)
    if not settings.class_weights:
        weights = np.ones_like(weights)
    return unet.fit(samples, settings, scale, weights, threads)


_FITS = {"forest": _fit_forest, "unet": _fit_unet}
"""Name in the recipe → the function that trains the model and its control."""


def _test(
    samples: Samples, models: Models
) -> tuple[dict[str, dict[bool, NDArray[np.int64]]], dict[str, NDArray[Any]]]:
    """Confusion matrices over the whole test split, and arrays of some patches for pictures."""
    classes = len(samples.level.codes)
    patches = samples.patches["test"]
    shown = {str(patches["patch_id"].iloc[i]) for i in evenly(len(patches), _PICTURES)}
    confusions = {
        name: {control: np.zeros((classes, classes), np.int64) for control in pair}
        for name, pair in models.items()
    }
    ids: list[str] = []
    kept: dict[str, list[NDArray[np.uint8]]] = {name: [] for name in ("truth", *models)}
    for batch in counted(samples, "test"):
        keep = [i for i, patch_id in enumerate(batch.patch_ids) if patch_id in shown]
        ids += [batch.patch_ids[i] for i in keep]
        kept["truth"] += [batch.labels[i] for i in keep]
        for name, pair in models.items():
            for control, predict in pair.items():
                guess = predict(batch)
                confusions[name][control] += metrics.confusion_matrix(batch.labels, guess, classes)
                kept[name] += [] if control else [guess[i] for i in keep]
    arrays: dict[str, NDArray[Any]] = {"patch_ids": np.array(ids)}
    for name, layers in kept.items():
        arrays[name] = indices_to_codes(np.stack(layers), samples.level)
    return confusions, arrays


def evenly(count: int, most: int) -> list[int]:
    """At most `most` of 0..count-1, ascending and evenly spread."""
    if count <= most:
        return list(range(count))
    return [i * count // most for i in range(most)]


def assess(
    confusions: Mapping[str, Mapping[bool, NDArray[np.int64]]],
    support: NDArray[np.int64],
    level: Level,
    settings: TrainingSettings,
) -> dict[str, Any]:
    """Hold every model against its baselines.

    Args:
        confusions: per model, by whether it is the control: (class, class) test pixels,
            rows are truth.
        support: (class,) train pixels; the largest is the majority class.
        level: the classes.
        settings: margins.

    Raises:
        IncompleteError: no test pixel has a label.
    """
    names = [entry.name for entry in level.classes]
    majority = int(support.argmax())
    report: dict[str, Any] = {
        "level": level.name,
        "classes": names,
        "majority_class": names[majority],
        "required_margin": {"macro_f1": settings.margin_f1, "miou": settings.margin_miou},
        "averages": metrics.MEANS,
        "models": {},
    }
    for name, pair in confusions.items():
        if not pair[False].any():
            raise IncompleteError(
                "no pixel of the test split has both a label and all inputs, so nothing can be "
                "scored; choose other training.inputs or other splits"
            )
        found = metrics.scores(pair[False])
        baselines = {
            "majority": metrics.scores(
                metrics.majority_confusion(pair[False].sum(axis=1), majority)
            ),
            "shuffled": metrics.scores(pair[True]),
        }
        f1 = found.macro_f1 - max(b.macro_f1 for b in baselines.values())
        miou = found.miou - max(b.miou for b in baselines.values())
        report["models"][name] = {
            **metrics.described(found, names),
            "confusion": pair[False].tolist(),
            "baselines": {key: metrics.means(b) for key, b in baselines.items()},
            "margin": {"macro_f1": metrics.rounded(f1), "miou": metrics.rounded(miou)},
            "passed": min(f1, miou) > 0 and f1 >= settings.margin_f1
            and miou >= settings.margin_miou,
        }  # fmt: skip
    passed = [model["passed"] for model in report["models"].values()]
    report["passed"] = bool(passed) and all(passed)
    return report


def summary(report: Mapping[str, Any]) -> str:
    """One line a model, for people."""
    if "skipped" in report:
        return f"not validated: {report['skipped']}"
    lines = []
    for name, model in sorted(report["models"].items()):
        if "skipped" in model:
            lines.append(f"{name}: skipped ({model['skipped']})")
            continue
        parts = [
            f"macro F1 {model['macro_f1']:.3f}, mIoU {model['miou']:.3f} over "
            f"{len(model['classes_with_truth'])} classes with truth"
        ]
        if more := len(model["classes_predicted_alone"]):
            parts.append(
                f"with {more} predicted alone {model['macro_f1_truth_or_predicted']:.3f}, "
                f"{model['miou_truth_or_predicted']:.3f}"
            )
        parts += [
            f"{key} {base['macro_f1']:.3f}, {base['miou']:.3f}"
            for key, base in sorted(model["baselines"].items())
        ]
        lines.append(f"{name}: {'; '.join(parts)}: {'passed' if model['passed'] else 'failed'}")
    return "\n".join(lines)


def _failure(report: Mapping[str, Any], path: Path) -> str:
    """What failed, its figures, and what to do about it."""
    ran = [model for model in report["models"].values() if "skipped" not in model]
    figures = "\n".join(f"  {line}" for line in summary(report).splitlines())
    if not ran:
        return (
            f"{path}: no model ran, so the dataset is not validated:\n{figures}\n"
            "install PyTorch or add forest to training.models"
        )
    margin = report["required_margin"]
    present = sum(row["support"] > 0 for row in ran[0]["per_class"].values())
    hint = (
        "the test split has one class alone, which the majority baseline always hits: enlarge the "
        "area or change splits"
        if present == 1
        else "look at the pictures of the report for labels that do not fit the images (shifted, "
        "of another year, another legend); if the dataset is right and merely small, enlarge the "
        "area, or lower training.margin_f1 and training.margin_miou, or set training.required: "
        "false"
    )
    return (
        f"{path}: the models of level {report['level']!r} must beat both baselines by "
        f"{margin['macro_f1']} macro F1 and {margin['miou']} mIoU on the test split:\n{figures}\n"
        f"{hint}"
    )


def _write_npz(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write what `numpy.load` reads, whole; `numpy.savez` would write the time into it."""
    with atomic(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            member.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(member, "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, np.ascontiguousarray(array), allow_pickle=False)
