# SPDX-License-Identifier: Apache-2.0
"""A forest that learns what lies at points: twelve months of the pixel that holds each.

Laws:
1. A pixel is described by a median a month, layer and band, over the published dates on which it was
   observed and, where the layer keeps a scene classification, not masked (`MASKED`).
2. A month without such a date takes the median of all dates. A point without any is neither learnt nor
   scored.
3. A model learns from the pixel of the point alone. It is scored twice: by that pixel, and generously by
   the 3 x 3 pixels around it, where one right pixel is enough.

Source: Sen4Map, appendix (random forest on the centre pixel of twelve monthly composites; scores of the
centre and of 3 x 3 pixels); RECIPES §3.4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import IncompleteError
from ..progress import bar, track
from ..samples import Batch, batches, read_patches
from ..stacks import Stack, open_stack
from ..tasks import CLASS
from . import metrics
from .forest import votes
from .inputs import Samples, codes_to_indices, shuffled_labels

if TYPE_CHECKING:
    from ..settings import TrainingSettings

MASKED = (0, 1, 3, 8, 9, 10)
"""Scene classes that are no view of the ground: nothing, saturated, shadow, clouds, cirrus."""
SIDE = 3
"""Pixels of the window that is scored generously."""
_MONTHS = 12
_PIECE = 8
"""Points whose whole series are in memory at a time."""

Guess = Callable[[NDArray[np.float32]], NDArray[np.uint8]]
"""(pixel, feature) → (pixel,) class indices."""


@dataclass(frozen=True)
class PlacePixels:
    """The pixels around the points of a split."""

    pixels: NDArray[np.float32]
    """(point, pixel, feature): the pixel of the point first."""
    seen: NDArray[np.bool_]
    """(point, pixel) whether it has any date in all layers."""
    labels: NDArray[np.uint8]
    """(point,) class indices; 255 for those that are in no class or were never seen."""


def read_places(samples: Samples, split: str) -> PlacePixels:
    """What is to be learnt from, of a split.

    Args:
        samples: the opened dataset; its target is a task.
        split: train, val or test.

    Raises:
        StorageError: a stack is missing or damaged.
    """
    table = samples.patches[split]
    count, layers = len(table), samples.task.inputs
    codes = table[f"{CLASS}{samples.task.target}"].to_numpy(np.int64)
    outside = codes < 0
    labels = codes_to_indices(
        np.where(outside, metrics.IGNORE, codes).astype(np.uint8), samples.level, samples.stacks
    )
    parts: list[NDArray[np.float32]] = []
    seen = np.ones((count, SIDE * SIDE), bool)
    for number, layer in enumerate(layers):
        found: NDArray[np.float32] | None = None
        with bar(f"{split} {layer}", count, "point") as advance:
            for shard in batches(table, samples.stacks, layer):
                stack = open_stack(samples.stacks / shard.unit / f"{layer}.zarr")
                for piece in shard.pieces(_PIECE):
                    values, there = _describe(
                        stack, piece, samples.shown[split][number][piece.rows]
                    )
                    if found is None:
                        found = np.zeros((count, *values.shape[1:]), np.float32)
                    found[piece.rows] = values
                    seen[piece.rows] &= there
                    advance(len(piece.rows))
        assert found is not None
        parts.append(found)
    labels[~seen[:, 0]] = metrics.IGNORE
    return PlacePixels(np.concatenate(parts, axis=2), seen, labels)


def _describe(
    stack: Stack, piece: Batch, shown: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """(point, pixel, month x band) medians and (point, pixel) whether a date was seen."""
    info = stack.info
    middle = info.size_px // 2
    around = (..., slice(middle - 1, middle + 2), slice(middle - 1, middle + 2))
    data = read_patches(stack, piece)[around][:, :, list(info.measured)].astype(np.float32)
    good = read_patches(stack, piece, "source")[around] > 0
    good &= shown[:, : good.shape[1], None, None]
    if info.scl:
        good &= ~np.isin(read_patches(stack, piece, "scl")[around], MASKED)
    points, steps, bands = data.shape[:3]
    pixels = data.reshape(points, steps, bands, SIDE * SIDE).transpose(0, 3, 1, 2)
    # The pixel of the point stands first, then its neighbours.
    order = [4, 0, 1, 2, 3, 5, 6, 7, 8]
    pixels = pixels[:, order]
    good = good.reshape(points, steps, SIDE * SIDE).transpose(0, 2, 1)[:, order]
    whole = median(pixels, good)
    there = np.asarray(good.any(axis=2), bool)
    if not info.series:
        return np.where(there[..., None], whole, 0).astype(np.float32), there
    months = np.array([int(label[5:7]) for label in info.times])
    found = np.empty((points, SIDE * SIDE, _MONTHS, bands), np.float32)
    for month in range(1, _MONTHS + 1):
        mine = months == month
        known = np.asarray(good[:, :, mine].any(axis=2), bool)
        found[:, :, month - 1] = np.where(
            known[..., None], median(pixels[:, :, mine], good[:, :, mine]), whole
        )
    return found.reshape(points, SIDE * SIDE, -1), there


def median(values: NDArray[np.float32], good: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Median over the dates that count: of an even number the mean of the two in the middle.

    Args:
        values: (…, date, band).
        good: (…, date).

    Returns:
        (…, band) float32; 0 where no date counts.
    """
    if not values.shape[-2]:
        return np.zeros((*values.shape[:-2], values.shape[-1]), np.float32)
    ordered = np.sort(np.where(good[..., None], values, np.float32(np.inf)), axis=-2)
    count = good.sum(axis=-1)
    low, high = (np.maximum(count - 1, 0) // 2, count // 2)
    last = values.shape[-2] - 1
    picked = [
        np.take_along_axis(ordered, np.minimum(k, last)[..., None, None], axis=-2)[..., 0, :]
        for k in (low, high)
    ]
    with np.errstate(invalid="ignore"):
        mean = (picked[0] + picked[1]) / np.float32(2)
    return np.where(count[..., None] > 0, mean, np.float32(0)).astype(np.float32)


def fit(places: PlacePixels, settings: TrainingSettings, threads: int) -> dict[bool, Guess]:
    """Train a forest on the pixels of the points, once truly and once as a control.

    Args:
        places: of the train split.
        settings: trees, seed.
        threads: processor threads; they change the time alone.

    Raises:
        IncompleteError: no point of the split has a class and was seen.
    """
    known = places.labels != metrics.IGNORE
    if not known.any():
        raise IncompleteError(
            "no train point has a class of the task and a date without clouds, so nothing can be learnt; "
            "choose another task, or more dates"
        )
    pixels, labels = places.pixels[known, 0], places.labels[known]
    shuffled = shuffled_labels(labels, settings.seed)
    return {
        control: _fit_one(pixels, shuffled if control else labels, settings, threads)
        for control in track((False, True), "forest", 2, "forest")
    }


def _fit_one(
    pixels: NDArray[np.float32], labels: NDArray[np.uint8], settings: TrainingSettings, threads: int
) -> Guess:
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(
        n_estimators=settings.trees, random_state=settings.seed, n_jobs=threads
    ).fit(pixels, labels)
    return lambda rows: votes(forest, rows)


def test(
    places: PlacePixels, models: Mapping[bool, Guess], classes: int
) -> tuple[dict[bool, NDArray[np.int64]], NDArray[np.int64]]:
    """Confusion matrices of the points' pixels, and that of the model by 3 x 3 pixels.

    Args:
        places: of the test split.
        models: by whether they are the control.
        classes: number of classes.

    Returns:
        Control or not → (true class, predicted class) counts; and the generous matrix: a point counts
        as hit where any pixel seen of its window has its class, and as its own pixel's guess otherwise.
    """
    confusions = {
        control: metrics.confusion_matrix(places.labels, guess(places.pixels[:, 0]), classes)
        for control, guess in models.items()
    }
    points, window, size = places.pixels.shape
    guesses = models[False](places.pixels.reshape(-1, size)).reshape(points, window)
    hit = ((guesses == places.labels[:, None]) & places.seen).any(axis=1)
    generous = np.where(hit, places.labels, guesses[:, 0]).astype(np.uint8)
    return confusions, metrics.confusion_matrix(places.labels, generous, classes)


def support(places: PlacePixels, classes: int) -> NDArray[np.int64]:
    """(class,) points of a split by class."""
    known = places.labels[places.labels != metrics.IGNORE]
    return np.bincount(known.astype(np.int64), minlength=classes)


def described(confusion: NDArray[np.int64]) -> dict[str, Any]:
    """The paper's two figures of a matrix: overall accuracy, and F1 weighted by true points."""
    found = metrics.scores(confusion)
    total = max(1, int(found.support.sum()))
    weighted = float(np.nansum(found.f1 * found.support) / total)
    return {
        "overall_accuracy": metrics.rounded(found.overall_accuracy),
        "weighted_f1": metrics.rounded(weighted),
    }
