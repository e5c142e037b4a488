# SPDX-License-Identifier: Apache-2.0
"""Hands of height models: files in, heights above the ellipsoid around a unit out."""

from .model import Dem, HeightModel, read_dem

__all__ = ["Dem", "HeightModel", "read_dem"]
