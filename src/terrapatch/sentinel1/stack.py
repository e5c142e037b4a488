# SPDX-License-Identifier: Apache-2.0
"""Sentinel-1: from the scenes of a unit, geocoded or raw, to its stack of patches.

Laws:
1. Kernels act on linear power; assets in decibel are turned into power as they are decoded.
2. Missing pixels are 0 in the stack and 0 in `source`: 0 dB is a value, so ask `source`.
3. Speckle filters act on power, on the grid of the patches, whatever the scenes' own geometry.
4. Linear values stay as they are, also zero and the slightly negative ones that noise removal
   leaves. In dB, power below 1e-7 (−70 dB, far below the noise of the sensor) counts as 1e-7.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..layers import AMPLITUDE, DECIBEL, POWER, Values
from ..settings import coarse_kernel

if TYPE_CHECKING:
    from ..cutting import CutPlan, Layer
    from ..records import Lock, LockedItem
    from ..settings import Sentinel1Settings


@dataclass(frozen=True)
class Speckle:
    """The recipe's speckle filter, as the cutting takes it."""

    settings: Sentinel1Settings

    @property
    def halo(self) -> int:
        """Pixels around a patch that the filter looks at."""
        from .speckle import halo

        return halo(self.settings.speckle, self.settings.speckle_radius)

    def image(self, data: NDArray[np.float32]) -> NDArray[np.float32]:
        """Filter each patch and polarisation by itself: (patch, band, y, x), in place."""
        from .speckle import despeckle

        settings = self.settings
        for band in range(len(settings.polarisations)):
            data[:, band] = despeckle(
                data[:, band], settings.speckle, radius=settings.speckle_radius,
                looks=settings.looks,
            )  # fmt: skip
        return data

    def series(
        self, read: Callable[[int], NDArray[np.float32]], count: int
    ) -> Iterator[NDArray[np.float32]]:
        """Filter all dates together: the sum over the dates first, then each date with it."""
        from .speckle import add_ratio, apply_ratio

        radius, bands = self.settings.speckle_radius, range(len(self.settings.polarisations))
        total, dates = np.zeros(0), np.zeros(0, np.int32)
        for n in range(count):
            data = read(n)
            if n == 0:
                shape = data.shape[0], len(bands), *data.shape[2:]
                total, dates = np.zeros(shape), np.zeros(shape, np.int32)
            for patch in range(len(data)):
                for band in bands:
                    add_ratio(data[patch, band], radius, total[patch, band], dates[patch, band])
        for n in range(count):
            data = read(n)
            for patch in range(len(data)):
                for band in bands:
                    apply_ratio(
                        data[patch, band].copy(), radius, total[patch, band], dates[patch, band],
                        data[patch, band],
                    )  # fmt: skip
            yield data


def layer(settings: Sentinel1Settings) -> Layer:
    """What the settings want of each scene."""
    from ..cutting import Layer, plausible

    return Layer(
        bands=settings.polarisations,
        kernel=settings.kernel,
        coarser=coarse_kernel(settings.kernel, settings.coarser),
        dtype="float32",
        power=True,
        check=plausible.backscatter if settings.check_values else None,
        decibel=settings.scale == "db",
        plain=settings.extras,
    )


def plan(settings: Sentinel1Settings, lock: Lock, items: Sequence[LockedItem]) -> CutPlan:
    """How the stack of a unit is made.

    `data` is (patch, time, band, y, x) float32: the polarisations in linear power or dB, then
    `extras`; time has one step, one a direction, or one a pass.

    Args:
        settings: of the layer.
        lock: what was planned; names the height model of raw scenes.
        items: scenes of the unit, best first.
    """
    from ..cutting import CutPlan

    cuts = CutPlan("sentinel1", layer(settings), values(settings), settings.time == "series")
    if settings.speckle != "none":
        speckle, over_series = Speckle(settings), settings.speckle == "multitemporal"
        cuts = replace(
            cuts,
            image_filter=None if over_series else speckle,
            series_filter=speckle if over_series else None,
        )
    if settings.level != "GRD":
        return cuts
    from .grd import Raw, quiet

    if lock.heights:
        settings = settings.model_copy(update={"dem": tuple(f.href for f in lock.heights)})
    raw = Raw(settings, items)
    return replace(
        cuts, open_scene=raw.open_scene, incidence=raw.incidence, beside=lock.beside, context=quiet
    )


def values(settings: Sentinel1Settings) -> Values:
    """What the stack's numbers mean; 0 may be a value of all of them."""
    if settings.level == "GRD" and settings.radiometry == "amplitude":
        return Values(AMPLITUDE)
    return Values(DECIBEL, decibel=True) if settings.scale == "db" else Values(POWER)
