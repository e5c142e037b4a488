# SPDX-License-Identifier: Apache-2.0
"""What all scenes of a sensor have in common, whichever product they come in: a row each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..settings import S2_BANDS
from .statements import Statement

POLARISATIONS = ("VV", "VH", "HH", "HV")


@dataclass(frozen=True)
class Traits:
    """What is known of a sensor's scenes before any of them is looked at."""

    bands: tuple[str, ...]
    """Names that a band can have."""
    usual: Statement
    """What holds of its numbers where nobody says anything."""
    reflectance: bool = False
    """Numbers are reflectances: they need an offset, or that there is none; missing is a value;
    one image a day and tile of the MGRS grid."""
    power: bool = False
    """Numbers are backscatter: linear or decibel; bands are polarisations."""
    codes: bool = False
    """Numbers are codes of classes."""
    level: str | None = None
    """Level of files that the recipe describes; None: the recipe says it."""


TRAITS: Mapping[str, Traits] = {
    "sentinel2": Traits((*S2_BANDS, "SCL"), Statement("usually", nodata=0.0), reflectance=True),
    "sentinel1": Traits(
        POLARISATIONS, Statement("usually", unit="linear"), power=True, level="RTC"
    ),
    "raster": Traits((), Statement("usually"), level="raster"),
    "reference": Traits(("map",), Statement("usually"), codes=True, level="map"),
}
"""By sensor."""
