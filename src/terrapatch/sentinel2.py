# SPDX-License-Identifier: Apache-2.0
"""Sentinel-2: from the scenes of a unit to its stack of patches.

Laws:
1. DN 0 is missing, apart from valid dark pixels: valid values in the stack are at least 1.
2. The radiometric offset is the product's own (in the lock), never guessed from the date. With
   `harmonise` it is added before rounding, and what falls below 1 becomes 1, as products before
   baseline 04.00 were truncated; saturated pixels (65535) stay what the sum makes of them.
3. A stack of int16 keeps zero and negative reflectances (MAJA measures small negatives over dark
   ground); there only `source` tells what is missing, and the stack's 0 is a value.
4. Masks of Theia exclude the pixels of the stack that they meet (nearest); kernels do not see them.
   The edge mask agrees with nodata in the bands, which kernels do see.
5. Probabilities are percent as delivered, and 0 is one of them: what is missing are the pixels that
   the scene classification calls no data, and `source` alone tells them.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from .layers import REFLECTANCE, Values
from .settings import coarse_kernel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .cutting import CutPlan, Layer
    from .records import Lock, LockedItem
    from .settings import Sentinel2Settings

PERCENT = "percent"

LIMITS = {
    "uint16": (1.0, 65_535.0),
    "float32": (1.0, 65_535.0),
    "int16": (-9_999.0, 32_767.0),  # −10000 is nodata in Theia's files and stays free
}
"""Smallest and largest valid value in a stack, by its pixel type."""


def layer(settings: Sentinel2Settings) -> Layer:
    """What the settings want of each scene."""
    from .cutting import Layer, plausible

    if settings.probabilities:
        return Layer(
            bands=settings.bands, kernel=settings.kernel, dtype=settings.dtype,
            coarser=coarse_kernel(settings.kernel, settings.coarser), limits=(0.0, 255.0),
            classes="SCL", masked=(0, *settings.mask_scl),
        )  # fmt: skip
    return Layer(
        bands=settings.bands,
        kernel=settings.kernel,
        coarser=coarse_kernel(settings.kernel, settings.coarser),
        dtype=settings.dtype,
        upsample_first=settings.upsample_first,
        add_offset=settings.harmonise,
        limits=LIMITS[settings.dtype],
        nodata=0.0,
        full_scale=10_000.0,
        check=partial(plausible.reflectance, offset=settings.harmonise)
        if settings.check_values
        else None,
        classes="SCL" if settings.scl or settings.mask_scl else None,
        masked=settings.mask_scl,
        masks={
            "EDG": tuple(range(1, 256)) if settings.mask_edg else (),
            "CLM": with_bits(settings.mask_clm),
            "MG2": with_bits(settings.mask_mg2),
        },
    )


def values(settings: Sentinel2Settings) -> Values:
    """What the stack's numbers mean."""
    if settings.probabilities:
        return Values(PERCENT)
    return Values(
        REFLECTANCE, scale=1e-4, offset=0.0 if settings.harmonise else None,
        nodata=None if settings.dtype == "int16" else 0.0,
    )  # fmt: skip


def with_bits(bits: Sequence[int]) -> tuple[int, ...]:
    """Values 0..255 that have one of these bits set; bit 0 is the lowest."""
    wanted = sum(1 << bit for bit in set(bits))
    return tuple(value for value in range(256) if value & wanted)


def plan(settings: Sentinel2Settings, _lock: Lock, _items: Sequence[LockedItem]) -> CutPlan:
    """How the stack of a unit is made.

    `data` is (patch, time, band, y, x) in DN, reflectance = DN / 10000, 0 missing (int16: see
    law 3), or percent (law 5); time has one step, or one a pass.

    Args:
        settings: of the layer; nothing else is asked for.
    """
    from .cutting import CutPlan

    series = settings.time == "series"
    return CutPlan("sentinel2", layer(settings), values(settings), series, scl=settings.scl)
