# SPDX-License-Identifier: Apache-2.0
"""Ours: the Sentinel-2 stage, as the workflow calls it.

Usage: bench_sentinel2.py LOCK FOOTPRINTS SETTINGS UNIT OUTPUT THREADS [SHARD_MIB]
"""

import sys
from pathlib import Path

from terrapatch.kinds import stack


def main() -> None:
    lock, footprints, settings, unit, output, threads, *rest = sys.argv[1:]
    if rest:
        from terrapatch.cutting import engine

        engine.SHARD_BYTES = int(rest[0]) * 2**20
    stack(
        Path(lock), unit, "sentinel2", Path(footprints), Path(settings), Path(output), int(threads)
    )


if __name__ == "__main__":
    main()
