# SPDX-License-Identifier: Apache-2.0
"""Patches of a manifest, with their pixels and labels, a shard at a time.

Laws:
1. Batches follow the shards of a unit's stacks, so that each shard is read once.
2. Only the patches of the table given are read, in the order of the stack.
3. What is read is what the manifest describes: hashes are compared as pixels are read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .acquisitions import published_dates
from .errors import StorageError
from .paths import remedy
from .stacks import Stack, StackInfo, open_stack

if TYPE_CHECKING:
    import geopandas as gpd
    import pyarrow as pa


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
    size_px: int
    hashes: Mapping[str, NDArray[np.object_]] = field(default_factory=dict)
    """Layer → (patch,) SHA-256 of the pixels according to the manifest."""

    def where(self, which: slice | NDArray[np.bool_]) -> Batch:
        """Some of these patches."""
        return replace(
            self, rows=self.rows[which], numbers=self.numbers[which],
            hashes={name: found[which] for name, found in self.hashes.items()},
        )  # fmt: skip

    def pieces(self, most: int = 32) -> Iterator[Batch]:
        """The same patches, a few at a time.

        Arrays of a few patches fit into memory that is handed out again and again; the pages of
        larger ones are mapped anew each time, which doubles the time of reading.
        """
        for start in range(0, self.rows.size, most):
            yield self.where(slice(start, start + most))


def locate(table: gpd.GeoDataFrame, stacks: Path, layer: str) -> NDArray[np.int64]:
    """Position of each row's patch in the stacks of its unit.

    Args:
        table: rows of a manifest.
        stacks: folder with UNIT/LAYER.zarr; all layers of a unit have the same order.
        layer: any that is there.

    Raises:
        StorageError: a stack is missing, or a patch is not in its unit's stack.
    """
    units = table["unit"].to_numpy(object)
    numbers = np.empty(len(table), np.int64)
    for unit in dict.fromkeys(units):
        path = stacks / unit / f"{layer}.zarr"
        number_of = {patch: number for number, patch in enumerate(open_stack(path).info.patch_ids)}
        rows = np.flatnonzero(units == unit)
        try:
            numbers[rows] = [number_of[patch] for patch in table["patch_id"].iloc[rows]]
        except KeyError as error:
            raise StorageError(
                f"{path}: has no patch {error}, which the manifest names; {remedy(path)} and "
                "build again"
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
    sizes = table["size_px"].to_numpy(np.int64)
    hashes = {
        str(name).removeprefix("hash_"): table[name].to_numpy(object)
        for name in table.columns
        if str(name).startswith("hash_")
    }
    rows_of: dict[Hashable, dict[str, list[int]]] = {}
    for row, (key, unit) in enumerate(zip(keys, table["unit"], strict=True)):
        rows_of.setdefault(key, {}).setdefault(str(unit), []).append(row)
    found: dict[Hashable, list[Batch]] = {}
    for key, units in rows_of.items():
        for unit, members in units.items():
            rows = np.array(members, np.int64)
            rows = rows[np.argsort(numbers[rows], kind="stable")]
            mine = {name: digests[rows] for name, digests in hashes.items()}
            batch = Batch(unit, rows, numbers[rows], int(sizes[rows[0]]), mine)
            found.setdefault(key, []).append(batch)
    return found


def batches(table: gpd.GeoDataFrame, stacks: Path, layer: str) -> list[Batch]:
    """All patches of a table, unit by unit, shard by shard of that layer's stacks.

    Raises:
        StorageError: a stack is missing, or a patch is not in its unit's stack.
    """
    numbers = locate(table, stacks, layer)
    shard_of = {
        unit: open_stack(stacks / unit / f"{layer}.zarr").info.shard_patches
        for unit in dict.fromkeys(table["unit"])
    }
    keys = [
        (unit, int(number) // shard_of[unit])
        for unit, number in zip(table["unit"], numbers, strict=True)
    ]
    return [batch for part in group(table, numbers, keys).values() for batch in part]


def published(
    table: gpd.GeoDataFrame, stacks: Path, layer: str, dates: Path, *, one_a_day: bool
) -> NDArray[np.bool_]:
    """Which images of the patches are published: (row, step in the stack of its unit) bool.

    Args:
        table: kept rows of a manifest.
        stacks: folder with UNIT/LAYER.zarr.
        layer: of images.
        dates: table of dates; not read where patches have one image alone, which is published.
        one_a_day: whether the layout publishes only one image of a day.

    Raises:
        StorageError: a stack or the table is missing, or lacks a patch; or the table names a step
            that a stack has not.
    """
    units = dict.fromkeys(table["unit"])
    infos = {unit: open_stack(stacks / unit / f"{layer}.zarr").info for unit in units}
    steps = max(len(info.times) for info in infos.values())
    if steps <= 1:
        return np.ones((len(table), steps), bool)
    found = np.zeros((len(table), steps), bool)
    ids = table["patch_id"].tolist()
    chosen, rows = published_dates(dates, ids, layer, one_a_day=one_a_day)
    found[rows, steps_of(chosen, lambda unit, _: infos[unit])] = True
    return found


def steps_of(dates: pa.Table, info: Callable[[str, str], StackInfo]) -> NDArray[np.int64]:
    """(row,) number of the step that each row of a table of dates names, in the stack of its unit.

    Args:
        dates: rows of the table.
        info: unit and layer → what is known of that stack.

    Raises:
        StorageError: a stack has no step of that label.
    """
    names, codes = [], np.zeros(len(dates), np.int64)
    for column in ("unit", "layer", "time"):
        encoded = dates[column].combine_chunks().dictionary_encode()
        names.append(encoded.dictionary.to_pylist())
        codes = codes * len(names[-1]) + encoded.indices.to_numpy()
    kinds, kind_of = np.unique(codes, return_inverse=True)
    steps = np.zeros(len(kinds), np.int64)
    for number, code in enumerate(kinds.tolist()):
        rest, time = divmod(code, len(names[2]))
        unit, layer = (names[k][n] for k, n in enumerate(divmod(rest, len(names[1]))))
        times = info(unit, layer).times
        if names[2][time] not in times:
            raise StorageError(
                f"the table of dates names an image {names[2][time]!r} of layer {layer} in unit "
                f"{unit}, whose stack has none: one of the two was made with other settings; delete "
                "the tables of patches and build again"
            )
        steps[number] = times.index(names[2][time])
    return steps[kind_of]


def read_patches(
    stack: Stack, batch: Batch, name: str = "data", time: int | None = None
) -> NDArray[Any]:
    """Patches of a stack: (patch, time, …) of the array `name`, or (patch, …) of one time step.

    Pixels of stacks of one step are held against the manifest; for series there is `check_series`.

    Runs of patches are read at once, across small gaps; picking them one by one takes ten times
    as long.

    Raises:
        StorageError: the stack is damaged, or holds other pixels than the manifest describes.
    """
    numbers = batch.numbers
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) > _GAP) + 1)
    parts = []
    for run in runs:
        first, last = int(run[0]), int(run[-1]) + 1
        part = stack.read(slice(first, last), name, time)
        parts.append(part if last - first == run.size else part[run - first])
    found: NDArray[Any] = parts[0] if len(parts) == 1 else np.concatenate(parts)
    if name == "data" and len(stack.info.times) == 1:
        _compare(stack, batch, hashes_of(found))
    return found


def check_series(
    table: gpd.GeoDataFrame, stacks: Path, layer: str, dates: Path, threads: int = 1
) -> None:
    """Hold the kept dates of series against the manifest; stacks of one step are as they are read.

    Args:
        table: kept rows of a manifest.
        stacks: folder with UNIT/LAYER.zarr.
        layer: of images.
        dates: see `published`.
        threads: batches read at a time.

    Raises:
        StorageError: a stack is damaged, or holds other pixels than the manifest describes.
    """
    kept = published(table, stacks, layer, dates, one_a_day=False)

    def one(batch: Batch) -> None:
        stack = open_stack(stacks / batch.unit / f"{layer}.zarr")
        for piece in batch.pieces():
            digests = np.array([hashlib.sha256() for _ in piece.rows], object)
            for step in range(len(stack.info.times)):
                here = kept[piece.rows, step]
                if here.any():
                    pixels = read_patches(stack, piece.where(here), "data", step)
                    for digest, patch in zip(digests[here], pixels, strict=True):
                        digest.update(plain_bytes(patch))
            _compare(stack, piece, [digest.hexdigest() for digest in digests])

    if kept.shape[1] > 1 and f"hash_{layer}" in table.columns:
        with ThreadPoolExecutor(max(1, threads)) as pool:
            list(pool.map(one, batches(table, stacks, layer)))


def _compare(stack: Stack, batch: Batch, found: Sequence[str]) -> None:
    """Compare the hashes of a batch's pixels with those of the manifest."""
    if stack.info.layer in batch.hashes:
        names = [stack.info.patch_ids[number] for number in batch.numbers.tolist()]
        _same(stack.path, names, batch.hashes[stack.info.layer].tolist(), found)


def _same(path: Path, names: Sequence[str], wanted: Sequence[Any], found: Sequence[str]) -> None:
    other = [n for n, w, f in zip(names, wanted, found, strict=True) if w is not None and w != f]
    if other:
        more = f" and {len(other) - 1} others" if len(other) > 1 else ""
        raise StorageError(
            f"{path}: the pixels of patch {other[0]}{more} are not those that the manifest "
            f"describes; {remedy(path)} and build again"
        )


def plain_bytes(pixels: NDArray[Any]) -> memoryview:
    """The pixels' bytes, little endian, in C order."""
    return np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("<")).data.cast("B")


def hashes_of(pixels: NDArray[Any]) -> list[str]:
    """SHA-256 of each entry along the first axis, little endian, in C order."""
    return [hashlib.sha256(plain_bytes(patch)).hexdigest() for patch in pixels]


def read_labels(stack: Stack, batch: Batch, bands: Sequence[str]) -> NDArray[np.uint8]:
    """Labels of patches: (patch, band, y, x) codes; 255 is nodata.

    Args:
        stack: labels of the batch's unit.
        batch: which patches.
        bands: for example `l2`, `l1`, `edge_l2`.

    Raises:
        StorageError: the stack is damaged, lacks a band, or holds other codes than the manifest
            describes.
    """
    known = stack.info.bands
    lost = [band for band in bands if band not in known]
    if lost:
        raise StorageError(
            f"{stack.path}: has no band {', '.join(lost)}, only {', '.join(known)}; "
            f"{remedy(stack.path)}"
        )
    codes = read_patches(stack, batch)[:, 0]
    return codes[:, [known.index(band) for band in bands]]
