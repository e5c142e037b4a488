# SPDX-License-Identifier: Apache-2.0
"""The report: one HTML file that says and shows what the dataset is, without a network."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import StorageError
from ..tables import write_text
from . import charts, quicklooks
from .facts import SPLITS, Facts, covered, read_facts, read_json, reasons_of
from .pages import render

if TYPE_CHECKING:
    import geopandas as gpd

_UNSPLIT, _DROPPED = "#b8c0ca", "#8d99a6"
_REASON_COLORS = ("#a3195b", "#e69f00", "#2f6fb0", "#2a9d6f", "#7a5cc0", "#8d6e4f")


def report(
    manifest: Path,
    splits_summary: Path,
    stacks: Path,
    labels: Path,
    lock: Path,
    dataset: Path,
    deviations: Path,
    metrics: Path | None,
    predictions: Path | None,
    settings: Path,
    output: Path,
) -> None:
    """Write the report.

    Args:
        manifest: GeoParquet with one row a patch and its split.
        splits_summary: what the splits stage says of itself.
        stacks: folder with UNIT/MODALITY.zarr.
        labels: folder with UNIT.tif.
        lock: the lock.
        dataset: folder with `.layout.json` and `statistics.json`.
        deviations: `deviations.json`.
        metrics: `metrics.json` of the training stage, if it ran.
        predictions: `predictions.npz` of the training stage, if it ran.
        settings: settings file of the stage `publish`.
        output: the HTML file to write.

    Raises:
        StorageError: an input is missing or damaged, or the file cannot be written.
    """
    facts = read_facts(manifest, splits_summary, lock, dataset, settings)
    if not facts.statistics:
        raise StorageError(f"{dataset}/statistics.json: missing; run `terrapatch publish` first")
    measured = read_json(metrics) if metrics is not None and metrics.is_file() else None
    modalities = facts.settings.modalities
    chosen = _quicklook_rows(facts)
    page = render(
        "report.html.j2",
        facts=facts,
        compared=read_json(deviations),
        split_map=_split_map(facts),
        dropped_map=_dropped_map(facts),
        colors=charts.SPLIT_COLORS | {"none": _UNSPLIT, "dropped": _DROPPED},
        looks=quicklooks.looks(chosen, stacks, labels, modalities, facts.legend),
        bars={level["name"]: _bars(level) for level in facts.classes},
        ranges={
            modality: charts.band_ranges(
                figures, f"Distribution of values in each band of {modality}, train split"
            )
            for modality, figures in facts.statistics["modalities"].items()
        },
        measured=measured,
        models=_models(measured),
        predicted=_predicted(facts, measured, predictions, stacks, labels),
    )
    write_text(output, page)


def _quicklook_rows(facts: Facts) -> gpd.GeoDataFrame:
    kept = facts.kept
    counts = np.array(kept[f"counts_{facts.legend.finest.name}"].tolist(), np.int64)
    centres = kept.geometry.to_crs("EPSG:6933").centroid
    places = np.column_stack([centres.x, centres.y])
    rows = quicklooks.choose(covered(counts), places, facts.settings.publish.quicklooks)
    return kept.iloc[rows].reset_index(drop=True)


def _outlines(table: gpd.GeoDataFrame) -> list[list[tuple[float, float]]]:
    return [list(shape.exterior.coords)[:-1] for shape in table.geometry]


def _split_map(facts: Facts) -> Any:
    split_of = facts.table["split"].to_numpy(object)
    kept = facts.table["kept"].to_numpy(bool)
    unsplit = kept & ~np.isin(split_of.astype(str), SPLITS)
    groups = [
        charts.Group("dropped", _DROPPED, _outlines(facts.table[~kept]), hollow=True),
        charts.Group("kept, in no split", _UNSPLIT, _outlines(facts.table[unsplit])),
    ]
    for split in SPLITS:
        chosen = facts.table[kept & (split_of == split)]
        groups.append(charts.Group(split, charts.SPLIT_COLORS[split], _outlines(chosen)))
    sizes = ", ".join(f"{n} {split}" for split, n in facts.split_sizes.items())
    return charts.patch_map(groups, f"Map of the patches by split: {sizes}")


def _dropped_map(facts: Facts) -> dict[str, Any] | None:
    """The map of dropped patches by their first reason, and its key."""
    kept = facts.table["kept"].to_numpy(bool)
    if kept.all():
        return None
    first = np.array([reasons_of(text)[0] for text in facts.table["dropped_reason"]], object)
    names = [name for name, _ in facts.dropped if (first[~kept] == name).any()]
    colors = {name: _REASON_COLORS[k % len(_REASON_COLORS)] for k, name in enumerate(names)}
    groups = [charts.Group("kept", "#e3e7ec", _outlines(facts.table[kept]))]
    groups += [
        charts.Group(name, color, _outlines(facts.table[~kept & (first == name)]))
        for name, color in colors.items()
    ]
    title = f"Map of {int((~kept).sum())} dropped patches by their first reason"
    return {"svg": charts.patch_map(groups, title), "colors": colors}


def _bars(level: Mapping[str, Any]) -> dict[str, Any]:
    """The same bars on a linear and a logarithmic axis."""
    return {
        name: charts.class_bars(
            level["classes"], SPLITS,
            f"Share of each class of {level['name']} in train, val and test, {name} axis",
            logarithmic=name == "logarithmic",
        )
        for name in ("linear", "logarithmic")
    }  # fmt: skip


def _models(measured: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """What the page says of each model, in the order of their names."""
    found = []
    for name, figures in sorted((measured or {}).get("models", {}).items()):
        if "skipped" in figures:
            found.append({"name": name, "skipped": figures["skipped"]})
            continue
        rows = {}
        for key, label in (("macro_f1", "Macro F1"), ("miou", "Mean IoU")):
            bars = [(name, float(figures[key]), True)]
            for baseline, values in sorted(figures["baselines"].items()):
                bars.append((f"baseline: {baseline}", float(values[key] or 0), False))
            title = f"{label} of {name} beside its baselines"
            rows[label] = charts.score_bars(bars, title)
        found.append(
            {"name": name, "skipped": None, "bars": rows, "figures": figures,
             "confusion": _confusion(figures["confusion"])}
        )  # fmt: skip
    return found


def _confusion(matrix: list[list[int]]) -> list[list[dict[str, Any]]]:
    """Rows of the confusion matrix as shares of each true class, with a shade for each."""
    found = []
    for number, row in enumerate(matrix):
        total = sum(row)
        cells = []
        for column, count in enumerate(row):
            share = count / total if total else 0.0
            red, green, blue = (47, 111, 176) if column == number else (190, 60, 50)
            cells.append(
                {"count": count, "percent": 100 * share, "dark": share > 0.55,
                 "color": f"rgba({red},{green},{blue},{share:.3f})" if total else "#f4f6f8"}
            )  # fmt: skip
        found.append(cells)
    return found


def _predicted(
    facts: Facts, measured: Mapping[str, Any] | None, path: Path | None, stacks: Path, labels: Path
) -> list[quicklooks.Look]:
    if measured is None or "skipped" in measured or path is None or not path.is_file():
        return []
    try:
        # From memory: a damaged file would stay open.
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        level = facts.legend.level(measured["level"])
        return quicklooks.predicted(
            facts.kept, stacks, arrays, level, facts.settings.modalities, labels, facts.legend
        )
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise StorageError(
            f"{path}: no readable predictions ({error!r}); run `terrapatch training` again"
        ) from error
