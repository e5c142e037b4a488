# SPDX-License-Identifier: Apache-2.0
"""A small U-Net that sees patches; the only module that needs PyTorch (the extra `train`).

Laws:
1. Results do not depend on the thread count: every network computes on one thread. Threads only
   let the model and its control train side by side. (A sum split over threads is another sum.)
2. The epoch is picked by macro F1 on the val split, never on the test split; the earliest wins a
   tie, and without val patches the last epoch stands.
3. PyTorch's global switches are as before when a function returns.

Another processor, or another version of PyTorch, may round differently and train to slightly
different weights.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from ..progress import bar
from .inputs import Minibatch, Predictor, Samples, read_batches, shuffled_labels
from .metrics import IGNORE, confusion_matrix, scores
from .scaling import Scaling

if TYPE_CHECKING:
    from ..settings import TrainingSettings

log = logging.getLogger(__name__)

_LEVELS = 4
"""Resolutions of the network; each halves the side and doubles the width."""


class UNet(nn.Module):  # type: ignore[misc]
    """Encoder and decoder with skip connections, two convolutions a level, logits out.

    Batch norm, not group or instance norm: these take out the level of each patch, and in a
    patch of one class alone the level is all that tells which.

    Source: Ronneberger et al. 2015, with padding, batch norm and a quarter of the width.
    """

    def __init__(self, channels: int, classes: int, width: int) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(_LEVELS)]
        pairs = list(pairwise(widths))
        self.down = nn.ModuleList(_two_convolutions(a, b) for a, b in [(channels, width), *pairs])
        self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in pairs)
        self.merge = nn.ModuleList(_two_convolutions(2 * a, a) for a, _ in pairs)
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """(patch, channel, y, x) → (patch, class, y, x) logits, for any side."""
        height, width = inputs.shape[-2:]
        step = 2 ** (_LEVELS - 1)
        # Whole steps, two at least: batch norm cannot learn from a single value.
        right, below = (max(-side % step, 2 * step - side) for side in (width, height))
        x = functional.pad(inputs, (0, right, 0, below), mode="replicate")
        skips = []
        for level, block in enumerate(self.down):
            x = block(functional.max_pool2d(x, 2) if level else x)
            skips.append(x)
        for level in reversed(range(_LEVELS - 1)):
            x = self.merge[level](torch.cat([skips[level], self.up[level](x)], dim=1))
        return self.head(x)[..., :height, :width]


def _two_convolutions(channels: int, width: int) -> nn.Module:
    layers: list[nn.Module] = []
    for before in (channels, width):
        layers += [
            nn.Conv2d(before, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


@dataclass(frozen=True)
class _Arrays:
    """Patches in memory, inputs scaled."""

    inputs: NDArray[np.float32]
    """(patch, channel, y, x)"""
    labels: NDArray[np.uint8]
    """(patch, y, x) class indices; 255 is ignored."""


def fit(
    samples: Samples,
    settings: TrainingSettings,
    scaling: Scaling,
    weights: NDArray[np.float32],
    threads: int,
) -> dict[bool, Predictor]:
    """Train the network, once truly and once as a control, from the same initial weights.

    Args:
        samples: the opened dataset.
        settings: see `TrainingSettings`, fields marked `unet`.
        scaling: of the inputs.
        weights: (class,) weights in the loss, see `scaling.class_figures`; all 1 for none.
        threads: processor threads; they change the time alone.

    Returns:
        Predictors by whether they are the control. The control trained for as many epochs on
        the same patches with the labels of train and of val shuffled, see `shuffled_labels`.
    """
    train = _load(samples, "train", settings.max_patches, settings.seed, scaling)
    val = _load(samples, "val", max(1, settings.max_patches // 4), settings.seed, scaling)
    classes = len(samples.level.codes)
    with _exact():
        # One after the other: the weights come from PyTorch's global generator.
        networks = {}
        for control in (False, True):
            torch.manual_seed(settings.seed)
            network = UNet(len(samples.channels), classes, settings.width)
            networks[control] = network.to(memory_format=torch.channels_last)

        def run(control: bool, advance: Callable[[int], object]) -> None:
            name = "control" if control else "unet"
            learned, judged = (_shuffled(a, settings.seed) if control else a for a in (train, val))
            _train(networks[control], learned, judged, weights, settings, name, advance)

        epochs = bar("unet", len(networks) * settings.epochs, "epoch")
        with ThreadPoolExecutor(min(threads, 2)) as pool, epochs as advance:
            list(pool.map(partial(run, advance=advance), networks))
    return {
        control: _predictor(network, scaling, settings.batch_size)
        for control, network in networks.items()
    }


@contextmanager
def _exact() -> Iterator[None]:
    """One thread, deterministic kernels, own random state; all as before afterwards."""
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.use_deterministic_algorithms(strict)
        torch.set_num_threads(threads)


def _load(samples: Samples, split: str, most: int, seed: int, scaling: Scaling) -> _Arrays:
    count = len(samples.patches[split])
    rng = np.random.default_rng((seed, 2))
    chosen = sorted(rng.choice(count, most, replace=False)) if count > most else range(count)
    inputs = np.empty((len(chosen), len(samples.channels), 0, 0), np.float32)
    labels = np.empty((len(chosen), 0, 0), np.uint8)
    filled = 0
    for batch in read_batches(samples, split, chosen):
        if not filled:
            side = batch.labels.shape[-1]
            inputs = np.empty((len(chosen), len(samples.channels), side, side), np.float32)
            labels = np.empty((len(chosen), side, side), np.uint8)
        rows = slice(filled, filled + len(batch.labels))
        inputs[rows] = scaling.apply(batch.inputs, batch.valid)
        labels[rows] = batch.labels
        filled = rows.stop
    return _Arrays(inputs, labels)


def _shuffled(arrays: _Arrays, seed: int) -> _Arrays:
    return _Arrays(arrays.inputs, shuffled_labels(arrays.labels, seed))


def _turned(array: NDArray[np.generic], kind: int) -> NDArray[np.generic]:
    """One of the eight symmetries of the square, on the last two axes."""
    turned = np.rot90(array, kind % 4, axes=(-2, -1))
    return turned[..., ::-1] if kind >= 4 else turned


def _train(
    network: nn.Module,
    train: _Arrays,
    val: _Arrays,
    weights: NDArray[np.float32],
    settings: TrainingSettings,
    name: str,
    advance: Callable[[int], object],
) -> None:
    """Train in place; the weights of the best epoch remain."""
    torch.set_num_threads(1)  # also for this thread of ours
    optimiser = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    criterion = nn.CrossEntropyLoss(torch.from_numpy(weights), ignore_index=IGNORE)
    best, kept = -1.0, network.state_dict()
    rng = np.random.default_rng((settings.seed, 4))
    for epoch in range(settings.epochs):
        network.train()
        for inputs, labels in _crops(train, settings, rng):
            optimiser.zero_grad()
            loss = criterion(network(inputs), labels)
            loss.backward()
            optimiser.step()
        advance(1)
        if not len(val.labels):
            kept = network.state_dict()
            continue
        guess = _answers(network, val.inputs, settings.batch_size)
        score = scores(confusion_matrix(val.labels, guess, len(weights))).macro_f1
        log.info("%s: epoch %d of %d, val macro F1 %.3f", name, epoch + 1, settings.epochs, score)
        if score > best:
            best, kept = score, copy.deepcopy(network.state_dict())
    network.load_state_dict(kept)


def _crops(
    train: _Arrays, settings: TrainingSettings, rng: np.random.Generator
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """One epoch: a random crop of every patch, turned and mirrored at random."""
    count, side = train.labels.shape[:2]
    crop = min(settings.crop_px, side)
    order = rng.permutation(count)
    for first in range(0, count, settings.batch_size):
        inputs, labels = [], []
        for patch in order[first : first + settings.batch_size]:
            y, x = rng.integers(side - crop + 1, size=2)
            kind = int(rng.integers(8))
            window = (..., slice(y, y + crop), slice(x, x + crop))
            inputs.append(_turned(train.inputs[patch][window], kind))
            labels.append(_turned(train.labels[patch][window], kind))
        target = np.stack(labels).astype(np.int64)
        if (target != IGNORE).any():  # the mean over no pixel is not a number
            images = torch.from_numpy(np.stack(inputs))
            yield images.contiguous(memory_format=torch.channels_last), torch.from_numpy(target)


def _answers(network: nn.Module, inputs: NDArray[np.float32], step: int) -> NDArray[np.uint8]:
    """(patch, y, x) class indices of scaled inputs."""
    network.eval()
    found = []
    with torch.no_grad():
        for first in range(0, len(inputs), step):
            images = torch.from_numpy(inputs[first : first + step])
            logits = network(images.contiguous(memory_format=torch.channels_last))
            found.append(logits.argmax(dim=1).to(torch.uint8).numpy())
    return np.concatenate(found)


def _predictor(network: nn.Module, scaling: Scaling, step: int) -> Predictor:
    def predict(batch: Minibatch) -> NDArray[np.uint8]:
        with _exact():
            return _answers(network, scaling.apply(batch.inputs, batch.valid), step)

    return predict
