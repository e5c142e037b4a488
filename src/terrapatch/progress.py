# SPDX-License-Identifier: Apache-2.0
"""How far a stage has come: bars on a terminal, or lines in a file that `terrapatch build` reads.

Rules send what their command says to a log. What a person who waits wants to know goes to the file
that TERRAPATCH_EVENTS names, one JSON object a line: `verb`, `unit`, `state` (begun, going, done,
failed or note), with `going` the `share` that is done, with `failed` the `exit_code` and the `message`,
with `note` its `text`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from tqdm import tqdm

EVENTS = "TERRAPATCH_EVENTS"
_EVERY_S = 0.5

T = TypeVar("T")


class _Doing:
    """What this process does: its verb, and its open bars from the outermost inwards."""

    def __init__(self) -> None:
        self.verb, self.unit = "", ""
        self.bars: list[list[int]] = []  # done and total of each
        self.told = 0.0

    def share(self) -> float:
        """Share of the whole that is done; a bar inside a bar is one step of that."""
        share, step = 0.0, 1.0
        for done, total in self.bars:
            step /= max(total, 1)
            share += step * done
        return min(share, 1.0)


_doing = _Doing()


def begin(verb: str, unit: str) -> None:
    """Say what this process does."""
    _doing.verb, _doing.unit = verb, unit
    tell("begun")


def tell(state: str, **more: Any) -> None:
    """Add a line about this process's verb, where `terrapatch build` waits for it."""
    path = os.environ.get(EVENTS)
    if path:
        line = json.dumps({"verb": _doing.verb, "unit": _doing.unit, "state": state, **more})
        with suppress(OSError), open(path, "a", encoding="utf-8") as file:
            file.write(line + "\n")


def note(text: str) -> None:
    """Say something that concerns the whole build, once: `terrapatch build` shows it, too."""
    tell("note", text=text)
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


@contextmanager
def bar(what: str, total: int, unit: str = "it") -> Iterator[Callable[[int], object]]:
    """A bar of `total` steps; gives the function that moves it on by so many.

    Bars inside bars are parts of one step of the outer one. To be opened and moved on by one thread.
    """
    if not os.environ.get(EVENTS):
        # On a terminal only: in a log, a bar is noise.
        with tqdm(desc=what, total=total, unit=unit, disable=None, leave=False) as shown:
            yield shown.update
        return
    _doing.bars.append(state := [0, total])

    def advance(steps: int = 1) -> None:
        state[0] += steps
        now = time.monotonic()
        if now - _doing.told >= _EVERY_S:
            _doing.told = now
            tell("going", share=round(_doing.share(), 3))

    try:
        yield advance
    finally:
        _doing.bars.pop()


def track(steps: Iterable[T], what: str, total: int, unit: str = "it") -> Iterator[T]:
    """The same steps, with a bar that moves on after each."""
    with bar(what, total, unit) as advance:
        for step in steps:
            yield step
            advance(1)
