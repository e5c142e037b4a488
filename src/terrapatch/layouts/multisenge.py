# SPDX-License-Identifier: Apache-2.0
"""The layout of MultiSenGE: one GeoTIFF a patch and date, series of any length, one JSON a patch.

    ground_reference/{tile}_GR_{x}_{y}.tif         1 band Byte, class codes, 0 missing
    s2/{tile}_{YYYYMMDD}_S2_{x}_{y}.tif            Int16, 10000 × reflectance, −10000 missing
    s1/{tile}_{YYYYMMDD}_S1_{x}_{y}.tif            Float32, 0 missing
    labels/{tile}_{x}_{y}.json                     which files belong together, CRS, classes
    images.parquet                                 one row a patch and date

Laws:
1. A patch has the dates that its row in the table of dates calls kept, each once; a JSON file names
   exactly the files that are there, in order of time.
2. Two passes of one day have one name: the image with more observed pixels of that patch gets it,
   the earlier one where both have as many. `images.parquet` has a row for both.
3. −10000 and 0 mean missing and nothing else in Int16 and in codes: values above 32767 become
   32767, and what was not observed is known from `source`, not from its value.

Source: RECIPES §2.1 and §2.3; keys, their order and the WKT as in the release's JSON files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..layers import REFLECTANCE, LayoutRecord
from ..legend import NODATA, Legend
from ..patchfiles import PatchForm, patch_form
from ..progress import track
from ..samples import Batch, batches, read_labels, read_patches
from ..settings import S2_BANDS
from ..stacks import Stack, StackInfo
from .fit import TILE, Form, built, label_findings, refuse
from .images import Images, choose_images
from .sources import Sources, layer_record, pixel_of, split_sizes, write_tables

SENSORS = {"sentinel2": ("s2", "S2"), "sentinel1": ("s1", "S1")}
"""Layer → its folder, and its mark in names."""
LABELS, REFERENCE, NO_CLASS = "labels", "ground_reference", 0
S2_NODATA, S2_MOST = -10_000, 32_767
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}(?![\d/])")
"""How the label of a step of one day begins; that of a period has a slash."""
PIECE = 16
"""Patches read at a time: 21 MB of ten Int16 bands of 256 x 256 px."""


@dataclass(frozen=True)
class _ImageFolder:
    """One folder of GeoTIFFs."""

    folder: str
    dtype: str
    bands: tuple[str, ...]
    nodata: float
    pixel: tuple[float, float, float, float]
    """Of its images: the parts of the transform but for the corner."""
    order: tuple[int, ...] = (0,)
    """Positions of `bands` in the stack."""


@dataclass
class _Writer:
    """Writes files of one dataset; safe to call from several threads."""

    folder: Path
    sources: Sources
    kinds: dict[str, _ImageFolder]
    images: Images
    crs: list[str] = field(init=False)
    corners: list[tuple[float, float]] = field(init=False)
    form: Callable[..., PatchForm] = field(init=False)

    def __post_init__(self) -> None:
        table, compression = self.sources.table, self.sources.settings.layouts.compression
        self.crs = table["crs"].tolist()
        self.corners = [(t[2], t[5]) for t in table["transform"]]

        @cache
        def form(key: str, size_px: int, crs: str) -> PatchForm:
            kind = self.kinds[key]
            a, b, d, e = kind.pixel
            # Plain readers, which know deflate and lzw alone, read masks too.
            plain = "deflate" if compression == "zstd" else compression
            return patch_form(
                dtype=kind.dtype, size_px=size_px, crs=crs, transform=(a, b, 0.0, d, e, 0.0),
                descriptions=kind.bands, nodata=kind.nodata,
                compression=plain if key == REFERENCE else compression,
            )  # fmt: skip

        self.form = form

    @property
    def legend(self) -> Legend:
        """Of the one layer of labels."""
        return next(iter(self.sources.legends.values()))

    def write(self, key: str, row: int, name: str, pixels: NDArray[Any]) -> int:
        """Write one file; returns its bytes."""
        left, top = self.corners[row]
        kind = self.kinds[key]
        values = np.ascontiguousarray(pixels, kind.dtype)
        data = self.form(key, values.shape[-1], self.crs[row]).encode(values, left, top)
        with open(self.folder / kind.folder / name, "wb") as file:
            file.write(data)
        return len(data)


def write(sources: Sources, folder: Path, threads: int) -> LayoutRecord:
    """Write all files of the layout; returns what is there.

    Raises:
        RecipeError: units, legend, dates or values do not fit the layout.
        IncompleteError: there is no table of dates.
        StorageError: the table of dates is one of other patches.
    """
    table, layers = sources.table, sources.images
    refuse(sources.settings.name, "multisenge", unfit(built(sources)))
    infos = {name: sources.common(name) for name in layers}
    tiles = table["unit"].tolist()
    names = [
        f"{tile}_{x}_{y}" for tile, x, y in zip(tiles, table["x_px"], table["y_px"], strict=True)
    ]
    images = choose_images(sources, {name: SENSORS[name][1] for name in layers})
    writer = _Writer(
        folder, sources, _kinds(infos, sources.common(next(iter(sources.legends)))), images
    )
    for kind in writer.kinds.values():
        (folder / kind.folder).mkdir()
    (folder / LABELS).mkdir()
    present = np.zeros((len(table), 256), bool)
    jobs: list[Callable[[], int]] = [job for name in layers for job in _image_jobs(writer, name)]
    jobs += [
        _LabelJob(writer, batch, names, present)
        for batch in batches(table, sources.stacks, layers[0])
    ]
    with ThreadPoolExecutor(max(1, threads)) as pool:
        done = pool.map(lambda job: job(), jobs)
        total = sum(track(done, "layout", len(jobs), "step"))
    _write_json(writer, names, present)
    images.write(folder / "images.parquet", sources)
    lines = [f"{t}_*_{n.removeprefix(f'{t}_')}" for t, n in zip(tiles, names, strict=True)]
    write_tables(folder, sources, names, lines)
    _check_written(writer, names)
    return _summary(sources, writer, present, total)


class _LabelJob:
    """The masks of a batch; notes which classes each patch has."""

    def __init__(
        self, writer: _Writer, batch: Batch, names: list[str], present: NDArray[np.bool_]
    ) -> None:
        self.given = writer, batch, names, present

    def __call__(self) -> int:
        writer, batch, names, present = self.given
        sources = writer.sources
        stack = sources.stack(batch.unit, next(iter(sources.legends)))
        total = 0
        for piece in batch.pieces():
            finest = writer.legend.finest.name
            codes = read_labels(stack, piece, [finest])
            codes[codes == NODATA] = NO_CLASS
            for row, mask in zip(piece.rows.tolist(), codes, strict=True):
                present[row] = np.bincount(mask.reshape(-1), minlength=256) > 0
                tile, _, place = names[row].partition("_")
                name = f"{tile}_GR_{place}.tif"
                total += writer.write(REFERENCE, row, name, mask)
        return total


@dataclass(frozen=True)
class _ImageJob:
    """The images of a batch at one time step."""

    writer: _Writer
    stack: Stack
    batch: Batch
    layer: str
    step: int
    chosen: NDArray[np.bool_]
    """(patch,) whether this step's image of the patch goes out."""

    def __call__(self) -> int:
        writer, batch, kind = self.writer, self.batch, self.writer.kinds[self.layer]
        part = batch.where(self.chosen)
        images, total = writer.images, 0
        for piece in part.pieces(PIECE):
            data = read_patches(self.stack, piece, "data", self.step)
            rows = piece.rows.tolist()
            source = None
            if not images.all_whole(self.layer, piece.rows, self.step):
                source = read_patches(self.stack, piece, "source", self.step)
            names = images.names_of(self.layer, piece.rows, self.step)
            for number, (row, name) in enumerate(zip(rows, names, strict=True)):
                pixels = data[number, list(kind.order)]
                seen = None if source is None else source[number] > 0
                values = to_int16(pixels, seen) if kind.dtype == "int16" else pixels
                total += writer.write(self.layer, row, name, values)
            if self.stack.info.scl:
                scl = read_patches(self.stack, piece, "scl", self.step)
                images.set_clouds(self.layer, piece.rows, self.step, scl)
        return total


def to_int16(pixels: NDArray[Any], seen: NDArray[np.bool_] | None) -> NDArray[np.int16]:
    """Pixels of a Sentinel-2 stack as Theia has them.

    Args:
        pixels: (band, y, x) DN, reflectance = DN / 10000; of any number type.
        seen: (y, x) what was observed; None for all.

    Returns:
        (band, y, x) int16; fractions rounded to even, −10000 where not observed. Observed values
        lie in −9999 … 32767 (uint16 has brighter ones where clouds and saturation are).
    """
    if pixels.dtype.kind == "f":
        pixels = np.rint(np.nan_to_num(pixels, nan=0.0))
    values = np.clip(pixels, S2_NODATA + 1 if pixels.dtype.kind != "u" else 0, S2_MOST)
    found: NDArray[np.int16] = values.astype(np.int16)
    if seen is not None:
        found[:, ~seen] = S2_NODATA
    return found


def _image_jobs(writer: _Writer, layer: str) -> Iterator[_ImageJob]:
    sources = writer.sources
    for batch in batches(sources.table, sources.stacks, layer):
        stack = sources.stack(batch.unit, layer)
        for step in range(len(stack.info.times)):
            chosen = writer.images.chosen(layer, batch.rows, step)
            if chosen.any():
                yield _ImageJob(writer, stack, batch, layer, step, chosen)


def _kinds(infos: dict[str, StackInfo], labels: StackInfo) -> dict[str, _ImageFolder]:
    """Folder by layer; reflectance is Int16 with −10000 for missing, all else Float32 with 0."""
    kinds = {REFERENCE: _ImageFolder(REFERENCE, "uint8", (REFERENCE,), NO_CLASS, pixel_of(labels))}
    for name, info in infos.items():
        optical = info.values.unit == REFLECTANCE
        natural = sorted(info.bands, key=list(S2_BANDS).index) if optical else info.bands
        kinds[name] = _ImageFolder(
            SENSORS[name][0], "int16" if optical else "float32", tuple(natural),
            S2_NODATA if optical else 0, pixel_of(info),
            tuple(info.bands.index(band) for band in natural),
        )  # fmt: skip
    return kinds


def unfit(form: Form) -> list[str]:
    """What this layout cannot hold, see `fit`."""
    findings = label_findings(form)
    wrong = [unit for unit in form.units if not TILE.fullmatch(unit)]
    if not form.tiles:
        what = f", and {wrong[0]!r} is none" if wrong else ""
        findings.append(f"sampling.kind: names begin with an MGRS tile{what}; take tiles")
    legend = form.one_label
    if legend and NO_CLASS in legend.finest.codes:
        findings.append(
            f"legend: {legend.name!r} has a class with code 0, which means "
            "outside in this layout; give its classes codes from 1 on"
        )
    for layer, images in form.images.items():
        labels = (label for times in images.times for label in times)
        if periods := [label for label in labels if not _DAY.match(label)]:
            findings.append(
                f"{layer}.time: a name holds one day, and {periods[0]!r} is none; take series"
            )
        if images.decibel:
            findings.append(
                f"{layer}.scale: 0 means missing in this layout, and is a value in dB; take linear"
            )
        elif "layover_shadow" in images.bands:
            findings.append(
                f"layers.{layer}.extras: 0 means missing in this layout, and is a value of "
                "layover_shadow; leave it out"
            )
    return findings


def _write_json(writer: _Writer, names: list[str], present: NDArray[np.bool_]) -> None:
    import rasterio

    @cache
    def wkt(crs: str) -> str:
        return str(rasterio.CRS.from_user_input(crs).to_wkt(version="WKT1_GDAL"))

    for row, name in enumerate(names):
        files = {m: writer.images.files(m, row) for m in SENSORS}
        classes = [code for code in np.flatnonzero(present[row]).tolist() if code != NO_CLASS]
        record = {
            "corresponding_s2": ";".join(files["sentinel2"]),
            "corresponding_s1": ";".join(files["sentinel1"]),
            "projection": wkt(writer.crs[row]),
            "labels": ";".join(map(str, classes)),
        }
        text = json.dumps(record, ensure_ascii=False)
        (writer.folder / LABELS / f"{name}.json").write_text(text, encoding="utf-8")


def _check_written(writer: _Writer, names: list[str]) -> None:
    for key, kind in writer.kinds.items():
        found = {path.name for path in (writer.folder / kind.folder).iterdir()}
        if key == REFERENCE:
            wanted = {f"{t}_GR_{rest}.tif" for t, _, rest in (n.partition("_") for n in names)}
        else:
            wanted = {name for row in range(len(names)) for name in writer.images.files(key, row)}
        assert found == wanted, f"{kind.folder}: other files than the tables name"


def _summary(
    sources: Sources, writer: _Writer, present: NDArray[np.bool_], total: int
) -> LayoutRecord:
    table, images = sources.table, writer.images
    counts = {SENSORS[name][0]: images.count(name) for name in sources.images}
    records = {
        name: layer_record(sources.common(name), writer.kinds[name].bands)
        for name in sources.images
    }
    records |= {name: layer_record(sources.common(name)) for name in sources.legends}
    return LayoutRecord(
        layout="multisenge", layers=records, bytes=total, patches=len(table),
        files={REFERENCE: len(table), LABELS: len(table), **counts},
        nodata={kind.folder: kind.nodata for kind in writer.kinds.values()},
        patches_with_class={
            str(code): int(present[:, code].sum()) for code in writer.legend.finest.codes
        },
        same_day=images.lost, splits=split_sizes(sources), tiles=_tiles(sources, writer),
    )  # fmt: skip


def _tiles(sources: Sources, writer: _Writer) -> dict[str, dict[str, Any]]:
    """What is in each tile, see `LayoutRecord.tiles`."""
    table, found = sources.table, {}
    for tile in sorted(set(table["unit"])):
        rows = np.flatnonzero(table["unit"].to_numpy(object) == tile)
        places = {axis: table[f"{axis}_px"].to_numpy(np.int64)[rows] for axis in ("x", "y")}
        found[tile] = {
            "patches": len(rows),
            "epsg": int(str(writer.crs[rows[0]]).rpartition(":")[2]),
            **{f"dates_{name}": writer.images.days(name, rows) for name in sources.images},
            **{axis: [int(at.min()), int(at.max())] for axis, at in places.items()},
        }
    return found
