# SPDX-License-Identifier: Apache-2.0
"""Scores of a segmentation from one global confusion matrix.

Laws:
1. Pixels are counted once over the whole split; scores are never averaged over patches.
2. Means run over the classes with truth in the split, whatever a model predicts: all models and
   baselines on one split are averaged over the same classes, so their differences have a meaning.
   A class that is predicted where it is not still costs the classes whose pixels it took.
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
    overall_accuracy: float
    """Share of pixels on the diagonal."""
    f1: NDArray[np.float64]
    """(class,) F1; NaN for classes without truth."""
    iou: NDArray[np.float64]
    """(class,) intersection over union; NaN for classes without truth."""
    support: NDArray[np.int64]
    """(class,) true pixels."""


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
    if total == 0:
        return Scores(0.0, 0.0, 0.0, f1, iou, support)
    return Scores(
        macro_f1=float(f1[present].mean()),
        miou=float(iou[present].mean()),
        overall_accuracy=float(hits.sum() / total),
        f1=f1,
        iou=iou,
        support=support,
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
    columns = zip(names, found.f1, found.iou, found.support, strict=True)
    return {
        **means(found),
        "overall_accuracy": rounded(found.overall_accuracy),
        "per_class": {
            name: {"f1": rounded(f1), "iou": rounded(iou), "support": int(support)}
            for name, f1, iou, support in columns
        },
    }


def means(found: Scores) -> dict[str, float | None]:
    """The two means that models are compared by."""
    return {"macro_f1": rounded(found.macro_f1), "miou": rounded(found.miou)}
