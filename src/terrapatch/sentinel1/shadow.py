# SPDX-License-Identifier: Apache-2.0
"""Layover and shadow along profiles.

Laws:
1. Layover, active and passive: ground whose slant range is met again by other ground of its
   profile, because ranges fall somewhere between the two.
2. Shadow, active and passive: ground below the highest look angle of all nearer ground.
3. The two are told independently: ground in shadow takes part in layover.

Source: Kropatsch, W. & Strobl, D. (1990): The generation of SAR layover and shadow maps from
digital elevation models, IEEE TGRS 28(1), 98-107 (active and passive layover and shadow).
"""

# mypy cannot see through the compiler's decorator, and types are numba's to infer here.
# mypy: disable-error-code="no-untyped-def,untyped-decorator"

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..compiled import kernel
from .profiles import PROFILES, Profiles, Strips

LAYOVER, SHADOW = 1, 2
"""Bits of the mask."""


@dataclass(frozen=True, eq=False)
class Masks:
    """Layover and shadow of an image."""

    profiles: Profiles
    strips: Strips

    def window(self, numbers: range) -> NDArray[np.uint8]:
        """Codes of a run of strips: (profile, sample) uint8, from profile `numbers[0]` on."""
        parts = [self._strip(number) for number in numbers]
        return np.concatenate(parts) if len(parts) > 1 else parts[0]

    def _strip(self, number: int) -> NDArray[np.uint8]:
        return self.strips.get(
            ("mask", self.profiles.name, number), lambda: masks(self.profiles, number)
        )


def masks(profiles: Profiles, number: int) -> NDArray[np.uint8]:
    """Layover and shadow of a strip of profiles.

    Args:
        profiles: of an image.
        number: of the strip.

    Returns:
        (`PROFILES`, sample) uint8: 0, `LAYOVER`, `SHADOW` or both; 0 where the height is unknown.
    """
    result = np.zeros((PROFILES, profiles.count), np.uint8)
    for n in range(PROFILES):
        traced = profiles.trace(number * PROFILES + n)
        if traced is not None:
            mark(*traced, result[n])
    return result


@kernel
def mark(slant, angle, out):
    """Codes along a profile.

    Args:
        slant: (sample,) slant range in m, NaN where unknown.
        angle: (sample,) look angle in radians.
        out: (sample,) uint8, written.
    """
    farthest, highest, nearest = -np.inf, -np.inf, np.inf
    for x in range(slant.size):
        out[x] = 0
        if not math.isfinite(slant[x]):
            continue
        if slant[x] <= farthest:
            out[x] = LAYOVER
        if angle[x] <= highest:
            out[x] |= SHADOW
        farthest, highest = max(farthest, slant[x]), max(highest, angle[x])
    for x in range(slant.size - 1, -1, -1):
        if not math.isfinite(slant[x]):
            continue
        if slant[x] >= nearest:
            out[x] |= LAYOVER
        nearest = min(nearest, slant[x])
