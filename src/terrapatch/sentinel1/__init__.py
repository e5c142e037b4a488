# SPDX-License-Identifier: Apache-2.0
"""Sentinel-1: geocoded backscatter or raw GRD scenes of a unit in, its stack of patches out."""

from .stack import layer, plan

__all__ = ["layer", "plan"]
