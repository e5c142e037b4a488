# SPDX-License-Identifier: Apache-2.0
"""Coordinate systems: their names, and when two of them are one.

Laws:
1. A CRS keeps its own definition. A code stands in for it only where both say the same.
2. East before north (longitude before latitude), whatever the definition says about its axes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from .errors import GridError

GEOGRAPHIC = "EPSG:4326"
"""CRS of footprints and of areas given as a box: longitude, latitude on WGS 84."""
_DEGREE_M = 111_320.0
_STEPS = {True: 2.0**-40, False: 2.0**-28}
"""Pixel sizes are multiples of this, in degrees (1e-7 m on the ground) and in units of a projected
CRS (4e-9 m): then every edge of a pixel within 8,192 degrees, or 3e7 m, is a float64 without
rounding, and so are bounds of patches divided by the pixel size."""


@lru_cache(maxsize=64)
def transformer(source: str, target: str) -> Any:
    """Transformer between two coordinate systems, east before north; made once.

    Raises:
        GridError: PROJ knows no way between them, or cannot read one of them.
    """
    from pyproj import Transformer
    from pyproj.exceptions import ProjError

    try:
        return Transformer.from_crs(_crs(source), _crs(target), always_xy=True)
    except ProjError as error:
        raise GridError(f"no transformation from {source} to {target}: {error}") from error


@lru_cache(maxsize=256)
def crs_name(definition: str) -> str:
    """Short name of a CRS where one says the same, else its own definition.

    Looking a code up by likeness (`to_epsg`) would lose a datum and its shift: 164 m for UTM on an
    ellipsoid of another survey.

    Args:
        definition: authority code, WKT, PROJ string or PROJJSON.

    Returns:
        `EPSG:n` only where the definition is that of the code; else WKT; nothing where it says no
        place on Earth (a local system, which GDAL gives where a file has no CRS).

    Raises:
        GridError: PROJ cannot read it.
    """
    found = _crs(definition)
    if found.is_engineering:
        return ""
    plain = found.source_crs if found.is_bound else found
    for code in () if plain is None else _codes(plain):
        name = f"EPSG:{code}"
        # A shift of nothing beside a datum that has none is as good as no shift.
        same = same_crs(definition, name) if found.is_bound else _equivalent(found, _crs(name))
        if same:
            return name
    return str(_crs(found.to_wkt()).to_wkt())  # twice: the form that no further turn changes


def _codes(crs: Any) -> list[int]:
    """EPSG codes that may stand for a CRS: the one that it names itself, then the one it is like."""
    own = crs.to_json_dict().get("id", {})
    named = own.get("code") if own.get("authority") == "EPSG" else None
    codes = dict.fromkeys([named, crs.to_epsg()])
    return [int(code) for code in codes if code is not None]


def short_name(definition: str) -> str:
    """A CRS in a few words, for people: its code, else the name that it gives itself."""
    return definition if "[" not in definition else str(_crs(definition).name)


@lru_cache(maxsize=1024)
def equal_crs(left: str, right: str) -> bool:
    """Whether two definitions say the same, so that nothing has to move from one to the other.

    The order of their axes does not count.
    """
    return left == right or _equivalent(_crs(left), _crs(right))


@lru_cache(maxsize=1024)
def same_crs(left: str, right: str) -> bool:
    """Whether two definitions place things alike: for checks of what a file or a person states.

    Equal, or PROJ gives each position the same coordinates in both (to 1 mm; the shift of
    a datum to WGS 84 that stands in one definition alone: to 0.1 m, as near as such shifts are).
    """
    if equal_crs(left, right):
        return True
    first, second = _crs(left), _crs(right)
    plain = [crs.source_crs if crs.is_bound else crs for crs in (first, second)]
    if any(crs is None for crs in plain) or not _alike(plain[0], plain[1]):
        return False
    area = next((crs.area_of_use for crs in plain if crs.area_of_use is not None), None)
    if area is None:
        return False
    import numpy as np

    span = (area.east - area.west) % 360 or 360.0
    lon, lat = np.meshgrid(
        area.west + span * np.linspace(0.1, 0.9, 3),
        np.linspace(area.south, area.north, 5)[1:-1],
    )
    base = plain[0].geodetic_crs.to_wkt()
    x, y = transformer(base, plain[0].to_wkt()).transform(lon.ravel(), lat.ravel())
    bound = first.is_bound or second.is_bound
    return apart_m(left, right, x, y) < (0.1 if bound else 0.001)


def apart_m(left: str, right: str, x: Any, y: Any) -> float:
    """How far apart two CRS of one kind place the same coordinates, at most, in metres.

    Args:
        left: a definition.
        right: another one, with the same units.
        x: east or longitude, any shape.
        y: north or latitude.

    Returns:
        The greatest distance; infinite where PROJ has no answer.
    """
    import numpy as np
    from pyproj.exceptions import ProjError

    first, second = _crs(left), _crs(right)
    try:
        if first.is_bound or second.is_bound:
            # From a shifted system to the same one without its shift PROJ does nothing: look at
            # where both lie on WGS 84.
            here, there = (
                np.array(transformer(crs, GEOGRAPHIC).transform(x, y, errcheck=True))
                for crs in (left, right)
            )
            unit = _DEGREE_M
        else:
            here = np.array((x, y))
            there = np.array(transformer(left, right).transform(x, y, errcheck=True))
            unit = _DEGREE_M if first.is_geographic else first.axis_info[0].unit_conversion_factor
    except (ProjError, GridError):
        return float("inf")
    return float(np.abs(here - there).max() * unit)


@lru_cache(maxsize=256)
def _crs(definition: str) -> Any:
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    try:
        return CRS.from_user_input(definition)
    except CRSError as error:
        raise GridError(f"{definition!r} is no CRS that PROJ can read: {error}") from error


def _equivalent(left: Any, right: Any) -> bool:
    """Whether two pyproj CRS are one by PROJ's rules, whatever the order of their axes."""
    if left.equals(right, ignore_axis_order=True):
        return True
    if left.is_bound or right.is_bound or not _alike(left, right):
        return False
    return left.is_projected and bool(
        left.geodetic_crs.equals(right.geodetic_crs, ignore_axis_order=True)
    )


def _alike(left: Any, right: Any) -> bool:
    """Whether two CRS count the same way, apart from their datum and the order of their axes."""
    axes = [
        {(a.direction, round(a.unit_conversion_factor, 12)) for a in crs.axis_info}
        for crs in (left, right)
    ]
    if axes[0] != axes[1] or left.is_geographic != right.is_geographic:
        return False
    if left.is_geographic:
        return True
    # Compound systems have no operation of their own: these are equal in words or not at all.
    operation = left.coordinate_operation
    return operation is not None and bool(operation == right.coordinate_operation)


def exact_step(resolution: float, crs: str) -> float:
    """The pixel size nearest to `resolution` whose multiples float64 holds without rounding.

    Args:
        resolution: pixel size in units of `crs`.
        crs: a geographic or projected CRS.

    Returns:
        A multiple of 2⁻⁴⁰ degrees, or of 2⁻²⁸ units of a projected CRS; sizes as 10 m and 0.25
        degrees stay what they are, 0.0001 degrees becomes longer by 2e-13 degrees.
    """
    unit = _STEPS[bool(_crs(crs).is_geographic)]
    return max(1, round(resolution / unit)) * unit
