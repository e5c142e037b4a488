# SPDX-License-Identifier: Apache-2.0
"""The layers of a recipe: a name, and what its kind says of one.

Laws:
1. A recipe has as many layers as it likes, two of one kind too; their order there is the order
   everywhere.
2. A kind is one model with `kind: Literal[…]` and one row in `KINDS`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeVar

from pydantic import Field

from .base import LayerSettings, Section
from .labels import LabelsSettings
from .patches import PatchesSettings
from .raster import RasterSettings
from .sentinel1 import Sentinel1Settings
from .sentinel2 import Sentinel2Settings

ImageLayer = Sentinel2Settings | Sentinel1Settings | RasterSettings
"""Layers of images, which are made of scenes."""

AnyLayer = Annotated[ImageLayer | LabelsSettings, Field(discriminator="kind")]

LayerName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)]
"""Name of a layer: it is that of files and the end of column names."""

KINDS: dict[str, type[LayerSettings]] = {
    "sentinel2": Sentinel2Settings,
    "sentinel1": Sentinel1Settings,
    "raster": RasterSettings,
    "labels": LabelsSettings,
}
"""All kinds of layers."""

IMAGE_KINDS = tuple(kind for kind in KINDS if kind != "labels")
"""Kinds whose layers are images."""

SCENES = frozenset(kind.scenes for kind in KINDS.values())
"""What scenes in the lock can be of."""


_Kind = TypeVar("_Kind", bound=Section)


class Layered:
    """What has layers: a recipe, or what a stage sees of it."""

    if TYPE_CHECKING:
        layers: dict[str, AnyLayer]
        patches: PatchesSettings

    @property
    def images(self) -> dict[str, ImageLayer]:
        """The layers of images by name."""
        return {n: s for n, s in self.layers.items() if not isinstance(s, LabelsSettings)}

    @property
    def labels(self) -> dict[str, LabelsSettings]:
        """The layers of labels by name."""
        return self.of_kind(LabelsSettings)

    def required(self, name: str) -> bool:
        """Whether no unit is made without a scene of a layer: a patch needs pixels of it."""
        return name in self.labels or self.patches.of(name).valid > 0

    @property
    def label(self) -> LabelsSettings:
        """The first layer of labels."""
        return next(iter(self.labels.values()))

    def of_kind(self, kind: type[_Kind]) -> dict[str, _Kind]:
        """The layers of a kind by name."""
        return {n: s for n, s in self.layers.items() if isinstance(s, kind)}
