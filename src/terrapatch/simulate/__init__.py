# SPDX-License-Identifier: Apache-2.0
"""The embedded archive: a seeded landscape and the products that satellites would make of it."""

from .archive import simulate

__all__ = ["simulate"]
