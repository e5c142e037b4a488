# SPDX-License-Identifier: Apache-2.0
"""How far around a unit the ground takes part in what the radar sees of it.

Law: all ground is there that can lie over into the unit or cast shadow on it, so results do not
depend on how an area is cut into units. A height model that ends before is refused.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..errors import GridError
from ..heights import Dem, read_dem
from ..radar.annotation import Annotation
from ..radar.orbit import Orbit
from .profiles import Profiles, Strips, profiles

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

    from ..settings import Sentinel1Settings

HIGHER_M = 500.0
"""By how much ground just outside may be higher than all ground that is looked at."""
_ROUND_M = 1000.0
_MOST_M = 30_000.0
"""Margin that 9000 m of relief need at the near edge of IW."""


class Surroundings:
    """The height model around a unit, read once for all scenes that look as far."""

    def __init__(self, settings: Sentinel1Settings, geobox: GeoBox) -> None:
        self.settings, self.geobox = settings, geobox
        self.strips = Strips()
        self._read: dict[float, Dem] = {}

    def dem(self, annotation: Annotation) -> tuple[Dem, GeoBox]:
        """Heights around the unit, as far as an image's incidence angles ask for.

        Two points are seen at one range if they are apart by their difference in height over
        the tangent of the incidence angle; a shadow is as long as that difference times it.

        Returns:
            The heights, and the box that they cover.

        Raises:
            GridError: the height model ends before.
        """
        incidence = annotation.grid.incidence_deg
        tangents = [math.tan(math.radians(float(f()))) for f in (incidence.min, incidence.max)]
        per_metre = max(1 / max(tangents[0], 0.2), tangents[1])
        margin = _ROUND_M
        while True:
            dem, box = self._around(margin)
            low, high = dem.limits
            wanted = (high - low + HIGHER_M) * per_metre
            wanted = min(math.ceil(wanted / _ROUND_M) * _ROUND_M, _MOST_M)
            if wanted <= margin:
                return dem, box
            margin = wanted

    def profiles(
        self, name: str, annotation: Annotation, orbit: Orbit, rows: tuple[int, int],
        cols: tuple[int, int],
    ) -> Profiles:  # fmt: skip
        """Profiles of an image over the unit and its surroundings, see `profiles.profiles`."""
        dem, box = self.dem(annotation)
        return profiles(name, annotation, orbit, dem, box, rows, cols)

    def _around(self, margin_m: float) -> tuple[Dem, GeoBox]:
        box = padded(self.geobox, margin_m)
        if margin_m not in self._read:
            given = self.settings
            try:
                self._read[margin_m] = read_dem(
                    given.dem, box, vertical=given.dem_vertical, geoid=given.geoid,
                    sea=given.dem_sea,
                )  # fmt: skip
            except GridError as error:
                raise GridError(
                    f"{error}; flattening and bands of terrain look {margin_m:.0f} m beyond the "
                    "unit, for what lies over into it or casts shadow on it"
                ) from error
        return self._read[margin_m], box


def padded(geobox: GeoBox, margin_m: float) -> GeoBox:
    """A geobox made larger on all sides by at least so many metres on the ground."""
    across, down = abs(geobox.affine.a), abs(geobox.affine.e)
    if geobox.crs is not None and geobox.crs.geographic:
        edges = geobox.boundingbox
        latitude = min(max(abs(edges.bottom), abs(edges.top)) + margin_m / 110_000.0, 89.0)
        down *= 110_000.0
        across *= 110_000.0 * math.cos(math.radians(latitude))
    return geobox.pad(math.ceil(margin_m / across) + 2, math.ceil(margin_m / down) + 2)
