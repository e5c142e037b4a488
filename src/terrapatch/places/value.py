# SPDX-License-Identifier: Apache-2.0
"""The footprints of a unit as a value: where its patches lie on a grid, at any pixel size.

Laws:
1. `at` gives the same ground: corners of unit and patches stay where they are, and all sides are
   whole numbers of pixels, or it is an error that names the number which does not fit.
2. Regions do not overlap, and each patch lies whole in one of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from ..errors import GridError, StorageError
from ..grid import pixels_along
from ..tables import read_columns

_DENSE = 0.5
"""Regions that cost more than this share of the whole unit are not worth it."""
_WHOLE_PX = 2**28
"""Pixels of the largest unit that is handled as one for that reason; a full tile has 2^27."""
_OPENING_PX = 2**17
"""What opening all files once more costs, in pixels made meanwhile."""
_MOST_CELLS = 1024
"""Cells along a unit in which windows are sought that lie near each other."""


@dataclass(frozen=True)
class Places:
    """Where the patches of a unit lie."""

    geobox: GeoBox
    """Grid of the unit."""
    ids: tuple[str, ...]
    corners: NDArray[np.int64]
    """(patch, 2): row and column of the first pixel in the unit."""
    size_px: int

    @classmethod
    def of_unit(cls, geobox: GeoBox) -> Places:
        """A unit without patches."""
        return cls(geobox, (), np.zeros((0, 2), np.int64), 1)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, which: slice | NDArray[np.int64]) -> Places:
        """Some of the patches, on the same grid."""
        numbers = np.arange(len(self.ids))[which]
        ids = tuple(self.ids[number] for number in numbers.tolist())
        return replace(self, ids=ids, corners=self.corners[numbers])

    @property
    def targets(self) -> NDArray[np.int64]:
        """(patch, 3): the corners, and 1 for wanted, as `resample.sample` takes them."""
        wanted = np.ones((len(self.corners), 1), np.int64)
        return np.concatenate([self.corners, wanted], axis=1)

    def pad(self, halo: int) -> Places:
        """Patches wider by a halo on each side, in a unit that is wider as much."""
        if halo == 0:
            return self
        # The first pixel moves as far as the unit's own: corners stay the same numbers.
        return replace(self, geobox=self.geobox.pad(halo), size_px=self.size_px + 2 * halo)

    @property
    def pixel(self) -> float:
        """Side of a pixel in units of the CRS, along columns."""
        return abs(float(self.geobox.affine.a))

    def at(self, pixel: float | None) -> Places:
        """The same ground at another pixel size.

        Args:
            pixel: side of a pixel in units of the CRS; as it is if None.

        Raises:
            GridError: a side of the patches, their steps or the unit is no whole number of pixels.
        """
        if pixel is None:
            return self
        a, _, c, _, e, f = tuple(self.geobox.affine)[:6]
        # A unit without patches has a size that means nothing.
        size = 1 if not self.ids else pixels_along(
            self.size_px, self.pixel, pixel, "a patch", "sampling.size_px"
        )  # fmt: skip
        rows, cols = (
            pixels_along(int(length), self.pixel, pixel, f"the {side} of the unit", "sampling")
            for length, side in zip(self.geobox.shape, ("height", "width"), strict=True)
        )
        seen, back = np.unique(self.corners, return_inverse=True)
        what, key = "a step from patch to patch", "sampling.stride_px"
        found = [pixels_along(at, self.pixel, pixel, what, key) for at in seen.tolist()]
        corners = np.array(found, np.int64)[back.reshape(self.corners.shape)]
        # From the footprint, not from what was asked for: the far edges stay where they are.
        factor = self.size_px / size if self.ids else pixel / self.pixel
        transform = Affine(a * factor, 0.0, c, 0.0, e * factor, f)
        return Places(GeoBox((rows, cols), transform, self.geobox.crs), self.ids, corners, size)

    def regions(self, halo: int) -> list[tuple[tuple[slice, slice], NDArray[np.int64]]]:
        """Few rectangles that hold all patches, so that sparse ones do not ask for the whole unit.

        Args:
            halo: pixels around a patch that what is made there depends on.

        Returns:
            Rows and columns of each rectangle in the unit, without the halo, and the numbers of
            its patches, ascending. Where patches are dense it is one: the unit.
        """
        if not len(self.ids):
            return []
        unit = (0, 0, int(self.geobox.shape[0]), int(self.geobox.shape[1]))
        boxes = np.concatenate([self.corners, self.corners + self.size_px], axis=1)
        found = _merged(boxes, halo, (unit[2], unit[3]))
        whole = _cost(unit, halo)
        if whole <= _WHOLE_PX and sum(_cost(b, halo) for b, _ in found) > _DENSE * whole:
            found = [(unit, np.arange(len(self.ids)))]
        return [
            ((slice(top, bottom), slice(left, right)), members)
            for (top, left, bottom, right), members in found
        ]


def read_places(path: Path, geobox: GeoBox) -> Places:
    """Read the footprints of a unit.

    Raises:
        StorageError: no readable table, or patches of several sizes.
        GridError: a patch lies outside the unit.
    """
    table = read_columns(path, ["patch_id", "y_px", "x_px", "size_px"])
    sizes = set(table["size_px"])
    if len(sizes) > 1:
        raise StorageError(f"{path}: patches of several sizes {sorted(sizes)}; sample again")
    size = sizes.pop() if sizes else 1
    corners = np.array([table["y_px"], table["x_px"]], np.int64).reshape(2, -1).T
    if len(corners) and not (
        (corners >= 0).all() and (corners + size <= np.array(geobox.shape)).all()
    ):
        raise GridError(f"{path}: patches outside the unit's grid of {geobox.shape}; sample again")
    return Places(geobox, tuple(table["patch_id"]), corners, size)


Box = tuple[int, int, int, int]
"""Top, left, bottom, right."""


def _cost(box: Box, halo: int) -> int:
    """What a region of that box costs, in pixels: its own, its halo's, and that of opening files."""
    top, left, bottom, right = box
    return (bottom - top + 2 * halo) * (right - left + 2 * halo) + _OPENING_PX


def _merged(
    boxes: NDArray[np.int64], halo: int, shape: tuple[int, int]
) -> list[tuple[Box, NDArray[np.int64]]]:
    """Frames of the boxes that meet with their halos; frames do not overlap.

    Args:
        boxes: (patch, 4) top, left, bottom, right.
        halo: pixels around a box.
        shape: height and width of the unit.
    """
    from scipy.ndimage import label

    widest = int((boxes[:, 2:] - boxes[:, :2]).max()) + 2 * halo
    side = max(widest // 4, max(shape) // _MOST_CELLS, 1)
    cells = np.zeros([(length + 2 * halo) // side + 1 for length in shape], bool)
    # Counted from the halo's corner, so that no number is negative.
    first, last = boxes[:, :2] // side, (boxes[:, 2:] + 2 * halo - 1) // side
    for (top, left), (bottom, right) in zip(first.tolist(), last.tolist(), strict=True):
        cells[top : bottom + 1, left : right + 1] = True
    numbers = label(cells, np.ones((3, 3)))[0][first[:, 0], first[:, 1]]
    groups = {number: np.flatnonzero(numbers == number) for number in np.unique(numbers).tolist()}
    frames: list[tuple[Box, NDArray[np.int64]]] = []
    for members in groups.values():
        mine, rest, box = members, frames, _frame(boxes[members])
        while meeting := [group for group in rest if _overlap(group[0], box)]:
            rest = [group for group in rest if not _overlap(group[0], box)]
            mine = np.concatenate([mine, *(others for _, others in meeting)])
            box = _frame(boxes[mine])
        frames = [*rest, (box, np.sort(mine))]
    return sorted(frames, key=lambda group: int(group[1][0]))


def _overlap(one: Box, other: Box) -> bool:
    return (
        one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
    )  # fmt: skip


def _frame(boxes: NDArray[np.int64]) -> Box:
    top, left = boxes[:, :2].min(axis=0).tolist()
    bottom, right = boxes[:, 2:].max(axis=0).tolist()
    return top, left, bottom, right
