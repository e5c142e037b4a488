# SPDX-License-Identifier: Apache-2.0
"""Cuts the patches of a unit out of its scenes, each block of a file decoded at most once.

Laws:
1. Seam rule: for each pixel the first scene in the lock's order that is valid in all bands (and
   not of a masked class) gives all bands; `source` tells which. No blending, no other order.
2. Nothing is decoded that no wanted pixel needs: a scene's blocks are read for a patch only if
   earlier scenes left pixels of it unfilled and the scene can reach it.
3. Neither the number of threads nor the size of shards changes a pixel or a byte of a chunk.
4. No full-size raster is written, and decoded rows are given back once no later shard needs them.

A shard of the stack (a run of patches) goes through: decode what is missing → sample straight
into the shard's buffer → the same with the next scene where pixels are missing → encode and
write. Shards overlap in time so that all threads have work: the ones ahead are decoded while
others are sampled.
"""

from .engine import ImageFilter, SceneLike, check_items, cut
from .evidence import Sample
from .layer import Layer
from .scenes import GeocodedScene
from .sources import Blocks, UnitGrid
from .unit import CutPlan, SeriesFilter, StackJob, build, shard_patches

__all__ = [
    "Blocks",
    "CutPlan",
    "GeocodedScene",
    "ImageFilter",
    "Layer",
    "Sample",
    "SceneLike",
    "SeriesFilter",
    "StackJob",
    "UnitGrid",
    "build",
    "check_items",
    "cut",
    "shard_patches",
]  # fmt: skip
