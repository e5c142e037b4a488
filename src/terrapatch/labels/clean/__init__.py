# SPDX-License-Identifier: Apache-2.0
"""Cleaning of label rasters: what is too small goes, holes are filled, shapes are smoothed."""

from .chain import StepReport, bounded, halo_px, run, trace

__all__ = ["StepReport", "bounded", "halo_px", "run", "trace"]
