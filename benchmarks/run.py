# SPDX-License-Identifier: Apache-2.0
"""`make bench`: all paths on a full tile beside the floor and other tools, and a plan of many scenes.

Usage: run.py [--folder FOLDER] [--repeats N] [--only NAME,…] [--output docs/benchmarks.md] [--small]

`sentinel2` and `sentinel1` are names of all chains of a sensor. Writes the tables of
`docs/benchmarks.md`, each between its two marks; with `--small` no table of docs: a small scene tells
whether all chains run. What is not installed is left out, and said so. Needs gdal-bin for the GDAL chain, otb-bin and
sarsen for those of Sentinel-1, 25 GB of disk and, on two cores, about twenty minutes, plus some
minutes for the archive the first time.
"""

import argparse
import hashlib
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import radar
import radar_scene
from measure import SMALL, Cost, run
from scene import Input, prepare

HERE = Path(__file__).parent
MARKS = {
    "sentinel2": ("<!-- begin: benchmarks/run.py -->", "<!-- end: benchmarks/run.py -->"),
    "sentinel1": ("<!-- begin: benchmarks/run.py, Sentinel-1 -->", "<!-- end: Sentinel-1 -->"),
}
Chains = Callable[[Path], dict[str, list[str | Path]]]
"""The command of each chain, from the folder that it is to write."""
NAMES = {
    "floor": "floor: decode each JP2 once, write the raw bytes (2 threads)",
    "ours": "terrapatch, native store (2 threads)",
    "ours-1": "terrapatch, native store (1 thread)",
    "ours-small": "terrapatch, native store (2 threads, shards of 4 MiB)",
    "published": "terrapatch, native store and published GeoTIFF (2 threads)",
    "gdal": "GDAL command line: gdalbuildvrt, gdalwarp -multi, gdal_retile.py",
    "plain": "plain rasterio script",
}


def commands(data: Input, out: Path) -> dict[str, list[str | Path]]:
    """The command of each chain; `out` is where it writes."""
    files = [data.item.assets[band].href for band in data.bands]
    ours = [data.lock, data.footprints, data.settings, data.unit, out]
    height, width = data.geobox.shape
    box = data.geobox.boundingbox
    extent = f"{box.left!r} {box.bottom!r} {box.right!r} {box.top!r}"
    python = sys.executable
    stage = HERE / "bench_sentinel2.py"
    return {
        "floor": [python, HERE / "floor.py", *ours, "2"],
        "ours": [python, stage, *ours, "2"],
        "ours-1": [python, stage, *ours, "1"],
        "ours-small": [python, stage, *ours, "2", "4"],
        "published": [python, HERE / "bench_published.py", *ours, "2"],
        "gdal": [HERE / "gdal_chain.sh", out, extent, f"{width} {height}", *files],
        "plain": [
            python, HERE / "plain_rasterio.py", out, str(width), str(height),
            *map(repr, list(data.geobox.affine)[:6]), *files,
        ],
    }  # fmt: skip


def digest(stack_path: Path) -> str:
    """Hash of all pixels of a stack, in the order of its patches."""
    from terrapatch.stacks import open_stack

    stack, found = open_stack(stack_path), hashlib.sha256()
    for start in range(0, len(stack.info.patch_ids), 64):
        for name in ("data", "source"):
            found.update(stack.read(slice(start, start + 64), name).tobytes())
    return found.hexdigest()


def measured(
    chains: Chains, folder: Path, names: list[str], repeats: int, same: tuple[str, ...]
) -> dict[str, list[Cost]]:
    """Run the chains in turn, `repeats` times round; check that `same` always give the same."""
    costs: dict[str, list[Cost]] = {name: [] for name in names}
    digests = {}
    for _ in range(repeats):
        for name in names:
            out = folder / "out"
            _remove(out)
            os.sync()
            cost = run(chains(out)[name], folder / f"{name}.log")
            costs[name].append(cost)
            print(f"{name:12} wall {cost.wall_s:6.1f} s  CPU {cost.cpu_s:6.1f} s (user "
                  f"{cost.user_s:.1f}, system {cost.system_s:.1f})  peak {cost.peak_mib:.0f} MiB  "
                  f"load before {cost.load:.1f}", flush=True)  # fmt: skip
            if name in same:
                digests[name] = digest(out)
            _remove(out)
    if len(set(digests.values())) > 1:
        raise SystemExit(f"the chains that must give the same pixels do not: {digests}")
    return costs


def _remove(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    path.unlink(missing_ok=True)


def table(costs: dict[str, list[Cost]], patches: int) -> str:
    """Markdown table: medians, and ratios to the floor and to ours."""
    middle = {
        name: tuple(
            statistics.median(getattr(c, field) for c in runs)
            for field in ("wall_s", "cpu_s", "peak_mib", "load")
        )
        for name, runs in costs.items()
    }
    floor, ours = middle.get("floor"), middle.get("ours")
    lines = [
        "| chain | wall s | CPU s | peak MiB | patches / s | CPU / floor | wall of ours / this |"
        " load before |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, (wall, cpu, peak, load) in middle.items():
        to_floor = f"{cpu / floor[1]:.2f}" if floor else ""
        to_ours = f"{ours[0] / wall:.2f}" if ours else ""
        lines.append(
            f"| {NAMES[name]} | {wall:.1f} | {cpu:.1f} | {peak:.0f} | {patches / wall:.0f} | "
            f"{to_floor} | {to_ours} | {load:.1f} |"
        )
    return "\n".join(lines)


def machine() -> str:
    """Cores, processor family, memory, versions."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    vendor = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
         if line.startswith("model name")),
        platform.machine(),
    )  # fmt: skip
    gdal = "none"
    if shutil.which("gdalwarp"):
        told = subprocess.run(["gdalwarp", "--version"], capture_output=True, text=True, check=True)
        gdal = told.stdout.split(",")[0]
    import rasterio

    parts = [
        f"{os.cpu_count()} cores ({vendor})", f"{memory:.0f} GiB", platform.system(),
        f"Python {platform.python_version()}",
        f"rasterio {version('rasterio')} (GDAL {rasterio.__gdal_version__})",
        f"numba {version('numba')}", f"numcodecs {version('numcodecs')}",
        f"command line: {gdal}",
    ]  # fmt: skip
    return ", ".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("results/benchmarks"))
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--only", default="sentinel2,sentinel1,labels,plan")
    parser.add_argument("--output", type=Path, default=HERE.parent / "docs" / "benchmarks.md")
    parser.add_argument(
        "--small", action="store_true", help="a scene so small that nothing is measured; no docs"
    )
    args = parser.parse_args()
    if SMALL:
        args.folder = args.folder.with_name(f"{args.folder.name}-small")
    only = args.only.split(",")
    more = ["--small"] if SMALL else []
    more += ["--folder", args.folder, "--repeats", str(args.repeats), "--output", args.output]
    for name in ("labels", "plan"):
        if name in only:
            subprocess.run([sys.executable, HERE / f"bench_{name}.py", *more], check=True)
    args.folder.mkdir(parents=True, exist_ok=True)
    folder = args.folder.resolve()
    texts = {}
    names = [name for name in NAMES if {name, "sentinel2"} & set(only)]
    if names:
        texts["sentinel2"] = sentinel2(folder, names, args.repeats)
    names = [name for name in radar.NAMES if {name, "sentinel1"} & set(only)]
    if names:
        texts["sentinel1"] = sentinel1(folder, names, args.repeats)
    for sensor, text in texts.items():
        print(f"\n{text}")
        if not SMALL and args.output.is_file():
            begin, end = MARKS[sensor]
            old = args.output.read_text(encoding="utf-8")
            head, tail = old.split(begin)[0], old.split(end)[1]
            args.output.write_text(f"{head}{begin}\n{text}\n{end}{tail}", encoding="utf-8")


def sentinel2(folder: Path, names: list[str], repeats: int) -> str:
    """Run the chains of Sentinel-2; what is to be said of them."""
    if "gdal" in names and not shutil.which("gdal_retile.py"):
        print("gdal-bin is not installed: the GDAL command line is left out")
        names.remove("gdal")
    data = prepare(folder)
    print(f"{data.item.id}: {data.patches} patches, {len(data.bands)} bands", flush=True)
    # Kernels are compiled once for an installation; their seconds are none of a tile's.
    warm_up("bench_sentinel2.py", data.lock, data.footprints, data.settings, folder)
    same = tuple(name for name in names if name.startswith("ours"))
    costs = measured(lambda out: commands(data, out), folder, names, repeats, same)
    pixels = sum(a.shape[0] * a.shape[1] for b in data.bands for a in [data.item.assets[b]]) / 1e6
    size = sum(Path(data.item.assets[b].href).stat().st_size for b in data.bands) / 2**20
    return (
        f"One tile, {len(data.bands)} bands, {pixels:.0f} Mpx in {size:.0f} MiB of JP2 → "
        f"{data.patches} patches of 128 px in EPSG:4326. Machine: {machine()}. "
        f"Median of {repeats}.\n\n{table(costs, data.patches)}"
    )


def sentinel1(folder: Path, names: list[str], repeats: int) -> str:
    """Run the chains of Sentinel-1; what is to be said of them."""
    names = radar.available(names)
    data = radar_scene.prepare(folder)
    print(f"{data.item.id}: tile {radar_scene.TILE}", flush=True)
    for bands in (("VV", "VH"), ("VV",)):
        stage = data.unit(bands=bands)
        warm_up("bench_sentinel1.py", stage.lock, stage.footprints, stage.settings, folder)
    costs = measured(lambda out: radar.commands(data, out), folder, names, repeats, radar.SAME)
    lines, samples = data.item.assets["VV"].shape
    patches = data.unit().pixels // radar_scene.SIZE_PX**2
    others = [f"{name} {version(name)}" for name in ("sarsen",) if "sarsen" in " ".join(names)]
    if "otb" in names:
        told = subprocess.run(
            ["otbcli_SARCalibration", "-help"], capture_output=True, text=True, check=False
        )
        others += [
            f"OTB {w}"
            for w in re.findall(r"version (\d+\.\d+\.\d+)", told.stderr + told.stdout)[:1]
        ]
    return (
        f"One slice of {lines} × {samples} px and two polarisations → tile {radar_scene.TILE}, "
        f"{data.geobox.shape[0]} × {data.geobox.shape[1]} px of 10 m in {data.geobox.crs}, of which "
        f"{patches} patches of {radar_scene.SIZE_PX} px. Machine: {', '.join([machine(), *others])}. "
        f"Median of {repeats}.\n\n{radar.table(data, costs)}"
    )


def warm_up(stage: str, lock: Path, footprints: Path, settings: Path, folder: Path) -> None:
    """Run a stage on one patch."""
    import pyarrow.parquet as pq

    one = folder / "one.parquet"
    pq.write_table(pq.read_table(footprints).slice(0, 1), one)
    out = folder / "warm.zarr"
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, HERE / stage, lock, one, settings]
    run([*command, "tile", out, "1"], folder / "warm.log")
    shutil.rmtree(out)


if __name__ == "__main__":
    main()
