# SPDX-License-Identifier: Apache-2.0
"""Geometries as files hold them (WKB) as the straight outlines that all of us work with.

Curves become polylines (an arc is cut every 4 degrees: 0.06 % of its radius from the circle), rings
that are not closed are closed and counted; surfaces in space are no ground outline and are named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import SceneError

_NAMES = {
    1: "POINT", 2: "LINESTRING", 3: "POLYGON", 4: "MULTIPOINT", 5: "MULTILINESTRING",
    6: "MULTIPOLYGON", 7: "GEOMETRYCOLLECTION", 8: "CIRCULARSTRING", 9: "COMPOUNDCURVE",
    10: "CURVEPOLYGON", 11: "MULTICURVE", 12: "MULTISURFACE", 13: "CURVE", 14: "SURFACE",
    15: "POLYHEDRALSURFACE", 16: "TIN", 17: "TRIANGLE",
}  # fmt: skip
"""Numbers of geometry types in WKB. Source: OGC 06-103r4, table 7 (ISO 19125)."""
_CURVES = range(8, 13)
_SURFACES = range(15, 18)

Straight = Callable[[NDArray[np.int64]], NDArray[Any]]
"""From ids of features to their geometries as WKB without curves."""


def type_name(number: int) -> str:
    """Name of a WKB type, with Z, M or ZM."""
    plain = number & 0x0FFFFFFF
    turn, kind = divmod(plain, 1000)
    if number & 0x80000000:  # the older form of three dimensions, as GDAL names layers
        turn |= 1
    return " ".join(
        filter(None, [_NAMES.get(kind, f"type {number}"), ("", "Z", "M", "ZM")[turn % 4]])
    )


def shapes_of(
    wkb: NDArray[Any], ids: NDArray[np.int64], where: str, straight: Straight | None
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Shapely geometries, and which of them had to be closed.

    Args:
        wkb: (feature,) bytes or None.
        ids: (feature,) names of the features, for messages and for `straight`.
        where: file and layer, for messages.
        straight: asks the file for geometries without curves; None where its format has none.

    Raises:
        SceneError: surfaces in space, curves that nothing straightens, or broken bytes.
    """
    import shapely

    closed = np.zeros(len(wkb), bool)
    try:
        with np.errstate(invalid="ignore"):  # NaN is looked for later
            shapes = shapely.from_wkb(wkb)
    except (shapely.errors.GEOSException, NotImplementedError):
        kinds = np.array([_kind(value) for value in wkb], np.int64)
        _refuse_surfaces(kinds, where)
        curved = np.isin(kinds, _CURVES)
        if curved.any():
            if straight is None:
                raise _not_for_us(kinds[curved], where) from None
            wkb = wkb.copy()
            wkb[curved] = straight(ids[curved])
        shapes, closed = _one_by_one(wkb, ids, where)
    shapes = np.asarray(shapes, object)
    if shapely.has_z(shapes).any() or _has_m(shapes):
        shapes = shapely.force_2d(shapes)
    return shapes, closed


def check_finite(shapes: NDArray[Any], ids: NDArray[np.int64], where: str) -> None:
    """Raise where a coordinate is no number.

    Raises:
        SceneError: with the first feature.
    """
    import shapely

    xy, owner = shapely.get_coordinates(shapes, return_index=True)
    bad = np.unique(owner[~np.isfinite(xy).all(axis=1)])
    if len(bad):
        raise SceneError(
            f"{where}: coordinates of {len(bad)} feature(s) are no numbers (infinite or NaN), first "
            f"of feature {ids[bad[0]]}; correct or delete these features"
        )


def parts_of(shape: Any, lowest: int) -> tuple[list[Any], Counter[str]]:
    """Parts of a geometry, those in collections of any depth too.

    Args:
        shape: a shapely geometry or None.
        lowest: 2 for polygons alone, 1 for lines and polygons.

    Returns:
        The parts that count, and how many there are of which other kinds.
    """
    import shapely

    others: Counter[str] = Counter()
    if shape is None or shape.is_empty:
        return [], others
    if not hasattr(shape, "geoms"):
        if shapely.get_dimensions(shape) >= lowest:
            return [shape], others
        others[shape.geom_type] += 1
        return [], others
    found = []
    for part in shapely.get_parts(shape):
        inside, rest = parts_of(part, lowest)
        found += inside
        others += rest
    return found, others


def joined(parts: list[Any], where: str) -> tuple[Any, int]:
    """Union of parts, each made valid for itself (what it encloses an odd number of times remains).

    Returns:
        The union, empty where nothing has a surface (or a length); and how many were repaired.

    Raises:
        SceneError: GEOS cannot join them.
    """
    import shapely

    try:
        broken = [part for part in parts if not shapely.is_valid(part)]
        mended = [
            inner
            for part in broken
            for inner in parts_of(shapely.make_valid(part), shapely.get_dimensions(part))[0]
        ]
        whole = [part for part in parts if shapely.is_valid(part)]
        return shapely.union_all([*whole, *mended]), len(broken)
    except shapely.errors.GEOSException as error:
        raise SceneError(
            f"{where}: a geometry cannot be repaired ({str(error).strip()}); repair the layer "
            "(QGIS: Fix geometries) and name that file"
        ) from error


def _has_m(shapes: NDArray[Any]) -> bool:
    import shapely

    has_m = getattr(shapely, "has_m", None)  # from GEOS 3.12 on; before, M is never read
    return has_m is not None and bool(has_m(shapes).any())


def _kind(wkb: bytes | None) -> int:
    """Type in the head of a WKB, without its dimensions; 0 where there is none."""
    if wkb is None or len(wkb) < 5:
        return 0
    number = int.from_bytes(wkb[1:5], "little" if wkb[0] == 1 else "big")
    return (number & 0x0FFFFFFF) % 1000


def _refuse_surfaces(kinds: NDArray[np.int64], where: str) -> None:
    found = np.isin(kinds, _SURFACES)
    if found.any():
        raise surfaces(Counter(type_name(int(kind)) for kind in kinds[found]), where)


def surfaces(found: Counter[str], where: str) -> SceneError:
    """The error for surfaces in space."""
    listed = ", ".join(f"{name} ({n})" if n else name for name, n in sorted(found.items()))
    return SceneError(
        f"{where}: surfaces in space ({listed}) are no outline on the ground; draw their footprints "
        "as polygons (QGIS: dissolve the faces of each feature) and name that file"
    )


def _not_for_us(kinds: NDArray[np.int64], where: str) -> SceneError:
    names = ", ".join(sorted({type_name(int(kind)) for kind in kinds}))
    return SceneError(
        f"{where}: holds {names} where curves cannot be straightened; write the layer without "
        "curves (ogr2ogr -nlt CONVERT_TO_LINEAR) and name that file"
    )


def _one_by_one(
    wkb: NDArray[Any], ids: NDArray[np.int64], where: str
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    import shapely

    try:
        shapes = np.asarray(shapely.from_wkb(wkb, on_invalid="ignore"), object)
        missing = shapely.is_missing(shapes) & np.array([value is not None for value in wkb])
        shapes[missing] = shapely.from_wkb(wkb[missing], on_invalid="fix")
    except NotImplementedError:  # curves inside of collections
        raise _not_for_us(np.array([7]), where) from None
    except shapely.errors.GEOSException as error:
        raise SceneError(
            f"{where}: a geometry cannot be read ({str(error).strip()}); export the layer anew"
        ) from error
    lost = missing & shapely.is_missing(shapes)
    if lost.any():
        raise SceneError(
            f"{where}: the geometry of feature {ids[lost][0]} cannot be read ({int(lost.sum())} in "
            "all); correct or delete these features"
        )
    return shapes, missing
