# SPDX-License-Identifier: Apache-2.0
"""The engine: leads the shards of a stack through decoding, sampling and writing."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .. import exact
from ..errors import SceneError
from ..places import Places
from ..progress import bar
from ..rasters import BlockReader
from ..records import LockedAsset, LockedItem
from ..resample import kernels
from ..stacks import StackWriter
from .lacking import count_missing, last_reaching
from .layer import Layer
from .scenes import GeocodedScene
from .sources import UnitGrid

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

AHEAD_BYTES = 400 * 2**20
"""Decoded pixels held before further shards are begun."""


class Source(Protocol):
    """Bands of a scene as the engine sees them; `Blocks` gives all but the sampling."""

    @property
    def resident(self) -> int:
        """Bytes decoded (or being decoded) and not released."""
        ...

    def decode(
        self, patches: NDArray[np.int64], reader: BlockReader, pool: Executor
    ) -> set[Future[None]]:
        """Begin to decode what patches need; what has to end before sampling."""
        ...

    def sample(
        self, places: NDArray[np.int64], out: NDArray[Any], filled: NDArray[np.uint8],
        valid: NDArray[np.uint8],
    ) -> None:  # fmt: skip
        """Sample patches in place, see `resample.Target`."""
        ...

    def plan_release(self, shards: Sequence[slice]) -> None:
        """Note which rows each shard can need."""
        ...

    def release(self, unfinished: Sequence[int]) -> None:
        """Give back what none of the unfinished shards can need."""
        ...


class SceneLike(Protocol):
    """A scene as the engine sees it."""

    number: int
    reaches: NDArray[np.bool_]

    @property
    def groups(self) -> Sequence[Source]:
        """Sources of bands."""
        ...

    @property
    def classes(self) -> Source | None:
        """Source of scene classes."""
        ...

    @property
    def everything(self) -> Sequence[Source]:
        """All of them."""
        ...


class ImageFilter(Protocol):
    """A filter of single images; patches are cut with its halo and lose it again."""

    @property
    def halo(self) -> int:
        """Pixels around a patch that the filter looks at."""
        ...

    def image(self, data: NDArray[np.float32]) -> NDArray[np.float32]:
        """Filter (patch, band, y, x), NaN where missing; may change what it is given."""
        ...


OpenScene = Callable[[int, LockedItem, Layer, Places, UnitGrid], SceneLike]


def check_items(items: Sequence[LockedItem], layer: Layer) -> None:
    """Check that scenes can give what is wanted, before any work.

    Raises:
        SceneError: bands missing in scenes (all findings), or more scenes than `source` can count.
    """
    names = [*layer.bands, *([layer.classes] if layer.classes else [])]
    findings = [
        f"{item.id}: has no {', '.join(lacking)} (it has {', '.join(sorted(item.assets))})"
        for item in items
        if (lacking := [name for name in names if name not in item.assets])
    ]
    if findings:
        raise SceneError(
            "\n".join([*findings, "leave these bands out of the recipe, or take other products"])
        )
    if len(items) > 255:
        raise SceneError(
            f"{len(items)} scenes for one mosaic, at most 255 can be told apart; shorten the "
            "period or set catalog.scenes_per_tile"
        )


def used_assets(items: Sequence[LockedItem], layer: Layer) -> list[LockedAsset]:
    """What will be read of scenes."""
    masks = (name for name, excluded in layer.masks.items() if excluded)
    names = [*layer.bands, *([layer.classes] if layer.classes else []), *masks]
    return [item.assets[name] for item in items for name in names if name in item.assets]


@dataclass
class _Buffers:
    """Pixels of one shard while it is made; used again by later shards."""

    data: NDArray[Any]
    source: NDArray[np.uint8]
    valid: NDArray[np.uint8]
    classes: NDArray[np.uint8]


@dataclass
class _Shard:
    """Where a shard stands on its way."""

    number: int
    patches: slice
    missing: NDArray[np.int64]
    """Pixels still missing, by patch."""
    scene: int = -1
    """Position of the scene that is being decoded or sampled."""
    decoding: bool = False
    pending: set[Future[Any]] = field(default_factory=set)
    buffers: _Buffers | None = None
    written: bool = False


def cut(
    items: Sequence[LockedItem],
    layer: Layer,
    geobox: GeoBox,
    patches: Places,
    writer: StackWriter,
    *,
    time: int = 0,
    threads: int = 1,
    open_scene: OpenScene = GeocodedScene,
    image_filter: ImageFilter | None = None,
) -> NDArray[np.int64]:
    """Cut all patches of a unit as one mosaic and write them as one time step.

    Args:
        items: scenes, best first; checked by `check_items`.
        layer: bands, kernel and values wanted.
        geobox: the unit's grid.
        patches: where to cut.
        writer: open stack with the same bands, patches and dtype as `layer` and `patches`; its
            patches are smaller by the filter's halo on each side.
        time: number of the time step in the stack.
        threads: how many threads decode, sample and encode.
        open_scene: makes the source of an item; other than `GeocodedScene` for radar geometry.
        image_filter: what becomes of the pixels before they are written.

    Returns:
        (patch, band) pixels missing in the end that the band lacks in the patch's last scene: what
        some bands lack and others have. All 0 where the scenes are no `GeocodedScene`.

    Raises:
        SceneError: a file is damaged, or its numbers cannot be what the lock says.
        SourceError: a file is not as planned.
        GridError: a file's grid cannot be brought onto the unit's.
    """
    grid = UnitGrid(geobox)
    scenes = [open_scene(n, item, layer, patches, grid) for n, item in enumerate(items, start=1)]
    pool = ThreadPoolExecutor(max(1, threads), thread_name_prefix="cut")
    with BlockReader() as reader:
        try:
            run = _Run(scenes, layer, patches, writer, time, reader, pool, threads, image_filter)
            run.go()
        finally:
            # No thread may still write when the unfinished stack is taken away.
            pool.shutdown(wait=True, cancel_futures=True)
    findings = [scene.finding() for scene in scenes if isinstance(scene, GeocodedScene)]
    if told := [finding for finding in findings if finding]:
        raise SceneError("\n".join(told))
    return run.lacking


class _Run:
    """Leads the shards through their steps; all state changes in the calling thread."""

    def __init__(
        self, scenes: list[SceneLike], layer: Layer, patches: Places, writer: StackWriter, time: int,
        reader: BlockReader, pool: ThreadPoolExecutor, threads: int, image_filter: ImageFilter | None,
    ) -> None:  # fmt: skip
        self.scenes, self.layer, self.writer, self.time = scenes, layer, writer, time
        self.reader, self.pool, self.threads = reader, pool, threads
        self.places, self.size = patches.targets, patches.size_px
        self.filter = image_filter
        self.masked = np.isin(np.arange(256), layer.masked)
        side = (patches.size_px, patches.size_px)
        self.queue = deque(
            _Shard(n, slice(r.start, r.stop), np.full(len(r), side[0] * side[1], np.int64))
            for n, r in enumerate(writer.info.shards)
        )
        self.free: list[_Buffers] = []
        self.lacking = np.zeros((len(self.places), len(writer.info.bands)), np.int64)
        self.last = last_reaching([scene.reaches for scene in scenes], len(self.places))

    def go(self) -> None:
        with bar("patches", len(self.places), "patch") as advance:
            self._lead(advance)

    def _lead(self, advance: Callable[[int], object]) -> None:
        flight: list[_Shard] = []
        groups = [group for scene in self.scenes for group in scene.everything]
        for group in groups:
            group.plan_release([shard.patches for shard in self.queue])
        while self.queue or flight:
            while self.queue and self._room(len(flight), groups):
                flight.append(self.queue.popleft())
                self._advance(flight[-1])
            running = {future for shard in flight for future in shard.pending}
            wait(running, return_when=FIRST_COMPLETED)
            for shard in flight:
                for future in [f for f in shard.pending if f.done()]:
                    shard.pending.discard(future)
                    future.result()
                if not shard.pending and not shard.written:
                    self._advance(shard)
            if any(shard.written for shard in flight):
                advance(sum(len(shard.missing) for shard in flight if shard.written))
                flight = [shard for shard in flight if not shard.written]
                unfinished = [shard.number for shard in (*flight, *self.queue)]
                for group in groups:
                    group.release(unfinished)

    def _room(self, in_flight: int, groups: list[Source]) -> bool:
        if in_flight <= self.threads:
            return True
        return in_flight < 64 and sum(group.resident for group in groups) < AHEAD_BYTES

    def _wanted(self, shard: _Shard, scene: int) -> NDArray[np.bool_]:
        return self.scenes[scene].reaches[shard.patches] & (shard.missing > 0)

    def _next(self, shard: _Shard) -> int | None:
        later = range(shard.scene + 1, len(self.scenes))
        return next((scene for scene in later if self._wanted(shard, scene).any()), None)

    def _advance(self, shard: _Shard) -> None:
        """Begin the shard's next step: decode, or sample (and write, if nothing follows)."""
        if not shard.decoding:
            scene = self._next(shard)
            if scene is None:
                shard.pending = {self.pool.submit(self._write, shard)}
                return
            shard.scene, shard.decoding = scene, True
            patches = np.flatnonzero(self._wanted(shard, scene)) + shard.patches.start
            for group in self.scenes[scene].everything:
                shard.pending |= group.decode(patches, self.reader, self.pool)
            if shard.pending:
                return
        shard.decoding = False
        shard.pending = {self.pool.submit(self._sample, shard)}

    def _sample(self, shard: _Shard) -> None:
        if shard.buffers is None:
            shard.buffers = self._buffers(len(shard.missing))
        scene, buffers = self.scenes[shard.scene], shard.buffers
        places = self.places[shard.patches].copy()
        places[:, 2] = self._wanted(shard, shard.scene)
        buffers.valid[:] = 1
        for group in scene.groups:
            group.sample(places, buffers.data, buffers.source, buffers.valid)
        if scene.classes:
            scene.classes.sample(places, buffers.classes[:, None], buffers.source, buffers.valid)
        kernels.merge(
            places, np.uint8(scene.number), buffers.valid, buffers.classes, self.masked,
            buffers.source, shard.missing,
        )  # fmt: skip
        if isinstance(scene, GeocodedScene) and len(self.layer.bands) > 1:
            # Once a patch, and only where pixels are missing for good: whose they are.
            last = self.last[shard.patches] == shard.scene
            places[:, 2] &= (shard.missing > 0) & last
            if places[:, 2].any():
                lacking = self.lacking[shard.patches]
                dtype = buffers.data.dtype.name
                count_missing(scene.measured, places, buffers.source, lacking, dtype)
        if self._next(shard) is None:
            self._write(shard)

    def _write(self, shard: _Shard) -> None:
        buffers = shard.buffers or self._buffers(len(shard.missing))
        data, source = buffers.data, buffers.source
        if self.filter is not None:
            data = self.filter.image(known(data, source))
            data, source = inner(data, self.filter.halo), inner(source, self.filter.halo)
        seal(data, source, self.layer)
        scl = None
        if self.writer.info.scl:
            scl = buffers.classes
            kernels.seal(scl[:, None], source)
        self.writer.write(shard.number, self.time, data, source, scl)
        shard.written, shard.buffers = True, None
        self.free.append(buffers)

    def _buffers(self, count: int) -> _Buffers:
        """Buffers for so many patches, with nothing filled; only `source` is clean."""
        try:
            found = self.free.pop()
        except IndexError:
            found = None
        if found is None or len(found.data) != count:
            info = self.writer.info
            plane = (count, self.size, self.size)
            found = _Buffers(
                np.empty((count, len(info.bands), *plane[1:]), info.dtype),
                np.empty(plane, np.uint8),
                np.empty(plane, np.uint8),
                np.empty(plane if self.layer.classes else (0, 0, 0), np.uint8),
            )
        found.source[:] = 0
        return found


def known(data: NDArray[np.float32], source: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The same pixels with NaN where missing, in place: (patch, band, y, x)."""
    np.copyto(data, np.float32(np.nan), where=(source == 0)[:, None])
    return data


def inner(pixels: NDArray[Any], halo: int) -> NDArray[Any]:
    """Pixels (…, y, x) less a halo on each side."""
    return np.ascontiguousarray(
        pixels[..., halo : pixels.shape[-2] - halo, halo : pixels.shape[-1] - halo]
    )


def seal(data: NDArray[Any], source: NDArray[np.uint8], layer: Layer) -> None:
    """Make pixels ready to be written, in place: 0 where missing, decibel where wanted."""
    kernels.seal(data, source)
    if layer.decibel:
        bands = data[:, : len(layer.bands)]
        power = np.maximum(bands, np.float32(1e-7))
        np.copyto(bands, exact.to_decibel(power), where=source[:, None] > 0)
