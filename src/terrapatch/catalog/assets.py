# SPDX-License-Identifier: Apache-2.0
"""What assets of STAC items say, in the plain words of STAC 1.1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Item = Mapping[str, Any]
"""A STAC item as plain JSON."""


def described(asset: Mapping[str, Any]) -> dict[str, Any]:
    """What an asset says about its first band: `scale`, `offset`, `nodata`, `unit`, `data_type`.

    `raster:bands` (STAC 1.0) goes before `bands` (1.1), both before the asset itself;
    `raster:scale` and `raster:offset` are the same as `scale` and `offset`.
    """
    found: dict[str, Any] = {}
    for part in (asset, *(asset.get("bands") or [])[:1], *(asset.get("raster:bands") or [])[:1]):
        for key in ("scale", "offset", "nodata", "unit", "data_type"):
            for name in (f"raster:{key}", key):
                if part.get(name) is not None:
                    found[key] = part[name]
    return found


def number(said: Mapping[str, Any], key: str) -> float | None:
    """A number of what `described` found; `nan` may stand as text."""
    return float(said[key]) if key in said else None
