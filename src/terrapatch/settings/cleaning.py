# SPDX-License-Identifier: Apache-2.0
"""Settings of the steps that clean label rasters, in the order in which a recipe lists them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from .base import Section

ClassCode = Annotated[int, Field(ge=0, le=254)]
"""Code of a class of the legend's finest level."""
Metres = Annotated[float, Field(gt=0, le=100_000)]


class _Smallest(Section):
    """What counts as too small."""

    area_m2: Annotated[float, Field(gt=0)]
    """Minimum mapping unit in square metres: components of a smaller area go."""
    areas_m2: dict[ClassCode, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    """Other units for single classes (class code: square metres); 0 leaves a class alone."""
    classes: tuple[ClassCode, ...] = ()
    """Classes that the step acts on; all of them if absent."""
    connectivity: Literal[4, 8] = 8
    """Whether pixels hang together by their sides alone (4) or by corners too (8)."""


class MmuStep(_Smallest):
    """Components below the minimum mapping unit become holes, for a later `fill`."""

    step: Literal["mmu"] = "mmu"
    at_nodata: Literal["remove", "keep"] = "remove"
    """`keep` spares components that share a side with a pixel without label: the area's edge may
    have cut them."""


class SieveStep(_Smallest):
    """Components below the minimum mapping unit go to a neighbour as a whole."""

    step: Literal["sieve"] = "sieve"
    by: Literal["border", "size"] = "border"
    """`border`: the class with the longest border; `size`: the largest neighbour, as GDAL's sieve
    does (no halo is enough for it: the result depends on how units are cut)."""
    rounds: Annotated[int, Field(ge=1, le=16)] = 3
    """`border`: how often components that only stood beside other small ones are tried again; what
    is left then becomes a hole."""

    @model_validator(mode="after")
    def _gdal(self) -> SieveStep:
        if self.by == "size" and (self.areas_m2 or self.classes):
            raise ValueError("by: size knows one area for all classes; leave areas_m2, classes out")
        return self


class FillStep(Section):
    """Holes take a class that stands beside them."""

    step: Literal["fill"] = "fill"
    method: Literal["nearest", "vote", "knn_rows"] = "nearest"
    """`nearest`: the nearest pixel's class, as far as that class reaches the hole pixel by pixel;
    `vote`: the `neighbours` nearest pixels vote, weighted by 1 / distance; `knn_rows`: the published
    imputer, which takes rows of the raster for samples (at most 4096 x 4096 pixels)."""
    neighbours: Annotated[int, Field(ge=1, le=100)] = 5
    """`vote`: pixels that vote; `knn_rows`: rows whose class codes are averaged (published: 1)."""
    max_distance_m: Metres = 300.0
    """Holes farther than this from any class stay without label (`nearest`, `vote`). The halo of a
    unit grows with it."""
    gaps: bool = False
    """Fill pixels without label in the source too, as far as `max_distance_m` from a class."""
    never_into: tuple[ClassCode, ...] = ()
    """Classes that holes never take."""


class MajorityStep(Section):
    """Every pixel takes the class that is most frequent in the square window around it."""

    step: Literal["majority"] = "majority"
    radius_m: Metres
    """Half side of the window, in metres from pixel centre to pixel centre."""
    rounds: Annotated[int, Field(ge=1, le=16)] = 1
    """How often."""


class _Element(Section):
    """A structuring element: a rectangle or a disc."""

    size_m: tuple[Metres, Metres] | None = None
    """Rectangle: height (north-south) and width (east-west) in metres, rounded to whole pixels."""
    radius_m: Metres | None = None
    """Disc instead of a rectangle: pixels whose centre is at most so many metres away."""
    classes: tuple[ClassCode, ...] = ()
    """Classes that the step acts on; all of them if absent."""

    @model_validator(mode="after")
    def _one_shape(self) -> _Element:
        if (self.size_m is None) == (self.radius_m is None):
            raise ValueError("give either size_m (height, width) or radius_m")
        return self


class ClosingStep(_Element):
    """Each class closes its own gaps and notches; a pixel claimed by several goes to the first."""

    step: Literal["closing"] = "closing"
    priority: tuple[ClassCode, ...] = ()
    """Classes in the order of their claim, the strongest first; those not named follow in the
    legend's order."""
    kind: Literal["classes", "grey"] = "classes"
    """`grey`: closing of the codes as if they were heights, as published (greater codes win)."""

    @model_validator(mode="after")
    def _heights(self) -> ClosingStep:
        if self.kind == "grey" and (self.radius_m or self.classes or self.priority):
            raise ValueError("kind: grey knows size_m alone; leave the other entries out")
        return self


class OpeningStep(_Element):
    """Parts of a class that the element does not fit into become holes, for a later `fill`."""

    step: Literal["opening"] = "opening"


class NetworksStep(Section):
    """Roads and rails are burnt over the classes (`networks`)."""

    step: Literal["networks"] = "networks"
    over_nodata: bool = False
    """Burn over pixels without label as well."""


class SettleStep(Section):
    """All steps before this one are repeated until they change nothing."""

    step: Literal["settle"] = "settle"
    rounds: Annotated[int, Field(ge=1, le=8)] = 1
    """How often at most; each round makes the halo longer."""
    unsettled: Literal["nodata", "keep"] = "nodata"
    """What becomes of pixels that a further round would still change."""


CleanStep = Annotated[
    MmuStep
    | SieveStep
    | FillStep
    | MajorityStep
    | ClosingStep
    | OpeningStep
    | NetworksStep
    | SettleStep,
    Field(discriminator="step"),
]
"""One step of `clean`."""


def chain_findings(steps: tuple[CleanStep, ...]) -> list[str]:
    """What is wrong with an order of steps, a sentence each."""
    findings = []
    for number, step in enumerate(steps):
        before = [earlier.step for earlier in steps[:number]]
        if isinstance(step, SettleStep) and (not before or "networks" in before):
            findings.append(
                "settle repeats the steps before it: put it after them, and before networks"
            )
        if isinstance(step, SettleStep) and "settle" in before:
            findings.append("settle stands twice; one repeats all steps before it")
    return findings
