# SPDX-License-Identifier: Apache-2.0
"""From reference maps and polygons to the labels of a unit."""

from .stack import labels, reference

__all__ = ["labels", "reference"]
