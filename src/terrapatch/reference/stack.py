# SPDX-License-Identifier: Apache-2.0
"""The labels of a unit, made from its sources: a stack of patches, or a raster to look at.

Laws:
1. Bands are the levels of the legend, finest first, then their edges; `source` is 1 where the
   finest level is not 255.
2. The stack is what later stages read; the raster is for people and no stage's input.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..grid import geobox_to_dict
from ..layers import Values
from ..legend import NODATA, Legend
from ..mosaic import shard_patches
from ..places import Places, read_places
from ..rasters import write_geotiff
from ..recipe import read_settings
from ..sections import LabelsSettings, named_files
from ..stacks import LABEL, StackInfo, create_stack
from ..sums import check_named
from ..tables import read_lock, unit_geobox
from .label import burnt, label_layers
from .steps import cleaned

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox


@dataclass(frozen=True)
class Made:
    """Finished labels of a window."""

    layers: NDArray[np.uint8]
    """(band, y, x) uint8; 255 is nodata."""
    bands: tuple[str, ...]
    """Levels, finest first, then edges."""
    geobox: GeoBox
    legend: Legend
    record: dict[str, Any]
    """What became of the features of vector layers: features, repaired, empty, left_out by source,
    and `nodata_share`, the share of pixels without label before networks and cleaning."""


def made(lock: Path, unit: str, wanted: LabelsSettings) -> Made:
    """Labels of a unit: burnt, cleaned, with all levels and edges.

    Raises: see `reference`.
    """
    found = burnt(lock, unit, wanted)
    record = found.files.record(found.nodata_share)
    clean = cleaned(found.labels, found.network, wanted, found.legend, found.pixel_m)
    layers, bands = label_layers(clean, found.legend, wanted.edges, found.halo)
    return Made(layers, bands, found.geobox, found.legend, record)


def reference(
    lock: Path, unit: str, footprints: Path, settings: Path, output: Path, threads: int = 1
) -> None:
    """Make the label stack of a unit: `stacks/UNIT/label.zarr`.

    Args:
        lock: the lock, see `label.burnt`.
        unit: id of the unit.
        footprints: `footprints/UNIT.parquet`.
        settings: the stage's settings.
        output: the stack; `data` is (patch, 1, band, y, x) uint8 codes of the legend, 255 is nodata;
            what became of the features of vector layers stands in its record, see `Made`.
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
    patches = read_places(footprints, unit_geobox(plan.unit(unit)))
    _write(output, unit, made(lock, unit, told.label), patches, threads)


def labels(lock: Path, unit: str, settings: Path, output: Path, band: str = "") -> None:
    """Write labels of a whole unit as a raster to look at, its classes in the legend's colours.

    Args:
        lock: the lock, see `label.burnt`.
        unit: id of the unit.
        settings: the stage's settings.
        output: the GeoTIFF to write: one band of uint8 codes with a palette, nodata 255.
        band: a level of the legend, or `edge_LEVEL`; the finest level if empty.

    Raises:
        InputError: no such band.
        Error: else as `reference`.
    """
    told = read_settings(settings)
    check_named(named_files(told, "stack"), read_lock(lock), lock)
    found = made(lock, unit, told.label)
    name = band or found.bands[0]
    if name not in found.bands:
        raise InputError(f"--band {band}: the labels have the bands {', '.join(found.bands)}")
    write_geotiff(
        output, found.layers[found.bands.index(name)], found.geobox, nodata=NODATA,
        descriptions=[name], tile=256, colormap=_colours(found.legend, name),
    )  # fmt: skip


def _colours(legend: Legend, band: str) -> dict[int, tuple[int, int, int]]:
    """Code → red, green, blue: of a level its classes', of edges from white to black."""
    for level in legend.levels:
        if level.name == band:
            return {entry.code: _rgb(entry.color) for entry in level.classes}
    return {code: (max(0, 254 - code),) * 3 for code in range(NODATA)} | {1: (0, 0, 0)}


def _rgb(text: str) -> tuple[int, int, int]:
    """Red, green, blue of `#rrggbb`."""
    red, green, blue = bytes.fromhex(text.removeprefix("#"))
    return red, green, blue


def _write(path: Path, unit: str, found: Made, patches: Places, threads: int) -> None:
    """Cut labels to patches and write them as a stack."""
    info = StackInfo(
        layer=LABEL, kind="labels", unit=unit, geobox=geobox_to_dict(found.geobox), bands=found.bands,
        patch_ids=patches.ids, size_px=patches.size_px, times=("reference",),
        items=(("reference",),), dtype="uint8",
        values=Values(f"codes of legend {found.legend.name}", nodata=NODATA),
        shard_patches=shard_patches(patches, len(found.bands) * patches.size_px**2),
        record=found.record,
    )  # fmt: skip
    size = patches.size_px

    def shard(number: int) -> None:
        members = info.shards[number]
        corners = patches.corners[members.start : members.stop].tolist()
        data = np.stack([found.layers[:, y : y + size, x : x + size] for y, x in corners])
        writer.write(number, 0, data, (data[:, 0] != NODATA).astype(np.uint8))

    with create_stack(path, info) as writer, ThreadPoolExecutor(max(1, threads)) as pool:
        list(pool.map(shard, range(len(info.shards))))
