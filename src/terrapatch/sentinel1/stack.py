# SPDX-License-Identifier: Apache-2.0
"""Sentinel-1: from the scenes of a unit, geocoded or raw, to its stack of patches.

Laws:
1. Kernels act on linear power; assets in decibel are turned into power as they are decoded.
2. Missing pixels are 0 in the stack and 0 in `source`: 0 dB is a value, so ask `source`.
3. Linear values stay as they are, also zero and the slightly negative ones that noise removal
   leaves. In dB, power below 1e-7 (−70 dB, far below the noise of the sensor) counts as 1e-7.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..recipe import read_settings
from ..tables import read_lock, unit_geobox

if TYPE_CHECKING:
    from ..mosaic import Layer
    from ..recipe import Sentinel1Settings

MODALITY = "sentinel1"


def layer(settings: Sentinel1Settings) -> Layer:
    """What the settings want of each scene."""
    from ..mosaic import Layer

    return Layer(
        bands=settings.polarisations,
        kernel=settings.kernel,
        dtype="float32",
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
        output: the stack, `stacks/UNIT/sentinel1.zarr`; `data` is (patch, 1, band, y, x)
            float32: the polarisations in linear power or dB, then `sentinel1.layers`.
        threads: threads that decode, sample and encode; does not change a byte.

    Raises:
        SceneError: a polarisation is missing or a file is damaged.
        SourceError: a file is not as planned.
        GridError: grids do not fit together.
        StorageError: the stack cannot be written, or lock or footprints cannot be read.
    """
    from .. import mosaic
    from ..rasters import check_unchanged

    wanted = read_settings(settings).sentinel1
    options: dict[str, Any] = {}
    context: AbstractContextManager[None] = nullcontext()
    if wanted.level == "GRD":
        from .grd import opener, quiet

        plan = read_lock(lock)
        geobox = unit_geobox(plan.unit(unit))
        check_unchanged(plan.heights)
        if plan.heights:
            wanted = wanted.model_copy(update={"dem": tuple(f.href for f in plan.heights)})
        options["open_scene"] = opener(wanted, geobox, plan.items_of(unit, MODALITY))
        context = quiet()
    with context:
        mosaic.build(
            lock, unit, footprints, MODALITY, layer(wanted), output,
            meaning=meaning(wanted), threads=threads, **options,
        )  # fmt: skip


def meaning(settings: Sentinel1Settings) -> str:
    """Unit of the stack's values, see `StackInfo.unit_of_values`."""
    if settings.level == "GRD" and settings.radiometry == "amplitude":
        return "DN"
    return "dB" if settings.scale == "db" else "linear power"
