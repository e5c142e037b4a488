# SPDX-License-Identifier: Apache-2.0
"""Sentinel-2: from the scenes of a unit to its stack of patches.

Laws:
1. DN 0 is missing, apart from valid dark pixels: valid values in the stack are at least 1.
2. The radiometric offset is the product's own (in the lock), never guessed from the date. With
   `harmonise` it is added before rounding, and what falls below 1 becomes 1, as products before
   baseline 04.00 were truncated; saturated pixels (65535) stay what the sum makes of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .recipe import read_settings

if TYPE_CHECKING:
    from .mosaic import Layer
    from .recipe import Sentinel2Settings

MODALITY = "sentinel2"


def layer(settings: Sentinel2Settings) -> Layer:
    """What the settings want of each scene."""
    from .mosaic import Layer

    return Layer(
        bands=settings.bands,
        kernel=settings.kernel,
        dtype=settings.dtype,
        upsample_first=settings.upsample_first,
        add_offset=settings.harmonise,
        limits=(1.0, 65_535.0),
        nodata=0.0,
        classes="SCL" if settings.scl or settings.mask_scl else None,
        masked=settings.mask_scl,
    )


def sentinel2(
    lock: Path, unit: str, footprints: Path, settings: Path, output: Path, threads: int = 1
) -> None:
    """Cut the Sentinel-2 patches of a unit and write them as a stack.

    Args:
        lock: `lock.json`; names the scenes of the unit, best first.
        unit: id of the unit.
        footprints: `footprints/UNIT.parquet`.
        settings: `settings/sentinel2.json`.
        output: the stack, `stacks/UNIT/sentinel2.zarr`; `data` is (patch, 1, band, y, x) in DN,
            reflectance = DN / 10000, 0 missing.
        threads: threads that decode, sample and encode; does not change a byte.

    Raises:
        SceneError: a band is missing or a file is damaged.
        SourceError: a file is not as planned.
        GridError: grids do not fit together.
        StorageError: the stack cannot be written, or lock or footprints cannot be read.
    """
    from . import mosaic

    wanted = read_settings(settings).sentinel2
    meaning = "DN, reflectance = DN / 10000"
    if not wanted.harmonise:
        meaning = "DN as delivered, reflectance = (DN + offset of the product) / 10000"
    mosaic.build(
        lock, unit, footprints, MODALITY, layer(wanted), output,
        meaning=meaning, scl=wanted.scl, threads=threads,
    )  # fmt: skip
