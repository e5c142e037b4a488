# SPDX-License-Identifier: Apache-2.0
"""From reference maps to the label raster of a unit."""

from .label import reference

__all__ = ["reference"]
