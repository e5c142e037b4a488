# SPDX-License-Identifier: Apache-2.0
"""Regular windows in each MGRS tile, on the tile's own 10 m grid."""

from __future__ import annotations

from ..grid import Unit, Window
from ..settings import SamplingSettings
from .windows import Ground, tile_units


def units(_: SamplingSettings, ground: Ground) -> list[Unit]:
    """One unit a tile that there are scenes of."""
    return tile_units(ground.tiles())


def patch_id(unit: Unit, window: Window) -> str:
    """Name of a patch: tile, x and y offset in pixels, `31UGQ_257_514`."""
    return f"{unit.id}_{window.x_px}_{window.y_px}"
