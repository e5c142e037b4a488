# SPDX-License-Identifier: Apache-2.0
"""The report: one HTML file that says and shows what the dataset is, without a network."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from ..crs import GEOGRAPHIC
from ..errors import StorageError
from ..files import write_text
from ..grid import geobox_from_dict, reprojected
from ..paths import SPLITS, Built, remedy
from . import charts, maps, quicklooks
from .drawing import SPLIT_COLORS
from .facts import Facts, covered, read_facts, read_json
from .pages import render
from .provenance import provenance

if TYPE_CHECKING:
    import geopandas as gpd

_UNSPLIT, _DROPPED = "var(--unsplit)", "var(--dropped)"
_REASON_COLORS = (
    "var(--test)", "var(--val)", "var(--train)", "var(--good)", "#7a5cc0", "#8d6e4f",
)  # fmt: skip


def report(built: Built, settings: Path, output: Path) -> None:
    """Write the report.

    Args:
        built: all that was made; the training stage need not have run.
        settings: settings file of the stage `publish`.
        output: the HTML file to write.

    Raises:
        StorageError: an input is missing or damaged, or the file cannot be written.
    """
    facts = replace(read_facts(built, settings), statistics=read_json(built.statistics))
    measured = _measured(built.metrics)
    images = list(facts.settings.images)
    pixels = quicklooks.Pixels(
        built.stacks, built.known_dates, images, facts.legends,
        facts.settings.layouts.one_a_day,
    )  # fmt: skip
    chosen = _quicklook_rows(facts)
    page = render(
        "report.html.j2",
        facts=facts,
        compared=read_json(built.deviations),
        split_map=_split_map(facts),
        location=_location(facts),
        dropped_map=_dropped_map(facts),
        provenance=provenance(settings, built.lock, facts.settings.name),
        colors=SPLIT_COLORS | {"none": _UNSPLIT, "dropped": _DROPPED},
        views=quicklooks.views(chosen, pixels),
        bars={level["title"]: _bars(level) for level in facts.classes},
        ranges={layer: _ranges(facts, layer) for layer in images},
        measured=measured,
        models=_models(measured),
        predicted=_predicted(facts, measured, built.predictions, pixels),
    )
    write_text(output, page)


def _quicklook_rows(facts: Facts) -> gpd.GeoDataFrame:
    kept = facts.kept
    counts = np.zeros((len(kept), 0), np.int64)
    if facts.legends:
        layer, legend = next(iter(facts.legends.items()))
        counts = np.array(kept[f"counts_{layer}_{legend.finest.name}"].tolist(), np.int64)
    centres = kept.geometry.to_crs("EPSG:6933").centroid
    places = np.column_stack([centres.x, centres.y])
    rows = quicklooks.choose(covered(counts), places, facts.settings.publish.quicklooks)
    return kept.iloc[rows].reset_index(drop=True)


def _outlines(shapes: Iterable[Any]) -> list[list[maps.Point]]:
    """Corners of all outer rings."""
    return [
        list(part.exterior.coords)[:-1] for shape in shapes for part in shapely.get_parts(shape)
    ]


def _by_split(facts: Facts) -> list[maps.Group]:
    """Kept patches by split."""
    split_of = facts.kept["split"].to_numpy(object)
    unsplit = ~np.isin(split_of.astype(str), SPLITS)
    groups = [
        maps.Group("kept, in no split", _UNSPLIT, _outlines(facts.kept[unsplit].geometry)),
    ]
    for split in SPLITS:
        chosen = facts.kept[split_of == split].geometry
        groups.append(maps.Group(split, SPLIT_COLORS[split], _outlines(chosen)))
    return groups


def _split_map(facts: Facts) -> Any:
    dropped = facts.table[~facts.table["kept"].to_numpy(bool)].geometry
    groups = [maps.Group("dropped", _DROPPED, _outlines(dropped), hollow=True), *_by_split(facts)]
    sizes = ", ".join(f"{n} {split}" for split, n in facts.split_sizes.items())
    return maps.patch_map(groups, f"Map of the patches by split: {sizes}")


def _location(facts: Facts) -> dict[str, Any]:
    """Maps of where the dataset lies: its units, and the place on Earth."""
    units = [
        (unit.id, _outlines([reprojected(box.extent.geom, str(box.crs), GEOGRAPHIC)]))
        for unit in facts.lock.units
        for box in [geobox_from_dict(unit.geobox)]
    ]
    place = shapely.get_parts(facts.kept.geometry.iloc[0])[0].centroid
    title = f"Outlines of {len(units)} units with a point for each published patch"
    return {
        "units": maps.location_map(units, _by_split(facts), title),
        "world": maps.world_map((place.x, place.y), "Place on Earth: a mark in the graticule"),
    }


def _dropped_map(facts: Facts) -> dict[str, Any] | None:
    """The map of dropped patches by their first reason, and its key."""
    kept = facts.table["kept"].to_numpy(bool)
    if kept.all():
        return None
    first = np.array([facts.reasons_of(text)[0] for text in facts.table["dropped_reason"]], object)
    names = [name for name, _ in facts.dropped if (first[~kept] == name).any()]
    colors = {name: _REASON_COLORS[k % len(_REASON_COLORS)] for k, name in enumerate(names)}
    groups = [maps.Group("kept", "var(--line)", _outlines(facts.table[kept].geometry))]
    groups += [
        maps.Group(name, color, _outlines(facts.table[~kept & (first == name)].geometry))
        for name, color in colors.items()
    ]
    title = f"Map of {int((~kept).sum())} dropped patches by their first reason"
    return {"svg": maps.patch_map(groups, title), "colors": colors}


def _ranges(facts: Facts, layer: str) -> list[dict[str, Any]]:
    """A drawing for all bands of one unit of values; masks have no distribution to be drawn."""
    figures = facts.statistics["layers"][layer]
    return [
        {
            "unit": part["unit"],
            "svg": charts.band_ranges(
                figures, part["numbers"],
                f"Distribution of {', '.join(part['bands'])} of {layer} in the train split, "
                f"{part['unit']}",
            ),
        }
        for part in facts.values(layer)
        if part["unit"] != "mask"
    ]  # fmt: skip


def _bars(level: Mapping[str, Any]) -> dict[str, Any]:
    """The same bars on a linear and a logarithmic axis."""
    return {
        name: charts.class_bars(
            level["classes"], SPLITS,
            f"Share of each class of {level['title']} in train, val and test, {name} axis",
            logarithmic=name == "logarithmic",
        )
        for name in ("linear", "logarithmic")
    }  # fmt: skip


_SCORES = (
    "macro_f1", "miou", "overall_accuracy", "per_class", "confusion", "baselines", "margin", "passed",
    "classes_with_truth", "classes_predicted_alone", "macro_f1_truth_or_predicted",
    "miou_truth_or_predicted",
)  # fmt: skip
"""What the page says of each model."""


def _measured(path: Path) -> dict[str, Any] | None:
    """The metrics of the training stage; None where it has not run."""
    if not path.is_file():
        return None
    measured = read_json(path)
    for name, figures in measured.get("models", {}).items():
        lacking = [key for key in _SCORES if key not in figures]
        if lacking and "skipped" not in figures:
            raise StorageError(
                f"{path}: has no {', '.join(lacking)} of {name}; it was written by another version: "
                f"{remedy(path)}"
            )
    return measured


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
                 "color": f"rgba({red},{green},{blue},{share:.3f})" if total else "var(--shade)"}
            )  # fmt: skip
        found.append(cells)
    return found


def _predicted(
    facts: Facts, measured: Mapping[str, Any] | None, path: Path, pixels: quicklooks.Pixels
) -> list[quicklooks.PatchView]:
    if measured is None or "skipped" in measured or not path.is_file():
        return []
    try:
        # From memory: a damaged file would stay open.
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        if measured["target"] not in facts.legends:
            return []  # a task: classes of points, which no picture shows
        level = facts.legends[measured["target"]].level(measured["level"])
        return quicklooks.predicted(facts.kept, pixels, arrays, level)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise StorageError(
            f"{path}: no readable predictions ({error!r}); {remedy(path)} and build again"
        ) from error
