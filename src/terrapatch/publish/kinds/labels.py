# SPDX-License-Identifier: Apache-2.0
"""How labels were made, in sentences: sources, codes, cleaning, edges."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...legend import Crosswalk, Level, load_crosswalk
from ...records import Lock, LockedVector
from ...settings import LabelsSettings, NetworkSource, VectorSource
from ...vectors.codes import network_rules
from ...vectors.schema import schema_of
from ..methods.words import (
    About,
    ProcessStep,
    class_names,
    code,
    codes,
    count,
    file_names,
    metres,
    scenes_of,
    terms,
    times,
)
from .plain import Portrait

_EDGES = {
    "none": "No edge layers.",
    "thin": "Edges `thin`: pixels that differ from their right or lower neighbour.",
    "inner": "Edges `inner`: of two neighbours that differ, the one with the greater code.",
    "outer": "Edges `outer`: of two neighbours that differ, the one with the smaller code.",
    "thick": "Edges `thick`: both of two neighbours that differ.",
    "distance": "Edges `distance`: pixels to the nearest thin edge, 254 at most.",
}
_NULLS = {
    "error": "", "discard": "features without a code are nodata",
    "ignore": "features without a code are left out",
}  # fmt: skip


def reference_simulated(settings: LabelsSettings, lock: Lock) -> bool:
    """Whether maps and vectors are the embedded archive's own."""
    named = [source.path for source in settings.vectors]
    named += [source.path for source in settings.networks]
    named += [] if settings.path is None else [settings.path]
    return lock.source == "simulated" and all("{archive}" in path for path in named)


def credit(about: About) -> list[str]:
    """Whom to name for the references."""
    if reference_simulated(about.settings, about.lock):
        return ["Reference maps and vectors are simulated: no provider is to be credited."]
    stated = terms(about, "reference")
    if about.reference_licence:
        return [f"Reference: {about.reference_licence.strip().rstrip('.')}."]
    if stated:
        return [f"Terms of the reference: {codes(stated)}."]
    return ["Reference: its licence is not stated in the recipe (`publish.reference_licence`)."]


def sentence(about: About) -> ProcessStep:
    """From references to labels."""
    settings: LabelsSettings = about.settings
    lock, legend = about.lock, about.legend
    assert legend is not None, "labels have a legend"
    finest = legend.finest
    coarser = [level.name for level in legend.levels[1:]]
    return ProcessStep(
        about.titled("Labels"),
        (
            *_maps(about),
            *_vectors(about, finest),
            f"Legend {code(settings.legend)}.",
            *_special(settings, finest),
            *_cleaning(settings, finest),
            *_networks(settings, finest, lock),
            *_metric(settings, lock),
            *([f"Coarser levels ({codes(coarser)}) are derived from {code(finest.name)}."]
              if coarser else []),
            _EDGES[settings.edges],
        ),
    )  # fmt: skip


def _maps(about: About) -> list[str]:
    settings: LabelsSettings = about.settings
    lock, found = about.lock, scenes_of(about.lock, about.name, "reference")
    if not found:
        return []
    names = file_names([asset.href for item in found for asset in item.assets.values()])
    own = " (simulated)" if reference_simulated(settings, lock) else ""
    own += f", band {code(settings.band)}" if settings.band is not None else ""
    return [
        f"{'Map' if len(found) == 1 else 'Maps'}: {names}{own}, through crosswalk "
        f"{code(settings.crosswalk)}; a pixel takes the code at its centre.",
        *_tolerated(load_crosswalk(settings.crosswalk), about),
    ]


def _tolerated(walk: Crosswalk, about: About) -> list[str]:
    """Codes that should not occur, and what they become."""
    assert about.legend is not None, "labels have a legend"
    return [
        f"Source code {source} should not occur: its pixels become "
        f"{class_names(about.legend.finest, [walk.codes[source]])}, and the record of the label stack "
        "counts them."
        for source in sorted(walk.tolerated)
    ]


def _vectors(about: About, finest: Level) -> list[str]:
    settings: LabelsSettings = about.settings
    lock = about.lock
    found = []
    for number, source in enumerate(settings.vectors):
        files = [v for v in lock.vectors if v.kind == "vectors" and v.source == number]
        means = f"through crosswalk {code(source.crosswalk or settings.crosswalk)}"
        if source.code is not None:
            means = f"all of class {class_names(finest, [source.code])}"
        facts = [
            means,
            *_read_as(source, finest),
            *_chosen(source),
            *_order(source),
            *([_NULLS[source.null_codes]] if _NULLS[source.null_codes] else []),
        ]
        found.append(f"Polygons of {_layer(source, files)}: {'; '.join(facts)}.")
    if settings.vectors:
        found.append("A pixel takes the polygon that contains its centre.")
    maps = len(scenes_of(lock, about.name, "reference"))
    if len(settings.vectors) + maps > 1:
        found.append(
            "Where sources overlap the greater priority wins, then polygons before maps, then the "
            "first in the recipe."
        )
    return found


def _layer(source: VectorSource | NetworkSource, files: list[LockedVector]) -> str:
    if not files:
        return code(source.product)
    layers = codes(dict.fromkeys(v.layer for v in files))
    names = file_names([v.href for v in files])
    features = sum(v.features for v in files)
    own = ", simulated" if "{archive}" in source.path else ""
    return f"{names} (layer {layers}, {count(features, 'feature')} around the area{own})"


def _read_as(source: VectorSource, finest: Level) -> list[str]:
    """Readings of the recipe's own, and the year of what is another map each year."""
    found = []
    if source.codes:
        listed = ", ".join(
            f"{code(given)}, read as {class_names(finest, [means]) if isinstance(means, int) else means}"
            for given, means in source.codes.items()
        )
        found.append(f"but for {listed}")
    year = schema_of(source.product, source.year).yearly
    if year is not None:
        other = ", also where the scenes are of another year" if source.allow_year else ""
        found.append(f"the state of {year}{other}")
    return found


def _chosen(source: VectorSource | NetworkSource) -> list[str]:
    return [
        f"only features whose {code(field)} is {codes(values)}"
        for field, values in source.where.items()
    ]


def _order(source: VectorSource) -> list[str]:
    if source.order_field is not None:
        on_top = f"the one with the greater {code(source.order_field)}, then the {source.on_top}"
    else:
        on_top = f"the {source.on_top}"
    return [f"priority {source.priority}", f"of overlapping features {on_top} one lies on top"]


def _special(settings: LabelsSettings, finest: Level) -> list[str]:
    found = []
    if settings.ignore_codes:
        found.append(f"Source codes left out: {codes(settings.ignore_codes)}.")
    if settings.background is not None:
        found.append(
            f"Pixels that no source covers are {class_names(finest, [settings.background])}."
        )
    return found


def _networks(settings: LabelsSettings, finest: Level, lock: Lock) -> list[str]:
    found = []
    for number, source in enumerate(settings.networks):
        files = [v for v in lock.vectors if v.kind == "networks" and v.source == number]
        facts = [f"widened to each side by {_widths(source)}", *_chosen(source)]
        found.append(
            f"Network of {_layer(source, files)}, burnt as {class_names(finest, [source.code])}: "
            f"{'; '.join(facts)}."
        )
    return found


def _widths(source: NetworkSource) -> str:
    """Widths of a network's lines by kind, as its rules have them."""
    if source.buffer_m is not None:
        return metres(source.buffer_m)
    name = source.rules or source.product
    rules = network_rules(name).with_buffers(source.buffers).rules
    widths = {rule.kind: rule.buffer_m for rule in rules if rule.action == "select"}
    sides = ", ".join(f"{code(kind)} {metres(width)}" for kind, width in widths.items())
    return f"{sides} (rules {code(name)})"


def _metric(settings: LabelsSettings, lock: Lock) -> list[str]:
    """Where metres count on a grid in degrees."""
    if lock.latitude is None or not (settings.clean or settings.networks):
        return []
    return [f"Metres and areas count at latitude {lock.latitude:.6g}, everywhere alike."]


# --- cleaning -----------------------------------------------------------------------------------


def _cleaning(settings: LabelsSettings, finest: Level) -> list[str]:
    if not settings.clean:
        return ["Labels are not cleaned."]
    steps = [
        f"({number}) {code(step.step)}: {_STEPS[step.step](step, finest)}"
        for number, step in enumerate(settings.clean, start=1)
    ]
    found = [f"Cleaned in this order: {'; '.join(steps)}."]
    if settings.protect:
        found.append(f"No step changes {class_names(finest, settings.protect)}.")
    return found


def _of_classes(classes: tuple[int, ...], finest: Level) -> str:
    return f" of {class_names(finest, classes)}" if classes else ""


def _small(step: Any, finest: Level) -> str:
    others = ", ".join(
        f"{class_names(finest, [c])} {area:,.10g} m²" for c, area in step.areas_m2.items()
    )
    units = f"{step.area_m2:,.10g} m²" + (f" ({others})" if others else "")
    joined = "sides and corners" if step.connectivity == 8 else "sides alone"
    return f"components{_of_classes(step.classes, finest)} below {units}, joined by {joined},"


def _mmu(step: Any, finest: Level) -> str:
    spared = ", but for those beside pixels without label" if step.at_nodata == "keep" else ""
    return f"{_small(step, finest)} become holes{spared}"


def _sieve(step: Any, finest: Level) -> str:
    if step.by == "size":
        return f"{_small(step, finest)} go to their largest neighbour (GDAL's sieve)"
    return (
        f"{_small(step, finest)} go to the neighbouring class with the longest border, tried "
        f"{times(step.rounds)}"
    )


def _fill(step: Any, finest: Level) -> str:
    how = {
        "nearest": f"holes take the nearest class, up to {metres(step.max_distance_m)}",
        "vote": f"holes take the vote of the {step.neighbours} nearest pixels, up to "
        f"{metres(step.max_distance_m)}",
        "knn_rows": f"holes are filled by the published imputer over {count(step.neighbours, 'row')}",
    }[step.method]
    gaps = ", pixels without label in the source too" if step.gaps else ""
    never = f", never {class_names(finest, step.never_into)}" if step.never_into else ""
    return how + gaps + never


def _majority(step: Any, _: Level) -> str:
    return (
        f"each pixel takes the most frequent class within {metres(step.radius_m)} in a square, "
        f"{times(step.rounds)}"
    )


def _element(step: Any) -> str:
    if step.radius_m is not None:
        return f"a disc of radius {metres(step.radius_m)}"
    return f"a rectangle of {step.size_m[0]:,.10g} × {metres(step.size_m[1])} (height × width)"


def _closing(step: Any, finest: Level) -> str:
    if step.kind == "grey":
        return f"grey closing of the codes by {_element(step)}; greater codes win"
    claims = ""
    if step.priority:
        claims = f"; {class_names(finest, step.priority)} claim pixels first"
    return f"gaps{_of_classes(step.classes, finest)} are closed by {_element(step)}{claims}"


def _opening(step: Any, finest: Level) -> str:
    return (
        f"parts{_of_classes(step.classes, finest)} that do not hold {_element(step)} become holes"
    )


def _burnt(step: Any, _: Level) -> str:
    return "networks are burnt" + (", over pixels without label too" if step.over_nodata else "")


def _settle(step: Any, _: Level) -> str:
    rest = {"nodata": "lose their label", "keep": "are kept"}[step.unsettled]
    return (
        f"the steps before are repeated {times(step.rounds)} at most; pixels that a further pass would "
        f"change {rest}"
    )


_STEPS: Mapping[str, Callable[[Any, Level], str]] = {
    "mmu": _mmu, "sieve": _sieve, "fill": _fill, "majority": _majority, "closing": _closing,
    "opening": _opening, "networks": _burnt, "settle": _settle,
}  # fmt: skip


PORTRAIT = Portrait("Reference map", sentence, credit)
