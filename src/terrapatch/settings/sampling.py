# SPDX-License-Identifier: Apache-2.0
"""The section of a recipe about where patches lie."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from .base import Section

OF_TABLES = (
    "path",
    "layer",
    "product",
    "id",
    "position",
    "x",
    "y",
    "table_crs",
    "overlap",
    "needs",
    "rename",
)
"""Keys that only samplings with a table of places have."""


class SamplingSettings(Section):
    """How patches are placed."""

    version: Literal[1] = 1
    kind: Literal["mosaic", "tiles", "points"] = "mosaic"
    """`mosaic`: windows over the area on one grid; `tiles`: windows in each MGRS tile; `points`: a
    window around each point of a table, on the grid of the MGRS tile that holds it whole."""
    crs: str = "EPSG:4326"
    """CRS of the mosaic grid (tiles and points: always the tile's UTM zone)."""
    resolution: Annotated[float, Field(gt=0)] = 8.983152838482056e-05
    """Pixel size in units of `crs`, rounded to a multiple of 2⁻⁴⁰ degrees (2⁻²⁸ units of a projected
    CRS), so that bounds of patches are exact; the default is 10 m at the equator in degrees."""
    size_px: Annotated[int, Field(ge=8, le=2048)] = 128
    """Side of a patch in pixels; the point of a window lies in pixel (size / 2, size / 2)."""
    stride_px: Annotated[int, Field(ge=1, le=8192)] | None = None
    """Step from patch to patch; the side of a patch if absent."""
    unit_patches: Annotated[int, Field(ge=1, le=512)] = 64
    """Patches along the side of a unit (one job). Memory hardly grows with it; small units decode
    the blocks at their edges more than once (64: 1.3 times the pixels of a whole tile)."""
    area_rule: Literal["within", "intersects"] = "within"
    """Whether patches must lie inside the area or may reach over its edge (points: the point counts)."""
    path: str | None = None
    """Table of points: CSV, GeoPackage, GeoParquet or another vector file; `{archive}` is the folder of
    the embedded archive."""
    layer: str | None = None
    """Layer of the file, where it has several."""
    product: Literal["custom", "lucas_2018"] = "custom"
    """What names the columns of the table: a known product, or `custom`."""
    id: str | None = None
    """Column whose values tell places apart and name the patches; the product's if absent."""
    position: Literal["theoretical", "gps"] = "theoretical"
    """Of a product with two positions: where a point should be, or where the surveyor stood."""
    x: str | None = None
    """Column of longitudes or eastings of a CSV; the product's if absent."""
    y: str | None = None
    """Column of latitudes or northings of a CSV."""
    table_crs: str = "EPSG:4326"
    """CRS of `x` and `y`; other files say their own."""
    overlap: Literal["first", "all"] = "first"
    """A window that lies whole in several tiles: `first` takes the tile in whose middle it lies most,
    `all` makes a patch in each, with the tile behind its name."""
    needs: tuple[str, ...] = ()
    """Columns that must say something: places with an empty cell in one of them are left out."""
    rename: dict[str, str] = Field(default_factory=dict)
    """Other names of columns in the manifest, where the table's own are taken."""

    @property
    def step_px(self) -> int:
        """The stride in force."""
        return self.stride_px or self.size_px

    @property
    def of_tiles(self) -> bool:
        """Whether units are MGRS tiles on their own grids."""
        return self.kind in ("tiles", "points")

    @model_validator(mode="after")
    def _table(self) -> SamplingSettings:
        if self.kind != "points":
            fields = type(self).model_fields
            given = [
                k for k in OF_TABLES
                if k in self.model_fields_set and getattr(self, k) != fields[k].get_default(call_default_factory=True)
            ]  # fmt: skip
            if given:
                raise ValueError(f"{', '.join(given)}: only with kind: points; leave it out")
            return self
        if self.path is None:
            raise ValueError("kind: points needs path, a table of points")
        if self.product == "custom" and self.id is None:
            raise ValueError("id names the column that tells points apart; it is needed")
        if (self.x is None) != (self.y is None):
            raise ValueError("give both x and y, or none of them")
        return self
