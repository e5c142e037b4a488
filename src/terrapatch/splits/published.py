# SPDX-License-Identifier: Apache-2.0
"""The split of the published CerraData-4MM: at random, 90/10 and then 80/20.

Laws:
1. The same ids give the same split as the authors' tools, whatever the order they come in.
2. Nothing keeps neighbours apart: read the leakage figure beside scores on this split.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

TRAIN_SHARE = 0.9
"""Share of train and validation in all patches; the rest is the test split."""
FIT_SHARE = 0.8
"""Share of train in the former."""
PUBLISHED_SHARES = (0.72, 0.18, 0.10)
"""What becomes of both: shares of train, val and test in all patches."""


def published_split(ids: Sequence[str], *, seed: int, val_seed: int) -> dict[str, str]:
    """Split ids as `split-folders` and PyTorch's `random_split` do, one after the other.

    The sorted ids are shuffled with Python's generator; the first int(0.9 n) are train and
    validation. Those, sorted again (the order of files in a folder), are permuted as
    `torch.randperm` does; the first int(0.8 n) are train.

    Args:
        ids: unique patch ids.
        seed: seed of the first step (published: 42).
        val_seed: seed of the second step (published: 666).

    Returns:
        id → `train`, `val` or `test`.

    Source: RECIPES §1.1 step 13; `splitfolders.ratio(ratio=(.9, .0, .1))`,
    `torch.utils.data.random_split`.
    """
    shuffled = sorted(ids)
    random.Random(seed).shuffle(shuffled)  # noqa: S311 (not for secrets)
    count = int(TRAIN_SHARE * len(shuffled))
    split = dict.fromkeys(shuffled[count:], "test")
    rest = sorted(shuffled[:count])
    order = torch_permutation(len(rest), val_seed)
    fit = int(FIT_SHARE * len(rest))
    split |= {rest[number]: "train" for number in order[:fit]}
    split |= {rest[number]: "val" for number in order[fit:]}
    return split


def torch_permutation(count: int, seed: int) -> list[int]:
    """The permutation that `torch.randperm` draws on the CPU, without PyTorch.

    A Fisher-Yates shuffle from the front; each draw is a raw 32-bit number of the Mersenne
    twister modulo what is left. NumPy's legacy generator seeds the same twister alike.

    Args:
        count: how many numbers, below 2**32 / 20 (PyTorch draws 64 bits from there on).
        seed: of `torch.Generator().manual_seed`; the twister takes its lower 32 bits.
    """
    twister = np.random.RandomState(seed & 0xFFFF_FFFF)
    draws = twister.randint(0, 2**32, size=max(0, count - 1), dtype=np.uint32).tolist()
    numbers = list(range(count))
    for first, draw in enumerate(draws):
        other = first + draw % (count - first)
        numbers[first], numbers[other] = numbers[other], numbers[first]
    return numbers
