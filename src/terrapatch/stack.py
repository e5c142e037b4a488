# SPDX-License-Identifier: Apache-2.0
"""From the scenes of a unit to the stack of one of its layers, whatever the kind."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from .kinds import KINDS
from .recipe import read_settings


def stack(
    lock: Path, unit: str, layer: str, footprints: Path, settings: Path, output: Path,
    threads: int = 1,
) -> None:  # fmt: skip
    """Cut the patches of a unit for one layer and write them as a stack.

    Args:
        lock: `lock.json`; names the scenes of the unit, best first.
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
    from . import mosaic

    wanted = read_settings(settings).layers[layer]
    job = mosaic.Job(lock, unit, layer, footprints, output)
    mosaic.build(job, partial(KINDS[wanted.kind].plan, wanted), threads)
