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

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..layers import AMPLITUDE, DECIBEL, POWER, Values
from ..recipe import read_settings
from ..sections import coarse_kernel
from ..tables import read_lock

if TYPE_CHECKING:
    from ..mosaic import Layer
    from ..sections import Sentinel1Settings

MODALITY = "sentinel1"


@dataclass(frozen=True)
class Speckle:
    """The recipe's speckle filter, as the mosaic takes it."""

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
    from ..mosaic import Layer, plausible

    return Layer(
        bands=settings.polarisations,
        kernel=settings.kernel,
        coarser=coarse_kernel(settings.kernel, settings.coarser),
        dtype="float32",
        power=True,
        check=plausible.backscatter if settings.check_values else None,
        decibel=settings.scale == "db",
        plain=settings.layers,
    )


def sentinel1(
    lock: Path, unit: str, footprints: Path, settings: Path, output: Path, threads: int = 1
) -> None:
    """Cut the Sentinel-1 patches of a unit and write them as a stack.

    Args:
        lock: `lock.json`; names the scenes of the unit, best first.
        unit: id of the unit.
        footprints: `footprints/UNIT.parquet`.
        settings: `settings/sentinel1.json`.
        output: the stack, `stacks/UNIT/sentinel1.zarr`; `data` is (patch, time, band, y, x) float32:
            the polarisations in linear power or dB, then `sentinel1.layers`; time has one step, one
            a direction, or one a pass.
        threads: threads that decode, sample and encode; does not change a byte.

    Raises:
        SceneError: a polarisation is missing or a file is damaged.
        SourceError: a file is not as planned.
        GridError: grids do not fit together.
        StorageError: the stack cannot be written, or lock or footprints cannot be read.
    """
    from .. import mosaic
    from ..sums import check_unchanged

    wanted = read_settings(settings).sentinel1
    options: dict[str, Any] = {
        "times": mosaic.Times(wanted.time == "series", wanted.directions == "apart"),
    }
    if wanted.speckle != "none":
        over = "series" if wanted.speckle == "multitemporal" else "image"
        options[f"{over}_filter"] = Speckle(wanted)
    context: AbstractContextManager[None] = nullcontext()
    if wanted.level == "GRD":
        from .grd import Raw, quiet

        plan = read_lock(lock)
        check_unchanged(plan.beside, lock)
        if plan.heights:
            wanted = wanted.model_copy(update={"dem": tuple(f.href for f in plan.heights)})
        raw = Raw(wanted, plan.items_of(unit, MODALITY))
        options |= {"open_scene": raw.open_scene, "incidence": raw.incidence}
        context = quiet()
    with context:
        mosaic.build(
            lock, unit, footprints, MODALITY, layer(wanted), output,
            values=values(wanted), threads=threads, **options,
        )  # fmt: skip


def values(settings: Sentinel1Settings) -> Values:
    """What the stack's numbers mean; 0 may be a value of all of them."""
    if settings.level == "GRD" and settings.radiometry == "amplitude":
        return Values(AMPLITUDE)
    return Values(DECIBEL, decibel=True) if settings.scale == "db" else Values(POWER)
