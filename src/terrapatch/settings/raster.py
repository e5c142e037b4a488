# SPDX-License-Identifier: Apache-2.0
"""Layers of plain rasters: what a recipe says of one."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from .base import Day, LayerSettings, Readers, read_by
from .kernels import Coarser, Kernel
from .policy import Policy


class RasterSettings(LayerSettings):
    """A layer of georeferenced rasters: elevation, aerial images, anything with a CRS."""

    readers: ClassVar[Readers] = read_by(
        "publish",
        plan="kind path index column date bands numbers nodata time",
        stack="kind version pixel_m bands kernel coarser dtype nodata unit",
        patches="kind",
        splits="kind",
        layouts="kind pixel_m bands dtype time unit",
        training="kind",
    )

    scenes: ClassVar[str] = "raster"

    kind: Literal["raster"] = "raster"
    """Where the pixels of the layer come from."""
    path: str | tuple[str, ...] = ()
    """A file, several by a pattern with `*`, or a list of such; in order of names, or as listed, the first
    one with a pixel wins where they overlap. `{archive}` is the folder of the embedded archive. All have
    one CRS and one pixel size."""
    index: str | None = None
    """Instead of `path`: a file of polygons (GeoPackage, GeoParquet, shapefile), one a raster, that names the
    rasters relative to itself (`gdaltindex`). Rasters whose polygon is outside the area are not opened."""
    column: str = "location"
    """Column of `index` with the names."""
    date: Day | None = None
    """Day of the images, told in the tables as those of scenes are; `catalog.period` does not choose
    by it."""
    bands: tuple[str, ...]
    """Names of the bands: all of the file in its order, or those of `numbers`."""
    numbers: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """Which bands of the file these are, from 1, where it has others too."""
    kernel: Kernel = "bilinear"
    """Kernel of the one warp onto the grid; `average` is bilinear where the grid is not coarser."""
    coarser: Coarser = "average"
    """Where the grid is coarser than the file: the mean over each pixel's area, or `kernel` widened
    to it (`widen`); `nearest` takes a single pixel on any grid."""
    dtype: Literal["uint8", "uint16", "int16", "float32"] = "float32"
    """Pixel type of the stack; whole numbers are rounded. Missing pixels are 0 there, and may be a
    value too: `source` tells what is missing."""
    nodata: float | None = None
    """Value of missing pixels where the files do not declare it."""
    unit: str = ""
    """What is measured, for example metres."""
    time: Literal["single"] = "single"
    """One image of all files."""

    @model_validator(mode="after")
    def _bands(self) -> RasterSettings:
        if not self.bands or len(set(self.bands)) != len(self.bands):
            raise ValueError(f"bands must be unique and at least one: {list(self.bands)}")
        if self.numbers and len(set(self.numbers)) != len(self.bands):
            raise ValueError(
                f"numbers: one for each of {list(self.bands)}, all different, not {list(self.numbers)}"
            )
        if bool(self.path) == (self.index is not None):
            raise ValueError("path, index: name the files by one of them")
        return self

    @property
    def named(self) -> tuple[str, ...]:
        """Files that the plan reads for themselves."""
        return () if self.index is None else (self.index,)

    @property
    def policy(self) -> Policy:
        """Which files the layer may be made of."""
        return Policy(self.scenes, dated=False)

    def wanted(self, _processor: str | None) -> tuple[str, ...]:
        """Assets of a file that the layer reads."""
        return self.bands

    @property
    def stack_bands(self) -> tuple[str, ...]:
        """Bands of the stack."""
        return self.bands

    @property
    def stack_dtype(self) -> str:
        """Pixel type of the stack."""
        return self.dtype

    @property
    def stack_unit(self) -> str:
        """Unit of the stack's numbers, where the recipe says it; nothing otherwise."""
        return self.unit
