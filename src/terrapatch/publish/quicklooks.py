# SPDX-License-Identifier: Apache-2.0
"""Which patches the report shows, and their pictures side by side.

Laws:
1. The choice depends on the manifest alone: classes first, then distance, then the order of rows.
2. Stacks are read patch by patch; a report of a large dataset costs as little as of a small one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..legend import Legend, Level
from ..samples import Batch, group, locate, published, read_labels, read_patches
from ..stacks import Stack, open_stack
from . import pictures
from .kinds import kind_of

if TYPE_CHECKING:
    import geopandas as gpd


@dataclass(frozen=True)
class Pixels:
    """Where pixels lie, and which of them are published."""

    stacks: Path
    """Folder with UNIT/MODALITY.zarr and UNIT/label.zarr."""
    dates: Path
    """Table of dates."""
    images: Sequence[str]
    """Layers of images."""
    legends: Mapping[str, Legend]
    """By layer of labels."""
    one_a_day: bool
    """Whether the layout publishes one image of a day alone."""


@dataclass(frozen=True)
class Layers:
    """Pixels of some patches, in the order of their table."""

    images: dict[str, list[NDArray[Any]]]
    """Layer → per patch (band, y, x) float64, NaN where missing."""
    days: dict[str, list[str]]
    """Layer → per patch the day of its image; empty for mosaics."""
    labels: dict[str, list[NDArray[np.uint8]]]
    """Layer → per patch (band, y, x): levels of the legend, then edges where there are any."""


@dataclass(frozen=True)
class Shown:
    """One picture of one patch."""

    title: str
    about: str
    """What a person sees who does not see it."""
    picture: pictures.Picture


@dataclass(frozen=True)
class PatchView:
    """All pictures of one patch."""

    patch_id: str
    split: str
    caption: str
    pictures: tuple[Shown, ...]


def choose(present: NDArray[np.bool_], places: NDArray[np.float64], count: int) -> list[int]:
    """Patches that together show many classes and lie far apart.

    Each step takes the patch with the most classes not yet shown; among equals, the one farthest
    from those taken; among these, the first.

    Args:
        present: (patch, class) whether a class is visible in a patch.
        places: (patch, 2) positions in any plane unit.
        count: how many to take at most.

    Returns:
        row numbers, ascending.
    """
    taken: list[int] = []
    missing = np.ones(present.shape[1], bool)
    distance = np.full(len(present), np.inf)
    free = np.ones(len(present), bool)
    for _ in range(min(count, len(present))):
        new = np.where(free, (present & missing).sum(axis=1), -1)
        best = np.flatnonzero(new == new.max())
        row = int(best[np.argmax(distance[best])])
        taken.append(row)
        free[row] = False
        missing &= ~present[row]
        distance = np.minimum(distance, np.hypot(*(places - places[row]).T))
    return sorted(taken)


def read_layers(table: gpd.GeoDataFrame, pixels: Pixels) -> Layers:
    """Pixels of some patches; of a series one published date of each."""
    numbers = locate(table, pixels.stacks, pixels.images[0])
    images: dict[str, list[Any]] = {name: [None] * len(table) for name in pixels.images}
    days: dict[str, list[str]] = {name: [""] * len(table) for name in pixels.images}
    labels: dict[str, list[Any]] = {name: [None] * len(table) for name in pixels.legends}
    shown = {
        name: published(table, pixels.stacks, name, pixels.dates, one_a_day=pixels.one_a_day)
        for name in pixels.images
    }
    for parts in group(table, numbers, [0] * len(table)).values():
        for batch in parts:
            for name in pixels.images:
                stack = open_stack(pixels.stacks / batch.unit / f"{name}.zarr")
                data, steps = _best_date(stack, batch, shown[name][batch.rows])
                for row, image, step in zip(batch.rows, data, steps, strict=True):
                    images[name][row] = image
                    days[name][row] = stack.info.times[step][:10] if stack.info.series else ""
            for name, legend in pixels.legends.items():
                levels = [level.name for level in legend.levels]
                stack = open_stack(pixels.stacks / batch.unit / f"{name}.zarr")
                edges = [f"edge_{n}" for n in levels if f"edge_{n}" in stack.info.bands]
                codes_of = read_labels(stack, batch, levels + edges)
                for row, codes in zip(batch.rows, codes_of, strict=True):
                    labels[name][row] = codes
    return Layers(images, days, labels)


def _best_date(
    stack: Stack, batch: Batch, shown: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """(patch, band, y, x), NaN where missing, of the date that shows each patch best; its step.

    That is one of the published ones with most of it: of these the one of middling brightness,
    which is neither cloudy nor in winter's dusk, whatever the sensor.

    Args:
        stack: of the batch's unit.
        batch: some patches.
        shown: (patch, step or more) which images are published.
    """
    times = range(len(stack.info.times))
    seen = np.zeros((len(times), batch.rows.size))
    bright = np.full(seen.shape, np.inf)
    for time in times:
        source = read_patches(stack, batch, "source", time)
        seen[time] = np.where(shown[:, time], (source > 0).sum(axis=(1, 2)), -1)
        if len(times) > 1:
            data = read_patches(stack, batch, "data", time)
            bright[time] = np.median(data[:, : len(stack.info.measured)], axis=(1, 2, 3))
    bright[seen < seen.max(axis=0)] = np.inf
    whole = np.isfinite(bright).sum(axis=0)
    order = np.argsort(bright, axis=0, kind="stable")
    chosen = order[np.maximum(whole - 1, 0) // 2, np.arange(batch.rows.size)]
    found = np.zeros(0)
    for time in np.unique(chosen).tolist():
        data = read_patches(stack, batch, "data", time).astype(np.float64)
        source = read_patches(stack, batch, "source", time)
        data[np.broadcast_to((source == 0)[:, None], data.shape)] = np.nan
        here = (chosen == time)[:, None, None, None]
        found = data if found.size == 0 else np.where(here, data, found)
    return found, chosen


def image_pictures(
    table: gpd.GeoDataFrame, layers: Layers, pixels: Pixels
) -> list[list[Shown]]:  # fmt: skip
    """Per patch the pictures of each layer of images, as its kind draws them."""
    names, unit = table["patch_id"].tolist(), str(table["unit"].iloc[0])
    rows: list[list[Shown]] = [[] for _ in names]
    infos = {n: open_stack(pixels.stacks / unit / f"{n}.zarr").info for n in pixels.images}
    kinds = [info.kind for info in infos.values()]
    for name, info in infos.items():
        own = f"{name}: " if kinds.count(info.kind) > 1 else ""
        for drawn in kind_of(info.kind).pictures(info, layers.images[name]):
            limits = pictures.stretch(drawn.patches, together=drawn.together)
            _add(rows, names, own + drawn.title, layers.days[name], drawn.patches, limits)
    return rows


def _add(
    rows: list[list[Shown]], names: Sequence[str], title: str, days: Sequence[str],
    shown: Sequence[NDArray[Any]], limits: pictures.Stretch,
) -> None:  # fmt: skip
    for row, name, day, layer in zip(rows, names, days, shown, strict=True):
        picture = pictures.embedded(pictures.colour(layer, limits, gamma=0.7))
        dated = f"{title}, {day}" if day else title
        row.append(Shown(dated, f"{dated}, patch {name}", picture))


def label_pictures(
    codes: NDArray[np.uint8], legend: Legend, name: str, layer: str = ""
) -> list[Shown]:
    """Every level, then every edge, of one patch.

    Args:
        codes: (band, y, x) levels of the legend, then edges where there are any.
        legend: its colours.
        name: of the patch.
        layer: to be named in titles, where there are several layers of labels.
    """
    of = f"{layer} " if layer else ""
    found = []
    for band, level in zip(codes, legend.levels, strict=False):
        picture = pictures.embedded(pictures.label_picture(band, level))
        about = f"Labels {of}{level.name} of patch {name}: {main_classes(band, level)}"
        found.append(Shown(f"Labels {of}{level.name}", about, picture))
    for band, level in zip(codes[len(legend.levels) :], legend.levels, strict=False):
        picture = pictures.embedded(pictures.edge_picture(band))
        title = f"Edges {of}{level.name}"
        found.append(Shown(title, f"{title} of patch {name}", picture))
    return found


def main_classes(codes: NDArray[np.uint8], level: Level, most: int = 3) -> str:
    """The most frequent classes of a patch in words."""
    counts = np.bincount(codes.ravel(), minlength=256)
    ranked = sorted(level.classes, key=lambda c: (-int(counts[c.code]), c.code))
    parts = [
        f"{c.name} {100 * counts[c.code] / codes.size:.0f} %"
        for c in ranked[:most]
        if counts[c.code]
    ]
    return ", ".join(parts) or "no labels"


def views(table: gpd.GeoDataFrame, pixels: Pixels) -> list[PatchView]:
    """Pictures of all patches of a (small) table."""
    if table.empty:
        return []
    layers = read_layers(table, pixels)
    images = image_pictures(table, layers, pixels)
    found = []
    for row, (name, split) in enumerate(zip(table["patch_id"], table["split"], strict=True)):
        shown, captions = list(images[row]), []
        for layer, legend in pixels.legends.items():
            codes = layers.labels[layer][row]
            captions.append(main_classes(codes[0], legend.finest))
            shown += label_pictures(codes, legend, name, layer if len(pixels.legends) > 1 else "")
        where = split if isinstance(split, str) else "no split"
        found.append(PatchView(name, where, " · ".join(captions), tuple(shown)))
    return found


def predicted(
    table: gpd.GeoDataFrame, pixels: Pixels, arrays: Mapping[str, NDArray[Any]], level: Level
) -> list[PatchView]:
    """Predictions beside labels.

    Args:
        table: kept rows of the manifest.
        pixels: of the dataset.
        arrays: `patch_ids`, `truth` and one (patch, y, x) uint8 array a model, legend codes.
        level: that the models learnt.
    """
    ids = [str(name) for name in arrays["patch_ids"]]
    rows = table.set_index("patch_id", drop=False).loc[ids].reset_index(drop=True)
    if rows.empty:
        return []
    images = image_pictures(rows, read_layers(rows, pixels), pixels)
    models = sorted(key for key in arrays if key not in ("patch_ids", "truth"))
    found = []
    for number, name in enumerate(ids):
        truth = arrays["truth"][number]
        row = [images[number][0], Shown(
            "Labels", f"Labels of patch {name}: {main_classes(truth, level)}",
            pictures.embedded(pictures.label_picture(truth, level)),
        )]  # fmt: skip
        for model in models:
            guess = arrays[model][number]
            right = 100 * float((guess == truth).sum()) / max(1, int((truth != 255).sum()))
            row.append(Shown(
                model, f"Prediction of {model} for patch {name}: {right:.0f} % right",
                pictures.embedded(pictures.label_picture(guess, level)),
            ))  # fmt: skip
            row.append(Shown(
                f"{model}, errors", f"Where {model} is wrong in patch {name}",
                pictures.embedded(pictures.error_picture(truth, guess, level)),
            ))  # fmt: skip
        found.append(PatchView(name, "test", main_classes(truth, level), tuple(row)))
    return found
