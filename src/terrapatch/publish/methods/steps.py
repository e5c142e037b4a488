# SPDX-License-Identifier: Apache-2.0
"""What was done to make the dataset, in sentences: one home for the card and the report.

Laws:
1. Every sentence follows from the resolved settings, the lock or what the layout wrote; none is
   a constant of the template.
2. A setting that changes pixels changes a sentence (tested setting by setting).
3. Files are named without the folders of one machine; foreign text stands in backticks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...legend import Legend
from ...paths import SPLITS
from ...recipe import StageSettings
from ...records import Lock
from ...settings import SamplingSettings
from ..kinds import kind_of
from .words import About, ProcessStep, code, codes, count, metres, percent


def methods(
    settings: StageSettings, lock: Lock, legends: Mapping[str, Legend], nodata: Mapping[str, Any]
) -> list[ProcessStep]:
    """All steps in the order of the flow.

    Args:
        settings: of the stage `publish`.
        lock: what went in.
        legends: by layer of labels.
        nodata: layer → its value for missing pixels, or None, as the layout wrote it.
    """
    steps = [
        kind_of(about.settings.kind).sentence(about) for about in _abouts(settings, lock, legends)
    ]
    return [
        _grid(settings), *steps,
        _missing(settings, nodata), _completeness(settings), *_tasks(settings), _splits(settings),
    ]  # fmt: skip


def _abouts(
    settings: StageSettings, lock: Lock, legends: Mapping[str, Legend], years: Sequence[str] = ()
) -> list[About]:
    """What is known of each layer, in the order of the recipe, labels behind images."""
    layers = settings.images | settings.labels
    kinds = Counter(layer.kind for layer in layers.values())
    return [
        About(
            name, layer, settings.sampling, settings.patches.of(name), lock,
            alone=kinds[layer.kind] == 1, legend=legends.get(name), years=tuple(years),
            reference_licence=settings.publish.reference_licence,
        )
        for name, layer in layers.items()
    ]  # fmt: skip


def _called(settings: StageSettings, name: str) -> str:
    """A layer for people: by its kind where no other is of that kind, else by its name."""
    layers = settings.images | settings.labels
    kind = layers[name].kind
    if sum(layer.kind == kind for layer in layers.values()) > 1:
        return code(name)
    return "label" if name in settings.labels else kind_of(kind).title


def _points(sampling: SamplingSettings) -> str:
    """Where windows around points lie, in words."""
    told = [] if sampling.id is None else [f"named by {code(sampling.id)}"]
    if sampling.product != "custom":
        told.append(f"{sampling.position} positions of {code(sampling.product)}")
    if sampling.x is not None:
        told.append(f"{code(sampling.x)}, {code(sampling.y or '')} in {sampling.table_crs}")
    if sampling.needs:
        told.append(f"those without {codes(sampling.needs)} are left out")
    tile = {
        "first": "of several the one in which it lies farthest inside",
        "all": "of several each of them",
    }[sampling.overlap]
    return (
        f"A window around each point of {code(Path(sampling.path or '').name)} ({'; '.join(told)}), the "
        f"point in pixel (size / 2, size / 2), on the 10 m grid of the MGRS tile that holds it whole, {tile}"
    )


def _grid(settings: StageSettings) -> ProcessStep:
    sampling = settings.sampling
    kind = {
        "mosaic": f"One mosaic over the area in {sampling.crs}, pixel {sampling.resolution:.16g} in its units",
        "points": _points(sampling),
        "tiles": "Windows in each MGRS tile, on its own UTM grid of 10 m",
    }[sampling.kind]
    rule = {
        "within": "lie inside the area", "intersects": "may reach over the edge of the area",
    }[sampling.area_rule]  # fmt: skip
    own = [
        f"{code(name)} in pixels of {metres(layer.pixel_m)}"
        for name, layer in (settings.images | settings.labels).items()
        if layer.pixel_m is not None
    ]
    return ProcessStep(
        "Grid",
        (
            f"{kind}; patches of {count(sampling.size_px, 'px', 'px')} a side with a step of "
            f"{count(sampling.step_px, 'px', 'px')}; they {rule}.",
            f"Every layer is cut by the same window{', ' if own else ''}{', '.join(own)}.",
        ),
    )


def _missing(settings: StageSettings, nodata: Mapping[str, Any]) -> ProcessStep:
    """Nodata of each layer, as the layout wrote it."""
    source_tells = settings.layouts.name == "native"
    layers: dict[float | None, list[str]] = {}
    for layer, value in sorted(nodata.items()):
        layers.setdefault(value, []).append(layer)
    found = []
    for value, names in layers.items():
        if value is not None:
            found.append(f"{value:g} is missing in {codes(names)}.")
        elif source_tells:
            found.append(
                f"In {codes(names)} 0 may be a value: a pixel is missing where `source` is 0."
            )
        else:
            found.append(f"In {codes(names)} no value stands for missing pixels; they hold 0.")
    return ProcessStep("Missing pixels", tuple(found))


def _completeness(settings: StageSettings) -> ProcessStep:
    limits = settings.patches
    least = [
        f"{percent(limits.of(name).valid)} of its {_called(settings, name)} pixels"
        for name in (*settings.images, *settings.labels)
    ]
    text = " and ".join(filter(None, [", ".join(least[:-1]), least[-1]]))
    series = any(layer.time == "series" for layer in settings.images.values())
    dates = ", of a series on enough dates" if series else ""
    found = [f"A patch is kept where at least {text} are observed{dates}."]
    if settings.splits.overlap == "polygons":
        order = settings.splits.tile_priority
        first = f"{codes(order)} first, the others" if order else "all"
        found.append(
            "Of patches of neighbouring tiles on one ground the one of the earlier tile is kept "
            f"({first} by name)."
        )
    elif settings.splits.overlap == "published":
        found.append(
            "Patches of neighbouring tiles on one ground are dropped as in MultiSenGE's release, "
            "tile pair by tile pair."
        )
    return ProcessStep("Completeness", tuple(found))


def _tasks(settings: StageSettings) -> list[ProcessStep]:
    """Classes of places, where the recipe has tasks."""
    told = [
        f"{code(name)}: the class of a place is that of the longest known beginning of {code(task.column)} "
        f"in the legend {code(task.legend)} (`class_{name}`; −1: no class, left out of this task alone)."
        for name, task in settings.tasks.items()
    ]
    return [ProcessStep("Tasks", tuple(told))] if told else []


def _splits(settings: StageSettings) -> ProcessStep:
    wanted = settings.splits
    if wanted.method == "published":
        return ProcessStep(
            "Splits",
            (
                "At random, 90/10 and then 80/20, as in the publication of CerraData-4MM "
                f"(seeds {wanted.seed} and {wanted.val_seed}): neighbouring patches lie on both "
                "sides of a split.",
            ),
        )
    shares = ", ".join(
        f"{name} {percent(share)}" for name, share in zip(SPLITS, wanted.fractions, strict=True)
    )
    if wanted.method == "stratified":
        return ProcessStep(
            "Splits",
            (
                f"At random within each value of {code(wanted.by or '')}, patches of one place together; "
                f"wanted: {shares} (seed {wanted.seed}). Neighbours lie on both sides of a split.",
            ),
        )
    return ProcessStep(
        "Splits",
        (
            f"Square blocks of {metres(wanted.block_m)} go to one split as a whole; wanted: {shares} "
            f"(seed {wanted.seed}).",
            f"Patches of one split nearer than {metres(wanted.buffer_m)} to another are in none."
            if wanted.buffer_m
            else "No buffer keeps the splits apart.",
            *(
                [f"Classes of {code(wanted.stratify)} are shared out among them."]
                if wanted.stratify
                else []
            ),
        ),
    )


def attribution(settings: StageSettings, lock: Lock, years: Sequence[str]) -> list[str]:
    """Sources and licences: whom to name, from the lock and the settings.

    Args:
        settings: of the stage `publish`.
        lock: what went in.
        years: of the acquisitions.
    """
    found = []
    if lock.source == "simulated":
        found.append(
            "All imagery is simulated: it contains no Copernicus data, shows no real place, and no "
            "provider's licence applies to it."
        )
    for about in _abouts(settings, lock, {}, years):
        found += kind_of(about.settings.kind).credit(about)
    return list(dict.fromkeys(found))
