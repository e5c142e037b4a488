# SPDX-License-Identifier: Apache-2.0
"""The layout of Sen4Map: one HDF5 file a country, in it one dataset a point with all its bands and dates.

    country-wise/{Country}.h5            at the root `Lucas_Point_{id}`: (date, y, x), a field a band
    split-wise/{train,val,test}.h5       the same datasets by split: links, no copies
    keys/{split}_keys.{pkl,txt}          names of a split's points: a pickled list, one line with commas
    keys/{split}_{task}_keys.{pkl,txt}   those that have a class of a task
    index.parquet                        one row a point

Laws:
1. A point has the dates that the table of dates calls kept, in order of time. Dates of several tiles are
   entries of their own, each on the grid of its tile: the point lies in the same pixel of all.
2. At the root of a file lie points and nothing else: readers take whatever is there for one.
3. Numbers are DN, reflectance = DN / 10000 without an offset; 0 is missing, in all fields.
4. Points are read, joined and compressed in any thread, some at a time; each file has one writer, who
   takes them in the order of the manifest.

Source: RECIPES §3.2 and §5.1.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..layers import LayoutRecord
from ..paths import SPLITS
from ..pointfiles import Encoded, create_points, encode, fields, write_links
from ..progress import track
from ..samples import Batch, group, locate, read_patches
from ..settings import THEIA_10
from ..tasks import CLASS
from .fit import Form, ImageForm, built, refuse
from .pace import in_order
from .points import (
    COVER,
    LATITUDE,
    LONGITUDE,
    REQUIRED,
    USE,
    Attributes,
    Entries,
    SurveyPoints,
    entries_of,
    points_of,
)
from .sources import Sources, layer_record, write_tables

COUNTRY_WISE, SPLIT_WISE, KEYS, INDEX = "country-wise", "split-wise", "keys", "index.parquet"
BANDS = {f"B{band[1:].lstrip('0')}": band for band in THEIA_10}
"""Field of a dataset → band of the stack: `B2` is B02."""
CLASSES = "SCL"
"""Field of the scene classification."""
FIELDS = fields((*BANDS, CLASSES))
_PROTOCOL = 4
"""Of pickles: named, so that other versions of Python give the same bytes."""
_PIECE_BYTES = 2**26
"""Pixels of points that a thread holds at a time, not compressed."""


def write(sources: Sources, folder: Path, threads: int) -> LayoutRecord:
    """Write all files of the layout; returns what is there.

    Raises:
        RecipeError: layers, bands or dates do not fit the layout, or the table of points lacks columns.
        InputError: a point has no id, or is in no country of the survey.
        IncompleteError: there is no table of dates.
        StorageError: the table of dates is one of other patches.
    """
    table = sources.table
    refuse(sources.settings.name, "sen4map", unfit(built(sources)))
    (layer,) = sources.images
    info = sources.common(layer)
    points = points_of(table)
    entries = entries_of(sources, layer, points)
    for name in (COUNTRY_WISE, SPLIT_WISE, KEYS):
        (folder / name).mkdir()
    _write_countries(sources, folder / COUNTRY_WISE, points, entries, threads)
    for split in SPLITS:
        chosen = [n for n, own in enumerate(points.splits) if own == split]
        links = [(points.keys[n], f"../{COUNTRY_WISE}/{points.countries[n]}.h5") for n in chosen]
        write_links(folder / SPLIT_WISE / f"{split}.h5", links)
        _write_keys(folder / KEYS / f"{split}_keys", (points.keys[n] for n in chosen))
        for task, classes in _tasks(sources, points).items():
            having = (points.keys[n] for n in chosen if classes[n] >= 0)
            _write_keys(folder / KEYS / f"{split}_{task}_keys", having)
    _write_index(sources, folder / INDEX, points, entries)
    write_tables(folder, sources, [points.keys[n] for n in points.of_row.tolist()])
    files = sorted((folder / COUNTRY_WISE).iterdir())
    return LayoutRecord(
        layout="sen4map", patches=len(points),
        splits={split: points.splits.count(split) for split in SPLITS},
        layers={layer: layer_record(info, list(BANDS.values()))},
        files={COUNTRY_WISE: len(files), SPLIT_WISE: len(SPLITS)},
        nodata={COUNTRY_WISE: 0.0}, bytes=sum(path.stat().st_size for path in files),
        countries={path.stem: points.countries.count(path.stem) for path in files},
    )  # fmt: skip


def unfit(form: Form) -> list[str]:
    """What this layout cannot hold, see `fit`."""
    findings = []
    if not form.points:
        findings.append("sampling.kind: the layout holds the points of a survey; take points")
    if form.columns is not None and (lost := [c for c in REQUIRED if c not in form.columns]):
        findings.append(
            f"sampling.path: the table of points has no column {', '.join(lost)}, which the LUCAS survey "
            "has; take its table, or name columns so (sampling.rename)"
        )
    if form.legends:
        findings.append(
            f"layers: the layout has no rasters of labels; leave {', '.join(form.legends)} out (what is "
            "known of points stands in their table)"
        )
    if len(form.images) != 1:
        names = ", ".join(form.images) or "none"
        findings.append(
            f"layers: the layout holds one layer, of Sentinel-2; the recipe has {names}"
        )
    for layer, images in form.images.items():
        if len(form.images) == 1:
            findings += _unfit(layer, images)
    return findings


def _unfit(layer: str, images: ImageForm) -> list[str]:
    """The same of its layer."""
    findings = []
    if set(images.bands) != set(BANDS.values()):
        findings.append(
            f"layers.{layer}.bands: {', '.join(images.bands)}; the layout has fields for "
            f"{', '.join(BANDS.values())}: take kind: sentinel2 with these"
        )
    if not images.classes:
        findings.append(
            f"layers.{layer}.scl: readers mask clouds by the scene classification; set scl: true"
        )
    if images.dtype != "uint16":
        findings.append(f"layers.{layer}.dtype: {images.dtype}; fields hold uint16: take that")
    if images.offsets:
        findings.append(
            f"layers.{layer}.harmonise: readers stretch reflectances without an offset; set harmonise: "
            "true"
        )
    if not images.series:
        findings.append(f"layers.{layer}.time: an entry of a point is one date; take series")
    return findings


class _Pieces:
    """Some points at a time, for any thread."""

    def __init__(self, sources: Sources, points: SurveyPoints, entries: Entries) -> None:
        (self.layer,) = sources.images
        self.sources, self.points, self.entries = sources, points, entries
        numbers = locate(sources.table, sources.stacks, self.layer)
        self._places = self._divide(numbers)
        keys = [int(self._places[point]) for point in points.of_row.tolist()]
        self._batches = group(sources.table, numbers, keys)

    def __len__(self) -> int:
        return len(self._batches)

    def _divide(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """(point,) number of its piece: points of one shard of one unit, as many as memory allows."""
        sources, points = self.sources, self.points
        shards = {u: sources.stack(u, self.layer).info.shard_patches for u in sources.units}
        units = sources.table["unit"].tolist()
        size_px = sources.stack(sources.units[0], self.layer).info.size_px
        sizes = np.diff(self.entries.starts) * size_px**2 * FIELDS.itemsize
        places = np.zeros(len(points), np.int64)
        here: tuple[str, int] | None = None
        piece, held = -1, 0
        for point, (row, size) in enumerate(
            zip(points.first.tolist(), sizes.tolist(), strict=True)
        ):
            there = units[row], int(numbers[row]) // shards[units[row]]
            if there != here or held + size > _PIECE_BYTES:
                here, piece, held = there, piece + 1, 0
            places[point], held = piece, held + size
        return places

    def encode(self, piece: int) -> list[tuple[int, Encoded]]:
        """Number and pixels of each point of a piece."""
        wanted = range(*np.searchsorted(self._places, [piece, piece + 1]).tolist())
        entries = self.entries
        pixels: dict[int, NDArray[Any]] = {}
        at: dict[tuple[int, int], tuple[int, int]] = {}
        for point in wanted:
            own = entries.of(point)
            rows, steps = entries.rows[own].tolist(), entries.steps[own].tolist()
            at |= {image: (point, n) for n, image in enumerate(zip(rows, steps, strict=True))}
        for batch in self._batches[piece]:
            self._read(batch, at, pixels)
        deflate = self.sources.settings.layouts.compression != "none"
        return [(point, encode(pixels.pop(point), deflate=deflate)) for point in wanted]

    def _read(
        self,
        batch: Batch,
        at: dict[tuple[int, int], tuple[int, int]],
        into: dict[int, NDArray[Any]],
    ) -> None:
        """Read all images of a batch that points have.

        Args:
            batch: patches of one unit.
            at: row and step of an image → its point, and its place among the point's entries.
            into: point → (date, y, x) pixels; made here.
        """
        stack = self.sources.stack(batch.unit, self.layer)
        bands = {field: stack.info.bands.index(band) for field, band in BANDS.items()}
        for step in range(len(stack.info.times)):
            chosen = np.array([(row, step) in at for row in batch.rows.tolist()])
            if not chosen.any():
                continue
            here = batch.where(chosen)
            data = read_patches(stack, here, "data", step)
            classes = read_patches(stack, here, "scl", step)
            for number, row in enumerate(here.rows.tolist()):
                point, entry = at[row, step]
                if point not in into:
                    count = self.entries.of(point)
                    into[point] = np.empty((count.stop - count.start, *data.shape[-2:]), FIELDS)
                image = into[point][entry]
                for field, band in bands.items():
                    image[field] = data[number, band]
                image[CLASSES] = classes[number]


def _write_countries(
    sources: Sources, folder: Path, points: SurveyPoints, entries: Entries, threads: int
) -> None:
    """Write the files of all countries."""
    pieces, attributes, table = (
        _Pieces(sources, points, entries),
        Attributes(sources),
        sources.table,
    )
    longitude, latitude = (table[name].to_numpy(np.float64) for name in (LONGITUDE, LATITUDE))
    with ExitStack() as open_files, ThreadPoolExecutor(max(1, threads)) as pool:
        writers = {
            country: open_files.enter_context(create_points(folder / f"{country}.h5", FIELDS))
            for country in sorted(set(points.countries))
        }
        done = in_order(pool, pieces.encode, range(len(pieces)), threads + 1)
        for piece in track(done, "layout", len(pieces), "piece"):
            for point, pixels in piece:
                row = int(points.first[point])
                writers[points.countries[point]].write(points.keys[point], pixels, {
                    **attributes.of(row), "Image_ID": entries.names_of(point),
                    "Coordinates": [float(longitude[row]), float(latitude[row])],
                })  # fmt: skip


def _tasks(sources: Sources, points: SurveyPoints) -> dict[str, NDArray[np.int64]]:
    """Task → (point,) class, −1 for points without."""
    columns = [str(name) for name in sources.table.columns if str(name).startswith(CLASS)]
    return {
        name.removeprefix(CLASS): sources.table[name].to_numpy(np.int64)[points.first]
        for name in columns
    }


def _write_keys(path: Path, keys: Iterable[str]) -> None:
    """Write names of datasets, sorted as text, in both forms."""
    names = sorted(keys)
    path.with_suffix(".pkl").write_bytes(pickle.dumps(names, protocol=_PROTOCOL))
    # No line end: plain readers take it for a part of the last name.
    path.with_suffix(".txt").write_text(",".join(names), encoding="utf-8")


def _write_index(sources: Sources, path: Path, points: SurveyPoints, entries: Entries) -> None:
    """Write the table of points."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table, text = sources.table.iloc[points.first], pa.string()

    def texts(values: Sequence[Any]) -> pa.Array:
        return pa.array([v if isinstance(v, str) else None for v in values], text)

    columns = {
        "id": texts(points.ids), "country": texts(points.countries),
        COVER: texts(table[COVER].tolist()), USE: texts(table[USE].tolist()),
        "lon": table[LONGITUDE].to_numpy(np.float64), "lat": table[LATITUDE].to_numpy(np.float64),
        "T": np.diff(entries.starts).astype(np.int32), "split": texts(points.splits),
        **{f"{CLASS}{task}": v.astype(np.int16) for task, v in _tasks(sources, points).items()},
    }  # fmt: skip
    pq.write_table(pa.table(columns), path, compression="zstd")
