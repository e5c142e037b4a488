# SPDX-License-Identifier: Apache-2.0
"""Which scenes exist, which are used: recipe in, lock out."""

from .listing import changes, describe
from .plan import plan

__all__ = ["changes", "describe", "plan"]
