# SPDX-License-Identifier: Apache-2.0
"""A scene as its metadata tell it: plain data that can be compared, stored and sent.

Laws:
1. Finding scenes reads metadata only; whether a file keeps what they say, `locking` and the stages
   see when they open it.
2. What is wrong with a band stands beside it, and is an error only once the band is wanted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cache
from typing import Annotated, Any

import shapely
from pydantic import PlainSerializer, PlainValidator, TypeAdapter
from shapely.geometry.base import BaseGeometry

from ..access import Access
from ..grid import one_name
from .statements import SILENT, Statement

Transform = tuple[float, float, float, float, float, float]
Geometry = Annotated[
    BaseGeometry,
    PlainValidator(
        lambda found: shapely.from_geojson(json.dumps(found)) if isinstance(found, dict) else found
    ),
    PlainSerializer(lambda geometry: json.loads(shapely.to_geojson(geometry)), return_type=dict),
]


@dataclass(frozen=True, slots=True)
class Numbers:
    """What is said about the numbers of a band before its file is opened."""

    said: tuple[Statement, ...] = ()
    """What metadata and recipe say; the file's own tags must agree."""
    usual: Statement = SILENT
    """What holds where nobody says anything."""
    fault: str | None = None
    """Why nobody can say what they mean."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the pixels of a product lie, as its metadata state it."""

    crs: str
    transform: Transform
    shape: tuple[int, int]
    """Height, width."""


@dataclass(frozen=True, slots=True)
class BandFile:
    """Where a band lies, and what the product's metadata say about it."""

    at: Access
    band: int = 1
    """Band number inside the file, from 1."""
    numbers: Numbers = Numbers()
    floating: Numbers | None = None
    """What is said instead where the file's numbers are floating-point."""
    crs: str | None = None
    """CRS according to the metadata; the file's own must agree."""
    transform: Transform | None = None
    """Place of the pixels according to the metadata; a file of this machine may be a part of it."""
    shape: tuple[int, int] | None = None
    """Height and width according to the metadata."""
    dtype: str | None = None
    """Pixel type according to the metadata."""
    bare: bool = False
    """Whether a file without CRS lies where the metadata say."""
    sidecars: Mapping[str, Access] | None = None
    """Radar geometry: annotations by field of the lock (`annotation`, `calibration`, `noise`)."""
    disputed: str | None = None
    """Why it cannot be told whose pixels the file holds."""
    size: int | None = None
    """Bytes, where the metadata state them."""
    sha256: str | None = None
    """Hash, where the metadata state it."""

    @property
    def href(self) -> str:
        """The file's address as the lock has it."""
        return self.at.href


@dataclass(frozen=True)
class Slice:
    """Place of a product in its datatake."""

    number: int
    """From 1."""
    total: int
    segment: str
    """When the stretch began that the numbers count in; a datatake may have several."""
    start: datetime
    stop: datetime


@dataclass(frozen=True)
class Scene:
    """One acquisition that a source offers."""

    id: str
    sensor: str
    """What it is of, a kind of `traits`."""
    level: str
    """L1C, L2A, RTC, GRD, map."""
    datetime: str
    """Acquisition start, see `product.iso_utc`; empty where a map has no date."""
    footprint: Geometry
    """Valid data in EPSG:4326, cut at the antimeridian."""
    bands: Mapping[str, BandFile] = field(hash=False)
    """All bands and masks that the product has."""
    family: str
    """The module that read it."""
    offers: tuple[str, ...] = ()
    """How the metadata call what the product has, where they do not call it by its bands."""
    where: str = ""
    """The product's path, for messages."""
    origin: str = ""
    """Address of the pixels where the id is only a file's name; empty where metadata give it."""
    tile: str | None = None
    platform: str | None = None
    processing_baseline: str | None = None
    relative_orbit: int | None = None
    orbit_direction: str | None = None
    cloud_percent: float | None = None
    datatake: str | None = None
    """Names the acquisition in all its versions, for example GS2A_20190212T192651."""
    generation: str = ""
    """When this version was made; sorts as text."""
    licence: str | None = None
    slice: Slice | None = None
    """Place in the datatake, where the product is one of several slices."""
    polarisations: tuple[str, ...] = ()
    """Of radar: what was measured, or at least is there."""
    named: tuple[str, ...] = ()
    """Absolute paths of local files that the metadata or the recipe name."""
    processor: str | None = None
    """Who made the product, for example `esa`; None where nothing says it."""
    grid: Grid | None = None
    """Finest grid of the whole product, of which the footprint may be a part."""
    unusable: str | None = None
    """Why the scene cannot be used whatever the recipe says."""

    def __post_init__(self) -> None:
        if self.tile is not None:  # a square on the edge of two latitude bands has two names
            object.__setattr__(self, "tile", one_name(self.tile))

    @property
    def day(self) -> date:
        """Day of acquisition in UTC."""
        return date.fromisoformat(self.datetime[:10])


@cache
def _adapter() -> TypeAdapter[Scene]:
    return TypeAdapter(Scene)


def scene_to_dict(scene: Scene) -> dict[str, Any]:
    """A scene as plain JSON: numbers, texts, lists and tables; NaN stands as text."""
    return dict(_adapter().dump_python(scene, mode="json", exclude_defaults=True))


def scene_from_dict(found: Mapping[str, Any]) -> Scene:
    """The scene that `scene_to_dict` wrote.

    Raises:
        pydantic.ValidationError: it is none.
    """
    return _adapter().validate_python(found)
