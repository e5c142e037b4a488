# SPDX-License-Identifier: Apache-2.0
"""What a build shows: a line a stage, with a bar on a terminal and plain words elsewhere."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TextIO

_BAR = 24
_SILENCE_S = 15.0
"""Seconds after which a log that is no terminal is told how far things are."""


@dataclass
class _Stage:
    """What is known of a stage."""

    name: str
    begun: float
    wanted: int = 1
    done: int = 0
    failed: int = 0
    ended: float = 0.0
    running: dict[str, float] = field(default_factory=dict)
    """Share done of each unit at work."""

    @property
    def share(self) -> float:
        return min((self.done + sum(self.running.values())) / max(self.total, 1), 1.0)

    @property
    def total(self) -> int:
        return max(self.wanted, self.done + self.failed + len(self.running))

    @property
    def over(self) -> bool:
        return not self.running and self.done + self.failed >= self.total

    def line(self, now: float) -> str:
        """The stage in words."""
        seconds = round((self.ended if self.over else now) - self.begun)
        state = " failed" if self.failed else "" if self.over else f" {self.share:4.0%}"
        return f"{self.done:>3} of {self.total:<3} {seconds // 60:3}:{seconds % 60:02}{state}"


class Screen:
    """Lines for stages, as their verbs tell how far they are.

    A terminal shows the stages at work in its last lines and draws them anew; what is finished
    moves up and stays. Elsewhere a line comes when a stage is finished, and now and then one that
    says how far the others are; there are no control characters.
    """

    def __init__(self, stream: TextIO, quiet: bool = False) -> None:
        self.stream, self.quiet = stream, quiet
        self.live = stream.isatty() and os.environ.get("TERM") != "dumb"
        self.stages: dict[str, _Stage] = {}
        self.wanted: dict[str, int] = {}
        self.told: set[str] = set()
        self.drawn = 0
        self.last = time.monotonic()
        coded = (getattr(stream, "encoding", None) or "").lower().replace("-", "")
        self.full, self.empty = "█░" if coded == "utf8" else "#."

    def expect(self, stage: str, jobs: int) -> None:
        """So many jobs of a stage are to be done, if nothing else turns out."""
        self.wanted[stage] = jobs
        if stage in self.stages:
            self.stages[stage].wanted = jobs

    def hear(self, verb: str, unit: str, state: str, share: float = 0.0, **_: object) -> None:
        """A verb has begun, is going on, is done, or has failed."""
        now = time.monotonic()
        stage = self.stages.setdefault(verb, _Stage(verb, now, self.wanted.get(verb, 1)))
        if state in ("begun", "going"):
            stage.running[unit] = share
            return
        stage.running.pop(unit, None)
        stage.ended = now
        if state == "done":
            stage.done += 1
        else:
            stage.failed += 1

    def note(self, text: str) -> None:
        """Show a line, once."""
        if not self.quiet and text not in self.told:
            self.told.add(text)
            self._write(f"{self._back() if self.live else ''}{text}\n")
            self.drawn = 0

    def silent(self) -> list[tuple[str, str]]:
        """Verbs and units that have begun and never said how they ended."""
        return [(s.name, unit) for s in self.stages.values() for unit in s.running]

    def draw(self) -> None:
        """Show what has changed."""
        if self.quiet:
            return
        now = time.monotonic()
        finished = [s for s in self.stages.values() if s.over and s.name not in self.told]
        self.told |= {stage.name for stage in finished}
        working = [s for s in self.stages.values() if not s.over]
        if self.live:
            if finished or now - self.last >= 0.2:
                lines = [self._bar(s, now) for s in (*finished, *working)]
                self._write(self._back() + "".join(f"{line}\n" for line in lines))
                self.drawn, self.last = len(working), now
            return
        if not finished and now - self.last < _SILENCE_S:
            return
        said = finished or [s for s in working if s.running]
        self._write("".join(f"{s.name:10} {s.line(now)}\n" for s in said))
        self.last = now

    def end(self) -> None:
        """Say what has not been said: stages that did fewer jobs than were expected."""
        if self.quiet:
            return
        now = time.monotonic()
        lines = []
        for stage in self.stages.values():
            if stage.name not in self.told:
                stage.wanted = stage.done
                stage.ended = stage.ended or now
                lines.append(
                    self._bar(stage, now) if self.live else f"{stage.name:10} {stage.line(now)}"
                )
        self._write((self._back() if self.live else "") + "".join(f"{line}\n" for line in lines))
        self.drawn = 0

    def _back(self) -> str:
        """To the first line that is drawn anew, and clear from there on."""
        return (f"\x1b[{self.drawn}A" if self.drawn else "") + "\r\x1b[J"

    def _bar(self, stage: _Stage, now: float) -> str:
        full = round(_BAR * stage.share)
        line = f"{stage.name:10} {self.full * full}{self.empty * (_BAR - full)} {stage.line(now)}"
        return line[: shutil.get_terminal_size().columns - 1]

    def _write(self, text: str) -> None:
        with suppress(OSError):
            self.stream.write(text)
            self.stream.flush()
