# SPDX-License-Identifier: Apache-2.0
"""Settings of vector references: polygons with classes, and networks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from .base import Section

CodeWord = Literal["discard", "ignore", "background"]
"""What a source code may become besides a class."""


class VectorSource(Section):
    """A layer of polygons whose attributes say the class."""

    path: str
    """GeoPackage, shapefile, FlatGeobuf, GeoParquet or GeoJSON, or a .zip or .7z with one; `*` stands
    for several files of one kind; `{archive}` for the folder of the embedded archive."""
    product: str = "custom"
    """What names the layer and its attributes: a product of the packaged table, with the year of its
    edition at the end if you like (`rpg_2020`), or `custom`."""
    year: int | None = None
    """Year of the edition, where names have changed or each year has its own parcels; absent: that of
    `product`, else the latest."""
    allow_year: bool = False
    """Take parcels of another year than the scenes have; else that is an error."""
    layer: str | None = None
    """Name of the layer, where it is not the product's (`custom`: where the file has several)."""
    code: Annotated[int, Field(ge=0, le=254)] | None = None
    """Class of all its polygons, for files without class codes; then neither fields nor crosswalk."""
    fields: tuple[str, ...] = ()
    """Attributes with class codes, in the order in which they are asked; the product's if absent."""
    where: dict[str, tuple[bool | int | str, ...]] = Field(default_factory=dict)
    """Take only features whose attribute has one of these values; several attributes: all of them."""
    crosswalk: str | None = None
    """Packaged crosswalk, or a CSV with (field,) source_code, source_name, code; the reference's
    own if absent."""
    codes: dict[str, Annotated[int, Field(ge=0, le=254)] | CodeWord] = Field(default_factory=dict)
    """Your own reading of single source codes, which goes before the crosswalk's, by code: a class, or
    `discard`, `ignore`, `background`. For example `{J5M: 1}`."""
    crs: str | None = None
    """CRS of the file: needed where it does not say one, an error where it says another."""
    priority: int = 1
    """Where layers overlap, the greater one gives the label (raster maps have 0); of equal ones
    polygons go before rasters, then the first in the recipe."""
    order_field: str | None = None
    """Attribute that says which of two overlapping features lies on top (the greater value)."""
    on_top: Literal["smaller", "larger"] = "smaller"
    """Which of two overlapping features lies on top where `order_field` does not say it."""
    null_codes: Literal["error", "discard", "ignore"] = "error"
    """What features without any code become: an error, nodata, or as if not in the file."""
    required: bool = True
    """Whether it is an error if none of its features counts around the area; else it is told."""

    @model_validator(mode="after")
    def _one_meaning(self) -> VectorSource:
        others = [n for n in ("fields", "crosswalk", "codes") if getattr(self, n)]
        if self.code is not None and others:
            raise ValueError(f"code gives all polygons one class; leave out {' and '.join(others)}")
        return self


class NetworkSource(Section):
    """A layer of lines (or grounds) that is burnt with a width, such as roads and railways."""

    path: str
    """As for vectors."""
    product: str = "custom"
    """Product of the packaged table, or `custom`."""
    code: Annotated[int, Field(ge=0, le=254)]
    """Class that the network becomes."""
    year: int | None = None
    """As for vectors."""
    layer: str | None = None
    """As for vectors."""
    where: dict[str, tuple[bool | int | str, ...]] = Field(default_factory=dict)
    """As for vectors."""
    crs: str | None = None
    """As for vectors."""
    rules: str | None = None
    """Packaged rules, or a CSV with field, value, action, kind, buffer_m; those of the product's
    name if absent."""
    buffers: dict[str, Annotated[float, Field(gt=0, le=1000)]] = Field(default_factory=dict)
    """Other widths by kind, in metres to each side, for example `{highway: 30, second: 10}`."""
    buffer_m: Annotated[float, Field(gt=0, le=1000)] | None = None
    """One width for all its lines, in metres to each side, for files without attributes; then
    neither rules nor buffers."""
    required: bool = True
    """As for vectors."""

    @model_validator(mode="after")
    def _one_width(self) -> NetworkSource:
        others = [n for n in ("rules", "buffers") if getattr(self, n)]
        if self.buffer_m is not None and others:
            raise ValueError(
                f"buffer_m gives all lines one width; leave out {' and '.join(others)}"
            )
        return self
