# SPDX-License-Identifier: Apache-2.0
"""At random within each value of a column, so that every value has its share in each split.

Laws:
1. The same groups give the same split, whatever their order, on any machine: the sorted ids of a value are
   shuffled by Python's generator, seeded with the seed and the value.
2. Of n groups the first ⌊f_train · n⌋ are train, the next ⌊f_val · n⌋ val, the rest test; rests of a value go to
   test, unless no test is wanted, then to val, then to train.
3. Nothing keeps neighbours apart: read the leakage figure beside scores on this split.

Source: RECIPES §3.1 step 8 and §3.5 (the release's rounding is not published).
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from fractions import Fraction

from ..paths import SPLITS


def stratified_split(
    values: Mapping[str, str], fractions: Sequence[float], seed: int
) -> dict[str, str]:
    """Split groups within each value.

    Args:
        values: id of a group (patches that stay together) → its value.
        fractions: wanted shares of train, val, test; exact to a millionth.
        seed: of the shuffles.

    Returns:
        id → `train`, `val` or `test`.
    """
    members: dict[str, list[str]] = {}
    for name in sorted(values):
        members.setdefault(values[name], []).append(name)
    # 0.7 is less than seven tenths: shares are the fractions that they are written as.
    shares = [Fraction(share).limit_denominator(10**6) for share in fractions]
    rest = max(n for n, share in enumerate(shares) if share > 0)
    split: dict[str, str] = {}
    for value, names in members.items():
        random.Random(f"{seed}:{value}").shuffle(names)  # noqa: S311 (not for secrets)
        start = 0
        for number in range(rest + 1):
            end = len(names) if number == rest else start + int(shares[number] * len(names))
            split |= dict.fromkeys(names[start:end], SPLITS[number])
            start = end
    return split
