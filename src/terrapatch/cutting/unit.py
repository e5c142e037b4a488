# SPDX-License-Identifier: Apache-2.0
"""A unit's stack from its lock: one image, or a series of them, filtered where wanted.

Laws:
1. Patches are cut with the filter's halo, so that a filtered patch equals the filtered image,
   also at the sides of the unit.
2. A filter over a series sees the dates of one direction of flight together. They lie on disk
   while it works, and each shard leaves as it is done: memory does not grow with the dates.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..grid import geobox_to_dict, grid_pixel
from ..layers import POWER, Values
from ..lock import read_lock, unit_geobox
from ..places import Places, read_places
from ..progress import bar, track
from ..records import Lock, LockedFile, LockedItem, Reduction
from ..stacks import Stack, StackInfo, StackWriter, create_stack, open_stack
from ..sums import check_unchanged
from ..times import Step, planned_steps
from .engine import (
    ImageFilter,
    OpenScene,
    check_items,
    cut,
    inner,
    known,
    seal,
    used_assets,
)
from .layer import Layer
from .scenes import GeocodedScene

SHARD_BYTES = 128 * 2**20
"""Largest shard, not compressed."""

_REDUCTIONS: dict[Reduction, Callable[..., NDArray[Any]]] = {"first": cut}
"""What makes one image of a step's scenes, by the step's way to reduce them."""


class SeriesFilter(Protocol):
    """A filter of all images of a series at once."""

    @property
    def halo(self) -> int:
        """Pixels around a patch that the filter looks at."""
        ...

    def series(
        self, read: Callable[[int], NDArray[np.float32]], count: int
    ) -> Iterator[NDArray[np.float32]]:
        """Filtered images in order; `read(n)` gives image n (patch, band, y, x), NaN: missing."""
        ...


@dataclass(frozen=True)
class CutPlan:
    """How a kind of layer makes a stack of the scenes of a unit."""

    kind: str
    """Of the layer."""
    layer: Layer
    """What to make of the scenes."""
    values: Values
    """What the stack's numbers mean."""
    series: bool = False
    """Whether time steps are passes."""
    scl: bool = False
    """Whether to keep the scene classes."""
    open_scene: OpenScene = GeocodedScene
    """See `cut`; one scene is opened once, with its image's others."""
    image_filter: ImageFilter | None = None
    """See `cut`."""
    series_filter: SeriesFilter | None = None
    """Filter over all images, instead of an `image_filter`."""
    incidence: Callable[[Step, Places], NDArray[np.float32]] | None = None
    """Gives (patch,) incidence angles of a step in degrees, NaN where unknown; called after the
    step's scenes were opened."""
    beside: tuple[LockedFile, ...] = ()
    """What is read besides the scenes: it must be as planned."""
    context: Callable[[], AbstractContextManager[None]] = nullcontext
    """What holds while the stack is made."""


@dataclass(frozen=True)
class StackJob:
    """The unit and layer that a stack is made of, and where its inputs and the stack lie."""

    lock: Path
    """The lock, or the slice of that unit and layer."""
    unit: str
    """Id of the unit."""
    layer: str
    """Name of the layer."""
    footprints: Path
    """`footprints/UNIT.parquet`."""
    output: Path
    """The stack."""
    pixel_m: float | None = None
    """Side of the layer's pixels in metres; the grid's own if absent."""


def build(
    job: StackJob, how: Callable[[Lock, Sequence[LockedItem]], CutPlan], threads: int = 1
) -> None:  # fmt: skip
    """Write the stack of a unit: the time steps that the plan made of its scenes of a layer.

    Args:
        job: what to make, and from where.
        how: the kind's way to make it of what was planned and the unit's scenes, best first.
        threads: see `cut`.

    Raises:
        IncompleteError: the lock has no time steps of the layer.
        SceneError, SourceError, GridError, StorageError: see `check_items` and `cut`.
    """
    plan = read_lock(job.lock)
    cuts = how(plan, plan.items_of(job.unit, job.layer))
    check_unchanged(cuts.beside, job.lock)
    with cuts.context():
        _build(job, plan, cuts, threads)


def _build(job: StackJob, plan: Lock, cuts: CutPlan, threads: int) -> None:
    layer, image_filter, series_filter = cuts.layer, cuts.image_filter, cuts.series_filter
    items, locked = plan.items_of(job.unit, job.layer), plan.unit(job.unit)
    steps = planned_steps(plan, job.unit, job.layer)
    geobox = unit_geobox(locked)
    for step in steps:
        check_items(step.items, layer)
    check_unchanged(used_assets(items, layer), job.lock)
    pixel = grid_pixel(str(geobox.crs), job.pixel_m)
    patches = read_places(job.footprints, geobox).at(pixel)
    patch_bytes = len(layer.names) * np.dtype(layer.dtype).itemsize * patches.size_px**2
    info = StackInfo(
        layer=job.layer, kind=cuts.kind, unit=job.unit, geobox=geobox_to_dict(patches.geobox), bands=layer.names,
        patch_ids=patches.ids, size_px=patches.size_px, times=tuple(s.label for s in steps),
        items=tuple(tuple(item.id for item in step.items) for step in steps), dtype=layer.dtype,
        values=cuts.values, shard_patches=shard_patches(patches, patch_bytes),
        scl=cuts.scl, series=cuts.series, passes=tuple(step.facts for step in steps),
        reduce=tuple(step.reduce for step in steps),
    )  # fmt: skip
    halo = max((f.halo for f in (image_filter, series_filter) if f is not None), default=0)
    wide = patches.pad(halo)
    angles = np.full((len(patches.ids), len(steps)), np.nan, np.float32)
    lacking = np.zeros((len(patches.ids), len(steps), len(layer.names)), np.uint32)

    def cut_all(writer: StackWriter, layer: Layer) -> None:
        # Passes of one track stand together, so that they can share their geometry.
        order = sorted(range(len(steps)), key=lambda t: _track(steps[t]))
        for time in track(order, job.layer, len(order), "date"):
            lacking[:, time] = _REDUCTIONS[steps[time].reduce](
                steps[time].items, layer, wide.geobox, wide, writer, time=time, threads=threads,
                open_scene=cuts.open_scene, image_filter=image_filter,
            )  # fmt: skip
            if cuts.incidence is not None:
                angles[:, time] = cuts.incidence(steps[time], patches)

    parts = 1 if series_filter is None else 2
    with create_stack(job.output, info) as writer, bar(job.layer, parts, "part") as advance:
        if series_filter is None:
            cut_all(writer, layer)
        else:
            with TemporaryDirectory(prefix=".series-", dir=job.output.parent) as folder:
                raw = replace(info, size_px=wide.size_px, values=Values(POWER))
                cut_all(StackWriter(Path(folder) / "raw", raw), replace(layer, decibel=False))
                advance(1)
                stack = open_stack(Path(folder) / "raw")
                _filter(stack, series_filter, layer, writer, steps, threads)
        if np.isfinite(angles).any():
            writer.write_incidence(angles)
        if (lacking > lacking.min(axis=2, keepdims=True)).any():
            writer.write_lacking(lacking)


def shard_patches(patches: Places, patch_bytes: int) -> int:
    """How many patches a shard holds: about a row of the unit's.

    Few blocks of scenes are then awaited by several shards.

    Args:
        patches: all of the unit.
        patch_bytes: size of one patch at one time step, not compressed.
    """
    row = max(1, len(set(patches.corners[:, 1].tolist())))
    return max(1, min(row, SHARD_BYTES // patch_bytes))


def _track(step: Step) -> tuple[int, str, str]:
    facts = step.facts
    return facts["relative_orbit"] or 0, facts["direction"] or "", step.label


def _filter(
    raw: Stack, series_filter: SeriesFilter, layer: Layer, writer: StackWriter,
    steps: Sequence[Step], threads: int,
) -> None:  # fmt: skip
    """Filter all dates of each direction together, shard by shard."""
    groups: dict[str | None, list[int]] = {}
    for time, step in enumerate(steps):
        groups.setdefault(step.facts["direction"], []).append(time)
    halo = series_filter.halo

    def shard(number: int) -> None:
        members = raw.info.shards[number]
        part = slice(members.start, members.stop)
        for times in groups.values():

            def read(n: int, times: Sequence[int] = times) -> NDArray[np.float32]:
                source = raw.read(part, "source", times[n])
                return known(raw.read(part, "data", times[n]), source)

            images = series_filter.series(read, len(times))
            for time, image in zip(times, images, strict=True):
                data = inner(image, halo)
                source = inner(raw.read(part, "source", time), halo)
                seal(data, source, layer)
                writer.write(number, time, data, source)
        for name in raw.info.arrays:  # half of the disk that the series would take otherwise
            shutil.rmtree(raw.path / name / "c" / str(number))

    with ThreadPoolExecutor(max(1, threads)) as pool:
        done = pool.map(shard, range(len(raw.info.shards)))
        for _ in track(done, "filter", len(raw.info.shards), "shard"):
            pass
