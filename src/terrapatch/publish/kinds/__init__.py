# SPDX-License-Identifier: Apache-2.0
"""What card and report say and show of a layer, by its kind: one module and one row a kind.

Law: a kind that has no row is told and shown by its values alone.
"""

from __future__ import annotations

from . import labels, raster, sentinel1, sentinel2
from .plain import Drawn as Drawn
from .plain import Portrait

KINDS = {
    "sentinel2": sentinel2.PORTRAIT,
    "sentinel1": sentinel1.PORTRAIT,
    "raster": raster.PORTRAIT,
    "labels": labels.PORTRAIT,
}
"""Kinds with a row of their own."""

REFERENCE = "reference"
"""What the lock calls the scenes of labels."""


def kind_of(name: str) -> Portrait:
    """The row of a kind, or of what the lock calls the scenes of one."""
    return KINDS.get("labels" if name == REFERENCE else name) or Portrait(name)
