# SPDX-License-Identifier: Apache-2.0
"""Kernels of the one warp onto the grid, as recipes name them."""

from __future__ import annotations

from typing import Literal

Kernel = Literal["nearest", "bilinear", "cubic", "average"]
Coarser = Literal["average", "widen"]


def coarse_kernel(kernel: Kernel, coarser: Coarser) -> Kernel:
    """The kernel on a grid coarser than the band; `nearest` stays what it is."""
    return "average" if coarser == "average" and kernel != "nearest" else kernel
