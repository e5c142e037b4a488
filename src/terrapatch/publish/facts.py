# SPDX-License-Identifier: Apache-2.0
"""Plain facts about a dataset, read once, for the data card and the report alike."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import __version__
from ..errors import StorageError
from ..legend import Legend, load_legend
from ..recipe import StageSettings, read_settings
from ..tables import Lock, read_geoparquet, read_lock

if TYPE_CHECKING:
    import geopandas as gpd

SPLITS = ("train", "val", "test")
SENSORS = {"sentinel2": "Sentinel-2", "sentinel1": "Sentinel-1", "reference": "Reference map"}


@dataclass(frozen=True)
class Facts:
    """Everything that is written about, and nothing that has to be computed from pixels."""

    table: gpd.GeoDataFrame
    """All rows of the manifest."""
    summary: Mapping[str, Any]
    """What the splits stage says of itself."""
    lock: Lock
    settings: StageSettings
    legend: Legend
    layout: Mapping[str, Any]
    """`.layout.json` of the dataset."""
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
        """Years of the Sentinel acquisitions."""
        items = self.lock.items
        return sorted({i.datetime[:4] for i in items if i.sensor != "reference"})

    @property
    def notice(self) -> str:
        """The notice that the licence of Copernicus data asks for."""
        if self.simulated:
            return (
                "All imagery is simulated; it contains no Copernicus data and shows no real place."
            )
        return f"Contains modified Copernicus Sentinel data [{', '.join(self.years)}]."

    @cached_property
    def crs(self) -> list[str]:
        """CRSs of the patches."""
        return sorted(set(self.kept["crs"]))

    @cached_property
    def size_px(self) -> int:
        """Side of a patch."""
        return int(self.kept["size_px"].iloc[0])

    @cached_property
    def pixel(self) -> str:
        """Pixel size with its unit."""
        from odc.geo import CRS

        side = abs(float(self.kept["transform"].iloc[0][0]))
        if CRS(self.crs[0]).geographic:
            return f"{side:.9g}° ({side * 111_319.49:.2f} m at the equator)"
        return f"{side:g} m"

    @cached_property
    def area_km2(self) -> float:
        """Ground covered by the published patches, on an equal-area projection."""
        # Overlapping patches count as often as they are published.
        return float(self.kept.geometry.to_crs("EPSG:6933").area.sum() / 1e6)

    @cached_property
    def split_sizes(self) -> dict[str, int]:
        """Patches per split."""
        return {split: int((self.kept["split"] == split).sum()) for split in SPLITS}

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
            for reason in reasons_of(text)
        )
        return sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))

    @cached_property
    def scenes(self) -> list[dict[str, Any]]:
        """Scenes used, with the number of published patches that hold pixels of each."""
        used: Counter[str] = Counter()
        for sensor in ("sentinel2", "sentinel1"):
            for sources in self.kept[f"sources_{sensor}"]:
                used.update([] if sources is None else list(sources))
        rows = []
        for item in sorted(self.lock.items, key=lambda i: (i.sensor, i.datetime, i.id)):
            offsets = sorted({asset.add_offset for asset in item.assets.values()})
            rows.append(
                {
                    "sensor": SENSORS[item.sensor], "id": item.id, "level": item.level,
                    "day": item.datetime[:10], "tile": item.tile or "",
                    "platform": item.platform or "", "baseline": item.processing_baseline or "",
                    "orbit": item.orbit_direction or "", "cloud": item.cloud_percent,
                    "offset": ", ".join(f"{o:g}" for o in offsets)
                    if item.sensor == "sentinel2" else "",
                    "patches": None if item.sensor == "reference" else used[item.id],
                    "licence": item.licence or "",
                }
            )  # fmt: skip
        return rows

    @cached_property
    def baselines(self) -> list[str]:
        """Sentinel-2 processing baselines, with the offsets that their metadata state."""
        found = {
            (item.processing_baseline or "unknown", asset.add_offset)
            for item in self.lock.items
            if item.sensor == "sentinel2"
            for band, asset in item.assets.items()
            if band != "SCL"
        }
        return [f"{baseline} (offset {offset:g})" for baseline, offset in sorted(found)]

    @cached_property
    def levels(self) -> list[str]:
        """Product levels used."""
        return sorted({i.level for i in self.lock.items if i.sensor != "reference"})

    @cached_property
    def leakage(self) -> list[dict[str, Any]]:
        """Leakage figures: one row a method and split, as the splits stage measured them."""
        rows = []
        measured = self.summary.get("leakage", {})
        for method in ("blocks", "published"):
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

    @cached_property
    def classes(self) -> list[dict[str, Any]]:
        """One entry a level: its classes with colours, pixels, shares and weights."""
        found = []
        for number, level in enumerate(self.legend.levels):
            figures = self.statistics["classes"][level.name]
            pixels = figures["pixels"]
            published = sum(entry.published_pixels or 0 for entry in level.classes)
            total = {split: max(1, sum(counts)) for split, counts in pixels.items()}
            rows = [
                {
                    "code": entry.code, "name": entry.name, "color": entry.color,
                    "abbrev": entry.abbrev, "parent": self._parent(number, entry.parent),
                    "pixels": {split: pixels[split][k] for split in pixels},
                    "shares": {s: 100 * pixels[s][k] / total[s] for s in pixels},
                    "weight": figures["weights"][k],
                    "published": 100 * (entry.published_pixels or 0) / published
                    if published else None,
                }
                for k, entry in enumerate(level.classes)
            ]  # fmt: skip
            found.append({"name": level.name, "classes": rows})
        return found

    def _parent(self, number: int, code: int | None) -> str:
        return "" if code is None else self.legend.levels[number + 1][code].name


def reasons_of(text: object) -> list[str]:
    """Kinds of reasons in a manifest's `dropped_reason`, without the patch's own figures."""
    if not isinstance(text, str) or not text:
        return ["no reason recorded"]
    kinds = []
    for part in text.split("; "):
        layer = part.split(":")[0].strip()
        incomplete = re.search(r"observed < (.+)$", part)
        if layer == "overlap":
            kinds.append("overlap: shows ground of a patch of another tile")
            continue
        name = SENSORS.get(layer, {"label": "Label"}.get(layer, layer))
        kinds.append(f"{name}: less than {incomplete[1]} observed" if incomplete else part)
    return kinds


def read_facts(
    manifest: Path, splits_summary: Path, lock: Path, dataset: Path, settings: Path
) -> Facts:
    """Read everything but `statistics.json`, which `publish` has yet to write.

    Raises:
        StorageError: a file is missing or damaged.
    """
    wanted = read_settings(settings)
    statistics = dataset / "statistics.json"
    return Facts(
        table=read_geoparquet(manifest),
        summary=read_json(splits_summary),
        lock=read_lock(lock),
        settings=wanted,
        legend=load_legend(wanted.reference.legend),
        layout=read_json(dataset / ".layout.json"),
        statistics=read_json(statistics) if statistics.is_file() else {},
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
            f"{path}: cannot be read ({error}); delete it and build again"
        ) from error


def covered(counts: np.ndarray, least: float = 0.01) -> np.ndarray:
    """(patch, class) pixels → (patch, class) whether a class has a visible share of the patch."""
    total = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return np.asarray(counts / total >= least)
