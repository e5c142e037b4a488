# SPDX-License-Identifier: Apache-2.0
"""The floor: decode every JP2 once, write as many raw bytes as the patches have. Nothing else.

Usage: floor.py LOCK FOOTPRINTS SETTINGS UNIT OUTPUT THREADS
"""

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import rasterio
from rasterio.windows import Window

ROWS = 1024


def decode(href: str, row: int) -> np.ndarray:
    with rasterio.Env(GDAL_NUM_THREADS="1", GDAL_CACHEMAX=64 * 2**20), rasterio.open(href) as file:
        height = min(ROWS, file.height - row)
        return file.read(1, window=Window(0, row, file.width, height))


def main() -> None:
    os.environ["OPJ_NUM_THREADS"] = "0"  # as the stage has it: no thread of its own per block
    lock, _, settings, _, output, threads = sys.argv[1:]
    assets = json.loads(Path(lock).read_text())["items"][0]["assets"]
    bands = json.loads(Path(settings).read_text())["layers"]["sentinel2"]["bands"]
    tasks = [
        (assets[band]["href"], row)
        for band in bands
        for row in range(0, assets[band]["shape"][0], ROWS)
    ]
    geobox = json.loads(Path(lock).read_text())["units"][0]["geobox"]
    height, width = geobox["shape"]
    strip = np.ones((128, width), np.uint16)

    def work(task: tuple[str, int]) -> int:
        return int(decode(*task)[0, 0])

    with ThreadPoolExecutor(int(threads)) as pool:
        list(pool.map(work, tasks))

        def write(number: int) -> None:
            with (Path(output) / f"{number:05d}.raw").open("wb") as file:
                for _ in bands:
                    file.write(strip)

        Path(output).mkdir(parents=True)
        list(pool.map(write, range(height // 128)))


main()
