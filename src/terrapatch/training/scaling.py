# SPDX-License-Identifier: Apache-2.0
"""What the statistics of the train split tell the models: scales of inputs, weights of classes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import StorageError
from ..paths import remedy
from .inputs import Channel, Task

_CLIP = 1e-6
"""Smallest value whose logarithm is taken. Source: RECIPES 1.3, loader option `1to1`."""

_LEAST_LOG_SCALE = 0.1
"""A standard deviation near 1 has a logarithm near 0, by which nothing can be divided."""


@dataclass(frozen=True)
class Scaling:
    """x ↦ (f(x) − shift) / scale per channel, f being the identity or the natural logarithm."""

    logarithm: NDArray[np.bool_]
    """(channel,) whether f is ln, after clipping from below to 1e-6."""
    shift: NDArray[np.float32]
    """(channel,)"""
    scale: NDArray[np.float32]
    """(channel,), never 0."""

    def apply(self, inputs: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Scale (patch, channel, y, x) inputs; pixels that are not (patch, y, x) valid become 0."""
        scaled = inputs.copy()
        for channel in np.flatnonzero(self.logarithm):
            scaled[:, channel] = np.log(np.maximum(scaled[:, channel], np.float32(_CLIP)))
        scaled -= self.shift[:, None, None]
        scaled /= self.scale[:, None, None]
        scaled *= valid[:, None]
        return scaled


def scaling(path: Path, channels: Sequence[Channel], form: str) -> Scaling:
    """Choose shift and scale per channel.

    - `none`: the values as they are;
    - `minmax`: (x − min) / (max − min);
    - `standard`: (x − mean) / std;
    - `log`: (ln x − ln mean) / ln std, x clipped from below to 1e-6. This is the published form;
      it does not give −1..1. It needs positive values: decibels are logarithms already and are
      scaled by `standard`. Where |ln std| < 0.1 the divisor is 1.

    A band without spread is only shifted.

    Args:
        path: statistics of the train split, `layers.NAME.{bands,mean,std,min,max}`.
        channels: inputs of the model.
        form: none, minmax, standard or log.

    Raises:
        StorageError: the file is missing, damaged or lacks a band.

    Source: RECIPES 1.3 (loaders of CerraData-4MM).
    """
    count = len(channels)
    if form == "none":
        ones = np.ones(count, np.float32)
        return Scaling(np.zeros(count, bool), np.zeros(count, np.float32), ones)
    known = _statistics(path, channels)
    mean, std, low, high = (np.array([row[i] for row in known]) for i in range(4))
    if form == "minmax":
        return _safe(np.zeros(count, bool), low, high - low)
    decibel = np.array([channel.values.decibel for channel in channels])
    logarithm = ~decibel if form == "log" else np.zeros(count, bool)
    log_scale = np.log(np.maximum(std, _CLIP))
    log_scale[np.abs(log_scale) < _LEAST_LOG_SCALE] = 1
    return _safe(
        logarithm,
        np.where(logarithm, np.log(np.maximum(mean, _CLIP)), mean),
        np.where(logarithm, log_scale, std),
    )


def _safe(
    logarithm: NDArray[np.bool_], shift: NDArray[np.float64], scale: NDArray[np.float64]
) -> Scaling:
    scale = np.where(scale == 0, 1, scale)
    return Scaling(logarithm, shift.astype(np.float32), scale.astype(np.float32))


def _statistics(path: Path, channels: Sequence[Channel]) -> list[tuple[float, float, float, float]]:
    """(mean, std, min, max) of each channel."""
    try:
        layers = json.loads(path.read_text(encoding="utf-8"))["layers"]
        found = []
        for channel in channels:
            table = layers[channel.layer]
            i = list(table["bands"]).index(channel.band)
            mean, std, low, high = (float(table[key][i]) for key in ("mean", "std", "min", "max"))
            found.append((mean, std, low, high))
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        wanted = ", ".join(f"{c.layer}/{c.band}" for c in channels)
        raise StorageError(
            f"{path}: no readable statistics of {wanted} ({error!r}); {remedy(path)} and run "
            "once more"
        ) from error
    return found


def class_figures(path: Path, task: Task) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Pixels and weights of the classes to learn in the train split.

    Args:
        path: statistics of the train split, `classes.LAYER.LEVEL.{pixels.train,weights}`.
        task: what is to be learned.

    Returns:
        (class,) int64 pixels and (class,) float32 weights: inverse frequencies, divided by the
        largest; 0 for a class without pixels.

    Raises:
        StorageError: the file is missing, damaged or lacks the level.
    """
    level = task.level
    count = len(level.codes)
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        table = plain["classes"][task.target][level.name]
        pixels = np.array(table["pixels"]["train"], np.int64).reshape(count)
        weights = np.array(table["weights"], np.float32).reshape(count)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(
            f"{path}: no readable figures of the {count} classes of level {level.name!r} "
            f"({error!r}); {remedy(path)} and run once more"
        ) from error
    return pixels, weights
