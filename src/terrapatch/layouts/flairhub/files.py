# SPDX-License-Identifier: Apache-2.0
"""GeoTIFFs of FLAIR-HUB: one a patch and modality, with all dates of a series.

Laws:
1. Bands of a series stand date by date, in the order of the layer's dates of that patch.
2. Files are written by any number of threads, some patches at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...legend import NODATA
from ...patchfiles import PatchForm, patch_form
from ...samples import Batch, read_labels, read_patches
from ...stacks import Stack
from ..sources import Sources
from .modalities import LABELS, MASK, MODALITIES, RADIOMETRY, SERIES, Modality, parts_of
from .radiometry import as_json, statistics
from .series import Dates

_PIECE_BYTES = 2**25
"""Pixels that a thread reads of a layer at a time."""
_CLOUD = MODALITIES[MASK].bands.index("CLDPRB")


@dataclass
class Written:
    """What became of some patches."""

    rows: list[int]
    """In the table."""
    bytes: int = 0
    radiometry: dict[str, dict[int, tuple[str, ...]]] = field(default_factory=dict)
    """Layer → row → statistics, see `radiometry.as_json`."""
    counts: dict[int, list[int]] = field(default_factory=dict)
    """Row → pixels of each class of COSIA."""
    filled: dict[str, int] = field(default_factory=dict)
    """Layer of labels → pixels that got the last class, for want of another."""


@dataclass(frozen=True, eq=False)
class Writer:
    """Writes files of one dataset; safe to call from several threads."""

    folder: Path
    sources: Sources
    dates: Mapping[str, Dates]

    @cached_property
    def layers(self) -> list[str]:
        """Layers that become files."""
        return [*self.sources.images, *self.sources.legends]

    @cached_property
    def paths(self) -> dict[str, list[str]]:
        """Layer → (row,) file below the dataset's folder."""
        return {name: self._paths(MODALITIES[name]) for name in self.layers}

    def _paths(self, modality: Modality) -> list[str]:
        table = self.sources.table
        columns = (table[name].tolist() for name in ("unit", "row", "col"))
        return [
            modality.path(*parts_of(unit), f"{row}-{col}")
            for unit, row, col in zip(*columns, strict=True)
        ]

    @cached_property
    def _corners(self) -> list[tuple[float, float]]:
        return [(t[2], t[5]) for t in self.sources.table["transform"]]

    @cached_property
    def _crs(self) -> list[str]:
        return [str(crs) for crs in self.sources.table["crs"]]

    def write(self, batch: Batch) -> Written:
        """Write all files of some patches of one unit."""
        found = Written(batch.rows.tolist())
        for name in self.layers:
            stack = self.sources.stack(batch.unit, name)
            if name in LABELS:
                self._labels(name, stack, batch, found)
            elif name in self.dates:
                # The mask goes with its series, whose statistics need it.
                if name != MASK:
                    self._series(name, stack, batch, found)
            else:
                self._single(name, stack, batch, found)
        return found

    def _file(self, layer: str, row: int, pixels: NDArray[Any]) -> int:
        """Write one file, pixels (band, y, x); returns its bytes."""
        modality = MODALITIES[layer]
        values = np.ascontiguousarray(pixels, modality.dtype)
        compression = self.sources.settings.layouts.compression
        if layer in LABELS:  # plain readers, which know deflate alone, read labels too
            compression = "deflate"
        form = _form(layer, len(values), self._crs[row], compression)
        data = form.encode(values, *self._corners[row])
        with open(self.folder / self.paths[layer][row], "wb") as file:
            file.write(data)
        return len(data)

    def _single(self, layer: str, stack: Stack, batch: Batch, found: Written) -> None:
        for piece in batch.pieces(_most(stack, 1)):
            data = read_patches(stack, piece)
            seen = read_patches(stack, piece, "source") > 0 if layer in RADIOMETRY else None
            for number, row in enumerate(piece.rows.tolist()):
                found.bytes += self._file(layer, row, data[number, 0])
                if seen is not None:
                    figures = as_json(statistics(data[number], seen[number]))
                    found.radiometry.setdefault(layer, {})[row] = figures

    def _series(self, layer: str, stack: Stack, batch: Batch, found: Written) -> None:
        with_mask = layer == SERIES and MASK in self.dates
        mask = self.sources.stack(batch.unit, MASK) if with_mask else None
        for piece in batch.pieces(_most(stack, len(stack.info.times))):
            data = self._dated(layer, "data", stack, piece)
            source = self._dated(layer, "source", stack, piece)
            masks = {} if mask is None else self._dated(MASK, "data", mask, piece)
            for row in piece.rows.tolist():
                found.bytes += self._file(layer, row, _flat(data[row]))
                counted = source[row] > 0
                if masks:
                    found.bytes += self._file(MASK, row, _flat(masks[row]))
                    counted &= masks[row][:, _CLOUD] == 0
                figures = as_json(statistics(data[row], counted))
                found.radiometry.setdefault(layer, {})[row] = figures

    def _dated(self, layer: str, name: str, stack: Stack, batch: Batch) -> dict[int, NDArray[Any]]:
        """Row → (date, …) of an array of the stack, the patch's dates alone, in order of time.

        Of `source` only that of dates that are not whole is read; it is 1 in all others.
        """
        dates, rows = self.dates[layer], batch.rows.tolist()
        steps = {row: dates.steps(batch.unit, row).tolist() for row in rows}
        chunk, dtype = stack.info.arrays[name]
        found = {row: np.ones((len(steps[row]), *chunk), dtype) for row in rows}
        wanted = dates.kept[batch.rows]
        if name == "source":
            wanted &= ~dates.whole[batch.rows]
        for step in range(len(stack.info.times)):
            here = wanted[:, step]
            if not here.any():
                continue
            part = batch.where(here)
            pixels = read_patches(stack, part, name, step)
            for number, row in enumerate(part.rows.tolist()):
                found[row][steps[row].index(step)] = pixels[number]
        return found

    def _labels(self, layer: str, stack: Stack, batch: Batch, found: Written) -> None:
        classes = MODALITIES[layer].classes
        levels = [level.name for level in self.sources.legends[layer].levels[: len(classes)]][::-1]
        for piece in batch.pieces(_most(stack, 1)):
            codes = read_labels(stack, piece, levels)
            unknown = codes == NODATA
            for band, count in enumerate(classes):
                codes[:, band][unknown[:, band]] = count - 1
            if lost := int(unknown[:, -1].sum()):
                found.filled[layer] = found.filled.get(layer, 0) + lost
            for row, labels in zip(piece.rows.tolist(), codes, strict=True):
                found.bytes += self._file(layer, row, labels)
                if layer == "cosia":
                    counts = np.bincount(labels.reshape(-1), minlength=classes[0])
                    found.counts[row] = counts.tolist()


def _flat(pixels: NDArray[Any]) -> NDArray[Any]:
    """(date, band, y, x) → (date · band, y, x)."""
    return pixels.reshape(-1, *pixels.shape[-2:])


def _most(stack: Stack, steps: int) -> int:
    """Patches of a stack that are read at a time."""
    chunk, dtype = stack.info.arrays["data"]
    return max(1, _PIECE_BYTES // (int(np.prod(chunk)) * dtype.itemsize * steps))


@lru_cache(maxsize=1024)
def _form(layer: str, bands: int, crs: str, compression: str) -> PatchForm:
    modality = MODALITIES[layer]
    names = modality.bands or tuple(f"level {n}" for n in range(1, bands + 1))
    # A name for each of a thousand bands would take as much room as the pixels: the table of dates says
    # what they are.
    named = names if bands == len(names) and not modality.series else ("",) * bands
    return patch_form(
        dtype=modality.dtype, size_px=modality.size_px, crs=crs,
        transform=(modality.pixel_m, 0.0, 0.0, 0.0, -modality.pixel_m, 0.0), descriptions=named,
        nodata=modality.nodata, compression=compression,
    )  # fmt: skip
