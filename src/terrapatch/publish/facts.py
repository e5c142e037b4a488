# SPDX-License-Identifier: Apache-2.0
"""Plain facts about a dataset, read once, for the data card and the report alike."""

from __future__ import annotations

import json
import posixpath
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from .. import __version__
from ..crs import short_name
from ..errors import StorageError
from ..layers import LayoutRecord
from ..legend import Legend, load_legend
from ..lock import read_lock
from ..paths import SPLITS, Built, remedy
from ..recipe import StageSettings, read_settings
from ..records import Gap, Lock
from ..stacks import EXTRAS
from ..tables import read_geoparquet
from .kinds import REFERENCE, kind_of
from .methods.steps import attribution, methods
from .methods.words import ProcessStep

if TYPE_CHECKING:
    import geopandas as gpd


@dataclass(frozen=True)
class Facts:
    """Everything that is written about, and nothing that has to be computed from pixels."""

    table: gpd.GeoDataFrame
    """All rows of the manifest."""
    summary: Mapping[str, Any]
    """What the splits stage says of itself."""
    lock: Lock
    settings: StageSettings
    legends: Mapping[str, Legend]
    """By layer of labels."""
    layout: LayoutRecord
    """What the layout wrote."""
    statistics: Mapping[str, Any]
    """`statistics.json` of the dataset."""

    version = __version__

    @property
    def title(self) -> str:
        """The recipe's title, or its name."""
        return self.settings.publish.title or self.settings.name

    @cached_property
    def kept(self) -> gpd.GeoDataFrame:
        """Published patches."""
        return self.table[self.table["kept"].astype(bool)].reset_index(drop=True)

    @property
    def simulated(self) -> bool:
        """Whether the scenes come from the embedded archive, that is, show nothing real."""
        return self.lock.source == "simulated"

    @cached_property
    def years(self) -> list[str]:
        """Years of the acquisitions that gave pixels."""
        days = {row["day"] for row in self.scenes if row["patches"]}
        days = days or {i.datetime[:10] for i in self.lock.items if i.sensor != REFERENCE}
        return sorted({day[:4] for day in days if day})

    @cached_property
    def methods(self) -> list[ProcessStep]:
        """What was done, in sentences."""
        return methods(self.settings, self.used, self.legends, self.layout.nodata)

    @cached_property
    def attribution(self) -> list[str]:
        """Sources and licences, in sentences."""
        return attribution(self.settings, self.used, self.years)

    @cached_property
    def crs(self) -> list[str]:
        """CRSs of the patches."""
        return sorted(set(self.kept["crs"]))

    @property
    def names(self) -> list[str]:
        """Names of all layers, in the order of the recipe, labels behind images."""
        return [*self.settings.images, *self.settings.labels]

    @property
    def crs_names(self) -> list[str]:
        """The same in a few words, for people."""
        return [short_name(crs) for crs in self.crs]

    @cached_property
    def size_px(self) -> int:
        """Side of a patch in pixels of the grid."""
        return int(self.kept["size_px"].iloc[0])

    @cached_property
    def pixel(self) -> str:
        """Pixel size of the grid with its unit."""
        return self._length(abs(float(self.kept["transform"].iloc[0][0])))

    def _length(self, side: float) -> str:
        from odc.geo import CRS

        if CRS(self.crs[0]).geographic:
            return f"{side:.9g}° ({side * 111_319.49:.2f} m at the equator)"
        return f"{side:g} m"

    @cached_property
    def grids(self) -> dict[str, str]:
        """Layers that have another pixel than the grid, with size and pixel in words."""
        grid = abs(float(self.kept["transform"].iloc[0][0]))
        records = {name: self.layout.layers[name] for name in self.names}
        return {
            name: f"{record.size_px} px of {self._length(record.pixel)}"
            for name, record in records.items()
            if abs(record.pixel - grid) > 1e-9 * grid
        }

    @cached_property
    def area_km2(self) -> float:
        """Ground covered by the published patches, on an equal-area projection."""
        # Overlapping patches count as often as they are published.
        return float(self.kept.geometry.to_crs("EPSG:6933").area.sum() / 1e6)

    @cached_property
    def split_sizes(self) -> dict[str, int]:
        """Patches per split."""
        return {split: int((self.kept["split"] == split).sum()) for split in SPLITS}

    @cached_property
    def splits(self) -> list[dict[str, Any]]:
        """Per split: patches, its share of those in a split, the wanted share, whether they part."""
        total = max(1, sum(self.split_sizes.values()))
        rows = []
        for split, patches in self.split_sizes.items():
            share = patches / total
            wanted = self.summary["splits"][split]["wanted"]
            rows.append(
                {"split": split, "patches": patches, "share": share, "wanted": wanted,
                 "parts": parted(share, wanted)}
            )  # fmt: skip
        return rows

    @property
    def splits_part(self) -> str:
        """A warning where the splits are not as wanted; empty where they are."""
        rows = [row for row in self.splits if row["parts"]]
        if not rows:
            return ""
        got, asked = (
            " / ".join(f"{100 * row[key]:.0f}" for row in self.splits)
            for key in ("share", "wanted")
        )
        text = f"Train, val and test have {got} % of the patches, and {asked} % were wanted."
        if self.settings.splits.method == "blocks":
            text += (
                " Whole blocks go to a split, and their buffers to none: smaller blocks "
                "(`splits.block_m`), a narrower buffer (`splits.buffer_m`) or a larger area bring "
                "them nearer."
            )
        return text

    @property
    def unsplit(self) -> int:
        """Kept patches in no split."""
        return len(self.kept) - sum(self.split_sizes.values())

    @cached_property
    def dropped(self) -> list[tuple[str, int]]:
        """Reasons and numbers of patches, most frequent first; a patch may have several."""
        found = Counter(
            reason
            for text in self.table.loc[~self.table["kept"].astype(bool), "dropped_reason"]
            for reason in self.reasons_of(text)
        )
        return sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))

    @property
    def hints(self) -> list[str]:
        """What users of layers should know before they load them, a paragraph each."""
        return [
            hint
            for name, layer in self.settings.images.items()
            for hint in kind_of(layer.kind).hints(self.titles[name], layer)
        ]

    def reasons_of(self, text: object) -> list[str]:
        """Kinds of reasons in a manifest's `dropped_reason`, layers by their titles."""
        return reasons_of(text, self.titles)

    @cached_property
    def titles(self) -> dict[str, str]:
        """Layers for people: by their kind where no other is of that kind, else by name."""
        layers = self.settings.images | self.settings.labels
        kinds = Counter(layer.kind for layer in layers.values())
        return {
            name: name if kinds[layer.kind] > 1
            else "Label" if name in self.settings.labels else kind_of(layer.kind).title
            for name, layer in layers.items()
        }  # fmt: skip

    @cached_property
    def scenes(self) -> list[dict[str, Any]]:
        """Scenes used, with the number of published patches that hold pixels of each."""
        # A patch counts once for a scene, however many layers take pixels of it.
        used: dict[str, set[int]] = {}
        for layer in self.settings.images:
            for row, sources in enumerate(self.kept[f"sources_{layer}"]):
                for name in [] if sources is None else sources:
                    used.setdefault(name, set()).add(row)
        rows = []
        for item in sorted(self.lock.items, key=lambda i: (i.sensor, i.datetime, i.id)):
            offsets = sorted({asset.add_offset for asset in item.assets.values()})
            rows.append(
                {
                    "key": item.sensor, "sensor": kind_of(item.sensor).title, "id": item.id, "level": item.level,
                    "day": item.datetime[:10], "tile": item.tile or "",
                    "platform": item.platform or "", "baseline": item.processing_baseline or "",
                    "orbit": item.orbit_direction or "", "cloud": item.cloud_percent,
                    "offset": ", ".join(f"{o:g}" for o in offsets)
                    if kind_of(item.sensor).offsets is not None else "",
                    "patches": None if item.sensor == REFERENCE else len(used.get(item.id, ())),
                    "licence": item.licence or "",
                }
            )  # fmt: skip
        return rows

    @cached_property
    def used(self) -> Lock:
        """The lock with those scenes alone that gave pixels to published patches, and maps."""
        ids = {(row["key"], row["id"]) for row in self.scenes_used}
        items = tuple(item for item in self.lock.items if (item.sensor, item.id) in ids)
        return self.lock.model_copy(update={"items": items})

    @property
    def scenes_used(self) -> list[dict[str, Any]]:
        """Scenes that gave pixels to published patches, and maps."""
        return [row for row in self.scenes if row["patches"] != 0]

    @cached_property
    def unused(self) -> list[dict[str, str]]:
        """All that was found and gives nothing to the published patches, with the reason."""
        rows = [
            {"what": self.short(e.id), "kind": "Other" if e.sensor == "other" else kind_of(e.sensor).title,
             "reason": self.short(e.reason)}
            for e in self.lock.excluded
        ]  # fmt: skip
        rows += [
            {"what": row["id"], "kind": row["sensor"],
             "reason": "planned, but no pixel of a published patch comes from it: other scenes go "
             "first there, or its patches or dates are incomplete"}
            for row in self.scenes
            if row["patches"] == 0
        ]  # fmt: skip
        rows += [
            {"what": f"{v.href.rpartition('/')[2]}, layer {v.layer}", "kind": "Vectors",
             "reason": f"{number:,} features left out: {reason}"}
            for v in self.lock.vectors
            for reason, number in sorted(v.left_out.items())
        ]  # fmt: skip
        rows += [
            {"what": f"unit {unit}", "kind": "Unit", "reason": reason}
            for unit, reason in sorted(self.lock.units_left_out.items())
        ]
        return rows

    @property
    def notes(self) -> list[str]:
        """What else the plan found and does not use, or has repaired."""
        return [self.short(note) for note in self.lock.notes]

    @cached_property
    def _folder(self) -> str:
        """The folder of this machine that all files of the lock lie in; empty if there is none."""
        hrefs = [a.href for item in self.lock.items for a in item.assets.values()]
        hrefs += [file.href for file in self.lock.beside]
        hrefs += [vector.href for vector in self.lock.vectors]
        hrefs += [e.id for e in self.lock.excluded]
        folders = [posixpath.dirname(href) for href in hrefs if href.startswith("/")]
        found = posixpath.commonpath(folders) if folders else ""
        return found if found.count("/") > 1 else ""

    def short(self, text: str) -> str:
        """Text without that folder: another machine's report says the same."""
        return text.replace(f"{self._folder}/", "") if self._folder else text

    @cached_property
    def gaps(self) -> list[tuple[str, Gap]]:
        """Gaps of the sensors whose dates are a series, with the sensor's name."""
        series = {layer.kind for layer in self.settings.images.values() if layer.time == "series"}
        return [(kind_of(gap.sensor).title, gap) for gap in self.lock.gaps if gap.sensor in series]

    def values(self, layer: str) -> list[dict[str, Any]]:
        """Bands of a layer that share a unit, with the numbers of their columns in the statistics."""
        figures = self.statistics["layers"][layer]
        record, settings = self.layout.layers[layer], self.settings.layers[layer]
        unit = kind_of(settings.kind).quantity(settings, record.values)
        groups: dict[str, list[int]] = {}
        for number, band in enumerate(figures["bands"]):
            own = ("mask" if band == "layover_shadow" else "degrees") if band in EXTRAS else unit
            groups.setdefault(own, []).append(number)
        return [
            {"unit": own, "numbers": numbers, "bands": [figures["bands"][k] for k in numbers]}
            for own, numbers in groups.items()
        ]

    @cached_property
    def levels(self) -> list[str]:
        """Product levels used."""
        return sorted({i.level for i in self.lock.items if i.sensor != REFERENCE})

    @cached_property
    def leakage(self) -> list[dict[str, Any]]:
        """Leakage figures: one row a method and split, as the splits stage measured them."""
        rows = []
        measured = self.summary.get("leakage", {})
        for method in ("blocks", "published", "stratified"):
            figures = measured.get(method) if isinstance(measured, Mapping) else None
            if not isinstance(figures, Mapping):
                continue
            used = method == self.summary.get("method")
            if "error" in figures:
                rows.append({"method": method, "used": used, "error": figures["error"]})
                continue
            for split, values in figures.items():
                rows.append({"method": method, "used": used, "split": split, **values})
        return rows

    @property
    def tasks(self) -> dict[str, dict[str, Any]]:
        """Task → its classes with patches by split, and what it leaves out, as the splits counted."""
        found: dict[str, dict[str, Any]] = self.summary.get("tasks", {})
        return found

    @cached_property
    def classes(self) -> list[dict[str, Any]]:
        """One entry a level of each layer of labels: its classes with colours, pixels and weights."""
        found = []
        levels = [
            (n, legend, k) for n, legend in self.legends.items() for k in range(len(legend.levels))
        ]
        for layer, legend, number in levels:
            level = legend.levels[number]
            figures = self.statistics["classes"][layer][level.name]
            pixels = figures["pixels"]
            published = sum(entry.published_pixels or 0 for entry in level.classes)
            total = {split: max(1, sum(counts)) for split, counts in pixels.items()}
            rows = [
                {
                    "code": entry.code, "name": entry.name, "color": entry.color,
                    "abbrev": entry.abbrev, "parent": _parent(legend, number, entry.parent),
                    "pixels": {split: pixels[split][k] for split in pixels},
                    "shares": {s: 100 * pixels[s][k] / total[s] for s in pixels},
                    "weight": figures["weights"][k],
                    "published": 100 * (entry.published_pixels or 0) / published
                    if published else None,
                }
                for k, entry in enumerate(level.classes)
            ]  # fmt: skip
            title = level.name if len(self.legends) == 1 else f"{layer} {level.name}"
            found.append({"layer": layer, "name": level.name, "title": title, "classes": rows})
        return found


def _parent(legend: Legend, number: int, code: int | None) -> str:
    return "" if code is None else legend.levels[number + 1][code].name


def parted(share: float, wanted: float) -> bool:
    """Whether a split is so far from what was wanted that a person should know."""
    return abs(share - wanted) > min(0.05, wanted / 2)


def reasons_of(text: object, titles: Mapping[str, str]) -> list[str]:
    """Kinds of reasons in a manifest's `dropped_reason`, without the patch's own figures.

    Args:
        text: what the manifest says.
        titles: names of layers for people; others stay what they are.
    """
    if not isinstance(text, str) or not text:
        return ["no reason recorded"]
    kinds = []
    for part in text.split("; "):
        layer = part.split(":")[0].strip()
        incomplete = re.search(r"observed < ([\d.]+ %)", part)
        worst = re.search(r"\((\w+) lacks", part)
        most = f" ({worst[1]} lacks most)" if worst else ""
        if layer == "overlap":
            kinds.append("overlap: shows ground of a patch of another tile")
            continue
        name = titles.get(layer, layer)
        plain = re.sub(r" \(.* lacks .*\)$", "", part)
        kinds.append(f"{name}: less than {incomplete[1]} observed{most}" if incomplete else plain)
    return kinds


def read_facts(built: Built, settings: Path) -> Facts:
    """Read everything but `statistics.json`, which `publish` has yet to write and the report adds.

    Raises:
        StorageError: a file is missing or damaged.
    """
    wanted = read_settings(settings)
    try:
        layout = LayoutRecord.model_validate(read_json(built.dataset / ".layout.json"))
    except ValidationError as error:
        raise StorageError(
            f"{built.dataset}/.layout.json: written by another version of terrapatch; "
            f"{remedy(built.dataset)}"
        ) from error
    return Facts(
        table=read_geoparquet(built.manifest),
        summary=read_json(built.splits),
        lock=read_lock(built.lock),
        settings=wanted,
        legends={n: load_legend(label.legend) for n, label in wanted.labels.items()},
        layout=layout,
        statistics={},
    )


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file of the house.

    Raises:
        StorageError: missing or damaged.
    """
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise StorageError(
            f"{path}: cannot be read ({error}); {remedy(path)} and build again"
        ) from error


def covered(counts: np.ndarray, least: float = 0.01) -> np.ndarray:
    """(patch, class) pixels → (patch, class) whether a class has a visible share of the patch."""
    total = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return np.asarray(counts / total >= least)
