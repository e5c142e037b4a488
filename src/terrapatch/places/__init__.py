# SPDX-License-Identifier: Apache-2.0
"""Places of patches: the units of a sampling, its windows, and the footprints of a unit as a value.

A kind of sampling is one module with `units(sampling, ground)` and
`patch_id(unit, window)`, and one row in `KINDS`.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

from ..grid import Window
from ..settings import SamplingSettings
from . import mosaic, points, tiles
from .value import Places, read_places
from .windows import Ground, occupied, patch_windows, windows_in_area

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

    from ..grid import Unit

KINDS: dict[str, ModuleType] = {"mosaic": mosaic, "tiles": tiles, "points": points}
"""Kinds of sampling."""


PLACE = "place"
"""Column that names the place of a patch, where a table has them."""


def place_of(patch_id: str) -> str:
    """Id of the place of a patch: what stands before the tile in the patch's name, if one does."""
    return patch_id.split("_", maxsplit=1)[0]


def windows_of(unit: Unit, sampling: SamplingSettings, area: BaseGeometry) -> list[Window]:
    """Windows of a unit's patches, row by row; of a table in the order of their ids.

    Args:
        unit: the unit.
        sampling: the recipe's section.
        area: the recipe's area in the CRS of the unit.
    """
    if unit.windows is not None:  # the area had its say when they were laid
        return list(unit.windows)
    windows = patch_windows(unit, size_px=sampling.size_px, stride_px=sampling.step_px)
    return windows_in_area(windows, unit.geobox, area, sampling.area_rule)


__all__ = [
    "KINDS", "PLACE", "Ground", "Places", "Window", "mosaic", "occupied", "patch_windows", "place_of", "points", "read_places",
    "tiles", "windows_in_area", "windows_of",
]  # fmt: skip
