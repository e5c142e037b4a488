# SPDX-License-Identifier: Apache-2.0
"""How near each cleaning step brings labels to the truth, on the simulated landscape.

    terrapatch build multisenge-sample
    python benchmarks/cleaning_truth.py results/multisenge-sample

Prints the tables of docs/references.md and draws its picture: the archive's French view knows the
true class of every pixel, and the faults that it put into the polygons.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import rasterio
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from terrapatch.grid import pixel_size_m
from terrapatch.labels.clean import trace
from terrapatch.labels.label import References
from terrapatch.legend import NODATA
from terrapatch.paths import Results
from terrapatch.recipe import load_recipe, read_settings

SHOWN_PX = 300


def states(results: Results, unit: str, steps, protect, wanted):
    """Name and labels (without halo) before the first and after each step."""
    sources = References(Path(results.lock), unit, wanted)
    found = sources.burnt(sources.unit)
    sources.check()
    inner = slice(sources.halo, -sources.halo or None)
    yield "polygons", found.labels[inner, inner], sources
    run = trace(
        found.labels, steps, pixel_m=pixel_size_m(sources.unit), codes=sources.legend.finest.codes,
        protect=protect, network=found.network,
    )  # fmt: skip
    for report, labels in run:
        yield report.step, labels[inner, inner], sources


def figures(labels, truth, codes):
    """Share right, share without label, least F1 and its class; over pixels that have a truth."""
    known = truth != NODATA
    right = (labels == truth)[known].mean()
    scores = {}
    for code in codes:
        a, b = (labels == code) & known, (truth == code) & known
        if b.any():
            scores[code] = 2 * (a & b).sum() / (a.sum() + b.sum())
    worst = min(scores, key=scores.get)
    return right, (labels == NODATA)[known].mean(), np.mean(list(scores.values())), worst, scores


def draw(path, pictures, legend, size):
    """The states side by side, in the legend's colours; white is without label."""
    colours = ["#ffffff"] * 256
    for entry in legend.finest.classes:
        colours[entry.code] = entry.color
    figure = Figure(figsize=(2.6 * len(pictures), 3.0), dpi=110, layout="constrained")
    for axes, (name, labels) in zip(figure.subplots(1, len(pictures)), pictures, strict=True):
        axes.imshow(labels, ListedColormap(colours), vmin=0, vmax=255, interpolation="nearest")
        axes.set_title(name, fontsize=9)
        axes.set_axis_off()
    figure.savefig(path, metadata={"Software": None})
    print(f"{path}: {size} px a side")


def main() -> None:
    """Print the tables, draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--unit", default="32ULV")
    parser.add_argument("--picture", type=Path)
    args = parser.parse_args()
    results = Results(str(args.results))
    with rasterio.open(args.results / "archive" / "truth" / f"{args.unit}.tif") as dataset:
        truth, at = dataset.read(1), dataset.transform
        truth = np.where(truth == 0, NODATA, truth)
    for mode in ("corrected", "published"):
        wanted = load_recipe("multisenge-sample", {"mode": mode}).label
        given = read_settings(results.stack_settings("label")).label
        wanted = given.model_copy(update={"clean": wanted.clean, "protect": wanted.protect})
        print(
            f"\n{mode}\n| after | right | without label | mean F1 | least F1 |\n|---|--:|--:|--:|---|"
        )
        pictures = []
        for name, labels, found in states(results, args.unit, wanted.clean, wanted.protect, wanted):
            col, row = (round(v) for v in ~found.geobox.affine * (at.c, at.f))
            here = labels[row : row + truth.shape[0], col : col + truth.shape[1]]
            right, empty, mean, worst, scores = figures(here, truth, found.legend.finest.codes)
            title = next(c.name for c in found.legend.finest.classes if c.code == worst)
            print(
                f"| {name} | {right:.2%} | {empty:.2%} | {mean:.3f} | {scores[worst]:.3f} {title} |"
            )
            y, x = (np.array(truth.shape) - SHOWN_PX) // 2
            window = slice(y, y + SHOWN_PX), slice(x, x + SHOWN_PX)
            pictures.append((name, here[window]))
        pictures.append(("truth", truth[window]))
        if args.picture and mode == "corrected":
            draw(args.picture, pictures, found.legend, SHOWN_PX)


if __name__ == "__main__":
    main()
