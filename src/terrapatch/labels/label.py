# SPDX-License-Identifier: Apache-2.0
"""From maps of source codes to the labels of a region: every level of the legend, and edges.

Laws:
1. A label pixel takes the code of the source pixel that contains its centre, straight from the
   source grid, in one step; a centre on a border (to 1e-6 px) belongs to the right or lower pixel.
2. Source coordinates are those of all layers (`resample`, law 1; at 10 m they are within 0.002 px
   of PROJ itself): they, and so the labels, do not depend on units, halos or strips.
3. Of several sources the first with an observed class wins, pixel by pixel: by priority, vectors
   before maps, then as the recipe names them. Networks lie over all of them.
4. Coarser levels are derived from the finest one, never read; a code that the crosswalk does not
   list is an error that lists every such code with its pixels.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import IncompleteError, LegendError
from ..grid import grid_pixel
from ..legend import NODATA, Crosswalk, Legend, load_crosswalk, load_legend, whole_number
from ..lock import read_lock, unit_geobox
from ..paths import root_of
from ..places import Places
from ..rasters import read_masked
from ..records import LockedAsset, LockedItem
from ..resample import CELL, SNAP, Lattice, nodes
from ..settings import LabelsSettings
from ..sums import check_unchanged
from .edges import HALO, edges
from .steps import clean_halo, pixel_of
from .vectors import VectorFiles

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

_UNKNOWN = -1
_OUTSIDE = -1e12  # source coordinate of nodes where PROJ has no answer
_STRIP_PX = 2**18  # label pixels per step: its temporary arrays stay in the cache
_WINDOW_PX = 2**28  # source pixels read at once


@dataclass(frozen=True)
class Located:
    """Where the pixels of a geobox lie in a source raster."""

    lattice: Lattice
    """Nodes in pixels from the centre of the source's first pixel; all finite."""
    lines: NDArray[np.float64]
    """(2, node row, x): source row and column, interpolated along x to the pixels' columns."""

    @classmethod
    def of(cls, geobox: GeoBox, asset: LockedAsset) -> Located:
        """Locate the pixels of a geobox.

        Raises:
            GridError: the geobox is rotated, or PROJ knows no way between the two systems.
        """
        exact = nodes(geobox, asset.crs).lattice(asset.transform)
        known = np.isfinite(exact.nodes).all(axis=0)
        lattice = exact._replace(nodes=np.where(known, exact.nodes, _OUTSIDE))
        cell, weight = _in_cells(lattice.cell[1], lattice.origin[1], range(geobox.shape[1]))
        left, right = lattice.nodes[:, :, cell], lattice.nodes[:, :, cell + 1]
        return cls(lattice, left * (1 - weight) + right * weight)

    def centres(self, rows: range) -> NDArray[np.float64]:
        """(2, y, x): source row and column of the centres in some rows of the geobox."""
        cell, weight = _in_cells(self.lattice.cell[0], self.lattice.origin[0], rows)
        above, below = self.lines[:, cell], self.lines[:, cell + 1]
        return np.asarray(above * (1 - weight)[:, None] + below * weight[:, None])

    def window(self, rows: range, shape: tuple[int, int]) -> tuple[slice, slice] | None:
        """Part of a source raster of `shape` that some rows of the geobox can touch.

        None where they lie outside.
        """
        cell, _ = _in_cells(self.lattice.cell[0], self.lattice.origin[0], rows)
        around = self.lattice.nodes[:, cell[0] : cell[-1] + 2]
        parts = []
        for at, length in zip(around, shape, strict=True):
            start = max(0, math.floor(at.min()))
            stop = min(length, math.ceil(at.max()) + 2)
            if start >= stop:
                return None
            parts.append(slice(start, stop))
        return parts[0], parts[1]


def _in_cells(
    first: int, origin: int, pixels: range
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Node before each pixel's centre, and how far the centre lies towards the next, 0..1."""
    number = np.arange(pixels.start, pixels.stop) + origin
    return number // CELL - first, number % CELL / CELL


@dataclass(frozen=True)
class CodeTable:
    """Source code → label, as an array to look up in."""

    first: int
    """Source code of `labels[1]`; `labels[0]` and the last one stand for all codes beyond."""
    labels: NDArray[np.int16]
    nodata: float | None
    tolerated: tuple[int, ...] = ()
    """Source codes to count, see `Crosswalk`."""

    @classmethod
    def of(cls, crosswalk: Crosswalk, legend: Legend, nodata: float | None) -> CodeTable:
        """Table of a crosswalk; the raster's own nodata value goes before the crosswalk.

        Raises:
            LegendError: the crosswalk leads to codes that the legend does not have.
        """
        wrong = {
            source: code
            for source, code in crosswalk.codes.items()
            if code != NODATA and code not in legend.finest.codes
        }
        if crosswalk.words and not crosswalk.codes:
            raise LegendError(
                f"crosswalk {crosswalk.name!r}: its codes are words, and those of a map are whole "
                "numbers; it is for polygons (vectors)"
            )
        if wrong or not crosswalk.codes:
            raise LegendError(
                f"crosswalk {crosswalk.name!r}: source codes lead to no class of legend "
                f"{legend.name!r}, level {legend.finest.name!r} (source: class) {wrong}; its "
                f"classes are {list(legend.finest.codes)}. Correct the crosswalk"
            )
        first, last = min(crosswalk.codes), max(crosswalk.codes)
        labels = np.full(last - first + 3, _UNKNOWN, np.int16)
        for source, code in crosswalk.codes.items():
            labels[source - first + 1] = code
        return cls(first, labels, nodata, tuple(sorted(crosswalk.tolerated)))

    def __call__(self, codes: NDArray[Any]) -> NDArray[np.int16]:
        """Labels of source codes; 255 where missing (nodata, NaN), -1 where unknown."""
        missing = np.zeros(codes.shape, bool) if self.nodata is None else codes == self.nodata
        beyond = self.first + len(self.labels) - 2
        if codes.dtype.kind == "f":
            missing |= np.isnan(codes)
            # Fractions are no codes: they go where all that the table does not know goes.
            codes = np.where(codes == np.rint(codes), codes, self.first - 1)
        else:
            codes = codes.astype(np.int64)
        index = np.clip(codes, self.first - 1, beyond).astype(np.intp) - (self.first - 1)
        labels: NDArray[np.int16] = self.labels[index]
        labels[missing] = NODATA
        return labels


def _row_strips(count: int, width: int, strip_px: int) -> Iterator[range]:
    step = max(1, strip_px // max(1, width))
    for start in range(0, count, step):
        yield range(start, min(start + step, count))


def fill_labels(
    labels: NDArray[np.uint8],
    geobox: GeoBox,
    asset: LockedAsset,
    table: CodeTable,
    halo: int,
    told: Counter[int] | None = None,
) -> Counter[float]:
    """Write one map's classes into the pixels that have none yet.

    Args:
        labels: (y, x) uint8 labels on `geobox`, changed in place; 255 is nodata.
        geobox: grid of the labels, the halo included.
        asset: the map.
        table: what its codes mean.
        halo: pixels around the unit, whose unknown codes other units report.
        told: pixels of the unit by tolerated source code, added to.

    Returns:
        Unknown source codes of the unit with their number of pixels.

    Raises:
        SceneError: the map cannot be read.
    """
    height, width = labels.shape
    located = Located.of(geobox, asset)
    unknown: Counter[float] = Counter()
    whole = located.window(range(height), asset.shape)
    if whole is None:
        return unknown
    # Mostly one part: each block of the file is then decoded once.
    wanted_px = (whole[0].stop - whole[0].start) * (whole[1].stop - whole[1].start)
    rows_a_part = math.ceil(height / math.ceil(wanted_px / _WINDOW_PX))
    for start in range(0, height, rows_a_part):
        part = range(start, min(start + rows_a_part, height))
        window = located.window(part, asset.shape)
        if window is None:
            continue
        source, masked = read_masked(asset, window)
        for strip in _row_strips(len(part), width, _STRIP_PX):
            rows = range(start + strip.start, start + strip.stop)
            target = labels[rows.start : rows.stop]
            if not (target == NODATA).any():
                continue
            found, used, codes = _look_up(source, masked, window, located.centres(rows), table)
            open_ = used & (target == NODATA)
            np.copyto(target, found.astype(np.uint8), where=open_ & (found >= 0))
            bad = open_ & (found == _UNKNOWN)
            inner = slice(max(0, halo - rows.start), max(0, height - halo - rows.start))
            inside = (inner, slice(halo, width - halo))
            if told is not None:
                for code in table.tolerated:
                    told[code] += int(np.count_nonzero((codes == code)[inside] & open_[inside]))
            if bad.any():
                values, counts = np.unique(codes[inside][bad[inside]], return_counts=True)
                unknown.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
    return unknown


def _look_up(
    source: NDArray[Any],
    masked: NDArray[np.bool_] | None,
    window: tuple[slice, slice],
    centres: NDArray[np.float64],
    table: CodeTable,
) -> tuple[NDArray[np.int16], NDArray[np.bool_], NDArray[Any]]:
    """Labels at source coordinates, whether the source has a pixel there, and its codes."""
    # Pixel k covers k - 0.5 … k + 0.5.
    row, col = np.floor(centres + (0.5 + SNAP)).astype(np.intp)
    row -= window[0].start
    col -= window[1].start
    used = (row >= 0) & (row < source.shape[0]) & (col >= 0) & (col < source.shape[1])
    row *= source.shape[1]
    row += col
    row[~used] = 0
    codes = source.reshape(-1)[row]
    found = table(codes)
    if masked is not None:
        found[masked.reshape(-1)[row]] = NODATA
    return found, used, codes


def bands_of(legend: Legend, edge_kind: str) -> tuple[str, ...]:
    """Names of all bands: levels, finest first, then their edges where there are any."""
    names = tuple(level.name for level in legend.levels)
    return names + (tuple(f"edge_{name}" for name in names) if edge_kind != "none" else ())


def label_layers(
    labels: NDArray[np.uint8], legend: Legend, edge_kind: str, halo: int
) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """All bands of a label raster from the labels of the finest level.

    Args:
        labels: (y, x) uint8 with `halo` pixels more on every side; 255 is nodata.
        legend: its levels become bands.
        edge_kind: kind of the edge layers, or `none`.
        halo: at least `HALO[edge_kind]`.

    Returns:
        (band, y, x) uint8 without the halo: levels finest first, then their edges; and the
        names of the bands.
    """
    height, width = (length - 2 * halo for length in labels.shape)
    names = [level.name for level in legend.levels]
    titles = bands_of(legend, edge_kind)
    result = np.empty((len(titles), height, width), np.uint8)
    # Long strips where the halo is long, so that it is not most of the work.
    for strip in _row_strips(height, width, max(_STRIP_PX, 8 * halo * width)):
        piece = labels[strip.start : strip.stop + 2 * halo]
        for number, name in enumerate(names):
            codes = legend.derive(name)[piece]
            cut = (slice(halo, halo + len(strip)), slice(halo, halo + width))
            result[number, strip.start : strip.stop] = codes[cut]
            if edge_kind != "none":
                layer = edges(codes, edge_kind)  # type: ignore[arg-type]
                result[len(names) + number, strip.start : strip.stop] = layer[cut]
    return result, titles


@dataclass(frozen=True)
class Burnt:
    """Labels of a region as its sources have them, before networks and cleaning."""

    labels: NDArray[np.uint8]
    """(y, x) uint8 codes of the finest level with the halo; 255 is nodata."""
    network: NDArray[np.uint8] | None
    """(y, x) uint8 with the halo, 255 where there is none; None without networks."""
    geobox: GeoBox
    """The region, without halo."""
    bare_px: int
    """Pixels of the region without label."""


class References:
    """The maps, polygons and networks of a unit, brought onto its grid region by region.

    A region depends on what lies within its halo alone: regions give the pixels of the whole.
    """

    def __init__(self, lock: Path, unit: str, wanted: LabelsSettings) -> None:
        """Open the sources of a unit.

        Args:
            lock: the lock; the maps are the assets `map` of the unit's items of sensor `reference`,
                the polygons and networks are its `vectors`.
            unit: id of the unit.
            wanted: the recipe's section.

        Raises: see `stack.labels`.
        """
        plan = read_lock(lock)
        self.items, self.polygons = plan.maps_of(unit), plan.vectors_of(unit)
        if not self.items and not self.polygons:
            raise IncompleteError(
                f"{lock}: no reference map for unit {unit!r}; give path, vectors "
                "(or a raster with sensor: reference) that covers the area, and plan again"
            )
        used = [*self.polygons, *(vector for vector in plan.vectors if vector.kind == "networks")]
        maps = [item.assets["map"] for item in self.items]
        check_unchanged([*maps, *(file for vector in used for file in vector.files)], lock)
        self.wanted, self.legend = wanted, load_legend(wanted.legend)
        pixel = grid_pixel(str(plan.unit(unit).geobox["crs"]), wanted.pixel_m)
        self.unit = Places.of_unit(unit_geobox(plan.unit(unit))).at(pixel).geobox
        self.pixel_m = pixel_of(plan, self.unit)
        """Height and width of a pixel in metres, the same for all units of a grid in degrees."""
        self.halo = HALO[wanted.edges] + clean_halo(wanted, self.pixel_m)
        self.files = VectorFiles(
            wanted, self.legend, plan.vectors, root_of(Path(lock)) / "unpacked"
        )
        self.unknown: dict[str, Counter[float]] = {}
        self.tolerated: Counter[int] = Counter()
        """Pixels by source code that should not occur, of the regions so far."""

    def burnt(self, geobox: GeoBox) -> Burnt:
        """Bring all sources onto a region.

        Codes that no crosswalk lists are gathered; `check` tells of them.

        Raises: see `stack.labels`.
        """
        wanted = self.wanted
        around = geobox.pad(self.halo) if self.halo else geobox
        labels = np.full(around.shape, NODATA, np.uint8)
        covered = np.zeros(around.shape, bool) if wanted.background is not None else None
        jobs: list[tuple[int, Callable[[], None]]] = [
            (
                wanted.vectors[vector.source].priority,
                partial(self.files.fill, labels, around, vector, covered),
            )
            for vector in self.polygons
        ]
        jobs += [(0, partial(self._fill_map, labels, around, item)) for item in self.items]
        # Stable: what has one priority stays in the order above, vectors first.
        for _, job in sorted(jobs, key=lambda job: -job[0]):
            job()
        if covered is not None:
            labels[(labels == NODATA) & ~covered] = wanted.background
        inside = labels[self.halo :, self.halo :][: geobox.shape[0], : geobox.shape[1]]
        bare = int(np.count_nonzero(inside == NODATA))
        return Burnt(labels, self.files.network(around), geobox, bare)

    def check(self) -> None:
        """Tell of all codes, of the regions so far, that no crosswalk lists.

        Raises:
            LegendError: there are some.
        """
        self.files.check()
        if self.unknown:
            raise LegendError(_unknown_codes(self.unknown, load_crosswalk(self.wanted.crosswalk)))

    @property
    def sound(self) -> bool:
        """Whether no such code was met so far."""
        return not self.unknown and self.files.sound

    def _fill_map(self, labels: NDArray[np.uint8], around: GeoBox, item: LockedItem) -> None:
        asset = item.assets["map"]
        table = CodeTable.of(_with_ignored(self.wanted), self.legend, asset.nodata)
        found = fill_labels(labels, around, asset, table, self.halo, self.tolerated)
        if found:
            self.unknown.setdefault(asset.href, Counter()).update(found)


def _with_ignored(wanted: LabelsSettings) -> Crosswalk:
    """The crosswalk of maps, with the codes that the recipe leaves out."""
    crosswalk = load_crosswalk(wanted.crosswalk)
    extra = []
    for text in map(str, wanted.ignore_codes):
        try:
            extra.append(whole_number(text))
        except ValueError:
            continue  # a code of polygons
    twice = [code for code in extra if crosswalk.codes.get(code, NODATA) != NODATA]
    if twice:
        raise LegendError(
            f"crosswalk {wanted.crosswalk!r}: code(s) {twice} have a row there and stand under "
            "ignore_codes too; take them out of one of them"
        )
    codes = dict.fromkeys(extra, NODATA) | dict(crosswalk.codes)
    return replace(crosswalk, codes=codes)


def _unknown_codes(unknown: Mapping[str, Mapping[float, int]], crosswalk: Crosswalk) -> str:
    files = [
        f"{href}: "
        + ", ".join(f"code {code:g} ({count} pixels)" for code, count in sorted(codes.items()))
        for href, codes in unknown.items()
    ]
    return (
        f"source codes in no row of crosswalk {crosswalk.name!r}: {'; '.join(files)}. Add each to "
        "the crosswalk (an empty code means nodata), or name another under crosswalk"
    )
