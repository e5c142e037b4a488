# SPDX-License-Identifier: Apache-2.0
"""Regular windows in each MGRS tile, on the tile's own 10 m grid."""

from __future__ import annotations

from collections.abc import Sequence

from ..grid import Unit, mgrs_tile_geobox, one_name
from ..settings import SamplingSettings
from .windows import Ground, Window


def units(_: SamplingSettings, ground: Ground) -> list[Unit]:
    """One unit a tile that there are scenes of."""
    return tile_units(ground.tiles())


def patch_id(unit: Unit, window: Window) -> str:
    """Name of a patch: tile, x and y offset in pixels, `31UGQ_257_514`."""
    return f"{unit.id}_{window.x_px}_{window.y_px}"


def tile_units(tiles: Sequence[str]) -> list[Unit]:
    """One unit per MGRS tile, on the tile's own 10 m grid; ids without leading T, see `one_name`."""
    names = sorted({one_name(tile.removeprefix("T")) for tile in tiles})
    return [Unit(name, mgrs_tile_geobox(name), 0, 0) for name in names]
