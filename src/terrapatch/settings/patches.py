# SPDX-License-Identifier: Apache-2.0
"""The section of a recipe about what a patch must have."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from .base import Section


class Requirement(Section):
    """What a patch must have of a layer to be kept."""

    valid: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Smallest share of observed (of labels: labelled) pixels of a date, of a series or the one."""
    dates: Annotated[int, Field(ge=1)] = 1
    """Fewest dates that reach `valid`. Other dates count nowhere; the layout multisenge leaves them
    out, `dates.parquet` of the native one says of each whether it is `kept`."""


class PatchesSettings(Section):
    """Which patches are complete enough to keep."""

    version: Literal[1] = 1
    require: dict[str, Requirement] = Field(default_factory=dict)
    """By layer, what a patch must have of it; of a layer that is not named all pixels, and one date."""

    def of(self, layer: str) -> Requirement:
        """What a patch must have of a layer."""
        return self.require.get(layer, Requirement())
