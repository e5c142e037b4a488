# SPDX-License-Identifier: Apache-2.0
"""The labels of a unit, made region by region: a stack of patches, or a raster to look at.

Laws:
1. Bands are the levels of the legend, finest first, then their edges; `source` is 1 where the
   finest level is not 255.
2. The stack is what later stages read; the raster is for people and no stage's input.
"""

from __future__ import annotations

from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..cutting import shard_patches
from ..errors import InputError
from ..grid import geobox_to_dict, grid_pixel
from ..layers import Values
from ..legend import NODATA, Legend
from ..lock import read_lock, unit_geobox
from ..places import Places, read_places
from ..rasters import write_geotiff
from ..recipe import read_settings
from ..settings import LabelsSettings, named_files
from ..stacks import StackInfo, StackWriter, create_stack
from ..sums import check_named
from .label import References, bands_of, label_layers
from .steps import bounded, cleaned

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox


@dataclass(frozen=True)
class Made:
    """Finished labels of a region."""

    layers: NDArray[np.uint8]
    """(band, y, x) uint8; 255 is nodata."""
    bands: tuple[str, ...]
    """Levels, finest first, then edges."""


class Maker:
    """Makes the labels of a unit, region by region.

    A region is burnt and cleaned by itself, with a halo; it has the pixels of the whole, bit for bit.
    Where a step has no bound (`sieve` by size, `fill` by knn_rows), the one region is the unit.
    """

    def __init__(self, lock: Path, unit: str, wanted: LabelsSettings) -> None:
        """Open the sources. Raises: see `labels`."""
        self.sources, self.wanted = References(lock, unit, wanted), wanted
        self.legend, self.unit = self.sources.legend, self.sources.unit
        self._pixels = self._bare = 0

    def regions(self, places: Places) -> list[tuple[tuple[slice, slice], NDArray[np.int64]]]:
        """Rectangles to make so that all patches have their labels, see `Places.regions`."""
        if places.ids and not bounded(self.wanted):
            whole = slice(0, int(self.unit.shape[0])), slice(0, int(self.unit.shape[1]))
            return [(whole, np.arange(len(places)))]
        return places.regions(self.sources.halo)

    def made(self, geobox: GeoBox) -> Made | None:
        """Labels of a region: burnt, cleaned, with all levels and edges.

        None where there were codes before that no crosswalk lists: `record` will tell of all.
        """
        found = self.sources.burnt(geobox)
        self._pixels += geobox.shape[0] * geobox.shape[1]
        self._bare += found.bare_px
        if not self.sources.sound:
            return None
        wanted, halo = self.wanted, self.sources.halo
        clean = cleaned(found.labels, found.network, wanted, self.legend, self.sources.pixel_m)
        return Made(*label_layers(clean, self.legend, wanted.edges, halo))

    def whole(self) -> Made:
        """Labels of the whole unit. Raises: see `labels`."""
        found = self.made(self.unit)
        self.sources.check()
        assert found is not None, "else the check has raised"
        return found

    def record(self) -> dict[str, Any]:
        """What became of the features of vector layers, and what is odd in maps.

        That is features, repaired, empty, left_out by source, and `nodata_share`, the share of
        pixels without label before networks and cleaning; and `tolerated`, the pixels of each source
        code that should not occur, where the crosswalk names such.

        Raises:
            LegendError: a source holds codes that no crosswalk lists.
        """
        self.sources.check()
        told = {str(code): n for code, n in sorted(self.sources.tolerated.items())}
        found = self.sources.files.record(self._bare / max(1, self._pixels))
        return found | ({"tolerated": told} if told else {})


def labels(
    lock: Path, unit: str, footprints: Path, settings: Path, output: Path, threads: int = 1
) -> None:
    """Make the label stack of a unit: `stacks/UNIT/label.zarr`.

    Args:
        lock: the lock, see `label.References`.
        unit: id of the unit.
        footprints: `footprints/UNIT.parquet`.
        settings: the stage's settings.
        output: the stack; `data` is (patch, 1, band, y, x) uint8 codes of the legend, 255 is nodata;
            what became of the features of vector layers stands in its record, see `Maker.record`.
        threads: shards encoded at a time; they change no byte.

    Raises:
        IncompleteError: the lock names neither map nor polygons for the unit.
        LegendError: a source holds codes that the crosswalk does not list.
        SceneError: a source cannot be read.
        SourceError: a file has changed since it was planned.
        StorageError: the footprints cannot be read, or the stack cannot be written.
    """
    told = read_settings(settings)
    plan = read_lock(lock)
    check_named(named_files(told, "stack"), plan, lock)
    maker = Maker(lock, unit, told.label)
    base = unit_geobox(plan.unit(unit))
    places = read_places(footprints, base).at(grid_pixel(str(base.crs), told.label.pixel_m))
    bands = bands_of(maker.legend, told.label.edges)
    info = StackInfo(
        layer=next(iter(told.labels)), kind="labels", unit=unit, geobox=geobox_to_dict(places.geobox), bands=bands,
        patch_ids=places.ids, size_px=places.size_px, times=("reference",),
        items=(("reference",),), dtype="uint8",
        values=Values(f"codes of legend {maker.legend.name}", nodata=NODATA),
        shard_patches=shard_patches(places, len(bands) * places.size_px**2),
    )  # fmt: skip
    with create_stack(output, info) as writer, ThreadPoolExecutor(max(1, threads)) as pool:
        shards = _Shards(writer, places)
        for (rows, cols), members in maker.regions(places):
            found = maker.made(places.geobox[rows, cols])
            if found is not None:
                corners = places.corners[members] - (rows.start, cols.start)
                shards.put(found.layers, members, corners, pool)
        writer.record(maker.record())


def label_raster(lock: Path, unit: str, settings: Path, output: Path, band: str = "") -> None:
    """Write labels of a whole unit as a raster to look at, its classes in the legend's colours.

    Args:
        lock: the lock, see `label.References`.
        unit: id of the unit.
        settings: the stage's settings.
        output: the GeoTIFF to write: one band of uint8 codes with a palette, nodata 255.
        band: a level of the legend, or `edge_LEVEL`; the finest level if empty.

    Raises:
        InputError: no such band.
        Error: else as `labels`.
    """
    told, plan = read_settings(settings), read_lock(lock)
    check_named(named_files(told, "stack"), plan, lock)
    maker = Maker(lock, unit, told.label)
    bands = bands_of(maker.legend, told.label.edges)
    name = band or bands[0]
    if name not in bands:
        raise InputError(f"--band {band}: the labels have the bands {', '.join(bands)}")
    write_geotiff(
        output, maker.whole().layers[bands.index(name)], maker.unit, nodata=NODATA,
        descriptions=[name], tile=256, colormap=_colours(maker.legend, name),
    )  # fmt: skip


def _colours(legend: Legend, band: str) -> dict[int, tuple[int, int, int]]:
    """Code → red, green, blue: of a level its classes', of edges from white to black."""
    for level in legend.levels:
        if level.name == band:
            return {entry.code: entry.rgb for entry in level.classes}
    return {code: (max(0, 254 - code),) * 3 for code in range(NODATA)} | {1: (0, 0, 0)}


class _Shards:
    """Shards of a stack of labels on their way: each is written when its last patch has come."""

    def __init__(self, writer: StackWriter, places: Places) -> None:
        self.writer, self.size = writer, places.size_px
        self.missing = [len(members) for members in writer.info.shards]
        self.waiting: dict[int, NDArray[np.uint8]] = {}

    def put(
        self, layers: NDArray[np.uint8], members: NDArray[np.int64], corners: NDArray[np.int64],
        pool: Executor,
    ) -> None:  # fmt: skip
        """Cut patches out of a region.

        Args:
            layers: (band, y, x) of the region.
            members: (patch,) numbers of its patches, ascending.
            corners: (patch, 2) row and column of each in the region.
            pool: shards are cut and encoded in it.
        """
        info, size = self.writer.info, self.size
        shard_of = members // info.shard_patches

        def one(shard: int) -> None:
            first, count = info.shards[shard].start, len(info.shards[shard])
            shape = (count, len(info.bands), size, size)
            data = self.waiting.pop(shard, None)
            data = np.empty(shape, np.uint8) if data is None else data
            here = np.flatnonzero(shard_of == shard)
            for at, (y, x) in zip(members[here].tolist(), corners[here].tolist(), strict=True):
                data[at - first] = layers[:, y : y + size, x : x + size]
            self.missing[shard] -= here.size
            if self.missing[shard]:
                self.waiting[shard] = data
            else:
                self.writer.write(shard, 0, data, (data[:, 0] != NODATA).astype(np.uint8))

        list(pool.map(one, np.unique(shard_of).tolist()))
