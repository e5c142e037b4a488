# SPDX-License-Identifier: Apache-2.0
"""How the dataset differs from the published one: settings, counts, classes, values.

`deviations.json` has `mode`, `changes` (settings that `mode: published` lays over the recipe, and
whether they are in force), `known` (sentences of the recipe) and `comparison` (rows of `what`,
`published`, `ours`, `difference`, `verdict`; empty for layouts without a published dataset).
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from ..layers import LayoutRecord
from ..legend import Legend
from ..paths import SPLITS
from ..recipe import StageSettings
from ..records import Lock, LockedItem
from .kinds import kind_of
from .methods.words import scenes_of

PUBLISHED_STEP_PX = 257
"""Step of MultiSenGE's windows. Source: RECIPES §2.1, step 16."""

_NEAR_PERCENT_POINTS = 1.0
"""Class shares that agree to this are called alike: two seasons of one map differ by more."""


def changes(settings: Mapping[str, Any], prefix: str = "") -> list[dict[str, Any]]:
    """The overlay `published` of a recipe as a flat list of named settings."""
    found: list[dict[str, Any]] = []
    for key, value in sorted(settings.items()):
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            found += changes(value, f"{name}.")
        else:
            found.append({"setting": name, "value": value})
    return found


def deviations(
    settings: StageSettings,
    legends: Mapping[str, Legend],
    layout: LayoutRecord,
    statistics: Mapping[str, Any],
    lock: Lock,
) -> dict[str, Any]:
    """Compare a dataset with the published one.

    Args:
        settings: of the stage `publish`.
        legends: by layer of labels, with `published_pixels` where their authors state them.
        layout: what the layout wrote.
        statistics: what `statistics.json` says.
        lock: what went in.
    """
    comparison: list[dict[str, Any]] = []
    if layout.layout == "cerradata4mm":
        comparison += _sizes(layout)
        comparison += _form(layout)
        label, legend = next(iter(legends.items()))  # the layout holds one
        comparison += _classes(legend, statistics["classes"][label])
        comparison += _bands(settings, statistics["layers"], layout, lock)
    if layout.layout == "multisenge":
        comparison += _multisenge_sizes(layout)
        comparison += _multisenge_tiles(settings, layout.tiles)
        comparison += _multisenge_classes(layout)
    if layout.layout == "sen4map":
        comparison += _sen4map_points(layout)
    if layout.layout == "flairhub":
        comparison += _flairhub_sizes(layout)
        for label, legend in legends.items():
            comparison += _classes(legend, statistics["classes"][label])
    return {
        "mode": settings.mode,
        "published_in_force": settings.mode == "published",
        "changes": changes(settings.published),
        "known": list(settings.publish.deviations),
        "comparison": comparison,
    }


def _row(group: str, what: str, published: Any, ours: Any, verdict: str) -> dict[str, Any]:
    numbers = isinstance(published, int | float) and isinstance(ours, int | float)
    return {
        "group": group, "what": what, "published": published, "ours": ours,
        "difference": round(ours - published, 6) if numbers else None, "verdict": verdict,
    }  # fmt: skip


def _sizes(layout: LayoutRecord) -> list[dict[str, Any]]:
    published = {row["what"]: int(row["patches"]) for row in _table("cerradata4mm_patches")}
    ours = {"all": layout.patches, **layout.splits}
    names = {"all": "patches"} | {split: f"patches in {split}" for split in SPLITS}
    return [_count("size", name, published[key], ours[key]) for key, name in names.items()]


def _form(layout: LayoutRecord) -> list[dict[str, Any]]:
    bands: dict[str, list[str]] = {}
    for row in _table("cerradata4mm_bands"):
        bands.setdefault(row["modality"], []).append(row["band"])
    rows = []
    for layer, wanted in bands.items():
        ours = list(layout.layers[layer].bands)
        verdict = "equal" if ours == wanted else "other bands, or another order"
        rows.append(_row("form", f"{layer} bands", ", ".join(wanted), ", ".join(ours), verdict))
    for what, dtype in (("image pixels", "float32"), ("mask pixels", "int32")):
        rows.append(_row("form", what, dtype, dtype, "equal"))
    ids = "column and row counters without separator"
    rows.append(
        _row("form", "ids", ids, "five digits of row, five of column",
             "unique and sorted alike as text and number; the published ones can collide")
    )  # fmt: skip
    return rows


def _classes(legend: Legend, classes: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for level in legend.levels:
        published = [entry.published_pixels or 0 for entry in level.classes]
        ours = classes[level.name]["pixels"]["kept"]
        if not sum(published) or not sum(ours):
            continue
        for entry, theirs, count in zip(level.classes, published, ours, strict=True):
            before, after = 100 * theirs / sum(published), 100 * count / sum(ours)
            verdict = _share_verdict(before, after, count)
            what = f"{level.name} {entry.name}, % of pixels"
            rows.append(_row("classes", what, round(before, 3), round(after, 3), verdict))
    return rows


def _share_verdict(before: float, after: float, count: int) -> str:
    if count == 0:
        return "absent here"
    if abs(after - before) <= _NEAR_PERCENT_POINTS:
        return f"within {_NEAR_PERCENT_POINTS:g} percentage point"
    return "more frequent here" if after > before else "less frequent here"


def _bands(
    settings: StageSettings, layers: Mapping[str, Any], layout: LayoutRecord, lock: Lock
) -> list[dict[str, Any]]:
    rows = []
    for row in _table("cerradata4mm_bands"):
        figures = layers.get(row["modality"], {"bands": []})
        if row["band"] not in figures["bands"]:
            continue
        position = figures["bands"].index(row["band"])
        for key in ("mean", "std"):
            published, ours = float(row[key]), round(figures[key][position], 4)
            verdict = _value_verdict(settings, layout, lock, row["modality"], key, published, ours)
            what = f"{row['modality']} {row['band']} {key}"
            rows.append(_row("values", what, published, ours, verdict))
    return rows


def _value_verdict(
    settings: StageSettings, layout: LayoutRecord, lock: Lock, layer: str, key: str,
    published: float, ours: float,
) -> str:  # fmt: skip
    note = ""
    items = scenes_of(lock, layer, layer)
    kind = kind_of(layout.layers[layer].kind)
    made = settings.layers[layer]
    if kind.offsets is None:
        what = kind.quantity(made, layout.layers[layer].values)
        if "amplitude" not in what:
            return f"not comparable: published amplitude is uncalibrated, ours is {what}"
        note = ", both uncalibrated amplitude"
    else:
        if lacking := _not_comparable(items):
            return f"not comparable: {lacking}"
        held = kind.offsets(made, items)
        if len(held) != 1:
            return "not comparable: offsets of several baselines are left in ours"
        lacks = 1000.0 + held.pop()
        if key == "mean" and lacks:
            # The published files hold the offset of baselines 04.00 and later.
            ours += lacks
            note = f" once the {lacks:+g} offset of the published values is added"
    off = 100 * (ours - published) / published
    return f"{off:+.1f} %{note}"


def _not_comparable(items: Sequence[LockedItem]) -> str:
    levels = {item.level for item in items}
    return (
        f"published values are L2A, ours are {', '.join(sorted(levels))}"
        if levels - {"L2A"}
        else ""
    )


def _multisenge_sizes(layout: LayoutRecord) -> list[dict[str, Any]]:
    whole = sum(int(row["patches"]) for row in _table("multisenge_tiles"))
    rows = [_count("size", "patches", whole, layout.patches)]
    for row in _table("multisenge_images"):
        layer, folder = row["modality"], "s" + row["modality"][-1]
        ours = layout.files.get(folder, 0)
        rows.append(_count("size", f"{layer} images", int(row["images"]), ours))
        bands = list(layout.layers[layer].bands) if layer in layout.layers else []
        verdict = "equal" if bands == row["bands"].split() else "other bands, or another order"
        rows.append(_row("form", f"{layer} bands", row["bands"], " ".join(bands), verdict))
    return rows


def _multisenge_tiles(
    settings: StageSettings, tiles: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Counts of each published tile, and where its first and last windows begin, in pixels."""
    rows = []
    published = _table("multisenge_tiles")
    for entry in published:
        tile = entry["tile"]
        ours = tiles.get(tile)
        rows.append(
            _count(
                "tiles", f"{tile} patches", int(entry["patches"]), (ours or {}).get("patches", 0)
            )
        )
        if ours is None:
            continue
        for layer in settings.images:
            theirs, here = int(entry[f"dates_{layer}"]), ours[f"dates_{layer}"]
            rows.append(_count("tiles", f"{tile} {layer} dates", theirs, here))
        same = "equal" if int(entry["epsg"]) == ours["epsg"] else "another zone"
        rows.append(_row("tiles", f"{tile} EPSG", int(entry["epsg"]), ours["epsg"], same))
        for axis in ("x", "y"):
            for end, here in zip(("first", "last"), ours[axis], strict=True):
                theirs = int(entry[f"{axis}_{end}"]) * PUBLISHED_STEP_PX
                what = f"{tile} {end} {axis} offset"
                rows.append(
                    _row("tiles", what, theirs, here, _offset_verdict(theirs, here, settings))
                )
    more = sorted(set(tiles) - {entry["tile"] for entry in published})
    counts = [(f"{tile} patches", tiles[tile]["patches"]) for tile in more]
    rows += [_row("tiles", what, 0, count, "not published") for what, count in counts]
    return rows


def _offset_verdict(theirs: int, ours: int, settings: StageSettings) -> str:
    if theirs == ours:
        return "equal"
    steps = (ours - theirs) / settings.sampling.step_px
    return f"{steps:+.0f} windows" if steps == round(steps) else "on another grid of windows"


def _multisenge_classes(layout: LayoutRecord) -> list[dict[str, Any]]:
    whole = sum(int(row["patches"]) for row in _table("multisenge_tiles"))
    rows = []
    for entry in _table("multisenge_classes"):
        count = layout.patches_with_class.get(entry["class"], 0)
        before, after = 100 * int(entry["patches"]) / whole, 100 * count / max(1, layout.patches)
        what = f"{entry['name']}, % of patches with it"
        verdict = _share_verdict(before, after, count)
        rows.append(_row("classes", what, round(before, 3), round(after, 3), verdict))
    return rows


def _sen4map_points(layout: LayoutRecord) -> list[dict[str, Any]]:
    ours = {"all": layout.patches, **layout.splits, **layout.countries}
    names = {"all": "points"} | {split: f"points in {split}" for split in SPLITS}
    return [
        _count("size", names.get(row["what"], f"points of {row['what'].replace('_', ' ')}"), int(row["points"]),
               ours.get(row["what"], 0))
        for row in _table("sen4map_points")
    ]  # fmt: skip


def _flairhub_sizes(layout: LayoutRecord) -> list[dict[str, Any]]:
    ours = {"all": layout.patches, **layout.splits, "domains": len(layout.domains)}
    names = {"all": "patches", "domains": "domains"} | {s: f"patches in {s}" for s in SPLITS}
    return [
        _count("size", names[row["what"]], int(row["number"]), ours[row["what"]])
        for row in _table("flairhub_sizes")
    ]


def _count(group: str, what: str, published: int, ours: int) -> dict[str, Any]:
    share = "absent here" if not ours else f"{100 * ours / published:.1f} % of the published number"
    return _row(group, what, published, ours, "equal" if ours == published else share)


def _table(name: str) -> list[dict[str, str]]:
    path = resources.files("terrapatch") / "data" / "published" / f"{name}.csv"
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line[0] != "#"]
    return list(csv.DictReader(lines))
