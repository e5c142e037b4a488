# SPDX-License-Identifier: Apache-2.0
"""Pixels and labels of a split, read shard by shard, as the models see them.

Laws:
1. Patches come unit by unit in the order of the stacks, whatever the shards are.
2. A pixel that any chosen input did not observe has inputs 0 and label `IGNORE`: it is neither
   learned nor scored.
3. Inputs are means over the published images of a patch, and over no others.
4. Labels are class indices (positions in the level's codes), never codes.
5. All inputs lie on the pixels of the labels, see `grids`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import IncompleteError, StorageError
from ..layers import Values
from ..paths import SPLITS, Built
from ..progress import bar
from ..samples import Batch as Where
from ..samples import batches, published, read_labels, read_patches
from ..stacks import Stack, open_stack
from ..tables import read_geoparquet
from .grids import onto, power_to_decibel
from .metrics import IGNORE

if TYPE_CHECKING:
    import geopandas as gpd

    from ..legend import Level

_BATCH_BYTES = 2**27
"""Float32 inputs of one batch at most (a single patch may be larger)."""


@dataclass(frozen=True)
class Channel:
    """One input of the models."""

    layer: str
    band: str
    values: Values
    """What its numbers mean."""


@dataclass(frozen=True)
class Task:
    """What is to be learned from what."""

    inputs: tuple[str, ...]
    """Layers of images in the order of the channels."""
    target: str
    """Layer of labels, or a task of the recipe."""
    level: Level
    """Of its legend."""
    of_points: bool = False
    """Whether it is a task: a class a point instead of one a pixel."""
    one_a_day: bool = False
    """See `batches.published`."""


@dataclass(frozen=True)
class Samples:
    """A dataset opened for training; nothing but names is in memory."""

    patches: Mapping[str, gpd.GeoDataFrame]
    """Rows of the manifest by split."""
    shown: Mapping[str, Sequence[NDArray[np.bool_]]]
    """Split → per input (row, step) which images are published."""
    stacks: Path
    task: Task
    channels: tuple[Channel, ...]

    @property
    def level(self) -> Level:
        """The classes to learn."""
        return self.task.level


@dataclass(frozen=True)
class Minibatch:
    """Some patches with their labels."""

    patch_ids: tuple[str, ...]
    inputs: NDArray[np.float32]
    """(patch, channel, y, x) values in the units of the stacks; 0 where missing."""
    labels: NDArray[np.uint8]
    """(patch, y, x) class indices; 255 where missing."""
    valid: NDArray[np.bool_]
    """(patch, y, x) whether all inputs were observed."""


Predictor = Callable[[Minibatch], NDArray[np.uint8]]
"""A trained model: patches → (patch, y, x) class indices."""


def open_samples(built: Built, task: Task) -> Samples:
    """Find the patches of each split and the channels of the chosen inputs.

    Args:
        built: manifest and stacks, and the table of dates where patches have several images.
        task: what is to be learned from what.

    Raises:
        IncompleteError: no patch to train on, or none to test on.
        StorageError: a table or stack is missing, or units have different bands.
    """
    table = read_geoparquet(built.manifest)
    kept = table[table["kept"]]
    patches = {split: kept[kept["split"] == split].reset_index(drop=True) for split in SPLITS}
    for split in ("train", "test"):
        if patches[split].empty:
            raise IncompleteError(
                f"{built.manifest}: no patch in the split {split!r} ({len(kept)} are kept of "
                f"{len(table)}), so nothing can be validated; enlarge the area, lower "
                "splits.buffer_m or splits.block_m, or change splits.fractions"
            )
    shown = {
        split: [
            published(rows, built.stacks, layer, built.known_dates, one_a_day=task.one_a_day)
            for layer in task.inputs
        ]
        for split, rows in patches.items()
        if len(rows)
    }
    return Samples(
        patches=patches,
        shown=shown,
        stacks=built.stacks,
        task=task,
        channels=_common_channels(built.stacks, sorted(set(kept["unit"].astype(str))), task.inputs),
    )


def _common_channels(
    stacks: Path, units: Sequence[str], inputs: Sequence[str]
) -> tuple[Channel, ...]:
    found: dict[tuple[Channel, ...], str] = {}
    for unit in units:
        channels: list[Channel] = []
        for layer in inputs:
            info = open_stack(stacks / unit / f"{layer}.zarr").info
            values = info.values
            channels += [Channel(layer, info.bands[k], values) for k in info.measured]
        found.setdefault(tuple(channels), unit)
    if len(found) > 1:
        raise StorageError(
            f"{stacks}: units {', '.join(found.values())} have different bands or units of "
            "values; delete these stacks and build again"
        )
    return next(iter(found))


def read_batches(
    samples: Samples, split: str, only: Sequence[int] | None = None
) -> Iterator[Minibatch]:
    """Read a split in pieces of bounded memory, each within one unit and one shard.

    Args:
        samples: the opened dataset.
        split: train, val or test.
        only: ascending rows of the split, if not all.

    Raises:
        StorageError: a stack is missing, damaged or lacks a patch or the level.
    """
    table, shown = samples.patches[split], samples.shown.get(split, ())
    if only is not None:
        table = table.iloc[list(only)].reset_index(drop=True)
        shown = [part[list(only)] for part in shown]
    unit, opened = "", list[Stack]()
    for shard in batches(table, samples.stacks, samples.task.inputs[0]):
        if shard.unit != unit:
            unit = shard.unit
            names = (*samples.task.inputs, samples.task.target)
            opened = [open_stack(samples.stacks / unit / f"{name}.zarr") for name in names]
        pixels = sum(len(s.info.bands) * len(s.info.times) * s.info.size_px**2 for s in opened)
        for where in _pieces(shard, pixels):
            ids = table["patch_id"].iloc[where.rows]
            mine = [part[where.rows] for part in shown]
            yield _read_batch(samples, opened, where, tuple(map(str, ids)), mine)


def counted(samples: Samples, split: str) -> Iterator[Minibatch]:
    """`read_batches`, with a bar of the patches."""
    with bar(split, len(samples.patches[split]), "patch") as advance:
        for batch in read_batches(samples, split):
            yield batch
            advance(len(batch.labels))


def _pieces(shard: Where, pixels: int) -> Iterator[Where]:
    """Parts of a shard that fit into `_BATCH_BYTES`, of so many pixels a patch."""
    most = max(1, _BATCH_BYTES // (4 * pixels))
    for first in range(0, len(shard.rows), most):
        yield shard.where(slice(first, first + most))


def _read_batch(
    samples: Samples, opened: Sequence[Stack], where: Where, patch_ids: tuple[str, ...],
    shown: Sequence[NDArray[np.bool_]],
) -> Minibatch:  # fmt: skip
    *images, label = opened
    codes = read_labels(label, where, [samples.level.name])[:, 0]
    labels = codes_to_indices(codes, samples.level, label.path)
    layers, observed = [], []
    for stack, chosen in zip(images, shown, strict=True):
        data = read_patches(stack, where)
        if len(stack.info.measured) < len(stack.info.bands):
            data = data[:, :, stack.info.measured]
        source = read_patches(stack, where, "source")
        source[~chosen[:, : source.shape[1]]] = 0
        decibel = stack.info.values.decibel
        values, valid = composite(data, source, decibel)
        values, valid = onto(values, valid, labels.shape[-1], decibel=decibel)
        layers.append(values)
        observed.append(valid)
    valid = np.logical_and.reduce(observed)
    labels[~valid] = IGNORE
    inputs = np.concatenate(layers, axis=1)
    inputs *= valid[:, None]
    return Minibatch(patch_ids, inputs, labels, valid)


def composite(
    data: NDArray[Any], source: NDArray[np.uint8], decibel: bool = False
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Mean over the observed time steps; decibels are averaged as power.

    Args:
        data: (patch, time, band, y, x) pixels.
        source: (patch, time, y, x) uint8; 0 where missing.
        decibel: whether data are 10·log10 of a power.

    Returns:
        (patch, band, y, x) float32, 0 where no step was observed, and (patch, y, x) bool.
    """
    seen = source > 0
    steps = data.shape[1]
    if steps == 1:
        values = data[:, 0].astype(np.float32)
        values[~np.broadcast_to(seen[:, 0, None], values.shape)] = 0
        return values, seen[:, 0]
    total = np.zeros((data.shape[0], *data.shape[2:]), np.float32)
    for step in range(steps):
        layer = data[:, step].astype(np.float32)
        layer = np.power(10, layer / 10, dtype=np.float32) if decibel else layer
        total += np.where(seen[:, step, None], layer, 0)
    count = seen.sum(axis=1)
    total /= np.maximum(count, 1).astype(np.float32)[:, None]
    if decibel:
        total = np.where(count[:, None] > 0, power_to_decibel(total), np.float32(0))
    return total, count > 0


def codes_to_indices(codes: NDArray[np.uint8], level: Level, path: Path) -> NDArray[np.uint8]:
    """Class indices of label codes; 255 stays 255.

    Raises:
        StorageError: a code that is in no class of the level.
    """
    table = np.full(256, IGNORE, np.uint8)
    table[list(level.codes)] = np.arange(len(level.codes))
    indices: NDArray[np.uint8] = table[codes]
    lost = np.unique(codes[(indices == IGNORE) & (codes != IGNORE)])
    if lost.size:
        raise StorageError(
            f"{path}: codes {lost.tolist()} are in no class of level {level.name!r}; the label "
            "raster was made with another legend: delete it and build again"
        )
    return indices


def indices_to_codes(indices: NDArray[np.uint8], level: Level) -> NDArray[np.uint8]:
    """Label codes of class indices; 255 stays 255."""
    table = np.full(256, IGNORE, np.uint8)
    table[: len(level.codes)] = level.codes
    codes: NDArray[np.uint8] = table[indices]
    return codes


def draw_pixels(
    batches: Iterable[Minibatch],
    features: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    *,
    classes: int,
    per_class: int,
    seed: int,
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Draw pixels at random, equally many of each class (all of a class that has fewer).

    Every pixel gets a random key from the seed and its patch's position, and the smallest keys
    of each class win: one pass, bounded memory, and the result does not depend on how the
    patches are cut into batches.

    Args:
        batches: patches of the train split.
        features: (pixel, channel) inputs → (pixel, feature).
        classes: number of classes.
        per_class: pixels to draw per class.
        seed: of the keys.

    Returns:
        (pixel, feature) float32 and (pixel,) uint8 class indices, ordered by class and key.
    """
    keys: list[NDArray[np.float64]] = [np.empty(0)] * classes
    rows: list[NDArray[np.float32] | None] = [None] * classes
    number = 0
    for batch in batches:
        for inputs, labels in zip(batch.inputs, batch.labels, strict=True):
            drawn = np.random.default_rng((seed, number)).random(labels.size)
            number += 1
            flat, pixels = labels.ravel(), inputs.reshape(len(inputs), -1)
            for index in np.unique(flat[flat != IGNORE]):
                worst = keys[index][-1] if len(keys[index]) == per_class else 1.0
                here = np.flatnonzero((flat == index) & (drawn < worst))
                best = here[np.argsort(drawn[here])[:per_class]]
                mine = features(pixels[:, best].T)
                old = rows[index]
                joined = mine if old is None else np.concatenate([old, mine])
                both = np.concatenate([keys[index], drawn[best]])
                winners = np.argsort(both)[:per_class]
                keys[index], rows[index] = both[winners], joined[winners]
    present = [(i, row) for i, row in enumerate(rows) if row is not None]
    if not present:
        raise IncompleteError(
            "no train pixel has both a label and all inputs; raise patches.require.label.valid, or "
            "choose other training.inputs"
        )
    labels = np.concatenate([np.full(len(row), index, np.uint8) for index, row in present])
    return np.concatenate([row for _, row in present]), labels


def shuffled_labels(labels: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    """Labels for a control: the same frequencies, no relation to the inputs left.

    All labelled pixels change places at random, over all patches. Moving whole patches instead
    keeps chance relations of a few dozen patches, from which a network learns to beat chance.

    Args:
        labels: class indices of any shape; 255 stays where it is.
        seed: of the permutation.
    """
    shuffled = labels.copy()
    labelled = labels != IGNORE
    shuffled[labelled] = np.random.default_rng((seed, 1)).permutation(labels[labelled])
    return shuffled
