# SPDX-License-Identifier: Apache-2.0
"""A random forest that sees single pixels: seconds, no further dependency.

Law: neither the sample, nor the trees, nor the sum of their votes depends on the thread count.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..layers import REFLECTANCE
from ..progress import track
from .grids import power_to_decibel
from .inputs import (
    Channel,
    Minibatch,
    Predictor,
    Samples,
    counted,
    draw_pixels,
    shuffled_labels,
)

if TYPE_CHECKING:
    from ..settings import TrainingSettings

_CHUNK = 2**16
"""Pixels that one thread classifies at a time."""

_INDICES = (("B08", "B04"), ("B03", "B08"), ("B11", "B08"))
"""Band pairs (a, b) of (a − b) / (a + b): vegetation, water, built-up land.

A tree splits along one axis, so a ratio of bands is worth many splits.
"""


def fit(samples: Samples, settings: TrainingSettings, threads: int) -> dict[bool, Predictor]:
    """Train on a stratified sample of the train pixels, once truly and once as a control.

    Args:
        samples: the opened dataset.
        settings: pixels_per_class, trees, seed.
        threads: processor threads; they change the time alone.

    Returns:
        Predictors by whether they are the control. The control saw the same pixels with their
        labels shuffled among them.
    """
    pixels, labels = draw_pixels(
        counted(samples, "train"),
        lambda inputs: features(inputs, samples.channels),
        classes=len(samples.level.codes),
        per_class=settings.pixels_per_class,
        seed=settings.seed,
    )
    shuffled = shuffled_labels(labels, settings.seed)
    return {
        control: _fit_one(pixels, shuffled if control else labels, samples, settings, threads)
        for control in track((False, True), "forest", 2, "forest")
    }


def features(inputs: NDArray[np.float32], channels: Sequence[Channel]) -> NDArray[np.float32]:
    """Bands as they are, radar in decibel, then normalised differences of optical bands.

    Args:
        inputs: (pixel, channel) values of the stacks.
        channels: what the channels are.

    Returns:
        (pixel, feature) float32.
    """
    columns = [
        power_to_decibel(column) if channel.values.ratio else column
        for channel, column in zip(channels, inputs.T, strict=True)
    ]
    optical = {c.band: i for i, c in enumerate(channels) if c.values.unit == REFLECTANCE}
    for first, second in _INDICES:
        if first in optical and second in optical:
            a, b = columns[optical[first]], columns[optical[second]]
            columns.append((a - b) / np.maximum(a + b, np.float32(1e-6)))
    return np.stack(columns, axis=1).astype(np.float32)


def _fit_one(
    pixels: NDArray[np.float32],
    labels: NDArray[np.uint8],
    samples: Samples,
    settings: TrainingSettings,
    threads: int,
) -> Predictor:
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(
        n_estimators=settings.trees, random_state=settings.seed, n_jobs=threads
    ).fit(pixels, labels)

    def predict(batch: Minibatch) -> NDArray[np.uint8]:
        flat = np.moveaxis(batch.inputs, 1, -1).reshape(-1, batch.inputs.shape[1])
        chunks = [flat[i : i + _CHUNK] for i in range(0, len(flat), _CHUNK)]
        with ThreadPoolExecutor(threads) as pool:
            found = list(
                pool.map(lambda chunk: votes(forest, features(chunk, samples.channels)), chunks)
            )
        return np.concatenate(found).reshape(batch.labels.shape)

    return predict


def votes(forest: Any, pixels: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(pixel,) class indices; trees are summed in their order.

    The library sums them in the order in which threads finish, and ties then fall by chance.
    """
    total = np.zeros((len(pixels), len(forest.classes_)))
    for tree in forest.estimators_:
        total += tree.predict_proba(pixels, check_input=False)
    answers: NDArray[np.uint8] = forest.classes_[total.argmax(axis=1)].astype(np.uint8)
    return answers
