# SPDX-License-Identifier: Apache-2.0
"""The polarisations of a raw scene: decoded and calibrated block by block, sampled together.

Laws:
1. Values are calibrated where they are decoded, and the kernel acts on them: on linear power (on
   numbers for amplitude), on border pixels never.
2. Borders are found in the pixels that are decoded anyway (see `footprint`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..cutting import Blocks
from ..errors import SceneError
from ..places import Places
from ..radar.annotation import Annotation
from ..rasters import BlockReader, read_header
from ..records import LockedAsset
from ..resample import Target
from . import kernels
from .flattening import Flattening
from .footprint import Footprint
from .geometry import Heights, ImageLattice
from .radiometry import Quantity, Tables, calibrate

SAME_PX = 0.02
"""Shifts of less are none: pixels of two slices are the same ones."""


@dataclass(frozen=True, eq=False)
class Polarisation:
    """One polarisation of a scene with all that its calibration takes."""

    asset: LockedAsset
    annotation: Annotation
    tables: Tables
    quantity: Quantity

    footprint: Footprint

    @cached_property
    def in_strips(self) -> bool:
        """Whether the file's blocks have all pixels of their lines, as ESA's own do."""
        return read_header(self.asset.href).block[1] >= self.asset.shape[1]

    def load(
        self, window: tuple[slice, slice], out: NDArray[np.float32], reader: BlockReader
    ) -> None:
        """Decode and calibrate a window (lines, pixels) into `out`; NaN outside the footprint."""
        rows, cols = window
        # An old processor's border is found in lines of full width. In files of strips these
        # are decoded anyway; of tiled ones, the footprint reads what it needs of the sides.
        wide = not self.footprint.clean and self.in_strips
        read = slice(0, self.asset.shape[1]) if wide else cols
        numbers = np.empty((len(out), read.stop - read.start), self.asset.dtype)
        reader.read(self.asset, (rows, read), numbers)
        dn = numbers.astype(np.uint16, copy=False)
        try:
            inside = self.footprint.inside(rows, cols, dn)
        except SceneError as error:
            raise SceneError(f"{self.asset.href}: {error}") from error
        calibrate(
            dn[:, cols] if wide else dn, inside, self.quantity,
            (np.arange(rows.start, rows.stop), np.arange(cols.start, cols.stop)), self.tables,
            out=out,
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class NextLine:
    """The first line of the following slice, as one more line of an image."""

    polarisation: Polarisation
    shift_px: NDArray[np.float64]
    """(pixel of the image,) what is to be added to find it in the following slice."""

    def load(self, cols: slice, out: NDArray[np.float32], reader: BlockReader) -> None:
        """Calibrated values at some pixels of the image, linear between those of the slice."""
        width = self.polarisation.asset.shape[1]
        places = np.arange(cols.start, cols.stop) + self.shift_px[cols]
        first = int(np.clip(np.floor(places[0]), 0, width - 1))
        stop = int(np.clip(np.ceil(places[-1]) + 1, first + 1, width))
        block = np.empty((1, stop - first), np.float32)
        self.polarisation.load((slice(0, 1), slice(first, stop)), block, reader)
        line = block[0]
        left = np.floor(places + SAME_PX).astype(int)
        rest = places - left
        rest[np.abs(rest) <= SAME_PX] = 0.0
        right = left + (rest > 0)
        here = (left >= first) & (right < stop)
        left, right = (np.clip(k - first, 0, line.size - 1) for k in (left, right))
        values = line[left] + (line[right] - line[left]) * rest.astype(np.float32)
        out[:] = np.where(here, values, np.float32(np.nan))


class GrdBands(Blocks):
    """The polarisations of one scene, calibrated block by block as patches need them."""

    def __init__(
        self, polarisations: Sequence[Polarisation], image: ImageLattice, heights: Heights,
        patches: Places, following: Sequence[NextLine], *, nearest: bool,
    ) -> None:  # fmt: skip
        """Plan only; no pixel is read.

        Args:
            polarisations: polarisations in the order of the stack.
            image: geometry of the image, the same for all.
            heights: height model around the unit.
            patches: all patches of the unit.
            following: for each polarisation the line after the last, or none at all.
            nearest: kernel `nearest` instead of `bilinear`.
        """
        assets = [polarisation.asset for polarisation in polarisations]
        lines, samples = assets[0].shape
        shape = lines + bool(following), samples
        needs = image.needed(patches.corners, patches.size_px, shape)
        super().__init__(assets, needs, "float32", shape)
        self.polarisations, self.following = polarisations, following
        self.image, self.heights, self.nearest = image, heights, nearest
        self.bands = np.arange(len(polarisations), dtype=np.int64)
        # With the next slice's line the image ends there, else half a line after its own last.
        self.last = float(lines) if following else lines - 0.5
        self.flattening: Flattening | None = None
        """Given where β⁰ is to become flattened γ⁰."""

    def load(
        self, number: int, window: tuple[slice, slice], out: NDArray[Any], reader: BlockReader
    ) -> None:
        """Decode and calibrate a window."""
        polarisation, (rows, cols) = self.polarisations[number], window
        lines = polarisation.asset.shape[0]
        whole = out, rows
        if rows.stop > lines:
            self.following[number].load(cols, out[-1], reader)
            rows, out = slice(rows.start, lines), out[:-1]
        if rows.start < rows.stop:
            polarisation.load((rows, cols), out, reader)
        if self.flattening is not None:
            self.flattening.apply(*whole, cols)

    def sample(
        self, places: NDArray[np.int64], out: NDArray[Any], filled: NDArray[np.uint8],
        valid: NDArray[np.uint8],
    ) -> None:  # fmt: skip
        """Sample patches whose pixels have been decoded; arguments as in `resample.Target`."""
        assert self.pixels is not None
        part = kernels.Part(self.pixels, self.first, self.shape)
        target = Target(places, out, self.bands, filled, valid)
        kernels.sample(part, self.image, self.heights, target, self.nearest, self.last)
