# SPDX-License-Identifier: Apache-2.0
"""The layout of CerraData-4MM: one GeoTIFF a patch and folder, as its release and loaders have it.

Laws:
1. Every folder has exactly the same ids: loaders sort each folder and pair files by position.
2. `{id}` is one number of fixed width, row then column, so lexical order is numeric order and no
   two patches share one (in the release, (1, 12) and (11, 2) would both be 112).
3. Images are float32 in the units of the stacks; masks and edges are int32. Loaders turn edges
   into float32 themselves; one type for all that holds codes needs no second rule.
4. Masks carry no predictor, so that readers without codecs open them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ..layers import LayoutRecord
from ..legend import NODATA
from ..patchfiles import PatchForm, patch_form
from ..progress import track
from ..samples import Batch, batches, read_labels, read_patches
from ..stacks import StackInfo
from .fit import Form, built, label_findings, refuse
from .sources import (
    Sources,
    layer_record,
    pixel_of,
    split_sizes,
    write_tables,
)

MSI_FOLDER = {"kaggle": "msi_images", "loader": "opt_images"}
"""The release and the authors' own loaders name the optical folder differently."""
MASKS = {
    "l1": ("semantic_7c", "mask_parrot_beak_7classes_"),
    "l2": ("semantic_14c", "parrot_beak_terraclass_classes_14c_"),
    "edge_l1": ("edge_7c", "parrot_beak_edge_classes_7c_"),
    "edge_l2": ("edge_14c", "parrot_beak_edge_classes_14c_"),
}
"""Layer of the label raster → folder and file prefix. The authors' tools find the id by the
position after splitting at `_`: 3 for images, 5 for edges."""
_LAST = 99_999
"""Largest row and column that an id has room for."""
IMAGES = {"sentinel2": "parrot_beak_ms_", "sentinel1": "parrot_beak_sar_"}


@dataclass(frozen=True)
class _Folder:
    """One folder of the dataset."""

    folder: str
    prefix: str
    dtype: str
    bands: tuple[str, ...]
    nodata: float | None
    pixel: tuple[float, float, float, float]
    """Of its images: the parts of the transform but for the corner."""


def patch_number(row: int, col: int) -> str:
    """`{id}` of a patch: five digits of its row, five of its column."""
    return f"{row:05d}{col:05d}"


def write(sources: Sources, folder: Path, threads: int) -> LayoutRecord:
    """Write all files of the layout; returns what is there.

    Raises:
        RecipeError: the legend, the edges, the dates or the sampling do not fit the layout.
    """
    table, settings = sources.table, sources.settings
    label = next(iter(sources.legends), "")
    names = [patch_number(row, col) for row, col in zip(table["row"], table["col"], strict=True)]
    refuse(settings.name, "cerradata4mm", unfit(built(sources)))
    infos = {name: sources.common(name) for name in (*IMAGES, label)}
    folders = _folders(infos, label, settings.layouts.folders)
    for one in folders.values():
        (folder / one.folder).mkdir()
    pace = list(batches(table, sources.stacks, "sentinel2"))
    with ThreadPoolExecutor(max(1, threads)) as pool:
        write_one = _writer(sources, folder, names, folders)
        steps = pool.map(write_one, pace)
        total = sum(track(steps, "layout", len(pace), "shard"))
    write_tables(folder, sources, names, [f"*_{name}" for name in names])
    _check_written(folder, folders, names)
    records = {name: layer_record(info) for name, info in infos.items()}
    return LayoutRecord(
        layout="cerradata4mm", layers=records, bytes=total,
        files={one.folder: len(names) for one in folders.values()},
        folders=settings.layouts.folders,
        nodata={one.folder: one.nodata for one in folders.values()},
        patches=len(names), splits=split_sizes(sources),
    )  # fmt: skip


def _writer(
    sources: Sources, folder: Path, names: list[str], folders: dict[str, _Folder]
) -> Callable[[Batch], int]:
    """The function that writes all files of a batch and returns their bytes."""
    crs = sources.table["crs"].tolist()
    corners = [(t[2], t[5]) for t in sources.table["transform"].tolist()]
    compression = sources.settings.layouts.compression
    targets = {key: f"{folder / one.folder}/{one.prefix}" for key, one in folders.items()}

    @cache
    def form(key: str, size_px: int, crs: str) -> PatchForm:
        one = folders[key]
        a, b, d, e = one.pixel
        return patch_form(
            dtype=one.dtype, size_px=size_px, crs=crs, transform=(a, b, 0.0, d, e, 0.0),
            descriptions=one.bands, nodata=one.nodata,
            # Masks are read by plain readers too, which know deflate alone.
            compression=compression if one.dtype == "float32" else "deflate",
        )  # fmt: skip

    def write_batch(batch: Batch) -> int:
        total = 0
        for rows, pixels in _read(sources, batch):
            for patch, row in enumerate(rows):
                left, top = corners[row]
                for key, one in folders.items():
                    values = np.ascontiguousarray(pixels[key][patch], one.dtype)
                    data = form(key, values.shape[-1], crs[row]).encode(values, left, top)
                    with open(f"{targets[key]}{names[row]}.tif", "wb") as file:
                        file.write(data)
                    total += len(data)
        return total

    return write_batch


def _read(sources: Sources, batch: Batch) -> Iterator[tuple[list[int], dict[str, Any]]]:
    """Rows of the table, and folder → (patch, band, y, x), a few patches at a time."""
    stacks = {name: sources.stack(batch.unit, name) for name in IMAGES}
    labels = sources.stack(batch.unit, next(iter(sources.legends)))
    for piece in batch.pieces():
        pixels: dict[str, Any] = {
            name: read_patches(stack, piece)[:, 0] for name, stack in stacks.items()
        }
        codes = read_labels(labels, piece, list(MASKS))
        yield (
            piece.rows.tolist(),
            pixels | {band: codes[:, number, None] for number, band in enumerate(MASKS)},
        )


def _folders(infos: dict[str, StackInfo], label: str, folders: str) -> dict[str, _Folder]:
    """Layer of images, or band of the labels → its folder."""
    names = {"sentinel2": MSI_FOLDER[folders], "sentinel1": "sar_images"}
    found = {}
    for name, prefix in IMAGES.items():
        info = infos[name]
        # 0 is missing, except in decibel, where it is a value like others.
        nodata = None if info.values.decibel else 0.0
        found[name] = _Folder(names[name], prefix, "float32", info.bands, nodata, pixel_of(info))
    for band, (folder, prefix) in MASKS.items():
        found[band] = _Folder(folder, prefix, "int32", (band,), NODATA, pixel_of(infos[label]))
    return found


def unfit(form: Form) -> list[str]:
    """What this layout cannot hold, see `fit`."""
    findings = label_findings(form)
    legend = form.one_label
    if legend and (lost := {"l1", "l2"} - {level.name for level in legend.levels}):
        findings.append(
            f"legend: {legend.name!r} has no level {', '.join(sorted(lost))}; "
            "the layout holds l2 and l1 of the legend 'cerradata4mm'"
        )
    if not form.edges:
        findings.append("edges: the layout has edge masks; 'none' leaves them out")
    for layer, images in form.images.items():
        most = max((len(times) for times in images.times), default=1)
        if most != 1:
            findings.append(
                f"{layer}: {most} dates a patch; the layout holds one image each: set "
                f"layers.{layer}.time: single"
                + (" and directions: together" if layer == "sentinel1" else "")
            )
        if "layover_shadow" in images.bands and not images.decibel:
            findings.append(
                f"layers.{layer}.extras: 0 means missing in this layout, and is a value of "
                "layover_shadow; leave it out"
            )
        if images.dtype == "int16":
            findings.append(
                f"layers.{layer}.dtype: 0 means missing in this layout, and is a value in int16; take "
                "uint16 or float32"
            )
    if form.repeats:
        findings.append(
            "sampling.kind: rows and columns repeat from tile to tile, so ids are not unique; "
            "take a mosaic"
        )
    if max(form.last) > _LAST:
        findings.append(
            f"sampling: patches in {form.last[0] + 1} rows and {form.last[1] + 1} columns; ids "
            "have five digits for each: take a larger sampling.stride_px, or a smaller area"
        )
    return findings


def _check_written(folder: Path, folders: dict[str, _Folder], names: list[str]) -> None:
    wanted = sorted(names)
    for one in folders.values():
        files = sorted(path.name for path in (folder / one.folder).iterdir())
        found = [name.removeprefix(one.prefix).removesuffix(".tif") for name in files]
        assert found == wanted, f"{one.folder}: ids differ from those of the manifest"
