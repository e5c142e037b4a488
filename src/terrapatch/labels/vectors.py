# SPDX-License-Identifier: Apache-2.0
"""Polygon layers and networks on the grid of a unit.

Laws:
1. Vectors are moved to the grid's CRS as vectors (edges divided first, so that a straight edge
   keeps its course to a few centimetres) and burnt once, on the final grid: see `burn`.
2. Of two overlapping features of a layer the greater `order_field` lies on top, then the smaller
   one (or the larger), then the one with the greater code. What is alike in all of this gives the
   same pixels in any order.
3. Lines are widened in metres: in the grid's CRS where that is UTM, else in the UTM zone in which
   the middle of the line lies. The scale of UTM is within 0.1 % of the ground's.
4. A broken geometry is repaired (areas enclosed an odd number of times remain) and counted.
5. The result depends on the grid alone, not on the window: halo, strips and units change nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..crs import GEOGRAPHIC, equal_crs, transformer
from ..errors import LegendError, SceneError
from ..legend import NODATA, Legend
from ..records import LockedVector
from ..settings import LabelsSettings, VectorSource
from ..vectors import (
    IGNORE,
    NULL,
    UNKNOWN,
    OpenVectors,
    code_error,
    findings,
    in_degrees,
    open_network,
    open_vectors,
    parts_of,
    read_box,
)
from .burn import Anchor, Shapes, burn

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

_BAND_ROWS = 4096
"""Rows burnt at once: bounds the features in memory, not the result."""
_EDGE_M = 1_000.0
_EDGE_DEGREES = 0.01
"""Edges are divided before they move to another CRS, as `grid.reprojected` does: the chord of a
kilometre is 2 cm from a straight line of another projection at 45 degrees."""
_QUADRANT = 16
"""Corners of a quarter circle at the ends of lines: 4 cm from the circle of 30 m."""


@dataclass
class FeatureCounts:
    """What became of the features of a source in a unit."""

    features: int = 0
    repaired: int = 0
    empty: int = 0
    """Features of no surface, once repaired."""
    left_out: int = 0
    """Features that `ignore` (vectors) or the rules (networks) leave out."""
    nulls: int = 0
    unknown: Counter[str] = field(default_factory=Counter)
    _seen: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))

    def newly(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which features no strip has told of yet."""
        new = ~np.isin(ids, self._seen)
        self._seen = np.union1d(self._seen, ids)
        return new

    def plain(self) -> dict[str, int]:
        """Numbers for the record of the label stack."""
        return {
            "features": self.features, "repaired": self.repaired, "empty": self.empty,
            "left_out": self.left_out,
        }  # fmt: skip


class VectorFiles:
    """The vector files of a lock, burnt into arrays, region by region."""

    def __init__(
        self,
        wanted: LabelsSettings,
        legend: Legend,
        vectors: Sequence[LockedVector],
        unpack_to: Path,
    ) -> None:
        self._wanted = wanted
        self._legend = legend
        self._vectors = vectors
        self._unpack_to = unpack_to
        self._tallies: dict[str, FeatureCounts] = {}
        self._sources: dict[str, OpenVectors] = {}
        # A value that no class has tells pixels without polygon from discarded ones.
        spare = set(range(NODATA)) - set(legend.finest.codes)
        if not spare:
            raise LegendError(f"legend {legend.name!r}: 255 classes leave no value for no polygon")
        self._free = max(spare)

    def fill(
        self, labels: NDArray[np.uint8], geobox: GeoBox, vector: LockedVector,
        covered: NDArray[np.bool_] | None = None,
    ) -> None:  # fmt: skip
        """Write one layer's classes into the pixels that have none yet.

        Args:
            labels: (y, x) uint8 on `geobox`, changed in place; 255 is nodata.
            geobox: grid of the labels, the halo included.
            vector: an entry of kind `vectors`.
            covered: (y, x), set in place where a polygon lies, be it one to be discarded.

        Raises:
            SceneError: the file cannot be read.
        """
        own = burn_polygons(self._open(vector), geobox, self._free, self._tally(vector))
        here = own != self._free
        np.copyto(labels, own, where=here & (labels == NODATA))
        if covered is not None:
            covered |= here

    def network(self, geobox: GeoBox) -> NDArray[np.uint8] | None:
        """(y, x) uint8: class of the networks of the recipe, 255 where there is none."""
        lines = [vector for vector in self._vectors if vector.kind == "networks"]
        if not lines:
            return None
        result = np.full(geobox.shape, NODATA, np.uint8)
        for vector in lines:
            burn_network(self._open(vector), geobox, result, self._tally(vector))
        return result

    def record(self, nodata_share: float) -> dict[str, Any]:
        """What became of the features, for the stack's record; empty where there are no vectors.

        Args:
            nodata_share: share of the pixels made that had no label before networks and cleaning.
        """
        if not self._vectors:
            return {}
        facts: dict[str, Any] = {n: self._tallies[n].plain() for n in sorted(self._tallies)}
        return facts | {"nodata_share": round(nodata_share, 6)}

    @property
    def sound(self) -> bool:
        """Whether each feature so far had a code that a crosswalk lists."""
        return not any(tally.unknown or tally.nulls for tally in self._tallies.values())

    def check(self) -> None:
        """Tell of the codes of all features so far.

        Raises:
            LegendError: codes that no crosswalk lists, or none at all.
        """
        lines = [
            line
            for name, tally in self._tallies.items()
            for line in findings(self._sources[name], tally.unknown, tally.nulls)
        ]
        if lines:
            raise code_error(lines)

    def _tally(self, vector: LockedVector) -> FeatureCounts:
        return self._tallies.setdefault(vector.entry, FeatureCounts())

    def _open(self, vector: LockedVector) -> OpenVectors:
        if vector.entry not in self._sources:
            opened = open_vectors if vector.kind == "vectors" else open_network
            self._sources[vector.entry] = opened(
                self._wanted, vector.source, vector.href, self._legend, self._unpack_to,
                layer=vector.layer, crs=vector.crs,
            )  # fmt: skip
        return self._sources[vector.entry]


def burn_polygons(
    source: OpenVectors, geobox: GeoBox, free: int, tally: FeatureCounts
) -> NDArray[np.uint8]:
    """Burn a layer of polygons.

    Args:
        source: an open entry of `vectors`.
        geobox: grid of the result, the halo included.
        free: value of pixels that no polygon covers; no class and not 255.
        tally: what became of the features, added to.

    Returns:
        (y, x) uint8: class, 255 where the polygon on top is to be discarded, or `free`.

    Raises:
        SceneError: the layer cannot be read, or holds no polygons.
        GridError: a polygon reaches to where the grid's CRS has no coordinates.
    """
    assert isinstance(source.settings, VectorSource)
    result = np.full(geobox.shape, free, np.uint8)
    sign = -1 if source.settings.on_top == "smaller" else 1
    for rows, shapes, codes, tops in _strips(source, geobox, tally):
        order = np.lexsort((codes, sign * shapes.area, tops))  # the last key first
        burn(shapes, codes.astype(np.uint8), order, result[rows.start : rows.stop])
    return result


def burn_network(
    source: OpenVectors, geobox: GeoBox, network: NDArray[np.uint8], tally: FeatureCounts
) -> None:
    """Burn a network into pixels that have none yet.

    Args:
        source: an open entry of `networks`.
        geobox: grid of the array, the halo included.
        network: (y, x) uint8, 255 where there is no network; changed in place.
        tally: what became of the features, added to.
    """
    for rows, shapes, codes, _ in _strips(source, geobox, tally):
        own = np.full((len(rows), geobox.shape[1]), NODATA, np.uint8)
        burn(shapes, codes.astype(np.uint8), np.arange(len(shapes)), own)
        strip = network[rows.start : rows.stop]
        np.copyto(strip, own, where=strip == NODATA)


def _strips(
    source: OpenVectors, geobox: GeoBox, tally: FeatureCounts
) -> Iterator[tuple[range, Shapes, NDArray[np.int64], NDArray[np.float64]]]:
    """Features of the layer, a strip of rows at a time."""
    anchor = Anchor.of(geobox)
    height = geobox.shape[0]
    for start in range(0, height, _BAND_ROWS):
        rows = range(start, min(start + _BAND_ROWS, height))
        parts = list(_moved(source, geobox[rows.start : rows.stop, :], tally))
        if parts:
            geometries, codes, tops = (np.concatenate(part) for part in zip(*parts, strict=True))
            shapes = Shapes.of(geometries, anchor.rows(rows))
            yield rows, shapes, codes.astype(np.int64), tops


def _moved(
    source: OpenVectors, strip: GeoBox, tally: FeatureCounts
) -> Iterator[tuple[NDArray[Any], NDArray[np.int16], NDArray[np.float64]]]:
    """Polygons around a strip in its CRS, with codes and order values."""
    grid, crs = str(strip.crs), source.layer.crs
    for features in source.read(read_box(strip, crs, source.reach_m)):
        new = tally.newly(features.ids)
        codes = features.codes
        out = (codes == IGNORE) | (codes == UNKNOWN) | (codes == NULL)
        geometries, repaired = _sound(features.geometries[~out], source)
        repaired |= features.repaired[~out]
        sound = np.array([g is not None for g in geometries], bool)
        tally.nulls += int((new & (codes == NULL)).sum())
        tally.left_out += int((new & (codes == IGNORE)).sum())
        tally.features += int((new & ~out).sum())
        tally.repaired += int((new[~out] & repaired).sum())
        tally.empty += int((new[~out] & ~sound).sum())
        if new.all():
            tally.unknown.update(features.unknown)
        elif new.any():  # seldom: a strip's neighbours have told of the rest
            tally.unknown |= features.unknown
        if not sound.any():
            continue
        widths = features.widths[~out][sound]
        moved = geometries[sound]
        moved = (
            _widened(moved, widths, crs, grid)
            if source.is_network
            else _reprojected(moved, crs, grid)
        )
        yield moved, codes[~out][sound], features.tops[~out][sound]


def _sound(geometries: NDArray[Any], source: OpenVectors) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Geometries valid and in one form (None where nothing is left), and which were broken."""
    import shapely

    result = np.array(geometries, object)
    result[shapely.is_missing(result) | shapely.is_empty(result)] = None
    broken = (shapely.get_dimensions(result) == 2) & ~shapely.is_valid(result)
    for at in np.flatnonzero(broken):
        try:
            polygons = parts_of(shapely.make_valid(result[at]), 2)[0]
        except shapely.errors.GEOSException as error:
            raise SceneError(
                f"{source.layer.where} ({source.entry}): a geometry cannot be repaired "
                f"({str(error).strip()}); repair the layer (QGIS: Fix geometries)"
            ) from error
        result[at] = shapely.MultiPolygon(polygons) if polygons else None
    # Where a ring starts and which way it runs differs between formats: here it no longer does.
    return shapely.normalize(result), broken


def _reprojected(geometries: NDArray[Any], source: str, target: str) -> NDArray[Any]:
    """Geometries in another CRS, long edges divided first."""
    import shapely

    if equal_crs(source, target):
        return geometries
    limit = _EDGE_DEGREES if in_degrees(source) else _EDGE_M
    fine = geometries.copy()
    xy, owner = shapely.get_coordinates(geometries, return_index=True)
    # Steps from ring to ring are among them: dividing looks at the edges themselves.
    far = (np.abs(np.diff(xy, axis=0)).max(axis=1, initial=0) > limit / 2) & (np.diff(owner) == 0)
    long = np.unique(owner[1:][far])
    fine[long] = shapely.segmentize(geometries[long], limit)
    move = transformer(source, target)
    result: NDArray[Any] = shapely.transform(
        fine, lambda xy: np.column_stack(move.transform(*xy.T))
    )
    return result


def _widened(
    geometries: NDArray[Any], widths: NDArray[np.float64], source: str, grid: str
) -> NDArray[Any]:
    """Lines (or polygons) with a rim in metres, in the CRS of the grid; law 3."""
    import shapely

    if _is_utm(grid):
        moved = _reprojected(geometries, source, grid)
        return np.asarray(shapely.buffer(moved, widths, quad_segs=_QUADRANT), object)
    middles = shapely.bounds(geometries)
    x, y = (middles[:, 0] + middles[:, 2]) / 2, (middles[:, 1] + middles[:, 3]) / 2
    longitude, latitude = transformer(source, GEOGRAPHIC).transform(x, y)
    zone = np.clip(np.floor((np.asarray(longitude) + 180) / 6), 0, 59).astype(int) + 1
    codes = np.where(np.asarray(latitude) < 0, 32_700, 32_600) + zone
    result = np.empty(len(geometries), object)
    for code in np.unique(codes):
        here = codes == code
        metric = f"EPSG:{code}"
        moved = _reprojected(geometries[here], source, metric)
        wide = np.asarray(shapely.buffer(moved, widths[here], quad_segs=_QUADRANT), object)
        result[here] = _reprojected(wide, metric, grid)
    return result


@lru_cache(maxsize=64)
def _is_utm(crs: str) -> bool:
    from pyproj import CRS

    return CRS.from_user_input(crs).utm_zone is not None
