# SPDX-License-Identifier: Apache-2.0
"""Work of several threads, taken in the order in which it was given."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")


def in_order(
    pool: ThreadPoolExecutor, work: Callable[[S], T], given: Iterable[S], most: int
) -> Iterator[T]:
    """Results in the order of what is given; never more than `most` wait, however slow the taker."""
    waiting: deque[Future[T]] = deque()
    try:
        for one in given:
            if len(waiting) >= most:
                yield waiting.popleft().result()
            waiting.append(pool.submit(work, one))
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
