# SPDX-License-Identifier: Apache-2.0
"""The landscape as surveyors see it: points of LUCAS 2018 with the columns of its harmonised table.

    reference/lucas_2018.csv

Laws:
1. Points lie on the survey's own grid (EPSG:3035), their ids are its kilometres: 40403065 is the point
   at 4040 km east and 3065 km north. They lie 1 km apart, twice as close as the survey's grid, so that a
   small area has enough of them.
2. What a point has is what all products show there: the feature that lies at it.
3. West of the landscape's middle lies one country, east of it another.
4. As in the genuine table some points have no cover, and some surveyors had no signal.

Source: Eurostat, LUCAS 2018 technical documents (grid, nomenclature); JRC, harmonised LUCAS (columns);
d'Andrimont et al. 2020, Scientific Data 7:352.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import shapely
from numpy.typing import NDArray

from .. import grid
from ..crs import GEOGRAPHIC, transformer
from ..errors import InputError
from ..files import write_text
from ..legend import table_rows
from .facts import covers, drawn

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

    from .landscape import Landscape

CRS = "EPSG:3035"
"""ETRS89-LAEA Europe, of the survey's grid."""

SPACING_M = 1_000.0
YEAR = 2018
"""Of the survey, whatever year the scenes are of."""

REGIONS = (("FR", "FRF", "FRF1", "FRF11"), ("DE", "DE1", "DE13", "DE134"))
"""NUTS 2016 of the western and of the eastern country."""

NO_DEGREES = "88.888888"
UNKNOWN, NO_SIGNAL = 0.02, 0.05
"""Shares of points without a cover and without a position of the surveyor."""
STRAY_M = 6.0
"""How far the surveyor stood from the point (standard deviation)."""


def write_survey(path: Path, landscape: Landscape, outline: BaseGeometry) -> int:
    """Write the table of points.

    Args:
        path: CSV, UTF-8, columns of `data/points/lucas_2018.csv`.
        landscape: what is surveyed.
        outline: polygon in EPSG:4326 in which points lie.

    Returns:
        number of points.

    Raises:
        InputError: the area lies outside the survey's grid.
        StorageError: the file cannot be written.
    """
    there = grid.reprojected(outline, GEOGRAPHIC, CRS)
    left, bottom, right, top = there.bounds
    if not (np.isfinite([left, bottom, right, top]).all() and left > 0 and right < 9_999_000
            and bottom > 0 and top < 9_999_000):  # fmt: skip
        raise InputError(
            "simulate.view: europe: the area lies outside the grid of the survey (EPSG:3035); choose "
            "an area in Europe, or leave the key out"
        )
    x, y = np.meshgrid(*(
        np.arange(np.ceil(a / SPACING_M), np.floor(b / SPACING_M) + 1) * SPACING_M
        for a, b in ((left, right), (bottom, top))
    ))  # fmt: skip
    inside = np.flatnonzero(shapely.contains_xy(there, x.ravel(), y.ravel()))
    x, y = x.ravel()[inside], y.ravel()[inside]
    names = [row["column"] for row in table_rows("points", "lucas_2018")]
    text = io.StringIO()
    table = csv.DictWriter(text, names, lineterminator="\n", restval="")
    table.writeheader()
    table.writerows(_points(landscape, x, y))
    write_text(path, text.getvalue())
    return int(x.size)


def _points(
    landscape: Landscape, x: NDArray[np.float64], y: NDArray[np.float64]
) -> list[dict[str, str]]:
    """Rows of the table, in the order of the ids; `x`, `y` (point,) metres in `CRS`."""
    plane = np.column_stack(transformer(CRS, landscape.crs).transform(x, y))
    lon, lat = transformer(CRS, GEOGRAPHIC).transform(x, y)
    features = features_at(landscape, plane)
    found = []
    for n, (east, north) in enumerate(zip(x.tolist(), y.tolist(), strict=True)):
        name = f"{round(east / 1000):04d}{round(north / 1000):04d}"
        rng = np.random.default_rng((landscape.seed, 51, int(name)))
        which, share, signal = rng.random(3)
        far, way = abs(rng.normal(0, STRAY_M)), rng.uniform(0, 2 * np.pi)
        row = {
            "point_id": name, "year": str(YEAR), "office_pi": "false", "ex_ante": "false",
            "survey_date": f"{1 + int(rng.integers(28)):02d}/{5 + int(rng.integers(5)):02d}/{YEAR % 100}",
            "th_lat": f"{lat[n]:.9f}", "th_long": f"{lon[n]:.9f}", "revisit": "1",
            **dict(zip(("nuts0", "nuts1", "nuts2", "nuts3"), REGIONS[int(plane[n, 0] >= 0)], strict=True)),
            **_position(float(lon[n]), float(lat[n]), far, way, signal >= NO_SIGNAL),
        }  # fmt: skip
        if share >= UNKNOWN and features[n] >= 0:
            row |= _cover(landscape, int(features[n]), which)
        found.append(row)
    found.sort(key=lambda row: row["point_id"])
    return [row | {"id": str(n + 1)} for n, row in enumerate(found)]


def _position(lon: float, lat: float, far: float, way: float, signal: bool) -> dict[str, str]:
    """Where the surveyor stood, as the table says it."""
    if not signal:
        return {
            "gps_proj": "No GPS signal", "gps_lat": NO_DEGREES, "gps_long": NO_DEGREES, "gps_ew": "8",
        }  # fmt: skip
    north, east = far * np.cos(way) / 111_320, far * np.sin(way) / 111_320
    there = lon + east / np.cos(np.radians(lat))
    return {
        "gps_proj": "WGS84", "gps_prec": "3", "gps_lat": f"{lat + north:.9f}",
        "gps_long": f"{abs(there):.9f}", "gps_ew": "1" if there >= 0 else "2",
        "obs_dist": f"{far:.0f}", "th_gps_dist": f"{far:.1f}",
    }  # fmt: skip


def _cover(landscape: Landscape, feature: int, draw: float) -> dict[str, str]:
    """Cover and use of a feature."""
    row = drawn("lucas", covers().names[landscape.features.cover[feature]], draw)
    wanted = {k: row[k] for k in ("lc1", "lc1_label", "lu1", "lu1_label")}
    return wanted | {"letter_group": row["lc1"][0], "lc1_perc": "> 75 %", "lu1_perc": "> 90 %"}


def features_at(landscape: Landscape, places: NDArray[np.float64]) -> NDArray[np.int64]:
    """(place,) number of the feature seen at places on the landscape's plane; -1 where none lies."""
    tree = shapely.STRtree(landscape.features.geometry)
    place, feature = tree.query(shapely.points(places), predicate="intersects")
    seen = np.full(len(places), -1, np.int64)
    np.maximum.at(seen, place, feature)  # of several the later one lies on top
    return seen
