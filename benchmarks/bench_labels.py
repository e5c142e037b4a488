# SPDX-License-Identifier: Apache-2.0
"""Cleaning of label rasters on a full tile, beside GDAL and the usual libraries.

Usage: bench_labels.py [--folder FOLDER] [--repeats N] [--output docs/benchmarks.md]
       bench_labels.py chain NAME FOLDER SIDE
       bench_labels.py picture FOLDER FILE   a part of the tile after each step, for the docs

`run.py --only labels` calls this. It draws a tile of 10980 × 10980 px from 50,000 parcels of 14
classes with specks and slivers, cleans it with each chain in a process of its own, and writes the
second table of `docs/benchmarks.md`. About five minutes on two cores.
"""

import argparse
import json
import shutil
import statistics
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np

import bench_vectors
from measure import SMALL, Cost, run

HERE = Path(__file__).parent
BEGIN, END = (
    "<!-- begin: benchmarks/bench_labels.py -->",
    "<!-- end: benchmarks/bench_labels.py -->",
)
SIDE = 500 if SMALL else 10980
PART = 200 if SMALL else 2048
"""Side of the crop on which the authors' method can finish."""
CLASSES = 14
LEAST_PX = 250
NAMES = {
    "floor": "floor: read the rasters, write one",
    "ours": "terrapatch: mmu, fill, closing, networks",
    "quarter": "terrapatch: the same on a quarter of the tile",
    "settled": "terrapatch: the same with settle (one pass more, and the check)",
    "sieve": "GDAL's sieve (rasterio): small parts and filling at once, no closing",
    "plain": "SciPy and scikit-image: label per class, distance transform, closing per class",
    "authors": f"authors' method on {PART} × {PART} px: scikit-image per class, KNN imputer",
    "stage": "terrapatch, the whole stage: GeoPackage → burnt, mmu, fill, closing, roads → GeoTIFF",
    "gdal": "GDAL's commands: gdal_rasterize, gdal_sieve, roads buffered and burnt; no closing",
}


def landscape(side: int, seed: int = 0) -> tuple[list, list[int], np.ndarray]:
    """Polygons of a made-up landscape with their classes 1…14, in burning order; lines of roads."""
    from scipy.spatial import Voronoi
    from shapely import buffer, linestrings, points, polygons

    rng = np.random.default_rng(seed)
    share = (side / SIDE) ** 2

    def lines(count, shortest, longest):
        start, way = rng.random((count, 2)) * side, rng.normal(size=(count, 2))
        way *= rng.uniform(shortest, longest, (count, 1)) / np.hypot(*way.T)[:, None]
        return linestrings(np.stack([start, start + way], 1))

    def classes(count):
        return rng.integers(1, CLASSES + 1, count).tolist()

    cells = Voronoi((rng.random((round(50_000 * share), 2)) * 1.04 - 0.02) * side)
    regions = [cells.regions[number] for number in cells.point_region]
    shapes = [polygons(cells.vertices[r]) for r in regions if len(r) > 2 and -1 not in r]
    specks, slivers = round(25_000 * share), round(12_500 * share)
    shapes += list(buffer(points(rng.random((specks, 2)) * side), rng.uniform(0.7, 8, specks)))
    shapes += list(buffer(lines(slivers, 10, 60), rng.uniform(0.4, 1.2, slivers)))
    codes = classes(len(shapes))
    return shapes, codes, lines(round(3_000 * share) + 1, 50, 400)


def draw(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels 1…14 and roads (5, 255 none) of that landscape."""
    from rasterio.features import rasterize
    from shapely import buffer

    shapes, codes, roads = landscape(side)
    size = {"out_shape": (side, side), "fill": 255, "dtype": "uint8"}
    labels = rasterize(zip(shapes, codes, strict=True), **size)
    return labels, rasterize([(line, 5) for line in buffer(roads, 1.5)], **size)


def steps(settled: bool):
    from terrapatch.settings import ClosingStep, FillStep, MmuStep, NetworksStep, SettleStep

    body = [MmuStep(area_m2=LEAST_PX * 100), FillStep(), ClosingStep(size_m=(40, 50))]
    return [*body, *([SettleStep()] if settled else []), NetworksStep()]


def clean_ours(labels, roads, settled=False):
    from terrapatch.labels.clean import run as clean

    codes = range(1, CLASSES + 1)
    return clean(labels, steps(settled), pixel_m=(10, 10), codes=codes, protect=(5,), network=roads)


def clean_sieve(labels, roads):
    from rasterio.features import sieve

    result = sieve(labels, size=LEAST_PX, connectivity=8)
    result[roads != 255] = 5
    return result


def clean_plain(labels, roads):
    """What one would write with SciPy and scikit-image, on whole rasters."""
    from scipy.ndimage import distance_transform_edt, label
    from skimage.morphology import closing, footprint_rectangle

    holes = np.zeros(labels.shape, bool)
    for code in range(1, CLASSES + 1):
        if code != 5:
            number, _ = label(labels == code, np.ones((3, 3)))
            small = np.bincount(number.ravel()) < LEAST_PX
            small[0] = False
            holes |= small[number]
    rows, columns = distance_transform_edt(holes, return_distances=False, return_indices=True)
    result = labels[rows, columns]
    del rows, columns
    filled, element = result.copy(), footprint_rectangle((4, 5))
    for code in range(CLASSES, 0, -1):  # the strongest class last
        closed = closing((filled == code).view(np.uint8), element).view(bool)
        result[closed & (filled != 5)] = code
    result[roads != 255] = 5
    return result


def clean_authors(labels, roads):
    """The published method: RECIPES §2.1, steps 10 to 13. Prints the seconds of its parts."""
    from skimage.measure import label
    from skimage.morphology import closing, footprint_rectangle
    from sklearn.impute import KNNImputer

    begin = time.process_time()
    result = np.zeros(labels.shape, np.uint8)
    for code in range(1, CLASSES + 1):
        mask = labels == code
        for inverted in (True, False):  # the class's small gaps first, then its small parts
            number = label(mask != inverted, connectivity=2)
            small = np.bincount(number.ravel()) < LEAST_PX
            small[0] = False
            mask ^= small[number]
        result[mask] = code
    parts = time.process_time()
    imputer = KNNImputer(missing_values=0, n_neighbors=1, weights="distance")
    result = imputer.fit_transform(result).astype(np.uint8)
    filled = time.process_time()
    result = closing(result, footprint_rectangle((4, 5)))
    result[labels == 5] = 5
    result[roads != 255] = 5
    closed = time.process_time()
    print(json.dumps({"parts": parts - begin, "knn": filled - parts, "rest": closed - filled}))
    return result


def chain(name: str, folder: Path, side: int) -> None:
    """One chain on the rasters in a folder."""
    if name == "draw":
        for layer, values in zip(("labels", "roads"), draw(side), strict=True):
            np.save(folder / f"{layer}.npy", values)
        return
    if name == "vectors":
        bench_vectors.write(folder, *landscape(side), side)
        return
    if name == "stage":
        bench_vectors.stage(folder)
        return
    if name == "gdal":
        bench_vectors.gdal(folder)
        return
    labels = np.load(folder / "labels.npy", mmap_mode="r")[:side, :side]
    roads = np.load(folder / "roads.npy", mmap_mode="r")[:side, :side]
    labels, roads = np.ascontiguousarray(labels), np.ascontiguousarray(roads)
    result = {
        "floor": lambda *_: labels,
        "ours": clean_ours,
        "quarter": clean_ours,
        "settled": lambda *both: clean_ours(*both, settled=True),
        "sieve": clean_sieve,
        "plain": clean_plain,
        "authors": clean_authors,
    }[name](labels, roads)
    np.save(folder / "out.npy", result)


def measured(folder: Path, repeats: int) -> dict[str, list[Cost]]:
    costs: dict[str, list[Cost]] = {name: [] for name in NAMES}
    command = [sys.executable, HERE / "bench_labels.py", "chain"]
    for name in ("ours", "settled"):  # compiled once for an installation
        run([*command, name, folder, "300"], folder / "warm.log")
    if missing := [tool for tool in ("gdal_rasterize", "gdal_sieve.py") if not shutil.which(tool)]:
        print(f"{' and '.join(missing)} not installed (gdal-bin): GDAL's commands are left out")
        costs.pop("gdal")
    if not find_spec("skimage"):
        print("scikit-image is not installed: what needs it is left out")
        costs.pop("plain")
        costs.pop("authors")
    for _ in range(repeats):
        for name, found in costs.items():
            side = {"authors": PART, "quarter": SIDE // 2}.get(name, SIDE)
            found.append(run([*command, name, folder, str(side)], folder / f"{name}.log"))
            print(f"{name:8} CPU {found[-1].cpu_s:6.1f} s  peak {found[-1].peak_mib:.0f} MiB",
                  flush=True)  # fmt: skip
    return {name: found for name, found in costs.items() if found}


def table(costs: dict[str, list[Cost]], folder: Path) -> str:
    middle = {
        name: [statistics.median(getattr(c, field) for c in found)
               for field in ("cpu_s", "wall_s", "peak_mib")]
        for name, found in costs.items()
    }  # fmt: skip
    ours = middle["ours"][0]
    lines = ["| chain | CPU s | wall s | peak MiB | CPU / ours |", "|---|---:|---:|---:|---:|"]
    for name, (cpu, wall, peak) in middle.items():
        beside = middle["stage"][0] if name in ("stage", "gdal") else ours
        ratio = "" if name in ("authors", "quarter") else f"{cpu / beside:.1f}"
        lines.append(f"| {NAMES[name]} | {cpu:.1f} | {wall:.1f} | {peak:.0f} | {ratio} |")
    if "authors" not in middle:
        return "\n".join(lines)
    seconds = json.loads((folder / "authors.log").read_text().splitlines()[-1])
    times = SIDE / PART
    area, cube = times**2, times**3
    whole = (seconds["parts"] + seconds["rest"]) * area + seconds["knn"] * cube
    lines += [
        "",
        f"The authors' method on {PART} × {PART} px: components {seconds['parts']:.1f} s, KNN "
        f"imputer {seconds['knn']:.1f} s, closing and roads {seconds['rest']:.1f} s. Scaled to the "
        f"tile, components and closing by area (× {area:.0f}), the imputer by rows² × columns "
        f"(× {cube:.0f}): {whole:,.0f} s, {whole / ours:,.0f} times ours. Not run.",
    ]
    return "\n".join(lines)


def picture(folder: Path, file: Path) -> None:
    """A part of the tile before the first step and after each."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    from terrapatch.labels.clean import trace

    where = (slice(700, 900), slice(1400, 1600))
    labels, roads = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("labels", "roads"))
    around = (slice(0, 2000), slice(0, 2400))
    states = [("as burnt", np.array(labels[around]))]
    chain = trace(
        states[0][1], steps(True), pixel_m=(10, 10), codes=range(1, CLASSES + 1), protect=(5,),
        network=np.array(roads[around]),
    )  # fmt: skip
    states += [(f"after {report.step}", now) for report, now in chain]
    figure = Figure(figsize=(9, 6.4), layout="constrained")
    colours = colormaps["tab20"].with_extremes(bad="white")
    for axes, (title, now) in zip(figure.subplots(2, 3).flat, states, strict=True):
        shown = np.ma.masked_equal(now[where], 255)
        axes.imshow(shown, cmap=colours, vmin=0, vmax=19, interpolation="nearest")
        axes.set(title=title, xticks=[], yticks=[])
    figure.savefig(file, dpi=90)


def main() -> None:
    if sys.argv[1:2] == ["picture"]:
        picture(Path(sys.argv[2]), Path(sys.argv[3]))
        return
    if sys.argv[1:2] == ["chain"]:
        chain(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("results/benchmarks"))
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--output", type=Path, default=HERE.parent / "docs" / "benchmarks.md")
    parser.add_argument("--small", action="store_true", help="see measure.py; writes no docs")
    args = parser.parse_args()
    folder = args.folder / "labels"
    folder.mkdir(parents=True, exist_ok=True)
    for made, file in (("draw", "roads.npy"), ("vectors", "settings.json")):
        if not (folder / file).is_file():
            # In a process of its own: a child is charged with the memory its parent ever had.
            command = [sys.executable, HERE / "bench_labels.py", "chain", made, folder, str(SIDE)]
            run(command, folder / f"{made}.log")
    text = table(measured(folder, args.repeats), folder)
    print(f"\n{text}")
    if not SMALL and args.output.is_file() and BEGIN in args.output.read_text(encoding="utf-8"):
        old = args.output.read_text(encoding="utf-8")
        head, tail = old.split(BEGIN)[0], old.split(END)[1]
        args.output.write_text(f"{head}{BEGIN}\n{text}\n{END}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
