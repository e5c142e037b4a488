# SPDX-License-Identifier: Apache-2.0
"""What the embedded archive shows, and in which products."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from .base import Section
from .policy import Policy


class SimulateSettings(Section):
    """The embedded archive: a seeded landscape and the products that would show it."""

    version: Literal[1] = 1
    seed: Annotated[int, Field(ge=0)] = 4
    """Seed of the landscape and of all noise."""
    year: Annotated[int, Field(ge=2015, le=2100)] = 2022
    """Year of the acquisitions and of the reference map."""
    passes: Annotated[int, Field(ge=1, le=73)] = 2
    """Sentinel-2 dates per tile: the first is clear and in mid June, the second in early January
    (with a reprocessed duplicate of one tile), the others all over the year."""
    s1_passes: Annotated[int, Field(ge=1, le=30)] = 1
    """Sentinel-1 dates per orbit direction."""
    s1_format: Literal["rtc", "grd", "both"] = "rtc"
    """Sentinel-1 as terrain-corrected backscatter, as raw GRD products in radar geometry (two
    slices a pass, and a height model in `dem/`), or both."""
    s2_format: Literal["safe", "theia", "both"] = "safe"
    """Sentinel-2 as ESA's SAFE products, as Theia's (MAJA), or both from the same pixels."""
    margin_m: Annotated[float, Field(ge=0, le=50_000)] = 1_000.0
    """How far the scenes reach past the area, in metres; whole tiles where `whole_tiles`."""
    whole_tiles: bool = False
    """Write full 10980 x 10980 tiles instead of crops around the area (minutes per scene)."""
    references: Literal["terraclass", "french"] = "terraclass"
    """`french`: beside TerraClass also OCSGE2, BD TOPO, and MultiSenGE's classes as they truly are."""
    view: Literal["usual", "europe"] = "usual"
    """`europe`: beside the maps also the points of a survey over two countries (`reference/lucas_2018.csv`), the
    parcels of two years (`rpg/`), and a few regions (`rois.gpkg`) with aerial, older and SPOT images, heights and
    COSIA labels (`aerial/`, `pan/`, `spot/`, `elevation/`, `cosia/`)."""
    impulses: tuple[tuple[float, float], ...] = ()
    """Point targets (longitude, latitude), for measuring how well the layers agree: bright in both
    sensors, a disc of urban land of 100 m radius on the map, still water around."""

    def lacking(self, policy: Policy) -> list[str]:
        """What a layer asks for that is not there, a sentence each that begins with its key."""
        if policy.scenes != "sentinel2":
            return []
        found = []
        if policy.level != "L2A":
            found.append(
                "level: the embedded archive holds Level-2A products only; set level: L2A or use the "
                "source 'local'"
            )
        written = self.s2_format
        if written not in ("both", "theia" if policy.processor == "theia" else "safe"):
            found.append(
                f"processor: simulate.s2_format: {written} writes no products of {policy.processor}; "
                "set both to the same, or simulate.s2_format: both"
            )
        return found
