# SPDX-License-Identifier: Apache-2.0
"""What the numbers of a layer mean, as data: nobody reads it out of a text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

REFLECTANCE = "reflectance"
POWER = "linear power"
AMPLITUDE = "amplitude"
DECIBEL = "dB"


@dataclass(frozen=True)
class Values:
    """What the numbers of a layer mean: number · scale + offset is a measure in `unit`."""

    unit: str
    """For example `reflectance`, `linear power`, `dB`, `metres`, `codes of legend …`."""
    scale: float = 1.0
    offset: float | None = 0.0
    """None: each scene has its own, and the lock says which."""
    decibel: bool = False
    """Whether numbers are 10·log10 of a power."""
    nodata: float | None = None
    """The number that says missing; None: it may be a value, and `source` alone tells."""

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Values:
        """From the plain form that a record holds."""
        return cls(**plain)

    @property
    def ratio(self) -> bool:
        """Whether numbers are read as ratios, that is, on a logarithmic axis: power, amplitude."""
        return self.unit in (POWER, AMPLITUDE)

    @property
    def text(self) -> str:
        """The same in a few words, for people."""
        if self.offset is None:
            return (
                f"DN as delivered, {self.unit} = (DN + offset of the product) / {1 / self.scale:g}"
            )
        if self.scale == 1 and self.offset == 0:
            return self.unit
        shift = f" {'+' if self.offset > 0 else '-'} {abs(self.offset):g}" if self.offset else ""
        factor = f" / {1 / self.scale:g}" if self.scale < 1 else f" * {self.scale:g}"
        return f"DN, {self.unit} = DN{'' if self.scale == 1 else factor}{shift}"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class LayerRecord(_Frozen):
    """What is in a dataset of one layer."""

    kind: str
    """Family of layers, for example `sentinel2` or `labels`."""
    bands: tuple[str, ...]
    """In the order of the files."""
    dtype: str
    """Pixel type of the stack."""
    size_px: int
    """Side of a patch in pixels of this layer."""
    pixel: float
    """Side of a pixel in units of the patch's CRS."""
    values: Values


_OF_ONE_LAYOUT = ("countries", "domains", "filled")
"""Facts that the record of other layouts does not even name, so that their bytes stay."""


class LayoutRecord(_Frozen):
    """What a layout wrote, as `.layout.json` says it."""

    version: Literal[2] = 2
    layout: str
    """Name of the layout."""
    layers: dict[str, LayerRecord]
    """By name."""
    files: dict[str, int]
    """Folder or stack → number of its files."""
    nodata: dict[str, float | None]
    """Folder or stack → the number that says missing; None: it may be a value."""
    patches: int
    splits: dict[str, int]
    """Split → patches."""
    bytes: int | None = None
    """Of all images and masks."""
    folders: str | None = None
    """Which names folders have, where the layout has a choice."""
    tiles: dict[str, dict[str, Any]] = {}
    """By tile, where units are tiles: patches, EPSG, dates of each layer, first and last offsets."""
    patches_with_class: dict[str, int] = {}
    """Code → patches that hold it."""
    countries: dict[str, int] = {}
    """Country → its points, where there is a file for each."""
    domains: dict[str, int] = {}
    """Domain → its patches, where units are regions of domains."""
    filled: dict[str, int] = {}
    """Layer of labels → pixels without a label, which have its last class."""
    same_day: int | None = None
    """Images whose name another of that day has."""

    @model_serializer(mode="wrap")
    def _plain(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        plain: dict[str, Any] = whole(self)
        return {k: value for k, value in plain.items() if value or k not in _OF_ONE_LAYOUT}
