# SPDX-License-Identifier: Apache-2.0
"""Kernels: from pixels of an asset to pixels of a patch, in one step, all bands together.

Laws:
1. A pixel's value depends on its own place in the grid and on nothing else: not on the unit, the
   patch, the shard or the thread that computes it. Source coordinates come from PROJ at the nodes
   of a lattice of 64 px that is anchored to the origin of the grid's CRS, bilinearly in between;
   axis-aligned assets in the grid's own CRS are exact.
2. Coordinates count pixels of the asset from the centre of its first pixel: (0, 0) is the centre
   of the upper left pixel, which covers −0.5 … 0.5.
3. A result is valid only where every pixel with a weight other than zero is valid. The outermost
   half pixel of the asset belongs to it: a kernel that reaches over the edge there meets the edge
   pixels repeated. A point outside the asset's area is missing.
4. A point nearer than `SNAP` to a pixel centre lies on it: rounding of coordinates neither gives
   a neighbour weight nor moves an aligned pixel.

5. Where a pixel of the grid spans more than `COARSER` pixels of the asset along rows or columns,
   kernels are as wide as that pixel: `average` is the mean over its area (in pixels of the asset, its
   sides along the asset's axes), `bilinear` and `cubic` are stretched. Along the other axis, and where
   the grid is not coarser, `average` is `bilinear`. `nearest` takes one pixel everywhere.
6. An `average` whose area reaches over the asset's edge is missing.

Kernels: `nearest`; `bilinear`; `average`; `cubic`: cubic convolution with a = −0.5, which reproduces
a linear ramp (a = −0.75 of OpenCV and PyTorch does not).
Source: Keys 1981, Cubic convolution interpolation for digital image processing, eq. 15.
"""

from . import kernels
from .kernels import Target
from .lattice import CELL, COARSER, SNAP, Lattice, Nodes, needed, nodes
from .sampling import Decoded, Kernel, Radiometry, sample

__all__ = [
    "CELL", "COARSER", "SNAP", "Decoded", "Kernel", "Lattice", "Nodes", "Radiometry", "Target",
    "kernels", "needed", "nodes", "sample",
]  # fmt: skip
