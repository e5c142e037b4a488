# SPDX-License-Identifier: Apache-2.0
"""Layers of many plain rasters: what their files must share, and where they overlap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import shapely
from affine import Affine
from shapely.geometry.base import BaseGeometry

from ..crs import same_crs
from ..errors import GridError
from ..rasters import Header
from ..recipe import StageSettings
from ..records import LockedItem
from .product import no_crs
from .scene import Scene

_SAME_SIZE = 1e-6
"""Pixel sizes that differ by less than this share are one: files round their numbers."""


def check_alike(headers: Mapping[str, Header], setting: str) -> None:
    """Raise where files of one layer have several CRS or pixel sizes."""
    first = next(iter(headers), "")
    for path, header in headers.items():
        own, others = header.transform, headers[first].transform
        if header.crs is None or headers[first].crs is None:
            raise no_crs(path if header.crs is None else first)
        if not same_crs(header.crs, headers[first].crs):
            what = f"lies in {header.crs}, and {first} in {headers[first].crs}"
        elif any(abs(own[n] - others[n]) > _SAME_SIZE * abs(others[0]) for n in (0, 1, 3, 4)):
            what = f"has pixels of {own[0]:g} x {-own[4]:g}, and {first} of {others[0]:g} x {-others[4]:g}"
        else:
            continue
        raise GridError(
            f"{path}: {what}; the files of {setting} share one CRS and one pixel size: make a layer of "
            "each, or bring copies onto one grid (gdalwarp -t_srs … -tr …)"
        )


def overlaps(
    settings: StageSettings, chosen: Mapping[str, Sequence[Scene]], items: Sequence[LockedItem]
) -> list[str]:
    """A note for each layer of plain rasters whose files overlap: their values may differ there.

    Args:
        settings: of the stage.
        chosen: layer → its scenes, the first of which wins.
        items: what units use.
    """
    found = []
    by_id = {(item.sensor, item.id): item for item in items}
    for name, layer in settings.images.items():
        if layer.policy.dated:
            continue
        keys = [(scene.sensor, scene.id) for scene in chosen[name]]
        used = [by_id[key] for key in keys if key in by_id]
        boxes = np.array([_inside(item) for item in used])
        pairs = shapely.STRtree(boxes).query(boxes, predicate="intersects").T if used else []
        both = [(int(a), int(b)) for a, b in pairs if a < b]
        if both:
            first, second = (used[n].id for n in min(both))
            found.append(
                f"layers.{name}: {len(both)} pair(s) of files overlap, for example {first} and {second}; "
                "where both have a pixel it comes from the first"
            )
    return found


def _inside(item: LockedItem) -> BaseGeometry:
    """Outline of a file in its own CRS, a hundredth of a pixel smaller, so that neighbours only touch."""
    asset = next(iter(item.assets.values()))
    height, width = asset.shape
    to = Affine(*asset.transform)
    rim = 0.01
    corners = ((rim, rim), (width - rim, rim), (width - rim, height - rim), (rim, height - rim))
    return shapely.Polygon([to * corner for corner in corners])
