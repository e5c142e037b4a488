# SPDX-License-Identifier: Apache-2.0
"""Which scenes a layer may be made of: what its kind asks of the catalogue."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Auxiliary:
    """What raw scenes need besides their own files."""

    bands: tuple[str, ...]
    """Those whose annotations are read."""
    noise: bool
    """Whether noise annotations are needed."""
    terrain: bool
    """Whether heights and orbits place the pixels; else the product's own control points."""
    heights: tuple[str, ...]
    """Height files on one grid."""
    vertical: str
    """What heights count from, see `HeightModel`."""
    geoid: str | None
    """Raster of geoid heights in metres."""
    sea: bool
    """Whether places without a height are open sea."""
    orbits: tuple[str, ...]
    """Orbit files; none: the annotated orbits."""


@dataclass(frozen=True)
class Policy:
    """Which scenes a layer may be made of, and which of them come first."""

    scenes: str
    """What kind they are of, as the lock calls it: the layer's own, or `reference` for labels."""
    level: str | None = None
    """The level of their products; None: any."""
    processor: str | None = None
    """Who made the products; None: anybody."""
    reflectance: str | None = None
    """Which images give the bands where products hold several: `FRE` or `SRE`; None: any."""
    polarisations: tuple[str, ...] = ()
    """What they must have measured."""
    orbit: str = "both"
    """`ascending`, `descending` or `both`."""
    clouds: bool = False
    """Whether clouds hide the ground: they are limited, the least come first, and the best dates of
    a tile may be all that is wanted."""
    own_tile: bool = False
    """Whether a scene of a tile serves no other tile, where units are tiles."""
    dated: bool = True
    """Whether they are acquisitions; maps stand for any time, and keep the recipe's order."""
    raw: bool = False
    """Whether products in radar geometry are asked for, which need heights and orbits."""
    auxiliary: Auxiliary | None = None
    """What such products need, where the kind has them."""
