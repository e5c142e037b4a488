# SPDX-License-Identifier: Apache-2.0
"""The native layout: one Zarr stack a layer, images and labels alike, and GeoParquet.

    <layer>.zarr      (patch, time, band, y, x) as in `stacks`, all units in one; of labels the bands
                      are the levels of the legend, then their edges, as uint8
    patches.parquet   the manifest of these patches; row i describes patch i of every stack
    dates.parquet     one row a patch, layer and time step of its unit; `time` is the step's label,
                      `kept` whether it is complete enough to count
    classes.csv, splits/{train,val,test}.txt

Laws:
1. Patch i is the same in every stack, in `patches.parquet`, and in the split files' ids.
2. `source` counts scenes of the whole dataset, in the order in which the units' stacks name
   them. Where there are more than 255 it is 1 (observed) or 0; the scenes of each patch stand in
   `patches.parquet` either way.
3. A series has the passes of all units in order of time; a pass that a patch's unit has not is
   missing there (and takes no room). Other stacks have the same steps in all units, whose labels may
   differ: `joined` in a stack's record has those of each step. Dates that are not complete enough
   stay in the stack, and count in no statistics.
4. Of labels, `source` is 1 where the finest level is not 255.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..layers import LayoutRecord
from ..progress import track
from ..samples import Batch, group, locate, read_patches
from ..stacks import StackInfo, create_stack
from .fit import Form, built, refuse
from .sources import (
    Sources,
    layer_record,
    split_sizes,
    write_tables,
)

SHARD_PATCHES = 256
"""Patches in one file of a stack."""


Read = Callable[[Batch, int], dict[str, NDArray[Any]] | None]
"""Array name → (patch, …) pixels of a batch at a time step; None where its unit has none."""


def write(sources: Sources, folder: Path, threads: int) -> LayoutRecord:
    """Write all files of the layout; returns what is there.

    Raises:
        RecipeError: units differ in their dates.
        StorageError: units differ in bands, sizes or values.
    """
    table = sources.table
    refuse(sources.settings.name, "native", unfit(built(sources)))
    numbers = locate(table, sources.stacks, sources.images[0])
    shards = np.arange(len(table)) // SHARD_PATCHES
    parts = list(group(table, numbers, shards.tolist()).values())
    stacks: dict[str, tuple[StackInfo, Read]] = {}
    names = [*sources.images, *sources.legends]
    for name in names:
        stacks[name] = _layer(sources, name)
    for name, (info, read) in stacks.items():
        _write_stack(folder / f"{name}.zarr", info, read, parts, threads)
    write_tables(folder, sources, table["patch_id"].tolist())
    return LayoutRecord(
        layout="native", patches=len(table), splits=split_sizes(sources),
        layers={name: layer_record(sources.common(name)) for name in names},
        files={f"{name}.zarr": len(parts) for name in stacks},
        nodata={name: info.values.nodata for name, (info, _) in stacks.items()},
    )  # fmt: skip


def unfit(form: Form) -> list[str]:
    """What this layout cannot hold, see `fit`."""
    return [
        f"{layer}: units have {min(counts)} to {max(counts)} images, and no series; one stack "
        "cannot hold both"
        for layer, images in form.images.items()
        if not images.series and len(counts := {len(times) for times in images.times}) > 1
    ]


def _write_stack(
    path: Path, info: StackInfo, read: Read, parts: Sequence[list[Batch]], threads: int
) -> None:
    """Write one stack; a shard is one job."""
    arrays = info.arrays

    def write_shard(shard: int) -> None:
        start, count = shard * SHARD_PATCHES, len(info.shards[shard])
        pieces = [piece for batch in parts[shard] for piece in batch.pieces(64)]
        for time in range(len(info.times)):
            whole = {
                name: np.zeros((count, *chunk), dtype) for name, (chunk, dtype) in arrays.items()
            }
            here = False
            for piece in pieces:
                found = read(piece, time)
                here |= found is not None
                for name, pixels in (found or {}).items():
                    whole[name][piece.rows - start] = pixels
            if here:
                writer.write(shard, time, **whole)

    with create_stack(path, info) as writer, ThreadPoolExecutor(max(1, threads)) as pool:
        steps = pool.map(write_shard, range(len(parts)))
        for _ in track(steps, "layout", len(parts), "shard"):
            pass


def _whole(sources: Sources, like: StackInfo, **changes: Any) -> StackInfo:
    """Description of a stack over all patches.

    There is no one geobox: patches of several units, maybe of several CRSs, stand side by side;
    `patches.parquet` has CRS and transform of each.
    """
    return replace(
        like, unit=sources.settings.name, geobox={}, patch_ids=tuple(sources.table["patch_id"]),
        shard_patches=SHARD_PATCHES, record={}, **changes,
    )  # fmt: skip


def _layer(sources: Sources, layer: str) -> tuple[StackInfo, Read]:
    """The stacks of all units as one: its description, and how a batch of it is read."""
    first = sources.common(layer)
    stacks = {unit: sources.stack(unit, layer) for unit in sources.units}
    infos = {unit: stack.info for unit, stack in stacks.items()}
    steps = _steps(list(infos.values()))
    items = tuple(
        tuple(dict.fromkeys(i for unit, t in found.items() for i in infos[unit].items[t]))
        for found in steps.values()
    )
    passes = tuple(_agreed([infos[u].passes[t] for u, t in found.items() if infos[u].passes])
                   for found in steps.values())  # fmt: skip
    counted = all(len(step) <= 255 for step in items)
    members = list(steps.values())

    def read(batch: Batch, time: int) -> dict[str, NDArray[Any]] | None:
        stack, step = stacks[batch.unit], members[time].get(batch.unit)
        if step is None:
            return None
        found = {name: read_patches(stack, batch, name, step) for name in stack.info.arrays}
        table = _source_table(stack.info.items[step], items[time], counted)
        found["source"] = table[found["source"]]
        return found

    units = [list(found.items()) for found in members]
    whole = _whole(
        sources, first, times=tuple(steps), passes=passes,
        items=items if counted else tuple(() for _ in items),
        joined=tuple(tuple(dict.fromkeys(infos[u].times[t] for u, t in found)) for found in units),
        reduce=tuple(infos[u].reduce[t] for (u, t), *_ in units if infos[u].reduce),
    )  # fmt: skip
    return whole, read


def _steps(infos: Sequence[StackInfo]) -> dict[str, dict[str, int]]:
    """Label of each step of the dataset → unit → number of the step there.

    Passes are matched by their moment; other steps by their place, and joined in name.
    """
    if infos[0].series:
        apart = any(list(info.times) != sorted(info.times) for info in infos)
        keys: dict[tuple[str, str], dict[str, int]] = {}
        for info in infos:
            for t, label in enumerate(info.times):
                rank = str(info.passes[t]["direction"]) if apart else ""
                keys.setdefault((rank, label), {})[info.unit] = t
        return {key[1]: keys[key] for key in sorted(keys)}
    steps: dict[str, dict[str, int]] = {}
    for t in range(len(infos[0].times)):
        labels = list(dict.fromkeys(info.times[t] for info in infos))
        label = " | ".join(labels) if len(labels) < 4 else f"step {t + 1}"
        steps[label] = {info.unit: t for info in infos}
    return steps


def _agreed(facts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What all units say of a step; None where they differ."""
    keys = facts[0] if facts else {}
    return {
        key: facts[0][key] if all(f[key] == facts[0][key] for f in facts) else None for key in keys
    }


def _source_table(own: Sequence[str], merged: Sequence[str], counted: bool) -> NDArray[np.uint8]:
    """(256,) from a unit's `source` of a step to the dataset's."""
    table = np.zeros(256, np.uint8)
    table[1 : len(own) + 1] = [merged.index(i) + 1 for i in own] if counted else 1
    return table
