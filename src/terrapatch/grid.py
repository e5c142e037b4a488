# SPDX-License-Identifier: Apache-2.0
"""Where pixels may lie: geoboxes, the MGRS tiling of Sentinel-2, units.

Laws:
1. A geobox is an `odc.geo.GeoBox`; CRS, transform and shape never travel apart.
2. Snapping to a grid happens here and once; all layers of a unit share its geobox.
3. `(y, x)` everywhere: rows before columns, heights before widths.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from affine import Affine
from odc.geo import CRS
from odc.geo.geobox import GeoBox

from .crs import GEOGRAPHIC, crs_name, equal_crs, exact_step, transformer
from .errors import GridError

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

TILE_SIZE_M = 109_800
"""Side of a Sentinel-2 tile: 10,980 pixels of 10 m. Source: S2 Products Specification, tiling."""

TILE_PIXEL_M = 10
"""Side of the pixels on a tile's own grid."""

_COLUMN_LETTERS = ("ABCDEFGH", "JKLMNPQR", "STUVWXYZ")
_ROW_LETTERS = "ABCDEFGHJKLMNPQRSTUV"
_LATITUDE_BANDS = "CDEFGHJKLMNPQRSTUVWX"


@dataclass(frozen=True)
class Window:
    """One patch: a square of `size_px` pixels in the geobox of its unit."""

    row: int
    """Row number of the patch in the dataset's sampling (not pixels)."""
    col: int
    y_px: int
    """First pixel row inside the unit's geobox."""
    x_px: int
    size_px: int
    id: str = ""
    """Name of the patch, where its place has one of its own; else row and column name it."""


@dataclass(frozen=True)
class Unit:
    """The piece of a dataset that one job handles: a mosaic block or an MGRS tile."""

    id: str
    geobox: GeoBox
    first_row: int
    """Row of the unit's first patch in the numbering of the whole dataset."""
    first_col: int
    windows: tuple[Window, ...] | None = None
    """Its patches, where a table says where they are; absent: at regular steps all over it."""


def geobox_to_dict(geobox: GeoBox) -> dict[str, Any]:
    """Plain form of a geobox: `crs` (authority code or WKT), `transform` (6 floats), `shape`."""
    if geobox.crs is None:
        raise GridError("a geobox without CRS cannot be recorded")
    crs = crs_name(str(geobox.crs))
    return {"crs": crs, "transform": list(geobox.affine)[:6], "shape": list(geobox.shape)}


def geobox_from_dict(data: dict[str, Any]) -> GeoBox:
    """Inverse of `geobox_to_dict`."""
    height, width = data["shape"]
    return GeoBox((height, width), Affine(*data["transform"]), data["crs"])


def snapped_geobox(
    bounds: tuple[float, float, float, float], crs: str, resolution: float
) -> GeoBox:
    """Smallest geobox around `bounds` whose pixel edges are multiples of the pixel size.

    Args:
        bounds: left, bottom, right, top in units of `crs`.
        crs: any CRS that PROJ knows, for example `EPSG:4326`.
        resolution: pixel size in units of `crs`, the same in x and y; `exact_step` rounds it.
    """
    left, bottom, right, top = bounds
    if not (right > left and top > bottom):
        raise GridError(f"empty bounds {bounds!r}; give left < right and bottom < top")
    resolution = exact_step(resolution, crs)
    # A sliver of 1e-6 pixels is rounding of the bounds, not a pixel that somebody asked for.
    col0 = math.floor(left / resolution + 1e-6)
    col1 = math.ceil(right / resolution - 1e-6)
    row0 = math.floor(-top / resolution + 1e-6)
    row1 = math.ceil(-bottom / resolution - 1e-6)
    transform = Affine(resolution, 0.0, col0 * resolution, 0.0, -resolution, -row0 * resolution)
    return GeoBox((row1 - row0, col1 - col0), transform, crs)


def pixel_size_m(geobox: GeoBox, latitude: float | None = None) -> tuple[float, float]:
    """Height and width of a pixel in metres.

    Args:
        geobox: a grid.
        latitude: where the size of a pixel in degrees is taken, on WGS 84; the geobox's middle if
            absent. Grids in metres have one size everywhere.
    """
    dy, dx = abs(geobox.affine.e), abs(geobox.affine.a)
    crs = geobox.crs
    if crs is None:
        raise GridError("a geobox without CRS has no size in metres")
    import pyproj

    if not crs.geographic:
        factor = pyproj.CRS.from_user_input(str(crs)).axis_info[0].unit_conversion_factor
        return dy * factor, dx * factor
    if latitude is None:
        latitude = geobox.affine.f + geobox.affine.e * geobox.shape[0] / 2
    geod = pyproj.Geod(ellps="WGS84")
    height = geod.inv(0, latitude - dy / 2, 0, latitude + dy / 2)[2]
    return height, geod.inv(0, latitude, dx, latitude)[2]


def grid_pixel(crs: str, pixel_m: float | None) -> float | None:
    """Side of a layer's pixels in units of the grid; None where the layer has the grid's own.

    Args:
        crs: of the grid.
        pixel_m: the layer's setting.

    Raises:
        GridError: the grid does not count in metres.
    """
    if pixel_m is None:
        return None
    import pyproj

    try:
        unit = pyproj.CRS.from_user_input(crs).axis_info[0].unit_name
    except pyproj.exceptions.CRSError as error:
        raise GridError(f"pixel_m: {crs!r} is no CRS: {error}") from error
    if unit != "metre":
        raise GridError(
            f"pixel_m: {pixel_m:g} m fit into no grid that counts in {unit} ({crs}) exactly; leave "
            "pixel_m out, or set sampling.crs to a grid in metres"
        )
    return float(pixel_m)


def pixels_along(length_px: int, old: float, new: float, what: str, key: str) -> int:
    """A length in pixels of another size.

    Args:
        length_px: in pixels of the old size.
        old: side of a pixel.
        new: side of a pixel of the other size, in the same unit.
        what: the length, for the message.
        key: the setting that changes it.

    Raises:
        GridError: it is no whole number of them.
    """
    exact = length_px * old / new
    found = round(exact)
    # Steps of a grid are rounded by 2^-29 (`exact_step`): a millionth is that, and no fraction.
    if abs(exact - found) > min(0.01, 1e-6 * max(1.0, exact)) or (length_px and not found):
        raise GridError(
            f"pixel_m: {what} is {length_px} px of {old:.12g}, and {exact:.6g} px of {new:.12g}: no "
            f"whole number; set {key} or the layer's pixel_m so that it is"
        )
    return found


def mgrs_tile_geobox(tile: str, resolution: float = 10.0) -> GeoBox:
    """Geobox of a Sentinel-2 tile.

    The upper left corner is that of the 100 km square, moved outwards to a multiple of 60 m
    (so that pixels of 10, 20 and 60 m nest), as in `ULX`/`ULY` of genuine tile metadata.

    Args:
        tile: MGRS name with or without leading T, for example `T31TCJ`.
        resolution: pixel size in metres: 10, 20 or 60.

    Raises:
        GridError: the name is no MGRS tile.
    """
    zone, south, easting, northing = _square(tile)
    left = math.floor(easting / 60) * 60
    # South of the equator the multiples count from the equator, not from the false northing.
    origin = 10_000_000 if south else 0
    top = math.ceil((northing + 100_000 - origin) / 60) * 60 + origin
    size = int(TILE_SIZE_M / resolution)
    transform = Affine(resolution, 0, left, 0, -resolution, top)
    return GeoBox((size, size), transform, f"EPSG:{(32700 if south else 32600) + zone}")


def _square(tile: str) -> tuple[int, bool, int, int]:
    """Zone, whether south of the equator, easting and northing of a 100 km square's corner."""
    name = tile.removeprefix("T").upper()
    try:
        zone, band, column, row = int(name[:2]), name[2], name[3], name[4]
        if len(name) != 5 or not 1 <= zone <= 60:
            raise ValueError
        easting = 100_000 * (_COLUMN_LETTERS[(zone - 1) % 3].index(column) + 1)
        band_index = _LATITUDE_BANDS.index(band)
        row_index = (_ROW_LETTERS.index(row) - (5 if zone % 2 == 0 else 0)) % 20
    except (ValueError, IndexError):
        raise GridError(f"{tile!r} is no MGRS tile; expected for example 'T31TCJ'") from None
    south = band < "N"
    # Row letters repeat every 2,000 km: the latitude band tells which turn is meant.
    latitude = -80 + 8 * band_index
    approx = _northing_of_latitude(latitude) + (10_000_000 if south else 0)
    northing = row_index * 100_000
    while northing + 100_000 <= approx - 50_000:
        northing += 2_000_000
    return zone, south, easting, northing


@lru_cache(maxsize=4096)
def one_name(tile: str) -> str:
    """The one name of a Sentinel-2 tile whose square lies in two latitude bands.

    `T33TVP` and `T33UVP` are one square on either side of 48 degrees north. Its name is that with
    the band in which the middle of the 100 km square lies: `T33UVP`.

    Args:
        tile: MGRS name with or without leading T; the result has it where `tile` has it. What is no
            MGRS name is returned as it is.
    """
    try:
        zone, south, easting, northing = _square(tile)
    except GridError:
        return tile
    crs = f"EPSG:{(32700 if south else 32600) + zone}"
    _, latitude = transformer(crs, GEOGRAPHIC).transform(easting + 50_000, northing + 50_000)
    first, last = (0, 9) if south else (10, 19)
    band = _LATITUDE_BANDS[min(max(math.floor((latitude + 80) / 8), first), last)]
    start = 3 if tile.startswith("T") else 2
    return f"{tile[:start]}{band}{tile[start + 1 :]}".upper()


def mgrs_tiles(geometry: BaseGeometry) -> list[str]:
    """Names (with leading T) of all Sentinel-2 tiles whose 109.8 km square meets `geometry`.

    A square in two latitude bands is one tile, see `one_name`.

    Args:
        geometry: shapely geometry in EPSG:4326 (longitude, latitude).

    Zones are the plain 6 degree zones and their neighbours where a square reaches over the
    zone's edge; the exceptions of Norway and Svalbard are not treated.
    """
    import shapely
    from shapely.geometry import box

    _, bottom, _, top = geometry.bounds
    zones: set[int] = set()
    for part in shapely.get_parts(geometry):  # one by one: parts may lie on either side of ±180
        left, _, right, _ = part.bounds
        zones |= set(
            range(max(1, int((left + 180) // 6)), min(60, int((right + 180) // 6) + 2) + 1)
        )
    names: list[str] = []
    for zone in sorted(zones):
        centre = zone * 6 - 183
        for band_index, band in enumerate(_LATITUDE_BANDS):
            south = -80 + 8 * band_index
            north = south + (12 if band == "X" else 8)
            cell = box(centre - 3, south, centre + 3, north)
            if north < bottom - 1.1 or south > top + 1.1:
                continue
            for column in _COLUMN_LETTERS[(zone - 1) % 3]:
                for row in _ROW_LETTERS:
                    tile = f"T{zone:02d}{band}{column}{row}"
                    square = _square_geometry(tile)
                    # A square exists in a band and zone where its 100 km core touches that cell.
                    if square is None or not square.intersects(cell):
                        continue
                    outline = tile_footprint(tile)
                    if shapely.intersects(outline, geometry):
                        names.append(one_name(tile))
    return sorted(set(names))


def tile_footprint(tile: str) -> BaseGeometry:
    """Outline of a Sentinel-2 tile in EPSG:4326, shapely polygon."""
    geobox = mgrs_tile_geobox(tile)
    return reprojected(geobox.extent.geom, str(geobox.crs), GEOGRAPHIC)


def _square_geometry(tile: str) -> BaseGeometry | None:
    """The 100 km core square in EPSG:4326, or None where it lies far outside its zone."""
    import shapely

    geobox = mgrs_tile_geobox(tile)
    left, top = geobox.affine.c, geobox.affine.f
    core = shapely.box(left + 5000, top - 104_900, left + 104_900, top - 5000)
    outline = reprojected(core, str(geobox.crs), GEOGRAPHIC)
    # Far outside its zone PROJ gives nonsense: such a square does not exist.
    return outline if outline.is_valid and shapely.bounds(outline)[2] < 181 else None


def _northing_of_latitude(latitude: float) -> float:
    """Metres from the equator along the meridian of WGS 84, times the UTM scale (series, ±10 m)."""
    phi = math.radians(latitude)
    arc = 6367449.1458 * phi - 16038.5087 * math.sin(2 * phi) + 16.8326 * math.sin(4 * phi)
    return 0.9996 * arc


def reprojected(geometry: BaseGeometry, source: str, target: str) -> BaseGeometry:
    """A polygon in another CRS, its edges made dense first (0.01 degree or 1 km).

    An edge that is straight in one CRS is curved in the other: without points in between, one
    degree of a parallel would miss its middle by 120 m in UTM at 45 degrees north. A result in
    degrees is cut at the antimeridian. Points that `target` cannot hold become infinite.
    """
    import numpy as np
    import shapely

    if equal_crs(source, target):
        return geometry
    transform = transformer(source, target).transform
    fine = shapely.segmentize(geometry, 0.01 if CRS(source).geographic else 1_000.0)
    moved = shapely.transform(fine, lambda xy: np.column_stack(transform(*xy.T)))
    return split_at_antimeridian(moved) if CRS(target).geographic else moved


def share_surface(left: BaseGeometry, right: BaseGeometry) -> bool:
    """Whether two polygons in one CRS overlap in more than an edge or a point."""
    return bool(left.intersection(right).area > 0)


def split_at_antimeridian(geometry: BaseGeometry) -> BaseGeometry:
    """A polygon in degrees with longitudes −180..180, cut in two where it crosses ±180.

    Rings are taken to be less than 180 degrees wide from point to point: a step over more than
    that is a step across the antimeridian.
    """
    import numpy as np
    import shapely

    parts = []
    world = shapely.box(-180, -90, 180, 90)
    for polygon in shapely.get_parts(geometry):
        rings = [shapely.get_coordinates(r) for r in (polygon.exterior, *polygon.interiors)]
        for ring in rings:
            ring[:, 0] = np.unwrap(ring[:, 0], period=360)
            ring[:, 0] += 360 * np.round((rings[0][0, 0] - ring[0, 0]) / 360)
        whole = shapely.Polygon(rings[0], rings[1:])
        if not whole.is_valid:
            whole = shapely.make_valid(whole)
        left, _, right, _ = whole.bounds
        if left >= -180 and right <= 180:
            parts.append(whole)
            continue
        for turn in (-360, 0, 360):
            moved = shapely.transform(whole, lambda xy, turn=turn: xy + np.array([turn, 0.0]))
            parts.append(moved.intersection(world))
    polygons = [p for g in parts for p in shapely.get_parts(g) if p.geom_type == "Polygon"]
    return polygons[0] if len(polygons) == 1 else shapely.MultiPolygon(polygons)
