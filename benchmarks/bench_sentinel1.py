# SPDX-License-Identifier: Apache-2.0
"""Ours: the Sentinel-1 stage, as the workflow calls it.

Usage: bench_sentinel1.py LOCK FOOTPRINTS SETTINGS UNIT OUTPUT THREADS
"""

import sys
from pathlib import Path

from terrapatch.sentinel1 import sentinel1

if __name__ == "__main__":
    lock, footprints, settings, unit, output, threads = sys.argv[1:]
    sentinel1(Path(lock), unit, Path(footprints), Path(settings), Path(output), int(threads))
