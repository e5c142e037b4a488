# SPDX-License-Identifier: Apache-2.0
"""What all scenes of a kind have in common, whichever product they come in: a row each.

A kind that has more to say than a row holds has a module beside its siblings, with their names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..settings import PROBABILITIES, S2_BANDS
from . import sentinel1, sentinel2
from .assets import Item
from .repeats import Repeat
from .scene import Numbers
from .statements import Statement


@dataclass(frozen=True)
class Catalogued:
    """How items of STAC catalogues describe scenes of a kind."""

    called: re.Pattern[str]
    """How names of its satellites and collections begin, in lower case, without signs between."""
    asset_names: Callable[[str], list[str]]
    """Band → how items may call its asset; the first one there counts."""
    facts: Callable[[Item], dict[str, Any]]
    """Item → what it says in the kind's own words, as fields of a `Scene`."""
    numbers: Callable[[Item, Mapping[str, Any], str, str], tuple[Numbers, Numbers | None]]
    """Item, asset, band, file of the item → what it says of whole and of floating-point numbers."""


@dataclass(frozen=True)
class Traits:
    """What is known of a kind's scenes before any of them is looked at."""

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
    coded: tuple[str, ...] = ()
    """Bands that hold codes or bits where the others are measured."""
    counted: tuple[str, ...] = ()
    """Bands in which 0 is a value, whatever is usual."""
    level: str | None = None
    """Level of files that the recipe describes; None: the recipe says it."""
    band_name: Callable[[str], str | None] = lambda _text: None
    """A file's description of a band → the band that it means, if any."""
    also: Mapping[str, str] = field(default_factory=dict)
    """Bands that are called by another one's name as well."""
    items: Catalogued | None = None
    """How catalogues describe its scenes; None: they hold none."""
    repeat: Repeat | None = None
    """How often its scenes show a place; None: they are no series of passes."""


TRAITS: Mapping[str, Traits] = {
    "sentinel2": Traits(
        (*S2_BANDS, "SCL", *PROBABILITIES), sentinel2.USUAL, reflectance=True, coded=sentinel2.CODED,
        counted=PROBABILITIES,
        band_name=sentinel2.band_name, also=sentinel2.ALSO, repeat=sentinel2.REPEAT,
        items=Catalogued(
            sentinel2.CALLED, sentinel2.asset_names, sentinel2.facts, sentinel2.numbers
        ),
    ),
    "sentinel1": Traits(
        sentinel1.POLARISATIONS, sentinel1.USUAL, power=True, level="RTC",
        band_name=sentinel1.band_name, repeat=sentinel1.REPEAT,
        items=Catalogued(
            sentinel1.CALLED, sentinel1.asset_names, sentinel1.facts, sentinel1.numbers
        ),
    ),
    "raster": Traits((), Statement("usually"), level="raster"),
    "reference": Traits(("map",), Statement("usually"), codes=True, level="map"),
}  # fmt: skip
"""By what the lock calls the kind of a scene."""
