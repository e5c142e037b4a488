# SPDX-License-Identifier: Apache-2.0
"""Runs a command and says what it cost: wall, CPU of it and its children, peak memory."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SMALL = "--small" in sys.argv
"""Run every chain on a scene so small that its figures say nothing: whether they run at all."""


@dataclass(frozen=True)
class Cost:
    """What a command took."""

    wall_s: float
    user_s: float
    system_s: float
    peak_mib: float
    """Largest resident memory of the command or of any of its children."""
    load: float
    """Average number of other processes that wanted a core in the minute before."""

    @property
    def cpu_s(self) -> float:
        return self.user_s + self.system_s


def run(command: Sequence[str | Path], log: Path) -> Cost:
    """Run a command to its end; its output goes to `log`.

    Raises:
        RuntimeError: it failed.
    """
    load = os.getloadavg()[0]
    with log.open("wb") as out:
        begin = time.perf_counter()
        process = subprocess.Popen([str(part) for part in command], stdout=out, stderr=out)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command[0]} failed; see {log}:\n{log.read_text()[-2000:]}")
    return Cost(wall, usage.ru_utime, usage.ru_stime, usage.ru_maxrss / 1024, load)
