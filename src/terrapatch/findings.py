# SPDX-License-Identifier: Apache-2.0
"""What does not fit between the sections and the layers of a recipe."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from typing import Protocol

from .errors import GridError
from .grid import TILE_PIXEL_M, TILE_SIZE_M, grid_pixel, pixels_along
from .legend import legends, task_legends
from .settings import (
    IMAGE_KINDS,
    AnyLayer,
    CatalogSettings,
    ImageLayer,
    LabelsSettings,
    LayoutsSettings,
    PatchesSettings,
    SamplingSettings,
    SimulateSettings,
    SplitsSettings,
    TaskSettings,
    TrainingSettings,
)


class Whole(Protocol):
    """A recipe, as far as its parts can contradict each other."""

    simulate: SimulateSettings
    catalog: CatalogSettings
    sampling: SamplingSettings
    layers: dict[str, AnyLayer]
    patches: PatchesSettings
    tasks: dict[str, TaskSettings]
    splits: SplitsSettings
    layouts: LayoutsSettings
    training: TrainingSettings

    @property
    def images(self) -> dict[str, ImageLayer]:
        """The layers of images by name."""

    @property
    def labels(self) -> dict[str, LabelsSettings]:
        """The layers of labels by name."""


def findings(whole: Whole) -> list[str]:
    """All contradictions, a sentence each that begins with the key."""
    return [
        *_of_catalog(whole.catalog), *_of_layers(whole), *_of_pixels(whole), *_of_names(whole),
        *_of_no_effect(whole.sampling), *_of_legends(whole), *_of_tasks(whole),
    ]  # fmt: skip


def _of_catalog(catalog: CatalogSettings) -> list[str]:
    found = []
    if catalog.source == "local":
        if not catalog.paths and not catalog.rasters:
            found.append("catalog.paths: the source 'local' needs paths or rasters")
        if catalog.paths and catalog.period is None:
            found.append("catalog.period: give first and last day for folders of scenes")
    if catalog.period and catalog.period[0] > catalog.period[1]:
        found.append("catalog.period: the first day is after the last")
    return found


def _of_no_effect(sampling: SamplingSettings) -> list[str]:
    """Keys of a mosaic's grid where each MGRS tile has its own."""
    fields = type(sampling).model_fields
    return [
        f"sampling.{key}: {getattr(sampling, key)} has no effect with kind: {sampling.kind}, whose grids are "
        f"those of their UTM zones with {TILE_PIXEL_M} m; leave it out (a base's: set it to "
        f"{fields[key].default})"
        for key in ("crs", "resolution", "unit_patches")
        if sampling.of_tiles and getattr(sampling, key) != fields[key].default
    ]


def _of_legends(whole: Whole) -> list[str]:
    known = ", ".join(legends())
    return [
        f"layers.{name}.legend: labels need one: packaged ({known}), or a CSV with level, code, "
        "abbrev, name, parent, color"
        for name, label in whole.labels.items()
        if not label.legend
    ]


def _of_tasks(whole: Whole) -> list[str]:
    """Tasks without a table of places or a legend, or called as a layer is."""
    found = []
    if whole.tasks and whole.sampling.path is None:
        found.append(
            "tasks: their classes stand in a table of places; sampling.path names none, so take kind: "
            "points, or leave tasks out"
        )
    known = task_legends()
    for name, task in whole.tasks.items():
        if name in whole.layers:
            found.append(f"tasks.{name}: a layer is called so; give the task another name")
        if task.legend not in known and not task.legend.lower().endswith(".csv"):
            found.append(
                f"tasks.{name}.legend: no {task.legend!r} among the packaged legends of tasks "
                f"({', '.join(known)}); take one, or a CSV with code, name, prefix"
            )
    return found


def _of_pixels(whole: Whole) -> list[str]:
    """Layers whose pixels do not nest in the footprints of the patches."""
    found: list[str] = []
    sampling, tiles = whole.sampling, whole.sampling.of_tiles
    lengths = [
        (sampling.size_px, "a patch", "sampling.size_px"),
        (sampling.step_px, "a step from patch to patch", "sampling.stride_px"),
    ]
    if sampling.kind == "points":
        lengths[1] = (1, "a step from window to window", "layers")
    if tiles:
        lengths.append((TILE_SIZE_M // TILE_PIXEL_M, "the side of a tile", "sampling.kind"))
    crs, old = ("EPSG:32631", TILE_PIXEL_M) if tiles else (sampling.crs, sampling.resolution)
    for name, layer in whole.layers.items():
        if layer.pixel_m is None:
            continue
        try:
            new = grid_pixel(crs, layer.pixel_m)
            for length, what, key in lengths:
                pixels_along(length, old, new or old, what, key)
        except GridError as error:
            found.append(f"layers.{name}.{error}")
        if whole.layouts.one_grid:
            found.append(
                f"layers.{name}.pixel_m: the layout {whole.layouts.name} has all layers on one grid; "
                "leave it out, or set layouts.name: native"
            )
    return found


def _of_layers(whole: Whole) -> list[str]:
    """What layers lack, or the source does not have for them."""
    found: list[str] = []
    simulated = whole.catalog.source == "simulated"
    if not whole.images:
        example = IMAGE_KINDS[0]
        found.append(
            f"layers: give at least one layer of images, for example {example}: {{kind: {example}}}"
        )
    for name, image in whole.images.items():
        lacking = whole.simulate.lacking(image.policy) if simulated else image.lacking
        found += [f"layers.{name}.{finding}" for finding in lacking]
    found += _shared(whole)
    described = any(r.sensor == "reference" for r in whole.catalog.rasters)
    for name, label in whole.labels.items():
        if not simulated and not (label.path or label.vectors or described):
            found.append(
                f"layers.{name}.path: the source 'local' needs a reference map, or vectors"
            )
    held = whole.layouts.images
    if held and set(whole.images) != set(held):
        found.append(f"layouts.name: {whole.layouts.name} needs both layers {' and '.join(held)}")
    return found


def _shared(whole: Whole) -> list[str]:
    """What layers of one kind cannot each have for themselves: a plan has it once."""
    found = []
    firsts: dict[tuple[str, tuple[str, ...]], str] = {}
    for name, layer in whole.images.items():
        first = firsts.setdefault((layer.kind, layer.shared), name)
        found += [
            f"layers.{name}.{key}: is to be the same as in layers.{first}; a plan has it once"
            for key in layer.shared
            if getattr(layer, key) != getattr(whole.images[first], key)
        ]
    return found


def _of_names(whole: Whole) -> list[str]:
    """Layers that other sections name and that are none."""
    found = []
    for name, required in whole.patches.require.items():
        if name not in whole.layers:
            found.append(f"patches.require.{name}: {_no_layer(name, whole.layers)}")
        elif name in whole.labels and required.dates != 1:
            found.append(f"patches.require.{name}.dates: labels have no dates")
    inputs, target = whole.training.inputs, whole.training.target
    found += [
        f"training.inputs: {_no_layer(name, whole.images)}"
        for name in inputs
        if name not in whole.images
    ]
    if len(set(inputs)) < len(inputs):
        found.append(f"training.inputs: a layer stands there twice: {', '.join(inputs)}")
    learnt = [*whole.labels, *whole.tasks]
    if target is not None and target not in whole.labels:
        found.append(f"training.target: {_no_layer(target, whole.labels)}")
    stratify = whole.splits.stratify
    if stratify is not None and stratify not in learnt:
        found.append(f"splits.stratify: {_no_layer(stratify, learnt)}")
    return found


def _no_layer(name: str, layers: Collection[str]) -> str:
    """That there is no such layer, with the one that may be meant."""
    near = difflib.get_close_matches(name, layers, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(layers) or 'none'}"
    return f"no layer {name!r} of that kind; {hint}"
