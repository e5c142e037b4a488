# SPDX-License-Identifier: Apache-2.0
"""Families of products: one module each with the same names, and a row here.

A product is a folder, or what lies in a zip archive, with metadata of its own.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from shapely.geometry.base import BaseGeometry

from ..errors import SceneError
from . import grd, maja, safe
from .product import lacking_bands
from .scene import Scene
from .tree import Reading, Tree


class Family(Protocol):
    """What a module of a family has."""

    SCENES: str
    """What the scenes are of, a kind of `traits`."""
    NEEDS: str
    """Metadata without which there is no product, for messages."""
    PRODUCT_NAME: re.Pattern[str]
    """How names of products begin."""

    def is_metadata(self, name: str, /) -> bool:
        """Whether a file of that name makes its folder a product."""

    def is_product(self, names: Collection[str], /) -> bool:
        """Whether a folder that holds these files and folders is a product."""

    def is_named(self, name: str, /) -> bool:
        """Whether a folder or archive of that name must be a product, whatever it holds."""

    def unread(self, how: Reading, tree: Tree | None = None, /) -> str | None:
        """Why products of the family, or this one, are not read; None: they are."""

    def read_tree(self, tree: Tree, how: Reading, /) -> list[Scene]:
        """The scenes of a product."""

    def lacking(self, scene: Scene, missing: Sequence[str], /) -> SceneError:
        """The error for bands that a product does not have, with the remedy that fits."""

    def uncovered(self, scene: Scene, area: BaseGeometry, /) -> float | None:
        """Share (0..1) of an area (EPSG:4326) that the image does not show; None: nothing tells it."""


FAMILIES: Mapping[str, Family] = {"safe": safe, "maja": maja, "grd": grd}
"""By what `Scene.family` says; of several that know a folder the first one has it."""

_STRAY_FOLDERS = (safe.stray_folder,)
_STRAY_FILES = (grd.stray_file, safe.stray_file)
_BESIDE = (grd.is_beside,)


def family_of(names: Collection[str]) -> str | None:
    """The family of a folder that holds these files and folders."""
    return next((name for name, family in FAMILIES.items() if family.is_product(names)), None)


def named_family(name: str) -> str | None:
    """The family that a folder or archive must be of by its name, whatever it holds."""
    return next((key for key, family in FAMILIES.items() if family.is_named(name)), None)


def stray_folder(names: Collection[str]) -> str | None:
    """Why a folder of these names, which is no product, holds none that can be read, if so."""
    return next((why for told in _STRAY_FOLDERS if (why := told(names))), None)


def stray_file(path: Path) -> str | None:
    """What a raster by its path is of that cannot be read without its product, if anything."""
    return next((what for told in _STRAY_FILES if (what := told(path))), None)


def is_beside(name: str) -> bool:
    """Whether a file of that name goes with products and is no find of its own."""
    return any(told(name) for told in _BESIDE)


def lacking(scene: Scene, missing: Sequence[str]) -> SceneError:
    """The error for bands that a scene does not have, with the remedy that fits."""
    family = FAMILIES.get(scene.family)
    return (lacking_bands if family is None else family.lacking)(scene, missing)


def uncovered(scene: Scene, area: BaseGeometry) -> float | None:
    """Share (0..1) of an area (EPSG:4326) that the image does not show; None: nothing tells it.

    Parts of the area that the product's grid does not reach do not count.

    Raises:
        SceneError: the product's metadata or its mask are missing or broken.
    """
    family = FAMILIES.get(scene.family)
    return None if family is None else family.uncovered(scene, area)
