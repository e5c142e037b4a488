# SPDX-License-Identifier: Apache-2.0
"""The steps of `clean`, one after the other.

Laws (with the steps that keep them in docs/references.md):
1. After `mmu` and `fill` no component is below the minimum mapping unit; nor after `settle`.
2. A second round of `mmu`, `fill`, `closing`, `opening`, of `mmu` with `fill`, and of any chain of
   these that ends with `settle`, changes nothing.
3. Renumbering the classes commutes with every step but the published ones: ties are broken by
   place or by the declared priority, never by code.
4. A raster cut with `halo_px` pixels more on every side gives the same pixels as the whole.
5. Protected pixels never change, and pixels without label stay so unless `fill.gaps` asks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...errors import GridError, LegendError
from ...legend import NODATA
from ...settings import CleanStep, FillStep, MmuStep, SettleStep, SieveStep
from .steps import STEPS, Area, Labels, Result, ShapeStep, histogram, reach_of, replace


@dataclass(frozen=True)
class StepReport:
    """What one step did."""

    step: str
    """Name of the step."""
    changed_px: int
    """Pixels changed, those that became holes among them (`settle`: in all its rounds)."""
    removed: int
    """Components that were too small (`mmu`, `sieve` by border)."""
    holes_px: int
    """Pixels without label after the step: holes, and what had none before."""


def halo_px(steps: Sequence[CleanStep], pixel_m: tuple[float, float]) -> int:
    """Pixels around a unit that its cleaned labels depend on.

    Steps that look at the whole raster (`sieve` by size, `fill` by knn_rows) have no bound and
    count nothing: what they give depends on how units are cut.

    Args:
        steps: the steps of a recipe.
        pixel_m: height and width of a pixel in metres.
    """
    reach = 0
    for number, step in enumerate(steps):
        if isinstance(step, SettleStep):
            judged = sum(reach_of(s, pixel_m) for s in _judges(steps[:number]))
            reach += step.rounds * reach + (judged if step.unsettled == "nodata" else 0)
        else:
            reach += reach_of(step, pixel_m)
    return reach


def bounded(steps: Sequence[CleanStep]) -> bool:
    """Whether `halo_px` holds: no step compares with things however far away."""
    return not any(
        (isinstance(step, SieveStep) and step.by == "size")
        or (isinstance(step, FillStep) and step.method == "knn_rows")
        for step in steps
    )


def _repeat(labels: Labels, step: SettleStep, earlier: Sequence[CleanStep], area: Area) -> Result:
    """Repeat steps until none of them, by itself, finds anything to do."""
    total = 0
    replace(labels, area.hole, NODATA)
    for _ in range(step.rounds):
        changed = 0
        for one in earlier:
            labels, now, _ = STEPS[one.step](labels, one, area)
            changed += now
        replace(labels, area.hole, NODATA)
        total += changed
        if not changed:
            return labels, total, 0
    if step.unsettled == "nodata":
        total += _unlabel(labels, earlier, area)
    return labels, total, 0


def _judges(earlier: Sequence[CleanStep]) -> list[ShapeStep | MmuStep]:
    """The steps whose word `_unlabel` takes on what is not settled."""
    shapes: list[ShapeStep | MmuStep] = [s for s in earlier if isinstance(s, ShapeStep)]
    for step in earlier:
        if isinstance(step, MmuStep):
            shapes.append(step)
        elif isinstance(step, SieveStep):
            shapes.append(MmuStep(**step.model_dump(exclude={"step", "by", "rounds"})))
    return shapes


def _unlabel(labels: Labels, earlier: Sequence[CleanStep], area: Area) -> int:
    """Take the label from what the steps would still change, in place.

    Taking labels away leaves closings and openings as they are (shapes, laws 2 and 4), and taking
    whole components away leaves the others as they are: after this no step finds work.
    """
    unlabelled = 0
    for step in _judges(earlier):
        after, changed, _ = STEPS[step.step](labels.copy(), step, area)
        if changed:
            labels[after != labels] = NODATA
        unlabelled += changed
    return unlabelled


def _chain(
    labels: Labels, steps: Sequence[CleanStep], area: Area
) -> Iterator[tuple[StepReport, Labels]]:
    """Labels with holes after each step; the next step may change them in place."""
    for number, step in enumerate(steps):
        if isinstance(step, SettleStep):
            labels, changed, removed = _repeat(labels, step, steps[:number], area)
        else:
            labels, changed, removed = STEPS[step.step](labels, step, area)
        counts = histogram(labels)
        holes = int(counts[area.hole] + counts[NODATA])
        yield StepReport(step.step, int(changed), removed, holes), labels


def trace(
    labels: NDArray[np.uint8],
    steps: Sequence[CleanStep],
    *,
    pixel_m: tuple[float, float],
    codes: Sequence[int],
    protect: Sequence[int] = (),
    network: NDArray[np.uint8] | None = None,
    inside: NDArray[np.bool_] | None = None,
) -> Iterator[tuple[StepReport, NDArray[np.uint8]]]:
    """Clean a label raster step by step.

    Args: see `run`.

    Yields:
        After each step its report, and the labels with holes as nodata: a new array each time.
    """
    area = _area(labels, steps, pixel_m, codes, protect, network, inside)
    for report, now in _chain(labels.copy(), steps, area):
        yield report, np.where(now == area.hole, np.uint8(NODATA), now)


def run(
    labels: NDArray[np.uint8],
    steps: Sequence[CleanStep],
    *,
    pixel_m: tuple[float, float],
    codes: Sequence[int],
    protect: Sequence[int] = (),
    network: NDArray[np.uint8] | None = None,
    inside: NDArray[np.bool_] | None = None,
    reports: list[StepReport] | None = None,
) -> NDArray[np.uint8]:
    """Clean a label raster.

    Args:
        labels: (y, x) uint8 codes of the legend's finest level; 255 is nodata. What lies outside
            of the raster counts as nodata.
        steps: steps of the recipe, in this order.
        pixel_m: height and width of a pixel in metres.
        codes: all codes of the level, in the legend's order.
        protect: classes whose pixels no step changes. They take part in all else: they are
            neighbours, and may grow.
        network: (y, x) uint8 codes of roads and rails, 255 where none; for `networks`.
        inside: (y, x) pixels of the area, for `fill.gaps`; all if absent.
        reports: what each step did is appended.

    Returns:
        (y, x) uint8, a new array; holes that no step filled are 255.

    Raises:
        LegendError: the raster holds codes that are not among `codes`, or a step names such.
        GridError: `network` or `inside` has another shape than `labels`.
        RecipeError: a step cannot be done (no network; a raster too large for a published step).
    """
    area = _area(labels, steps, pixel_m, codes, protect, network, inside)
    now = labels.copy()
    for report, now in _chain(now, steps, area):  # noqa: B007, B020
        if reports is not None:
            reports.append(report)
    replace(now, area.hole, NODATA)
    return now


def _area(
    labels: NDArray[np.uint8],
    steps: Sequence[CleanStep],
    pixel_m: tuple[float, float],
    codes: Sequence[int],
    protect: Sequence[int],
    network: NDArray[np.uint8] | None,
    inside: NDArray[np.bool_] | None,
) -> Area:
    known = {int(code) for code in codes}
    counts = histogram(labels)
    strange = {
        code: int(counts[code]) for code in range(NODATA) if counts[code] and code not in known
    }
    if strange:
        raise LegendError(
            f"label raster: codes that the legend does not have (code: pixels) {strange}; its "
            f"classes are {sorted(known)}"
        )
    if network is not None:
        burnt = set(np.flatnonzero(histogram(network)).tolist()) - {NODATA}
        if burnt - known:
            raise LegendError(
                f"networks: codes {sorted(burnt - known)} are no classes of the legend; its "
                f"classes are {sorted(known)}"
            )
    named = {code for step in steps for code in _named(step)} | set(protect)
    if named - known:
        raise LegendError(
            f"clean, protect: codes {sorted(named - known)} are no classes of "
            f"the legend; its classes are {sorted(known)}"
        )
    for name, array in (("network", network), ("inside", inside)):
        if array is not None and array.shape != labels.shape:
            raise GridError(f"{name}: shape {array.shape} is not that of the labels {labels.shape}")
    free = [code for code in range(NODATA) if code not in known]
    if not free:
        raise LegendError("a legend of 255 classes leaves no value for holes; drop one class")
    fixed, classes = np.zeros(256, bool), np.zeros(256, bool)
    fixed[[*protect, NODATA]] = True
    classes[list(known)] = True
    return Area(pixel_m, tuple(codes), fixed, classes, free[-1], network, inside)


def _named(step: CleanStep) -> set[int]:
    """Class codes that stand in a step's settings."""
    named: set[int] = set()
    for entry in ("classes", "areas_m2", "priority", "never_into"):
        named |= set(getattr(step, entry, ()))
    return named
