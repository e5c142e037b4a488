# SPDX-License-Identifier: Apache-2.0
"""Settings of the area."""

from __future__ import annotations

from pydantic import model_validator

from .base import Section


class AreaSettings(Section):
    """Where the dataset lies."""

    bbox: tuple[float, float, float, float] | None = None
    """West, south, east, north in degrees (EPSG:4326); west > east crosses the antimeridian."""
    file: str | None = None
    """Polygon file instead of a box (GeoJSON, GeoPackage …, any CRS); relative to where you run."""
    layer: str | None = None
    """Layer of the polygon file, where it has several."""

    @model_validator(mode="after")
    def _one_of_both(self) -> AreaSettings:
        if (self.bbox is None) == (self.file is None):
            raise ValueError("give either bbox (west, south, east, north) or file")
        if self.layer is not None and self.file is None:
            raise ValueError("layer names a layer of area.file, and there is no file")
        if self.bbox is not None:
            west, south, east, north = self.bbox
            # Across the antimeridian a box is narrow; a wide one has its sides mixed up.
            inside = max(abs(west), abs(east)) <= 180 and -90 <= south < north <= 90
            if not inside or not (west < east or west - east > 180):
                # Latitude first is the other custom: such a box is one in that order.
                other = -90 <= west < east <= 90 and -180 <= south < north <= 180
                raise ValueError(
                    f"bbox {self.bbox} is not west < east, south < north in degrees (west > east "
                    "for a box of less than 180 degrees across the antimeridian)"
                    + ("; is it south, west, north, east? Longitude stands first" if other else "")
                )
        return self
