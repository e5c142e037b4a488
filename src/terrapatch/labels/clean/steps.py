# SPDX-License-Identifier: Apache-2.0
"""The steps that a recipe can name: what each does, and how far it looks.

Each function takes labels that it may change, the step's settings and what all steps know; it gives
the labels, the pixels that it changed and the components that were too small.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...compiled import kernel
from ...errors import RecipeError
from ...legend import NODATA
from ...settings import (
    CleanStep,
    ClosingStep,
    FillStep,
    MajorityStep,
    MmuStep,
    NetworksStep,
    OpeningStep,
    SieveStep,
)
from .components import remove_small
from .filling import fill_nearest, fill_vote, reach_px
from .majority import majority, radius_px
from .published import fill_knn_rows
from .shapes import close_classes, close_grey, disc, element_reach, open_classes, rectangle
from .sieve import sieve_border, sieve_reach, sieve_size

Labels = NDArray[np.uint8]
Result = tuple[Labels, int, int]
ShapeStep = ClosingStep | OpeningStep


@dataclass(frozen=True)
class Area:
    """What every step is told about the map that is cleaned."""

    pixel_m: tuple[float, float]
    """Height and width of a pixel in metres."""
    codes: tuple[int, ...]
    """Codes of all classes, in the legend's order."""
    fixed: NDArray[np.bool_]
    """(256,) values whose pixels no step changes: protected classes and nodata."""
    classes: NDArray[np.bool_]
    """(256,) values that are classes."""
    hole: int
    """Value of holes: a code that the legend does not use."""
    network: Labels | None = None
    """(y, x) uint8 codes of roads and rails; 255 is none."""
    inside: NDArray[np.bool_] | None = None
    """(y, x) pixels that `fill.gaps` may fill; all where None."""

    def active(self, classes: tuple[int, ...]) -> tuple[int, ...]:
        """The classes a step acts on, protected ones left out, in the legend's order."""
        return tuple(c for c in self.codes if (not classes or c in classes) and not self.fixed[c])

    def least_px(self, step: MmuStep | SieveStep) -> NDArray[np.int64]:
        """(256,) pixels that a component of each value needs to stay."""
        least = np.zeros(256, np.int64)
        for code in self.active(step.classes):
            least[code] = least_pixels(step.areas_m2.get(code, step.area_m2), self.pixel_m)
        return least


def least_pixels(area_m2: float, pixel_m: tuple[float, float]) -> int:
    """Pixels whose area is at least `area_m2`; 250 for 2.5 ha at 10 m."""
    return math.ceil(area_m2 / (pixel_m[0] * pixel_m[1]) * (1 - 1e-9))


def reach_of(step: CleanStep, pixel_m: tuple[float, float]) -> int:
    """Pixels around a pixel that a step's result depends on; 0 for steps without a bound."""
    if isinstance(step, MmuStep | SieveStep):
        least = max(least_pixels(area, pixel_m) for area in (step.area_m2, *step.areas_m2.values()))
        if isinstance(step, SieveStep):
            return sieve_reach(least, step.rounds) if step.by == "border" else 0
        return max(0, least - 1)
    if isinstance(step, FillStep):
        if step.method == "knn_rows":
            return 0
        return reach_px(step.max_distance_m, pixel_m, step.method)
    if isinstance(step, MajorityStep):
        return step.rounds * max(radius_px(step.radius_m, pixel_m))
    if isinstance(step, ShapeStep):
        return element_reach(_spans(step, pixel_m))
    return 0


def _spans(step: ShapeStep, pixel_m: tuple[float, float]) -> NDArray[np.int32]:
    if step.size_m is not None:
        return rectangle(step.size_m, pixel_m)
    assert step.radius_m is not None, "the settings ask for one of both"
    return disc(step.radius_m, pixel_m)


def _mmu(labels: Labels, step: MmuStep, area: Area) -> Result:
    changed, removed = remove_small(
        labels,
        area.least_px(step),
        connectivity=step.connectivity,
        spare_at_nodata=step.at_nodata == "keep",
        hole=area.hole,
    )
    return labels, changed, removed


def _sieve(labels: Labels, step: SieveStep, area: Area) -> Result:
    if step.by == "size":
        least = least_pixels(step.area_m2, area.pixel_m)
        fixed = area.fixed.copy()
        fixed[area.hole] = True
        result = sieve_size(labels, least, connectivity=step.connectivity, fixed=fixed)
        return result, differing(labels, result), 0
    changed, removed = sieve_border(
        labels,
        area.least_px(step),
        area.classes,
        connectivity=step.connectivity,
        rounds=step.rounds,
        hole=area.hole,
    )
    return labels, changed, removed


def _fill(labels: Labels, step: FillStep, area: Area) -> Result:
    if step.gaps:
        gaps = labels == NODATA
        if area.inside is not None:
            gaps &= area.inside
        labels[gaps] = area.hole
    source = area.classes.copy()
    source[list(step.never_into)] = False
    if step.method == "knn_rows":
        holes = int(np.count_nonzero(labels == area.hole))
        filled = fill_knn_rows(labels, hole=area.hole, neighbours=step.neighbours)
        return filled, holes, 0
    if step.method == "vote":
        changed = fill_vote(
            labels,
            source,
            hole=area.hole,
            voters=step.neighbours,
            max_distance_m=step.max_distance_m,
            pixel_m=area.pixel_m,
        )
    else:
        changed = fill_nearest(
            labels,
            source,
            hole=area.hole,
            max_distance_m=step.max_distance_m,
            pixel_m=area.pixel_m,
        )
    # What no class reaches stays without label, and is nobody's hole any more.
    replace(labels, area.hole, NODATA)
    return labels, changed, 0


def _majority(labels: Labels, step: MajorityStep, area: Area) -> Result:
    changed = 0
    for _ in range(step.rounds):
        now = majority(labels, area.classes, area.fixed, step.radius_m, area.pixel_m)
        changed += now
        if not now:
            break
    return labels, changed, 0


def _closing(labels: Labels, step: ClosingStep, area: Area) -> Result:
    spans = _spans(step, area.pixel_m)
    if step.kind == "grey":
        shown = np.where(labels == area.hole, np.uint8(NODATA), labels)
        closed = close_grey(shown, (len(spans), int(spans[0, 1])))
        result = np.where(area.fixed[labels] | (labels == area.hole), labels, closed)
        return result, differing(labels, result), 0
    order = step.priority + tuple(c for c in area.codes if c not in step.priority)
    active = tuple(c for c in area.codes if not step.classes or c in step.classes)
    changed = close_classes(labels, spans, order, active, area.fixed, hole=area.hole)
    return labels, changed, 0


def _opening(labels: Labels, step: OpeningStep, area: Area) -> Result:
    spans = _spans(step, area.pixel_m)
    return labels, open_classes(labels, spans, area.active(step.classes), hole=area.hole), 0


def _networks(labels: Labels, step: NetworksStep, area: Area) -> Result:
    if area.network is None:
        raise RecipeError(
            "clean: networks has nothing to burn; name roads or rails under "
            "networks, or leave the step out"
        )
    free = ~area.fixed
    free[NODATA] = step.over_nodata
    return labels, _burn(labels, area.network, free), 0


STEPS: dict[str, Callable[..., Result]] = {
    "mmu": _mmu,
    "sieve": _sieve,
    "fill": _fill,
    "majority": _majority,
    "closing": _closing,
    "opening": _opening,
    "networks": _networks,
}
"""The function of each step."""


@kernel
def _burn(labels: Labels, network: Labels, free: NDArray[np.bool_]) -> int:
    changed = 0
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            code = network[y, x]
            if code != 255 and free[labels[y, x]] and labels[y, x] != code:
                labels[y, x] = code
                changed += 1
    return changed


@kernel
def differing(one: Labels, other: Labels) -> int:
    """Number of pixels in which two rasters differ."""
    count = 0
    for y in range(one.shape[0]):
        for x in range(one.shape[1]):
            count += one[y, x] != other[y, x]
    return count


@kernel
def replace(labels: Labels, old: int, new: int) -> int:
    """Replace a value in place; returns how many pixels had it."""
    count = 0
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            if labels[y, x] == old:
                labels[y, x] = new
                count += 1
    return count


@kernel
def histogram(labels: Labels) -> NDArray[np.int64]:
    """(256,) pixels of each value."""
    counts = np.zeros(256, np.int64)
    for y in range(labels.shape[0]):
        for x in range(labels.shape[1]):
            counts[labels[y, x]] += 1
    return counts
