# SPDX-License-Identifier: Apache-2.0
"""Variants of the small tree of results: other numbers of label layers, layers of other pixel sizes."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from made.results import Tree, make_tree
from terrapatch.layers import Values
from terrapatch.lock import read_lock, write_lock
from terrapatch.settings import RasterSettings
from terrapatch.stacks import create_stack, open_stack
from terrapatch.tables import read_geoparquet, write_geoparquet

NATIVE = {"layouts": {"name": "native"}}


def plain_settings(tree: Tree):
    """Settings files of all stages, as paths and plain forms."""
    for path in sorted((Path(tree.results.root) / "settings").rglob("*.json")):
        yield path, json.loads(path.read_text("utf-8"))


def units(tree: Tree) -> list[str]:
    return sorted(path.name for path in Path(tree.results.stacks).iterdir())


def stack_of(tree: Tree, unit: str, layer: str) -> Path:
    return Path(tree.results.stack(unit, layer))


def without_labels(folder: Path) -> Tree:
    """A dataset without any layer of labels, as of points with attributes."""
    tree = make_tree(folder, recipe=NATIVE)
    for path, plain in plain_settings(tree):
        plain.get("layers", {}).pop("label", None)
        path.write_text(json.dumps(plain), encoding="utf-8")
    for unit in units(tree):
        shutil.rmtree(stack_of(tree, unit, "label"))
    table = read_geoparquet(tree.results.manifest)
    lost = [
        n for n in table.columns if n in ("valid_label", "hash_label") or n.startswith("counts_")
    ]
    table = table.drop(columns=lost)
    write_geoparquet(table, tree.results.manifest)
    return replace(tree, table=table)


def with_two_labels(folder: Path, recipe: dict | None = None) -> Tree:
    """A dataset with a second layer of labels, `crops`, whose classes are those of the first."""
    tree = make_tree(folder, recipe=NATIVE | (recipe or {}))
    for path, plain in plain_settings(tree):
        if "label" in plain.get("layers", {}):
            plain["layers"]["crops"] = plain["layers"]["label"]
        path.write_text(json.dumps(plain), encoding="utf-8")
    for unit in units(tree):
        copied = stack_of(tree, unit, "crops")
        shutil.copytree(stack_of(tree, unit, "label"), copied)
        node = json.loads((copied / "zarr.json").read_text("utf-8"))
        node["attributes"]["terrapatch"]["layer"] = "crops"
        (copied / "zarr.json").write_text(json.dumps(node), encoding="utf-8")
    table = read_geoparquet(tree.results.manifest)
    for name in [n for n in table.columns if "label" in n]:
        table[name.replace("label", "crops")] = table[name]
    write_geoparquet(table, tree.results.manifest)
    return replace(tree, table=table)


def with_elevation(folder: Path) -> Tree:
    """A dataset with a third layer of images, `dem`, of plain rasters."""
    tree = make_tree(folder, recipe=NATIVE | {"publish": {"quicklooks": 2}})
    layer = RasterSettings(path="dem.tif", bands=("height",), unit="metres").model_dump(mode="json")
    for path, plain in plain_settings(tree):
        if "layers" in plain:
            labels = {"label": plain["layers"].pop("label")} if "label" in plain["layers"] else {}
            plain["layers"] |= {"dem": layer} | labels
        path.write_text(json.dumps(plain), encoding="utf-8")
    hashes = {}
    for unit in units(tree):
        stack = open_stack(stack_of(tree, unit, "sentinel1"))
        info, data = stack.info, 100 * stack.read(slice(None))[:, 0, :1]
        info = replace(
            info, layer="dem", kind="raster", bands=("height",), values=Values("metres"),
            items=(("heights",),),
        )  # fmt: skip
        source = np.ones((len(data), info.size_px, info.size_px), np.uint8)
        with create_stack(stack_of(tree, unit, "dem"), info) as writer:
            for number, part in enumerate(info.shards):
                where = slice(part.start, part.stop)
                writer.write(number, 0, np.ascontiguousarray(data[where]), source[where])
        for patch, pixels in zip(info.patch_ids, data, strict=True):
            hashes[patch] = hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()
    lock = read_lock(tree.results.lock)
    item = lock.items[0].model_copy(update={"id": "heights", "sensor": "raster", "datetime": ""})
    write_lock(lock.model_copy(update={"items": (*lock.items, item)}), tree.results.lock)
    table = read_geoparquet(tree.results.manifest)
    table["hash_dem"] = [hashes[name] for name in table["patch_id"]]
    table["valid_dem"] = 1.0
    table["dates_dem"] = [[] for _ in hashes]
    table["sources_dem"] = [["heights"] for _ in hashes]
    write_geoparquet(table, tree.results.manifest)
    return replace(tree, table=table)


def with_coarse_radar(folder: Path, recipe: dict | None = None) -> Tree:
    """A dataset whose Sentinel-1 has pixels twice as large: the mean of four."""
    tree = make_tree(folder, recipe=NATIVE | (recipe or {}))
    table = read_geoparquet(tree.results.manifest)
    hashes = dict(zip(table["patch_id"], table["hash_sentinel1"], strict=True))
    for unit in units(tree):
        path = stack_of(tree, unit, "sentinel1")
        stack = open_stack(path)
        info, data = stack.info, stack.read(slice(None))[:, 0]
        half = info.size_px // 2
        coarse = data.reshape(*data.shape[:2], half, 2, half, 2).mean(axis=(3, 5), dtype=np.float32)
        a, b, c, d, e, f = info.geobox["transform"]
        rows, cols = info.geobox["shape"]
        geobox = {
            **info.geobox,
            "transform": [2 * a, b, c, d, 2 * e, f],
            "shape": [rows // 2, cols // 2],
        }
        source = np.ones((len(coarse), half, half), np.uint8)
        shutil.rmtree(path)
        with create_stack(path, replace(info, size_px=half, geobox=geobox)) as writer:
            for number, part in enumerate(info.shards):
                where = slice(part.start, part.stop)
                writer.write(number, 0, np.ascontiguousarray(coarse[where]), source[where])
        for patch, pixels in zip(info.patch_ids, coarse, strict=True):
            hashes[patch] = hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()
            tree.pixels["sentinel1"][patch] = pixels
    table["hash_sentinel1"] = [hashes[name] for name in table["patch_id"]]
    write_geoparquet(table, tree.results.manifest)
    return replace(tree, table=table)
