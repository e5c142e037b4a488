# SPDX-License-Identifier: Apache-2.0
"""The kinds of layers: one row a kind, with what the house asks of its module."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import sentinel1, sentinel2

if TYPE_CHECKING:
    from .mosaic import CutPlan
    from .tables import Lock, LockedItem


@dataclass(frozen=True)
class Kind:
    """What a kind of layers of images knows of its own."""

    plan: Callable[[Any, Lock, Sequence[LockedItem]], CutPlan]
    """Settings of a layer, what was planned, scenes of a unit, best first → how its stack is made."""


KINDS = {
    "sentinel2": Kind(sentinel2.plan),
    "sentinel1": Kind(sentinel1.plan),
}
"""Kinds whose stacks are made of scenes."""
