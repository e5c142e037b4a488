# SPDX-License-Identifier: Apache-2.0
"""Patches of a manifest, with their pixels and labels, a shard at a time.

Laws:
1. Batches follow the shards of a unit's stacks, so that each shard is read once.
2. Only the patches of the table given are read, in the order of the stack.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .dates import published_steps
from .errors import IncompleteError, StorageError
from .rasters import read_bands, read_header
from .stacks import Stack, open_stack

if TYPE_CHECKING:
    import geopandas as gpd


_GAP = 4
"""Patches that are not wanted, but cheaper read with their neighbours than around them."""


@dataclass(frozen=True)
class Batch:
    """Some patches of one unit."""

    unit: str
    rows: NDArray[np.int64]
    """(patch,) positions in the table."""
    numbers: NDArray[np.int64]
    """(patch,) positions in the unit's stacks, ascending."""
    y_px: NDArray[np.int64]
    """(patch,) first pixel row inside the unit."""
    x_px: NDArray[np.int64]
    size_px: int

    def pieces(self, most: int = 32) -> Iterator[Batch]:
        """The same patches, a few at a time.

        Arrays of a few patches fit into memory that is handed out again and again; the pages of
        larger ones are mapped anew each time, which doubles the time of reading.
        """
        for start in range(0, self.rows.size, most):
            yield self.where(slice(start, start + most))

    def where(self, part: slice | NDArray[np.bool_]) -> Batch:
        """Some of these patches."""
        return replace(
            self, rows=self.rows[part], numbers=self.numbers[part],
            y_px=self.y_px[part], x_px=self.x_px[part],
        )  # fmt: skip


def locate(table: gpd.GeoDataFrame, stacks: Path, modality: str) -> NDArray[np.int64]:
    """Position of each row's patch in the stacks of its unit.

    Args:
        table: rows of a manifest.
        stacks: folder with UNIT/MODALITY.zarr; all modalities of a unit have the same order.
        modality: any that is there.

    Raises:
        StorageError: a stack is missing, or a patch is not in its unit's stack.
    """
    units = table["unit"].to_numpy(object)
    numbers = np.empty(len(table), np.int64)
    for unit in dict.fromkeys(units):
        path = stacks / unit / f"{modality}.zarr"
        number_of = {patch: number for number, patch in enumerate(open_stack(path).info.patch_ids)}
        rows = np.flatnonzero(units == unit)
        try:
            numbers[rows] = [number_of[patch] for patch in table["patch_id"].iloc[rows]]
        except KeyError as error:
            raise StorageError(
                f"{path}: has no patch {error}, which the manifest names; "
                "delete the stack and build again"
            ) from None
    return numbers


def group(
    table: gpd.GeoDataFrame, numbers: NDArray[np.int64], keys: Sequence[Hashable]
) -> dict[Hashable, list[Batch]]:
    """Batches by key, keys in the order of their first rows; a batch never spans two units.

    Args:
        table: rows of a manifest.
        numbers: (row,) positions in the units' stacks, see `locate`.
        keys: one a row.
    """
    places = {name: table[name].to_numpy(np.int64) for name in ("y_px", "x_px", "size_px")}
    rows_of: dict[Hashable, dict[str, list[int]]] = {}
    for row, (key, unit) in enumerate(zip(keys, table["unit"], strict=True)):
        rows_of.setdefault(key, {}).setdefault(str(unit), []).append(row)
    found: dict[Hashable, list[Batch]] = {}
    for key, units in rows_of.items():
        for unit, members in units.items():
            rows = np.array(members, np.int64)
            rows = rows[np.argsort(numbers[rows], kind="stable")]
            size_px = int(places["size_px"][rows[0]])
            batch = Batch(
                unit, rows, numbers[rows], places["y_px"][rows], places["x_px"][rows], size_px
            )
            found.setdefault(key, []).append(batch)
    return found


def batches(table: gpd.GeoDataFrame, stacks: Path, modality: str) -> list[Batch]:
    """All patches of a table, unit by unit, shard by shard of that modality's stacks.

    Raises:
        StorageError: a stack is missing, or a patch is not in its unit's stack.
    """
    numbers = locate(table, stacks, modality)
    shard_of = {
        unit: open_stack(stacks / unit / f"{modality}.zarr").info.shard_patches
        for unit in dict.fromkeys(table["unit"])
    }
    keys = [
        (unit, int(number) // shard_of[unit])
        for unit, number in zip(table["unit"], numbers, strict=True)
    ]
    return [batch for part in group(table, numbers, keys).values() for batch in part]


def published(
    table: gpd.GeoDataFrame, stacks: Path, modality: str, dates: Path | None, *, one_a_day: bool
) -> NDArray[np.bool_]:
    """Which images of the patches are published: (row, step in the stack of its unit) bool.

    Args:
        table: kept rows of a manifest.
        stacks: folder with UNIT/MODALITY.zarr.
        modality: sentinel2 or sentinel1.
        dates: table of dates; not needed where patches have one image alone, which is published.
        one_a_day: whether the layout publishes only one image of a day.

    Raises:
        IncompleteError: several images a patch, and no table of dates.
        StorageError: a stack or the table is missing, or lacks a patch.
    """
    units = dict.fromkeys(table["unit"])
    steps = max(
        len(open_stack(stacks / unit / f"{modality}.zarr").info.times) for unit in units
    )  # fmt: skip
    if steps <= 1:
        return np.ones((len(table), steps), bool)
    if dates is None:
        raise IncompleteError(
            f"{modality} has {steps} images a patch, and the table of dates says which of them are "
            "complete; run `terrapatch splits` and give its dates.parquet"
        )
    found = np.zeros((len(table), steps), bool)
    chosen = published_steps(dates, table["patch_id"].tolist(), modality, one_a_day=one_a_day)
    found[:, : chosen.shape[1]] = chosen
    return found


def read_patches(
    stack: Stack, numbers: NDArray[np.int64], name: str = "data", time: int | None = None
) -> NDArray[Any]:
    """Patches of a stack by their ascending numbers: (patch, time, …) of the array `name`.

    Or (patch, …) of one time step.

    Runs of patches are read at once, across small gaps; picking them one by one takes ten times
    as long.
    """
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) > _GAP) + 1)
    parts = []
    for run in runs:
        first, last = int(run[0]), int(run[-1]) + 1
        part = stack.read(slice(first, last), name, time)
        parts.append(part if last - first == run.size else part[run - first])
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def read_labels(path: Path, batch: Batch, layers: Sequence[str]) -> NDArray[np.uint8]:
    """Cut a unit's label raster: (patch, layer, y, x) codes; 255 is nodata.

    Args:
        path: the unit's label raster; its bands are found by their descriptions.
        batch: which patches.
        layers: for example `l2`, `l1`, `edge_l2`.

    Raises:
        StorageError: the raster lacks a layer.
        SceneError: the raster cannot be read.
    """
    known = [text or "" for text in read_header(str(path)).descriptions]
    lost = [layer for layer in layers if layer not in known]
    if lost:
        raise StorageError(
            f"{path}: has no layer {', '.join(lost)}, only {', '.join(known)}; "
            "delete the label raster and build again"
        )
    size, top, left = batch.size_px, int(batch.y_px.min()), int(batch.x_px.min())
    rows = slice(top, int(batch.y_px.max()) + size)
    cols = slice(left, int(batch.x_px.max()) + size)
    window = read_bands(path, (rows, cols))[[known.index(layer) for layer in layers]]
    cut = np.empty((batch.rows.size, len(layers), size, size), np.uint8)
    for patch, (y, x) in enumerate(zip(batch.y_px - top, batch.x_px - left, strict=True)):
        cut[patch] = window[:, y : y + size, x : x + size]
    return cut
