# SPDX-License-Identifier: Apache-2.0
"""Splits by square blocks of land with an exclusion buffer.

Laws:
1. A block goes to one split, whole. No patch of a split is nearer than the buffer to a patch of
   another: test patches all stay, validation patches give way to them, train patches to both.
2. Blocks are assigned so that the splits *after* exclusion have the wanted sizes, and that each
   class (rare ones foremost) and, in large areas, each region has its share in each. The assignment
   is seeded and does not depend on the order of the patches.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from ..errors import IncompleteError
from ..paths import SPLITS
from ..settings import SplitsSettings
from .distance import pairs_within

TRIALS = 3_000
"""How many assignments are judged: seconds for 30,000 patches."""

REGION_BLOCKS = 25
"""Blocks in a region: enough that a split of a tenth can have two of them."""

_STARTS = 8
_OUT = -1


@dataclass(frozen=True)
class BlockLayout:
    """Square blocks over the extent of a dataset."""

    number: NDArray[np.int64]
    """(patch,) number of the patch's block, an index into `names`."""
    names: list[str]
    """`xCCC_yRRR`: column from the west, row from the north; ascending."""
    extent_m: tuple[float, float]
    """Width and height of the whole."""
    region: NDArray[np.int64]
    """(patch,) number of the region: the extent in n × n parts of about REGION_BLOCKS blocks."""


def lay_blocks(outlines: NDArray[Any], block_m: float) -> BlockLayout:
    """Assign patches to blocks by their centres.

    The blocks lie symmetrically over the extent, so that those at its margins are equally cut.

    Args:
        outlines: (patch,) outlines in metres.
        block_m: side of a block in metres.
    """
    left, bottom, right, top = shapely.total_bounds(outlines)
    centres = shapely.get_coordinates(shapely.centroid(outlines))
    # A sliver of 1e-6 blocks is rounding, not a block.
    count = [max(1, math.ceil(side / block_m - 1e-6)) for side in (right - left, top - bottom)]
    west = (left + right - count[0] * block_m) / 2
    north = (top + bottom + count[1] * block_m) / 2
    col = np.floor((centres[:, 0] - west) / block_m + 1e-6).astype(np.int64)
    row = np.floor((north - centres[:, 1]) / block_m + 1e-6).astype(np.int64)
    texts = np.array([f"x{c:03d}_y{r:03d}" for c, r in zip(col, row, strict=True)], dtype=object)
    names, number = np.unique(texts, return_inverse=True)
    parts = max(1, math.isqrt(len(names) // REGION_BLOCKS))
    region = (row * parts // count[1]) * parts + col * parts // count[0]
    return BlockLayout(
        number.astype(np.int64), names.tolist(), (float(right - left), float(top - bottom)), region
    )


@dataclass(frozen=True)
class Criteria:
    """All that an assignment is judged by."""

    block: NDArray[np.int64]
    """(patch,) number of the patch's block."""
    pairs: tuple[NDArray[Any], NDArray[Any]]
    """Patches of different blocks that are too near to each other, in both directions."""
    classes: NDArray[np.float64]
    """(patch, class) pixels; only classes that occur."""
    regions: NDArray[np.float64]
    """(patch, region) 1 where the patch lies, else 0; only regions that hold patches."""
    fractions: NDArray[np.float64]
    """(split,) wanted shares, in the order of SPLITS."""

    @property
    def block_count(self) -> int:
        """How many blocks hold patches."""
        return int(self.block.max()) + 1

    @property
    def wanted(self) -> list[int]:
        """Splits that shall not be empty."""
        return np.flatnonzero(self.fractions > 0).tolist()


def without_near(criteria: Criteria, assigned: NDArray[np.int64]) -> NDArray[np.int64]:
    """Split of each patch after exclusion: (block,) assigned splits → (patch,), -1 for excluded."""
    split = assigned[criteria.block]
    left, right = criteria.pairs
    for later in (2, 1):
        # Patches that were excluded before do not push others out.
        hit = left[(split[right] == later) & (split[left] < later)]
        split[hit] = _OUT
    return split


def cost(criteria: Criteria, split: NDArray[np.int64], spread: NDArray[np.bool_]) -> float:
    """How far an assignment is from what is wanted; 0 is perfect.

    Args:
        criteria: the criteria.
        split: (patch,) from `without_near`.
        spread: (class,) classes that occur in enough blocks to be in every split.

    Returns:
        4 × chi-square distance of the sizes + mean chi-square distance of the classes' shares
        + the same of the regions' + share of excluded patches + share of (class, split) that
        miss + 10 per empty split.
    """
    return _judged(criteria, _sums(criteria, split), spread)


def _judged(criteria: Criteria, sums: NDArray[np.float64], spread: NDArray[np.bool_]) -> float:
    """`cost` of the sums of an assignment."""
    share = criteria.fractions[criteria.wanted]
    end = 1 + criteria.classes.shape[1]
    sizes, pixels, patches = sums[:, 0], sums[:, 1:end], sums[:, end:]
    kept = max(1.0, float(sizes.sum()))
    size_error = float((((sizes / kept) - share) ** 2 / share).sum())
    uneven = sum(_unevenness(amounts, share) for amounts in (pixels, patches))
    missing = float((pixels[:, spread] == 0).mean()) if spread.any() else 0.0
    lost = 1 - kept / len(criteria.block)
    return 4 * size_error + uneven + lost + missing + 10 * int((sizes == 0).sum())


def _sums(
    criteria: Criteria, split: NDArray[np.int64], chosen: NDArray[np.int64] | slice = slice(None)
) -> NDArray[np.float64]:
    """(split, 1 + class + region) patches, pixels per class, patches per region of wanted splits.

    Of all patches or of chosen ones; whole numbers, so exact in any order.
    """
    members = split[chosen] == np.array(criteria.wanted)[:, None]
    weights = members.astype(np.float64)
    parts = [weights @ amounts[chosen] for amounts in (criteria.classes, criteria.regions)]
    return np.column_stack([members.sum(axis=1), *parts])


def _unevenness(amounts: NDArray[np.float64], share: NDArray[np.float64]) -> float:
    """Mean chi-square distance of (split, kind) amounts from the wanted shares; 0 without kinds."""
    if not amounts.shape[1]:
        return 0.0
    parts = amounts / np.maximum(amounts.sum(axis=0), 1.0)
    return float((((parts - share[:, None]) ** 2) / share[:, None]).sum(axis=0).mean())


def assign(criteria: Criteria, seed: int) -> NDArray[np.int64]:
    """Assign blocks to splits: (block,) index into SPLITS.

    The first assignment starts with the blocks that hold the largest shares of classes, further
    ones with seeded orders; each gives a block to the split that lacks most of what it holds.
    Then blocks change their split one by one as long as that lowers `cost`.
    """
    generator = random.Random(seed)  # noqa: S311 (not for secrets)
    content = _block_content(criteria)
    presence = (content[:, 1 : criteria.classes.shape[1] + 1] > 0).sum(axis=0)
    spread = presence >= len(criteria.wanted)
    best: tuple[float, NDArray[np.int64]] | None = None
    trials = TRIALS
    for start in range(_STARTS):
        order = list(range(criteria.block_count))
        generator.shuffle(order)
        if start == 0:
            order.sort(key=lambda block: -content[block].max())
        assigned = _assign_by_shortage(criteria, content, order)
        value, spent = _improve(criteria, assigned, order, spread, trials)
        trials -= spent
        if best is None or value < best[0] - 1e-12:
            best = value, assigned
        if trials <= 0:
            break
    assert best is not None
    return best[1]


def _block_content(criteria: Criteria) -> NDArray[np.float64]:
    """(block, 1 + class + region) each block's share of all patches, of each class and region."""
    amounts = np.column_stack([np.ones(len(criteria.block)), criteria.classes, criteria.regions])
    content = np.zeros((criteria.block_count, amounts.shape[1]))
    np.add.at(content, criteria.block, amounts)
    return np.asarray(content / content.sum(axis=0))


def _assign_by_shortage(
    criteria: Criteria, content: NDArray[np.float64], order: list[int]
) -> NDArray[np.int64]:
    assigned = np.zeros(criteria.block_count, np.int64)
    wanted = np.array(criteria.wanted)
    share = criteria.fractions[wanted]
    have = np.zeros((len(wanted), content.shape[1]))
    for block in order:
        lack = (share[:, None] - have) / share[:, None]
        # Of equal needs the larger split's goes first.
        gain = np.round((lack * content[block]).sum(axis=1), 9)
        taker = int(np.lexsort((-share, -gain))[0])
        assigned[block] = wanted[taker]
        have[taker] += content[block]
    return assigned


def _improve(
    criteria: Criteria,
    assigned: NDArray[np.int64],
    order: list[int],
    spread: NDArray[np.bool_],
    trials: int,
) -> tuple[float, int]:
    """Move single blocks, in place, while it helps: final cost and the number of trials."""
    split = without_near(criteria, assigned)
    sums = _sums(criteria, split)
    value = _judged(criteria, sums, spread)
    spent, better = 1, True
    while better and spent < trials:
        better = False
        for block in order:
            for other in criteria.wanted:
                old = int(assigned[block])
                if other == old or spent >= trials:
                    continue
                assigned[block] = other
                # One block moves itself and its neighbours: few of all patches.
                moved = without_near(criteria, assigned)
                few = np.flatnonzero(moved != split)
                after = sums - _sums(criteria, split, few) + _sums(criteria, moved, few)
                changed = _judged(criteria, after, spread)
                spent += 1
                if changed < value - 1e-12:
                    split, sums, value, better = moved, after, changed, True
                else:
                    assigned[block] = old
    return value, spent


def block_split(
    outlines: NDArray[Any],
    blocks: BlockLayout,
    kept: NDArray[np.bool_],
    classes: NDArray[np.float64],
    *,
    settings: SplitsSettings,
    tolerance: float,
) -> NDArray[np.int64]:
    """Split the kept patches by blocks.

    Args:
        outlines: (patch,) outlines in metres.
        blocks: where they lie.
        kept: (patch,) whether the patch takes part.
        classes: (patch, class) pixels per class.
        settings: wanted shares (`fractions`), `seed` of the assignment, and how far apart patches of
            two splits are at least (`buffer_m`) …
        tolerance: … but for so much, in metres.

    Returns:
        (patch,) index into SPLITS; -1 for patches excluded by the buffer or not kept.

    Raises:
        IncompleteError: too few blocks, or a wanted split stays empty.
    """
    used, number = np.unique(blocks.number[kept], return_inverse=True)
    wanted = sum(fraction > 0 for fraction in settings.fractions)
    width, height = (side / 1000 for side in blocks.extent_m)
    if len(used) < wanted:
        raise IncompleteError(
            f"splits: the area of {width:.1f} x {height:.1f} km holds {len(used)} block(s) with "
            f"complete patches, but {wanted} splits are wanted; take a smaller splits.block_m"
        )
    left, right = pairs_within(outlines[kept], max(0.0, settings.buffer_m - tolerance))
    apart = number[left] != number[right]
    if not settings.buffer_m:
        apart &= False
    amounts = classes[kept]
    regions = np.eye(int(blocks.region.max()) + 1)[blocks.region[kept]]
    criteria = Criteria(
        number.astype(np.int64),
        (left[apart], right[apart]),
        amounts[:, amounts.sum(axis=0) > 0],
        regions[:, regions.any(axis=0)],
        np.array(settings.fractions),
    )
    split = without_near(criteria, assign(criteria, settings.seed))
    empty = [SPLITS[name] for name in criteria.wanted if not (split == name).any()]
    if empty:
        raise IncompleteError(
            f"splits: no patch is left for {', '.join(empty)}: {len(used)} blocks over "
            f"{width:.1f} x {height:.1f} km, {settings.buffer_m:g} m apart, take up the whole area; take a "
            "smaller splits.block_m or splits.buffer_m, or a larger area"
        )
    result = np.full(len(kept), _OUT, np.int64)
    result[kept] = split
    return result
