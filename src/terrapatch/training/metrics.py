# SPDX-License-Identifier: Apache-2.0
"""Scores of a segmentation from one global confusion matrix.

Laws:
1. Pixels are counted once over the whole split; scores are never averaged over patches.
2. Means come in two forms. `macro_f1` and `miou` run over the classes with truth in the split,
   whatever a model predicts: all models and baselines on one split are averaged over the same
   classes, so their differences have a meaning. `macro_f1_truth_or_predicted` and
   `miou_truth_or_predicted` take in the classes that are predicted alone, with 0 each, as
   scikit-learn's macro average does. Classes that are in neither are in no mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

IGNORE = 255
"""Class index of pixels that are neither learned nor scored."""

_DIGITS = 6


def confusion_matrix(
    truth: NDArray[np.uint8], prediction: NDArray[np.uint8], classes: int
) -> NDArray[np.int64]:
    """Count pixels by true and predicted class.

    Args:
        truth: class indices 0..classes-1 of any shape; 255 is left out.
        prediction: class indices of the same shape, each below `classes` where truth is not 255.
        classes: number of classes.

    Returns:
        (true class, predicted class) int64 counts.
    """
    assert truth.shape == prediction.shape, (truth.shape, prediction.shape)
    counted = truth != IGNORE
    true, guess = truth[counted].astype(np.int64), prediction[counted].astype(np.int64)
    assert true.size == 0 or max(true.max(), guess.max()) < classes
    counts = np.bincount(true * classes + guess, minlength=classes * classes)
    return counts.reshape(classes, classes)


def majority_confusion(support: NDArray[np.int64], majority: int) -> NDArray[np.int64]:
    """Confusion matrix of the answer `majority` for every pixel.

    Args:
        support: (class,) true pixels per class.
        majority: index of the class that is always answered.
    """
    confusion = np.zeros((len(support), len(support)), np.int64)
    confusion[:, majority] = support
    return confusion


@dataclass(frozen=True)
class Scores:
    """What a confusion matrix says."""

    macro_f1: float
    """Mean F1 over the classes with truth, 0..1."""
    miou: float
    """Mean intersection over union over the classes with truth, 0..1."""
    macro_f1_truth_or_predicted: float
    """Mean F1 over the classes with truth or predictions, 0..1."""
    miou_truth_or_predicted: float
    """The same of intersection over union."""
    overall_accuracy: float
    """Share of pixels on the diagonal."""
    f1: NDArray[np.float64]
    """(class,) F1; NaN for classes without truth."""
    iou: NDArray[np.float64]
    """(class,) intersection over union; NaN for classes without truth."""
    support: NDArray[np.int64]
    """(class,) true pixels."""
    predicted: NDArray[np.int64]
    """(class,) predicted pixels."""


def scores(confusion: NDArray[np.int64]) -> Scores:
    """Derive scores from a confusion matrix (rows: truth).

    F1 = 2·TP / (2·TP + FP + FN) and IoU = TP / (TP + FP + FN) per class. A matrix without any
    pixel scores 0. Source: CerraData-4MM, section IV; its published matrices give its figures.
    """
    hits = np.diagonal(confusion).astype(np.float64)
    support, guessed = confusion.sum(axis=1), confusion.sum(axis=0)
    present = support > 0
    f1, iou = np.full(len(hits), np.nan), np.full(len(hits), np.nan)
    # Every present class has support, so no denominator is zero.
    f1[present] = 2 * hits[present] / (support + guessed)[present]
    iou[present] = hits[present] / ((support + guessed)[present] - hits[present])
    total = int(support.sum())
    either = max(1, int((present | (guessed > 0)).sum()))
    return Scores(
        macro_f1=float(f1[present].mean()) if total else 0.0,
        miou=float(iou[present].mean()) if total else 0.0,
        macro_f1_truth_or_predicted=float(f1[present].sum() / either),
        miou_truth_or_predicted=float(iou[present].sum() / either),
        overall_accuracy=float(hits.sum() / max(1, total)),
        f1=f1,
        iou=iou,
        support=support,
        predicted=guessed,
    )


def rounded(value: float) -> float | None:
    """A score as it is written: six digits, null where it is not defined."""
    return None if np.isnan(value) else round(float(value), _DIGITS)


def described(found: Scores, names: Sequence[str]) -> dict[str, Any]:
    """Plain form of scores; classes without truth have f1 and iou null.

    Args:
        found: the scores.
        names: class names in the order of the indices.
    """
    columns = zip(names, found.f1, found.iou, found.support, found.predicted, strict=True)
    rows = {
        name: {
            "f1": rounded(f1), "iou": rounded(iou), "support": int(support),
            "predicted": int(predicted),
        }
        for name, f1, iou, support, predicted in columns
    }  # fmt: skip
    return {
        **means(found),
        "overall_accuracy": rounded(found.overall_accuracy),
        "classes_with_truth": [name for name, row in rows.items() if row["support"]],
        "classes_predicted_alone": [
            name for name, row in rows.items() if row["predicted"] and not row["support"]
        ],
        "per_class": rows,
    }


MEANS = {
    "macro_f1": "mean over classes_with_truth; what margins are measured in",
    "miou": "mean over classes_with_truth; what margins are measured in",
    "macro_f1_truth_or_predicted": "mean over classes_with_truth and classes_predicted_alone (0)",
    "miou_truth_or_predicted": "mean over classes_with_truth and classes_predicted_alone (0)",
}
"""Key of a mean → which classes it averages, as `metrics.json` says it."""


def means(found: Scores) -> dict[str, float | None]:
    """The means in both forms."""
    return {key: rounded(getattr(found, key)) for key in MEANS}
