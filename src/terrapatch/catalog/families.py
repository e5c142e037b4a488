# SPDX-License-Identifier: Apache-2.0
"""What families of products answer in their own way; a family without an entry does as all do."""

from __future__ import annotations

from collections.abc import Sequence

from shapely.geometry.base import BaseGeometry

from ..errors import SceneError
from . import maja, safe
from .product import missing_bands
from .scene import Scene

_LACKING = {"maja": maja.lacking}
_UNCOVERED = {"safe": safe.uncovered, "maja": maja.uncovered}


def lacking(scene: Scene, missing: Sequence[str]) -> SceneError:
    """The error for bands that a product does not have, with the remedy that fits."""
    if scene.family in _LACKING:
        return _LACKING[scene.family](scene, missing)
    return missing_bands(scene.id, scene.where, missing, scene.offers or sorted(scene.bands))


def uncovered(scene: Scene, area: BaseGeometry) -> float | None:
    """Share (0..1) of an area (EPSG:4326) that the image does not show; None: nothing tells it.

    Parts of the area that the product's grid does not reach do not count.

    Raises:
        SceneError: the product's metadata or its mask are missing or broken.
    """
    return _UNCOVERED[scene.family](scene, area) if scene.family in _UNCOVERED else None
