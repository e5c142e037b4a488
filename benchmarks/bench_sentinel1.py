# SPDX-License-Identifier: Apache-2.0
"""Ours: the Sentinel-1 stage, as the workflow calls it.

Usage: bench_sentinel1.py LOCK FOOTPRINTS SETTINGS UNIT OUTPUT THREADS
"""

import sys
from pathlib import Path

from terrapatch.kinds import stack

if __name__ == "__main__":
    lock, footprints, settings, unit, output, threads = sys.argv[1:]
    stack(
        Path(lock), unit, "sentinel1", Path(footprints), Path(settings), Path(output), int(threads)
    )
