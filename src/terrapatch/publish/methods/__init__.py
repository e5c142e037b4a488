# SPDX-License-Identifier: Apache-2.0
"""What was done to make the dataset, in sentences: one home for the card and the report.

Laws:
1. Every sentence follows from the resolved settings, the lock or what the layout wrote; none is
   a constant of the template.
2. A setting that changes pixels changes a sentence (tested setting by setting).
3. Files are named without the folders of one machine; foreign text stands in backticks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...legend import Legend
from ...recipe import StageSettings
from ...sections import Sentinel1Settings, Sentinel2Settings
from ...tables import Lock
from .labels import labels, reference_simulated
from .optical import keeps_offset, optical
from .radar import heights_simulated, quantity, radar
from .words import Step, codes, count, file_names, metres, percent, scenes_of

__all__ = ["Step", "attribution", "keeps_offset", "methods", "quantity"]

_SENSORS = {"sentinel2": "Sentinel-2", "sentinel1": "Sentinel-1"}


def methods(
    settings: StageSettings, lock: Lock, legend: Legend, nodata: Mapping[str, Any]
) -> list[Step]:
    """All steps in the order of the flow.

    Args:
        settings: of the stage `publish`.
        lock: what went in.
        legend: of the labels.
        nodata: layer → its value for missing pixels, or None, as the layout wrote it.
    """
    steps = []
    for name, layer in settings.images.items():
        required = settings.patches.of(name)
        if isinstance(layer, Sentinel2Settings):
            steps.append(optical(layer, settings.sampling, required, lock))
        else:
            steps.append(radar(layer, required, lock))
    return [
        _grid(settings), *steps, labels(settings.label, legend, lock),
        _missing(settings, nodata), _completeness(settings), _splits(settings),
    ]  # fmt: skip


def _grid(settings: StageSettings) -> Step:
    sampling = settings.sampling
    kind = {
        "mosaic": f"One mosaic over the area in {sampling.crs}, pixel {sampling.resolution:.16g} in its units",
        "tiles": "Windows in each MGRS tile, on its own UTM grid of 10 m",
    }[sampling.kind]
    rule = {
        "within": "lie inside the area", "intersects": "may reach over the edge of the area",
    }[sampling.area_rule]  # fmt: skip
    return Step(
        "Grid",
        (
            f"{kind}; patches of {count(sampling.size_px, 'px', 'px')} a side with a step of "
            f"{count(sampling.step_px, 'px', 'px')}; they {rule}.",
            "Every layer is cut by the same window.",
        ),
    )


def _missing(settings: StageSettings, nodata: Mapping[str, Any]) -> Step:
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
    return Step("Missing pixels", tuple(found))


def _completeness(settings: StageSettings) -> Step:
    limits = settings.patches
    least = [
        f"{percent(limits.of(name).valid)} of its {_SENSORS[layer.kind]} pixels"
        for name, layer in settings.images.items()
    ]
    least += [f"{percent(limits.of(name).valid)} of its label pixels" for name in settings.labels]
    text = ", ".join(least[:-1]) + f" and {least[-1]}"
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
    return Step("Completeness", tuple(found))


def _splits(settings: StageSettings) -> Step:
    wanted = settings.splits
    if wanted.method == "published":
        return Step(
            "Splits",
            (
                "At random, 90/10 and then 80/20, as in the publication of CerraData-4MM "
                f"(seeds {wanted.seed} and {wanted.val_seed}): neighbouring patches lie on both "
                "sides of a split.",
            ),
        )
    shares = ", ".join(
        f"{name} {percent(share)}"
        for name, share in zip(("train", "val", "test"), wanted.fractions, strict=True)
    )
    return Step(
        "Splits",
        (
            f"Square blocks of {metres(wanted.block_m)} go to one split as a whole; wanted: {shares} "
            f"(seed {wanted.seed}).",
            f"Patches of one split nearer than {metres(wanted.buffer_m)} to another are in none."
            if wanted.buffer_m
            else "No buffer keeps the splits apart.",
        ),
    )


def attribution(settings: StageSettings, lock: Lock, years: list[str]) -> list[str]:
    """Sources and licences: whom to name, from the lock and the settings.

    Args:
        settings: of the stage `publish`.
        lock: what went in.
        years: of the Sentinel acquisitions.
    """
    radars = list(settings.of_kind(Sentinel1Settings).values()) if lock.heights else []
    found = []
    if lock.source == "simulated":
        found.append(
            "All imagery is simulated: it contains no Copernicus data, shows no real place, and no "
            "provider's licence applies to it."
        )
    else:
        found.append(f"Contains modified Copernicus Sentinel data [{', '.join(years)}].")
        for sensor in dict.fromkeys(layer.kind for layer in settings.images.values()):
            terms = sorted({i.licence for i in scenes_of(lock, sensor) if i.licence})
            if terms:
                found.append(f"Terms of the {_SENSORS[sensor]} products: {codes(terms)}.")
    if radars and heights_simulated(radars[0], lock):
        found.append("The height model is simulated.")
    elif radars:
        names = file_names([file.href for file in lock.heights])
        found.append(f"Heights: {names}; see the terms of their provider.")
    if reference_simulated(settings.label, lock):
        found.append("Reference maps and vectors are simulated: no provider is to be credited.")
        return found
    terms = sorted({i.licence for i in scenes_of(lock, "reference") if i.licence})
    if settings.publish.reference_licence:
        found.append(f"Reference: {settings.publish.reference_licence.strip().rstrip('.')}.")
    elif terms:
        found.append(f"Terms of the reference: {codes(terms)}.")
    else:
        found.append(
            "Reference: its licence is not stated in the recipe (`publish.reference_licence`)."
        )
    return found
