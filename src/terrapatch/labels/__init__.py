# SPDX-License-Identifier: Apache-2.0
"""From reference maps and polygons to the labels of a unit."""

from .stack import label_raster, labels

__all__ = ["label_raster", "labels"]
