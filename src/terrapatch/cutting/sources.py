# SPDX-License-Identifier: Apache-2.0
"""Files as sources of patches: what each patch needs of them, decoded as long as it is needed.

Laws:
1. Each block of a file is decoded at most once.
2. The calling thread decides what is decoded and released; worker threads only read files and
   pixels.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, Any

import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray

from .. import resample
from ..errors import GridError
from ..places import Places
from ..rasters import BlockReader, read_header
from ..records import LockedAsset
from .evidence import Sampler
from .layer import Layer
from .values import Decoding

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

FOOTPRINT_MARGIN = 0.02
"""Degrees by which footprints are widened: outlines in metadata are coarse polygons."""
_MAX_RUN = 4
"""Most blocks in one task: few enough that threads end together."""
_MIN_ROWS = 256
"""Strips of fewer rows are read together: a call per row costs more than the row."""


class Blocks:
    """Files of one shape, decoded where patches need them.

    The pixels lie in one (band, y, x) array over all that the unit's patches can need. It is
    virtual memory: what is not decoded takes no room, and what has been used is handed back.
    """

    def __init__(
        self, assets: Sequence[LockedAsset], needs: NDArray[np.int64], dtype: str,
        shape: tuple[int, int] | None = None,
    ) -> None:  # fmt: skip
        """Plan only; nothing is opened.

        Args:
            assets: files of the same shape, one a band.
            needs: (patch, 4): rows and columns of the asset that each patch needs, as half-open
                ranges; all 0 for patches that need none.
            dtype: of the decoded pixels.
            shape: height and width; those of the first file if absent. Where `load` has more to
                give than the file, it is larger.
        """
        self.shape = shape or assets[0].shape
        self.assets, self.needs, self.dtype = list(assets), needs, np.dtype(dtype)
        self.resident = 0
        """Bytes decoded (or being decoded) and not released."""
        self.pixels: NDArray[Any] | None = None
        """(band, y, x) of the part that is needed; absent before the first block is asked for."""
        self.first = (0, 0)
        """Row and column of the part's first pixel in the asset."""
        self._blocks: list[tuple[int, int]] = []
        self._tasks: list[dict[tuple[int, int], Future[None]]] = [{} for _ in assets]
        self._memory: mmap.mmap | None = None
        self._rows_of_shard = np.zeros((0, 2), np.int64)
        self._kept = (0, self.shape[0])

    def load(
        self, number: int, window: tuple[slice, slice], out: NDArray[Any], reader: BlockReader
    ) -> None:
        """Decode a window of a file into `out` (y, x); runs in a worker thread."""
        reader.read(self.assets[number], window, out)

    def decode(
        self, patches: NDArray[np.int64], reader: BlockReader, pool: Executor
    ) -> set[Future[None]]:
        """Begin to decode what those patches need; returns what has to end before sampling."""
        if self.pixels is None:
            self._allocate()
        waiting: set[Future[None]] = set()
        for number in range(len(self.assets)):
            tasks = self._tasks[number]
            wanted = self._wanted_blocks(number, patches)
            for run in _runs(sorted(wanted - tasks.keys())):
                future = pool.submit(self._read, number, run, reader)
                tasks.update(dict.fromkeys(run, future))
                self.resident += sum(self._bytes(number, block) for block in run)
            # A block may be done by now, and may have failed: who waits for it is to be told.
            waiting |= {
                task
                for task in (tasks[block] for block in wanted)
                if not task.done() or task.exception() is not None
            }
        return waiting

    def plan_release(self, shards: Sequence[slice]) -> None:
        """Note which rows each shard can need."""
        rows = np.full((len(shards), 2), (np.iinfo(np.int64).max, 0), np.int64)
        for number, patches in enumerate(shards):
            needs = self.needs[patches]
            needs = needs[needs[:, 1] > 0]
            if len(needs):
                rows[number] = needs[:, 0].min(), needs[:, 1].max()
        self._rows_of_shard = rows

    def release(self, unfinished: Sequence[int]) -> None:
        """Give back the memory of blocks that none of the unfinished shards can need."""
        if self.pixels is None or not self.resident:
            return
        rows = self._rows_of_shard[list(unfinished)]
        keep = (rows[:, 0].min(), rows[:, 1].max()) if len(rows) else (0, 0)
        if keep == self._kept:
            return
        self._kept = keep
        for number, tasks in enumerate(self._tasks):
            height = self._blocks[number][0]
            for block in [b for b, task in tasks.items() if task is not _RELEASED]:
                top = block[0] * height
                if top + height <= keep[0] or top >= keep[1]:
                    tasks[block] = _RELEASED
                    self.resident -= self._bytes(number, block)
                    self._give_back(number, top, height)

    def _window(self, number: int, block: tuple[int, int]) -> tuple[slice, slice]:
        (height, width), shape = self._blocks[number], self.shape
        top, left = block[0] * height, block[1] * width
        rows = slice(top, min(top + height, shape[0]))
        if width >= shape[1]:
            # Blocks as wide as the file are decoded whole by the driver; we keep what is needed.
            assert self.pixels is not None
            return rows, slice(self.first[1], self.first[1] + self.pixels.shape[2])
        return rows, slice(left, min(left + width, shape[1]))

    def _bytes(self, number: int, block: tuple[int, int]) -> int:
        rows, cols = self._window(number, block)
        return int((rows.stop - rows.start) * (cols.stop - cols.start) * self.dtype.itemsize)

    def _wanted_blocks(self, number: int, patches: NDArray[np.int64]) -> set[tuple[int, int]]:
        height, width = self._blocks[number]
        needs = self.needs[patches]
        needs = needs[needs[:, 1] > 0]
        first, last = needs[:, ::2] // (height, width), (needs[:, 1::2] - 1) // (height, width)
        boxes = {(*a, *b) for a, b in zip(first.tolist(), last.tolist(), strict=True)}
        return {
            (row, col)
            for top, left, bottom, right in boxes
            for row in range(top, bottom + 1)
            for col in range(left, right + 1)
        }

    def _allocate(self) -> None:
        height, width = self.shape
        for asset in self.assets:
            rows, cols = read_header(asset.href).block
            if cols >= width:
                rows = min(height, rows * max(1, _MIN_ROWS // rows))
            self._blocks.append((rows, min(width, cols)))
        needs = self.needs[self.needs[:, 1] > 0]
        (top, bottom), (left, right) = (
            (needs[:, 2 * axis].min(), needs[:, 2 * axis + 1].max()) for axis in (0, 1)
        )
        # All files' blocks that touch the needed rectangle must fit in whole, but for the pixels
        # of strips to its left and right.
        top = min(top // rows * rows for rows, _ in self._blocks)
        bottom = min(height, max(-(-bottom // rows) * rows for rows, _ in self._blocks))
        tiled = [cols for _, cols in self._blocks if cols < width]
        left = min([left, *(left // cols * cols for cols in tiled)])
        right = min(width, max([right, *(-(-right // cols) * cols for cols in tiled)]))
        shape = (len(self.assets), int(bottom - top), int(right - left))
        self._memory = _room(int(np.prod(shape)) * self.dtype.itemsize)
        self.first = int(top), int(left)
        self.pixels = np.frombuffer(self._memory, self.dtype).reshape(shape)

    def _read(self, number: int, run: Sequence[tuple[int, int]], reader: BlockReader) -> None:
        """Decode a run of neighbouring blocks (in a worker thread)."""
        assert self.pixels is not None
        top, left = self.first
        rows, cols = self._window(number, run[0])
        cols = slice(cols.start, self._window(number, run[-1])[1].stop)
        out = self.pixels[
            number, rows.start - top : rows.stop - top, cols.start - left : cols.stop - left
        ]
        self.load(number, (rows, cols), out, reader)

    def _give_back(self, number: int, row: int, height: int) -> None:
        """Tell the system that rows of a band will not be read again."""
        assert self.pixels is not None
        assert self._memory is not None
        pixels, top = self.pixels, self.first[0]
        if not hasattr(mmap, "MADV_DONTNEED"):
            return
        line = pixels.shape[2] * pixels.itemsize
        plane = number * pixels.shape[1] * line
        begin = plane + max(0, row - top) * line
        end = plane + min(pixels.shape[1], row + height - top) * line
        page = mmap.PAGESIZE
        begin, end = -(-begin // page) * page, end // page * page
        if end > begin:
            self._memory.madvise(mmap.MADV_DONTNEED, begin, end - begin)


def _room(size: int) -> mmap.mmap:
    """Memory that can be handed back in parts.

    It must be private: of shared memory, which is Python's own choice, the system keeps the pages
    that a process says it does not need.
    """
    if hasattr(mmap, "MAP_PRIVATE") and hasattr(mmap, "MAP_ANONYMOUS"):
        return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return mmap.mmap(-1, size)  # not POSIX


_RELEASED: Future[None] = Future()
_RELEASED.set_result(None)


def _runs(blocks: Sequence[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """Split sorted (row, column) numbers into short runs of neighbours in a row."""
    runs: list[list[tuple[int, int]]] = []
    for block in blocks:
        near = runs and runs[-1][-1] == (block[0], block[1] - 1)
        if near and len(runs[-1]) < _MAX_RUN:
            runs[-1].append(block)
        else:
            runs.append([block])
    return runs


class BandGroup(Blocks):
    """Bands of one scene on one pixel grid in a CRS."""

    def __init__(
        self, assets: Sequence[LockedAsset], bands: NDArray[np.int64], lattice: resample.Lattice,
        kernel: resample.Kernel, radiometry: resample.Radiometry, values: Decoding,
        patches: Places,
    ) -> None:  # fmt: skip
        """Plan only; nothing is opened.

        Args:
            assets: files of the same CRS, transform, shape, dtype and meaning of numbers.
            bands: place of each in the stack.
            lattice: source coordinates around the unit.
            kernel: how to sample.
            radiometry: what becomes of a value.
            values: what is made of the numbers in the files.
            patches: all patches of the unit.
        """
        needs = resample.needed(
            lattice,
            kernel.reach_over(lattice, assets[0].shape),
            assets[0].shape,
            patches.targets,
            patches.size_px,
        )
        super().__init__(assets, needs, values.dtype)
        self.bands, self.lattice = bands, lattice
        self.kernel, self.radiometry, self.values = kernel, radiometry, values
        self.samplers = [Sampler(asset, values.missing_number) for asset in assets]

    def load(
        self, number: int, window: tuple[slice, slice], out: NDArray[Any], reader: BlockReader
    ) -> None:
        """Decode a window and make values of its numbers."""
        asset = self.assets[number]
        numbers = out if self.dtype == asset.dtype else np.empty(out.shape, asset.dtype)
        masked = reader.read(asset, window, numbers)
        self.samplers[number].look(numbers, masked, window)
        self.values.made(numbers, asset, masked, out)

    def sample(
        self, places: NDArray[np.int64], out: NDArray[Any], filled: NDArray[np.uint8],
        valid: NDArray[np.uint8],
    ) -> None:  # fmt: skip
        """Sample patches whose pixels have been decoded; arguments as in `resample.Target`."""
        assert self.pixels is not None
        source = resample.Decoded(self.pixels, self.first, self.assets[0].shape, self.lattice)
        target = resample.Target(places, out, self.bands, filled, valid)
        resample.sample(source, self.kernel, self.radiometry, target)


class UnitGrid:
    """The unit's grid seen from the CRS of assets; each transformation is computed once."""

    def __init__(self, geobox: GeoBox) -> None:
        self.geobox = geobox
        self._nodes: dict[str, resample.Nodes] = {}

    def lattice(self, asset: LockedAsset) -> resample.Lattice:
        """Source coordinates in an asset around the unit."""
        if asset.crs not in self._nodes:
            self._nodes[asset.crs] = resample.nodes(self.geobox, asset.crs)
        return self._nodes[asset.crs].lattice(asset.transform)

    def factor(self, asset: LockedAsset, layer: Layer) -> int:
        """How many times finer the 10 m grid is than the asset's."""
        if layer.upsample_first is None:
            return 1
        size = abs(asset.transform[0])
        factor = max(1, round(size / 10))
        if not pyproj.CRS.from_user_input(asset.crs).is_projected or (
            size > 10 and abs(factor - size / 10) > 1e-6
        ):
            raise GridError(
                f"{asset.href}: pixels of {size} units of {asset.crs} cannot be brought to 10 m; "
                "set upsample_first: null"
            )
        return factor

    def touching(self, footprint: dict[str, Any], patches: Places) -> NDArray[np.bool_]:
        """Which patches a scene's footprint (GeoJSON, EPSG:4326) may touch."""
        outline = shapely.make_valid(shapely.geometry.shape(footprint))
        west, _, east, _ = outline.bounds if not outline.is_empty else (0, 0, 0, 0)
        everywhere = np.ones(len(patches.ids), bool)
        if outline.is_empty or east - west > 180:  # unknown, or over the 180th meridian
            return everywhere
        around = np.array([[0, 0], [0, 1], [1, 1], [1, 0]]) * patches.size_px
        pixels = patches.corners[:, None, :] + around
        x, y = self.geobox.affine * (pixels[..., 1], pixels[..., 0])
        transformer = pyproj.Transformer.from_crs(str(self.geobox.crs), "EPSG:4326", always_xy=True)
        lon, lat = transformer.transform(x, y)
        finite = np.isfinite(lon).all(axis=1) & np.isfinite(lat).all(axis=1)
        finite &= np.ptp(lon, axis=1) < 180
        rings = shapely.polygons(np.stack([lon[finite], lat[finite]], axis=-1))
        near = outline.buffer(FOOTPRINT_MARGIN)
        shapely.prepare(near)
        everywhere[finite] = shapely.intersects(near, rings)
        return everywhere
