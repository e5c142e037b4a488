# SPDX-License-Identifier: Apache-2.0
"""Ours, to the end: the stage, and from its stack the optical GeoTIFFs of the published layout.

The files are those that `terrapatch layouts` writes (float32, zstd, one a patch), through the
same encoder; the other folders of the layout (radar, masks) are no part of this comparison.

Usage: bench_published.py LOCK FOOTPRINTS SETTINGS UNIT OUTPUT THREADS
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from terrapatch.kinds import stack as make
from terrapatch.patchfiles import patch_form
from terrapatch.stacks import open_stack


def main() -> None:
    lock, footprints, settings, unit, output, threads = sys.argv[1:]
    folder = Path(output)
    folder.mkdir(parents=True)
    make(
        Path(lock),
        unit,
        "sentinel2",
        Path(footprints),
        Path(settings),
        folder / "s2.zarr",
        int(threads),
    )
    stack = open_stack(folder / "s2.zarr")
    a, b, left, d, e, top = stack.info.geobox["transform"]
    size = stack.info.size_px
    form = patch_form(
        dtype="float32", size_px=size, crs=stack.info.geobox["crs"],
        transform=(a, b, 0.0, d, e, 0.0), descriptions=stack.info.bands, nodata=0,
        compression="zstd",
    )  # fmt: skip
    images = folder / "msi_images"
    images.mkdir()

    def write(shard: range) -> None:
        patches = stack.read(slice(shard.start, shard.stop))[:, 0].astype("float32")
        for number, pixels in zip(shard, patches, strict=True):
            name = stack.info.patch_ids[number]
            row, col = (int(part[1:]) for part in name.split("_"))
            data = form.encode(pixels, left + a * col * size, top + e * row * size)
            (images / f"parrot_beak_ms_{row:05d}{col:05d}.tif").write_bytes(data)

    with ThreadPoolExecutor(int(threads)) as pool:
        list(pool.map(write, stack.info.shards))


main()
