# SPDX-License-Identifier: Apache-2.0
"""Height models as the stage reads them; they live one floor below, where the plan checks them."""

from ..heights import Dem, read_dem

__all__ = ["Dem", "read_dem"]
