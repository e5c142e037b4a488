# SPDX-License-Identifier: Apache-2.0
"""Where the patches of a unit lie: the recipe's windows on the unit's grid, inside the area.

Law: names and places of patches come from the grid and the area alone, never from scenes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .grid import Unit, Window, reprojected
from .lock import read_lock, unit_of
from .places import KINDS, windows_of
from .recipe import read_settings
from .settings import named_files
from .sums import check_named
from .tables import write_geoparquet
from .vectors import read_area

if TYPE_CHECKING:
    import geopandas as gpd


def footprints(unit: Unit, windows: Sequence[Window], kind: str) -> gpd.GeoDataFrame:
    """The table of a unit's patches, one row a window, in the order given.

    Args:
        unit: the unit with its north-up geobox.
        windows: windows of that unit.
        kind: of the sampling, which names the patches.

    Returns:
        Columns patch_id, unit, row, col, y_px, x_px, size_px (int64) and geometry (outline of
        the patch, from edge to edge of its pixels, in the unit's CRS).
    """
    import geopandas as gpd
    import numpy as np
    import shapely

    numbers = {
        name: np.array([getattr(w, name) for w in windows], np.int64)
        for name in ("row", "col", "y_px", "x_px", "size_px")
    }
    a, _, c, _, e, f = tuple(unit.geobox.affine)[:6]
    left, top = c + a * numbers["x_px"], f + e * numbers["y_px"]
    outlines = shapely.box(left, top + e * numbers["size_px"], left + a * numbers["size_px"], top)
    ids = [KINDS[kind].patch_id(unit, window) for window in windows]
    columns = {
        "patch_id": np.array(ids, object),
        "unit": np.array([unit.id] * len(windows), object),
        **numbers,
    }
    return gpd.GeoDataFrame(columns, geometry=outlines, crs=str(unit.geobox.crs))


def sampling(lock: Path, unit: str, settings: Path, output: Path) -> None:
    """Write the footprints of a unit's patches.

    Patches come row by row. With `area_rule: within` a patch may stick out of the area by less
    than one pixel, because the grid of a mosaic is snapped outwards; with `intersects` it shares
    some surface with the area. A unit without patches gives an empty table.

    Args:
        lock: the lock; gives the unit's grid.
        unit: id of the unit.
        settings: `settings/sampling.json`.
        output: GeoParquet file to write, see `footprints`.

    Raises:
        IncompleteError: the lock has no such unit.
        InputError: the area's file cannot be read.
        SourceError: it has changed since it was planned.
        StorageError: the table cannot be written.
    """
    resolved = read_settings(settings)
    plan = read_lock(lock)
    check_named(named_files(resolved, "sampling"), plan, lock)
    locked = plan.unit(unit)
    placed = unit_of(locked, resolved.sampling.size_px)
    area, area_crs = read_area(resolved.area)
    there = reprojected(area, area_crs, str(locked.geobox["crs"]))
    windows = windows_of(placed, resolved.sampling, there)
    write_geoparquet(footprints(placed, windows, resolved.sampling.kind), output)
