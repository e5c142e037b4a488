# SPDX-License-Identifier: Apache-2.0
"""Places of patches: the units of a sampling, its windows, and the footprints of a unit as a value.

A kind of sampling is one module with `units(sampling, ground)` and
`patch_id(unit, window)`, and one row in `KINDS`.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

from ..settings import SamplingSettings
from . import mosaic, tiles
from .value import Places, read_places
from .windows import Ground, Window, occupied, patch_windows, windows_in_area

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

    from ..grid import Unit

KINDS: dict[str, ModuleType] = {"mosaic": mosaic, "tiles": tiles}
"""Kinds of sampling."""


def windows_of(unit: Unit, sampling: SamplingSettings, area: BaseGeometry) -> list[Window]:
    """Windows of a unit's patches, row by row.

    Args:
        unit: the unit.
        sampling: the recipe's section.
        area: the recipe's area in the CRS of the unit.
    """
    windows = patch_windows(unit, size_px=sampling.size_px, stride_px=sampling.step_px)
    return windows_in_area(windows, unit.geobox, area, sampling.area_rule)


__all__ = [
    "KINDS", "Ground", "Places", "Window", "mosaic", "occupied", "patch_windows", "read_places",
    "tiles", "windows_in_area", "windows_of",
]  # fmt: skip
