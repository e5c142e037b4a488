# SPDX-License-Identifier: Apache-2.0
"""Which scenes exist, which are used: recipe in, lock out."""

from .listing import changes, describe
from .plan import place_table, plan
from .slices import write_slices

__all__ = ["changes", "describe", "place_table", "plan", "write_slices"]
