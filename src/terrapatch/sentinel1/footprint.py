# SPDX-License-Identifier: Apache-2.0
"""Footprint of a GRD slice, found a window at a time, from the pixels that are decoded anyway.

Laws:
1. What a window is told is what `find` says of the whole image (see `border`), whichever windows
   were asked for before, and in whatever order.
2. A window without a zero, of a processor with clean borders, is image: nothing else is read. What
   a window cannot know of itself is read besides: the sides of its lines, where it does not reach
   them; the first and last lines, where columns are in doubt; further lines, where a line of an
   old processor has no image within reach.
3. Safe in several threads.
"""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from ..errors import SceneError
from . import border
from .border import Border, Cut, Read

_STRIP = 512
"""Lines that are read at a time where all are wanted."""
_FEW = 64
"""Lines that are read of an end at first: borders of a few lines are the rule."""
_SIDE_PX = 1024
"""Pixels that are read of a side at first."""

_UNKNOWN = -2


class Footprint:
    """Where the pixels of a measurement are image."""

    def __init__(
        self, read: Read, shape: tuple[int, int], ipf: str,
        *, low_dn: NDArray[np.float32] | float = border.LOW_DN, reach_px: int = border.REACH_PX,
        margin_px: int = border.MARGIN_PX, cut: Cut | None = None,
    ) -> None:  # fmt: skip
        """Plan only; no pixel is read.

        Args:
            read: gives lines and pixels of the measurement.
            shape: lines and pixels of the measurement.
            ipf: version of the processor.
            low_dn: threshold of old processors, one or (pixel,); see `border.threshold`.
            reach_px: how deep fringes of old processors are looked for.
            margin_px: what is cut besides where an old processor left a fringe.
            cut: fixed numbers of pixels cut from the sides besides.
        """
        self.read, self.shape = read, shape
        cut = cut or Cut()
        lines, samples = shape
        self.kept = slice(cut.first, lines - cut.last), slice(cut.left, samples - cut.right)
        self.clean = border.has_clean_borders(ipf)
        self.low = np.zeros(samples, np.float32)
        self.run, self.reach, self.margin = 1, 0, 0
        if not self.clean:
            self.low += np.float32(low_dn)
            self.run, self.reach, self.margin = border.RUN_PX, reach_px, margin_px
        self.depth = min(lines, (border.REACH_PX if self.clean else reach_px) + self.run)
        """Lines at an end that are looked at for its border."""
        # For near and far range: length of the run of zeros, and of the border (-1: no image).
        self._sides = np.full((2, 2, lines), _UNKNOWN, np.int32)
        # For first and last lines: depth of the border, and columns where it may be deeper.
        self._ends: list[tuple[NDArray[np.int32], NDArray[np.bool_]] | None] = [None, None]
        self._signal = False
        self._lock = threading.RLock()

    def inside(self, rows: slice, cols: slice, dn: NDArray[np.uint16]) -> NDArray[np.bool_] | None:
        """Where a window is image, (y, x) bool; None where all of it is.

        Args:
            rows: lines of the slice.
            cols: pixels of the window.
            dn: digital numbers of these lines: of the window, or in full width.

        Raises:
            SceneError: no pixel of the whole measurement is image.
        """
        mask = self._found(rows, cols, dn)
        axes = tuple(zip((rows, cols), self.kept, strict=True))
        if any(axis.start < kept.start or axis.stop > kept.stop for axis, kept in axes):
            y, x = (
                (n >= kept.start) & (n < kept.stop)
                for n, kept in ((np.arange(axis.start, axis.stop), kept) for axis, kept in axes)
            )
            fixed = y[:, None] & x
            mask = fixed if mask is None else mask & fixed
        return mask

    def _found(self, rows: slice, cols: slice, dn: NDArray[np.uint16]) -> NDArray[np.bool_] | None:
        """`inside`, without fixed cuts."""
        whole = dn.shape[1] == self.shape[1]
        window = dn[:, cols] if whole else dn
        if self.clean and window.min() > 0:
            self._signal = True
            return None
        with self._lock:
            left, right = self._across(rows, cols, window, dn if whole else None)
            x = np.arange(cols.start, cols.stop)
            mask = (x >= left[:, None]) & (x < self.shape[1] - right[:, None])
            for end in (0, 1):
                self._cut_end(end, rows, cols, window, mask)
            if not self._signal:
                self._signal = bool(mask.any()) or self._has_signal()
        if not self._signal:
            raise SceneError(
                "the measurement has no pixel with a signal; it is a placeholder or was not "
                "written whole: fetch the product again"
            )
        return np.asarray(mask)

    def border(self) -> Border:
        """The footprint of the whole image, which is read for it, without fixed cuts.

        Raises:
            SceneError: no pixel of the measurement is image.
        """
        lines, samples = self.shape
        with self._lock:
            for first in range(0, lines, _STRIP):
                rows = slice(first, min(first + _STRIP, lines))
                self._look_across(rows, self.read(rows, slice(0, samples)))
            left, right = self._settled(slice(0, lines))
            (top, _), (bottom, _) = (self._look_down(end, self.depth) for end in (0, 1))
        found = Border(left, np.int32(samples) - right, top, np.int32(lines) - bottom)
        if not (found.left < found.right).any() or not (found.top < found.bottom).any():
            raise SceneError(
                "the measurement has no pixel with a signal; it is a placeholder or was not "
                "written whole: fetch the product again"
            )
        return found

    # Near and far range ------------------------------------------------------------------------

    def _across(
        self, rows: slice, cols: slice, window: NDArray[np.uint16],
        full: NDArray[np.uint16] | None,
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:  # fmt: skip
        """Depth of the borders at both sides of lines, as far as it shows in a window."""
        if full is not None or not self.clean:
            if full is not None:
                self._look_across(rows, full)
            self._look_at_sides(rows)
            return self._settled(rows)
        # A run of zeros that begins at a side of the window begins at the image's own, or else
        # all lies in what the window does not show.
        depths = []
        for side in (0, 1):
            strip = window[:, ::-1] if side else window
            away = self.shape[1] - cols.stop if side else cols.start
            found = np.zeros((2, len(strip)), np.int32)
            if away == 0:
                border.across(strip, self.low[: strip.shape[1]], 1, 1.0, 0, found)
            elif (strip[:, 0] == 0).any():
                touched = np.flatnonzero(strip[:, 0] == 0) + rows.start
                span = slice(int(touched[0]), int(touched[-1]) + 1)
                self._look_at_sides(span)
                found[0, span.start - rows.start : span.stop - rows.start] = self._sides[
                    side, 0, span
                ]
            depths.append(found[0])
        return depths[0], depths[1]

    def _look_across(self, rows: slice, full: NDArray[np.uint16]) -> None:
        """Note the sides of lines that are given in full width."""
        for side in (0, 1):
            strip, low = (full[:, ::-1], self.low[::-1]) if side else (full, self.low)
            border.across(
                strip, low, self.run, border.SHARE, self.reach, self._sides[side, :, rows]
            )

    def _look_at_sides(self, rows: slice) -> None:
        """Read the sides of lines that are not known yet."""
        missing = np.flatnonzero((self._sides[:, 0, rows] == _UNKNOWN).any(axis=0)) + rows.start
        if missing.size == 0:
            return
        rows = slice(int(missing[0]), int(missing[-1]) + 1)
        samples = self.shape[1]
        for side in (0, 1):
            width = min(_SIDE_PX, samples)
            while True:
                cols = slice(samples - width, samples) if side else slice(0, width)
                strip, low = self.read(rows, cols), self.low[cols]
                if side:
                    strip, low = strip[:, ::-1], low[::-1]
                found = self._sides[side, :, rows]
                border.across(strip, low, self.run, border.SHARE, self.reach, found)
                ended = (found[1] >= 0) & (found[1] + self.run <= width)
                ended |= found[0] + self.reach + self.run <= width
                if width == samples or ended.all():
                    break
                width = min(samples, 4 * width)

    def _settled(self, rows: slice) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Depth of the borders at both sides of lines whose sides are known."""
        depths = []
        for side in (0, 1):
            first, stop = rows.start, rows.stop
            if not self.clean:  # a line without image takes the border of the nearest that has
                first = self._next_known(side, first, -1)
                stop = self._next_known(side, stop - 1, 1) + 1
            zeros, found = self._sides[side, :, first:stop]
            depth = border.settled(zeros, found, limit=self.shape[1], margin=self.margin)
            depths.append(depth[rows.start - first : rows.stop - first])
        return depths[0], depths[1]

    def _next_known(self, side: int, line: int, step: int) -> int:
        """Nearest line in a direction that has image, or the image's last."""
        end = self.shape[0] - 1 if step > 0 else 0
        while self._sides[side, 1, line] < 0 and line != end:
            line += step
            if self._sides[side, 0, line] == _UNKNOWN:
                far = min(max(line + step * (_FEW - 1), 0), self.shape[0] - 1)
                self._look_at_sides(slice(min(line, far), max(line, far) + 1))
        return line

    # First and last lines ----------------------------------------------------------------------

    def _cut_end(
        self, end: int, rows: slice, cols: slice, window: NDArray[np.uint16],
        mask: NDArray[np.bool_],
    ) -> None:  # fmt: skip
        """Take the border of the first lines (or the last, `end` 1) out of a mask, in place."""
        lines = self.shape[0]
        # Lines counted from that end.
        away = np.arange(rows.start, rows.stop)
        away = lines - 1 - away if end else away
        near = away < self.depth + self.margin
        if not near.any():
            return
        depth, doubt = self._ends[end] or self._look_down(end, _FEW)
        columns = np.flatnonzero(doubt[cols])
        if columns.size:
            place = np.ix_(near, columns)
            open_ = mask[place] & (window[place] == 0) if self.clean else mask[place]
            if open_.any():
                depth, _ = self._look_down(end, self.depth)
        mask &= away[:, None] >= depth[None, cols]

    def _look_down(self, end: int, count: int) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Read that many lines of an end: its border, and where it may be deeper than that."""
        lines, samples = self.shape
        count = min(count, self.depth)
        block = np.empty((count, samples), np.uint16)
        for first in range(0, count, _STRIP):
            rows = slice(first, min(first + _STRIP, count))
            there = slice(lines - rows.stop, lines - rows.start) if end else rows
            strip = self.read(there, slice(0, samples))
            block[rows] = strip[::-1] if end else strip
        found = np.empty((2, samples), np.int32)
        border.down(block, self.low, self.run, border.SHARE, self.reach, found)
        depth = border.settled(found[0], found[1], limit=lines, margin=self.margin)
        doubt = (found[1] < 0) | (found[1] + self.run > count)
        if count == self.depth:
            doubt[:] = False
        self._ends[end] = depth, doubt
        return depth, doubt

    def _has_signal(self) -> bool:
        """Whether any pixel of the whole measurement is not zero; looks in the middle first."""
        lines, samples = self.shape
        starts = sorted(range(0, lines, _STRIP), key=lambda first: abs(first - lines // 2))
        return any(
            self.read(slice(first, min(first + _STRIP, lines)), slice(0, samples)).any()
            for first in starts
        )


def find(
    read: Read, shape: tuple[int, int], ipf: str,
    *, low_dn: NDArray[np.float32] | float = border.LOW_DN, reach_px: int = border.REACH_PX,
    margin_px: int = border.MARGIN_PX,
) -> Border:  # fmt: skip
    """The footprint of a whole slice, which is read once; arguments as in `Footprint`.

    Raises:
        SceneError: no pixel of the measurement is image.
    """
    return Footprint(
        read, shape, ipf, low_dn=low_dn, reach_px=reach_px, margin_px=margin_px
    ).border()
