# SPDX-License-Identifier: Apache-2.0
"""Raw scenes on grids coarser than their pixels: sampled on a finer grid and averaged.

Laws:
1. The finer grid divides each pixel into whole parts no larger than a pixel of the image. How many
   depends on the grid and the image alone, not on the unit.
2. A pixel is the mean of its parts (of power; amplitudes as they are); it is missing where a part
   is missing.
3. Slices of a datatake go on in each other: a part beyond the end of a scene is that of the next
   one, so that no pixel between two slices is missing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from ..grid import pixel_size_m
from ..places import Places
from ..rasters import BlockReader
from ..resample import COARSER

if TYPE_CHECKING:
    from ..radar.annotation import Annotation
    from .bands import GrdBands

_STRIP_PX = 2**20
"""Parts sampled at once: bounds the memory, not the result."""


def parts_of(geobox: GeoBox, annotation: Annotation) -> int:
    """Parts along a pixel's side.

    On a grid in degrees by its pixels at the equator, which are the largest.
    """
    side = max(pixel_size_m(geobox, 0.0))
    return max(1, math.ceil(side / (COARSER * annotation.range_spacing_m)))


@dataclass(frozen=True, eq=False)
class Divided:
    """A unit whose pixels are divided."""

    geobox: GeoBox
    patches: Places
    parts: int
    """Along a pixel's side."""


def divide(geobox: GeoBox, patches: Places, parts: int) -> tuple[GeoBox, Places]:
    """The grid with each pixel divided, and the patches on it."""
    if parts == 1:
        return geobox, patches
    height, width = geobox.shape
    fine = GeoBox(
        (height * parts, width * parts), geobox.affine * Affine.scale(1 / parts), geobox.crs
    )
    corners, size = patches.corners * parts, patches.size_px * parts
    return fine, replace(patches, corners=corners, size_px=size)


class Averaged:
    """Bands on the divided grid, as a source of patches of the undivided one."""

    def __init__(self, scenes: Sequence[GrdBands], parts: int) -> None:
        """Plan only.

        Args:
            scenes: bands over the divided unit and patches: of the scene, then of the slices
                before and after it.
            parts: see `parts_of`.
        """
        self.scenes, self.parts = scenes, parts

    @property
    def resident(self) -> int:
        """Bytes decoded and not released."""
        return sum(scene.resident for scene in self.scenes)

    def decode(
        self, patches: NDArray[np.int64], reader: BlockReader, pool: Executor
    ) -> set[Future[None]]:
        """As each of the scenes does."""
        return set().union(*(scene.decode(patches, reader, pool) for scene in self.scenes))

    def plan_release(self, shards: Sequence[slice]) -> None:
        """As each of the scenes does."""
        for scene in self.scenes:
            scene.plan_release(shards)

    def release(self, unfinished: Sequence[int]) -> None:
        """As each of the scenes does."""
        for scene in self.scenes:
            scene.release(unfinished)

    def sample(
        self, places: NDArray[np.int64], out: NDArray[Any], filled: NDArray[np.uint8],
        valid: NDArray[np.uint8],
    ) -> None:  # fmt: skip
        """Sample patches whose pixels have been decoded; arguments as in `resample.Target`."""
        size = out.shape[-1]
        rows = max(1, _STRIP_PX // (size * self.parts * self.parts))
        bands = self.scenes[0].bands
        for number in np.flatnonzero(places[:, 2]):
            for top in range(0, size, rows):
                strip = slice(top, min(top + rows, size))
                wanted = filled[number, strip] == 0
                if not wanted.any():
                    continue
                place = places[number, :2] + (top, 0)
                found, whole = self._strip(place, wanted)
                for plane, band in enumerate(bands):
                    np.copyto(out[number, band, strip], found[plane], where=wanted)
                valid[number, strip] &= whole

    def _strip(
        self, place: NDArray[np.int64], wanted: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Means of some rows of a patch, (band, y, x), and where they are valid."""
        parts, bands = self.parts, self.scenes[0].bands
        places = np.array([[*(place * parts), 1]])
        taken = np.repeat(np.repeat(~wanted[None], parts, 1), parts, 2).astype(np.uint8)
        values = np.zeros((1, len(bands), *taken.shape[1:]), np.float32)
        own = np.zeros(wanted.shape, bool)
        for number, scene in enumerate(self.scenes):
            good = (taken == 0).astype(np.uint8)
            scene.sample(places, values, taken, good)
            taken |= good
            blocks = taken[0].reshape(wanted.shape[0], parts, wanted.shape[1], parts)
            if number == 0:
                own = blocks.any(axis=(1, 3))
            whole = blocks.all(axis=(1, 3))
            if whole[own].all():
                break
        # What other slices see alone is theirs to give.
        return _means(values[0], parts), whole & own


def _means(values: NDArray[np.float32], parts: int) -> NDArray[np.float32]:
    """(band, y, x) means of squares of parts, summed in float64, row by row of the parts."""
    bands, height, width = values.shape
    blocks = values.reshape(bands, height // parts, parts, width // parts, parts)
    total = np.zeros((bands, height // parts, width // parts))
    for down in range(parts):
        for across in range(parts):
            total += blocks[:, :, down, :, across]
    return (total / (parts * parts)).astype(np.float32)
