# SPDX-License-Identifier: Apache-2.0
"""The kinds of layers: one row a kind, and the stage that makes a stack of any of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import raster, sentinel2
from .labels import labels
from .recipe import read_settings
from .sentinel1 import stack as sentinel1

if TYPE_CHECKING:
    from .cutting import CutPlan
    from .records import Lock, LockedItem


@dataclass(frozen=True)
class Kind:
    """What a kind of layers of images knows of its own."""

    plan: Callable[[Any, Lock, Sequence[LockedItem]], CutPlan]
    """Settings of a layer, what was planned, scenes of a unit, best first → how its stack is made."""


KINDS = {
    "sentinel2": Kind(sentinel2.plan),
    "sentinel1": Kind(sentinel1.plan),
    "raster": Kind(raster.plan),
}
"""Kinds whose stacks are made of scenes."""


def stack(
    lock: Path, unit: str, layer: str, footprints: Path, settings: Path, output: Path,
    threads: int = 1,
) -> None:  # fmt: skip
    """Cut the patches of a unit for one layer and write them as a stack.

    Args:
        lock: the slice of unit and layer; names the scenes, best first.
        unit: id of the unit.
        layer: name of the layer.
        footprints: `footprints/UNIT.parquet`.
        settings: `settings/stack/LAYER.json`.
        output: the stack, `stacks/UNIT/LAYER.zarr`; its kind says what `data` is.
        threads: threads that decode, sample and encode; does not change a byte.

    Raises:
        SceneError: a band is missing or a file is damaged.
        SourceError: a file is not as planned.
        GridError: grids do not fit together.
        StorageError: the stack cannot be written, or lock or footprints cannot be read.
    """
    from . import cutting

    wanted = read_settings(settings).layers[layer]
    if wanted.kind == "labels":
        labels(lock, unit, footprints, settings, output, threads)
        return
    job = cutting.StackJob(lock, unit, layer, footprints, output, wanted.pixel_m)
    cutting.build(job, partial(KINDS[wanted.kind].plan, wanted), threads)
