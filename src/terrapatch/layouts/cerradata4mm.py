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
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ..batches import Batch, batches, read_labels, read_patches
from ..errors import StorageError
from ..legend import NODATA
from ..patchfiles import PatchForm, patch_form
from ..progress import track
from ..stacks import LABEL, Stack, StackInfo, open_stack
from .fit import Form, built, refuse
from .sources import Sources, split_sizes, write_tables

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
class _Layer:
    """One folder of the dataset."""

    folder: str
    prefix: str
    dtype: str
    bands: tuple[str, ...]
    nodata: float | None


def patch_number(row: int, col: int) -> str:
    """`{id}` of a patch: five digits of its row, five of its column."""
    return f"{row:05d}{col:05d}"


def write(sources: Sources, folder: Path, threads: int) -> dict[str, Any]:
    """Write all files of the layout; returns what `.layout.json` says.

    Raises:
        RecipeError: the legend, the edges, the dates or the sampling do not fit the layout.
    """
    table, settings = sources.table, sources.settings
    names = [patch_number(row, col) for row, col in zip(table["row"], table["col"], strict=True)]
    infos = {modality: _common_info(sources, modality) for modality in ("sentinel2", "sentinel1")}
    refuse(settings.name, "cerradata4mm", unfit(built(sources)))
    layers = _layers(infos, settings.layouts.folders)
    for layer in layers.values():
        (folder / layer.folder).mkdir()
    pace = list(batches(table, sources.stacks, "sentinel2"))
    with ThreadPoolExecutor(max(1, threads)) as pool:
        write_one = _writer(sources, folder, names, layers)
        steps = pool.map(write_one, pace)
        total = sum(track(steps, "layout", len(pace), "shard"))
    write_tables(folder, sources, names, [f"*_{name}" for name in names])
    _check_written(folder, layers, names)
    return {
        "bands": {m: list(infos[m].bands) for m in infos},
        "bytes": total,
        "files": {layer.folder: len(names) for layer in layers.values()},
        "folders": settings.layouts.folders,
        "nodata": {layer.folder: layer.nodata for layer in layers.values()},
        "patches": len(names),
        "splits": split_sizes(sources),
        "values": {m: asdict(infos[m].values) for m in infos},
    }


def _writer(
    sources: Sources, folder: Path, names: list[str], layers: dict[str, _Layer]
) -> Callable[[Batch], int]:
    """The function that writes all files of a batch and returns their bytes."""
    crs = sources.table["crs"].tolist()
    transforms = sources.table["transform"].tolist()
    compression = sources.settings.layouts.compression
    targets = {key: f"{folder / layer.folder}/{layer.prefix}" for key, layer in layers.items()}

    @cache
    def form(key: str, size_px: int, crs: str, pixel: tuple[float, ...]) -> PatchForm:
        layer = layers[key]
        a, b, d, e = pixel
        return patch_form(
            dtype=layer.dtype, size_px=size_px, crs=crs, transform=(a, b, 0.0, d, e, 0.0),
            descriptions=layer.bands, nodata=layer.nodata,
            # Masks are read by plain readers too, which know deflate alone.
            compression=compression if layer.dtype == "float32" else "deflate",
        )  # fmt: skip

    def write_batch(batch: Batch) -> int:
        total = 0
        for rows, pixels in _read(sources, batch):
            for patch, row in enumerate(rows):
                a, b, left, d, e, top = transforms[row]
                for key, layer in layers.items():
                    values = np.ascontiguousarray(pixels[key][patch], layer.dtype)
                    shape = form(key, batch.size_px, crs[row], (a, b, d, e))
                    data = shape.encode(values, left, top)
                    with open(f"{targets[key]}{names[row]}.tif", "wb") as file:
                        file.write(data)
                    total += len(data)
        return total

    return write_batch


def _read(sources: Sources, batch: Batch) -> Iterator[tuple[list[int], dict[str, Any]]]:
    """Rows of the table, and layer → (patch, band, y, x), a few patches at a time."""
    unit = sources.stacks / batch.unit
    stacks = {modality: open_stack(unit / f"{modality}.zarr") for modality in IMAGES}
    labels = open_stack(unit / f"{LABEL}.zarr")
    for piece in batch.pieces():
        pixels: dict[str, Any] = {
            modality: read_patches(stack, piece)[:, 0] for modality, stack in stacks.items()
        }
        codes = read_labels(labels, piece, list(MASKS))
        yield (
            piece.rows.tolist(),
            pixels | {layer: codes[:, number, None] for number, layer in enumerate(MASKS)},
        )


def _layers(infos: dict[str, StackInfo], folders: str) -> dict[str, _Layer]:
    names = {"sentinel2": MSI_FOLDER[folders], "sentinel1": "sar_images"}
    layers = {}
    for modality, info in infos.items():
        # 0 is missing, except in decibel, where it is a value like others.
        nodata = None if info.values.decibel else 0.0
        layers[modality] = _Layer(names[modality], IMAGES[modality], "float32", info.bands, nodata)
    for key, (folder, prefix) in MASKS.items():
        layers[key] = _Layer(folder, prefix, "int32", (key,), NODATA)
    return layers


def _common_info(sources: Sources, modality: str) -> StackInfo:
    """The description that the stacks of all units share."""
    first: Stack | None = None
    for unit in dict.fromkeys(sources.table["unit"]):
        stack = open_stack(sources.stacks / unit / f"{modality}.zarr")
        if first is None:
            first = stack
        here, there = stack.info, first.info
        if (here.bands, here.values) != (there.bands, there.values):
            raise StorageError(
                f"{stack.path}: bands {here.bands} in {here.values.text!r}, but {first.path} "
                f"has {there.bands} in {there.values.text!r}; delete the stacks and build again"
            )
    assert first is not None
    return first.info


def unfit(form: Form) -> list[str]:
    """What this layout cannot hold, see `fit`."""
    findings = []
    if lost := {"l1", "l2"} - {level.name for level in form.legend.levels}:
        findings.append(
            f"legend: {form.legend.name!r} has no level {', '.join(sorted(lost))}; "
            "the layout holds l2 and l1 of the legend 'cerradata4mm'"
        )
    if not form.edges:
        findings.append("edges: the layout has edge masks; 'none' leaves them out")
    for modality, images in form.images.items():
        most = max((len(times) for times in images.times), default=1)
        if most != 1:
            findings.append(
                f"{modality}: {most} dates a patch; the layout holds one image each: set "
                f"layers.{modality}.time: single"
                + (" and directions: together" if modality == "sentinel1" else "")
            )
        if "layover_shadow" in images.bands and not images.decibel:
            findings.append(
                "layers: 0 means missing in this layout, and is a value of "
                "layover_shadow; leave it out"
            )
        if images.dtype == "int16":
            findings.append(
                f"layers.{modality}.dtype: 0 means missing in this layout, and is a value in int16; take "
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


def _check_written(folder: Path, layers: dict[str, _Layer], names: list[str]) -> None:
    wanted = sorted(names)
    for layer in layers.values():
        files = sorted(path.name for path in (folder / layer.folder).iterdir())
        found = [name.removeprefix(layer.prefix).removesuffix(".tif") for name in files]
        assert found == wanted, f"{layer.folder}: ids differ from those of the manifest"
