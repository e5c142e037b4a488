# SPDX-License-Identifier: Apache-2.0
"""What every layout is made from, and the tables that every layout carries."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..acquisitions import join_dates
from ..errors import IncompleteError, StorageError
from ..files import write_text
from ..layers import LayerRecord
from ..legend import Legend, load_legend
from ..paths import SPLITS, Built
from ..recipe import StageSettings
from ..stacks import Stack, StackInfo, open_stack
from ..tables import read_geoparquet, write_geoparquet

if TYPE_CHECKING:
    import geopandas as gpd


_OPEN = 512
"""Stacks that stay open."""


@dataclass(frozen=True)
class Sources:
    """The inputs of a layout."""

    table: gpd.GeoDataFrame
    """Kept patches alone, in the order of the manifest."""
    stacks: Path
    """Folder with UNIT/LAYER.zarr."""
    settings: StageSettings
    legends: Mapping[str, Legend]
    """By layer of labels."""
    dates: Path | None = None
    """Table of dates of all patches."""
    lock: Path | None = None
    """The lock, for what it says about scenes."""

    @property
    def images(self) -> list[str]:
        """Names of the layers of images."""
        return list(self.settings.images)

    @cached_property
    def units(self) -> list[str]:
        """Ids of the units, in the order of the table."""
        return [str(unit) for unit in dict.fromkeys(self.table["unit"])]

    def stack(self, unit: str, layer: str) -> Stack:
        """The stack of a unit; the last ones that were asked for stay open."""
        return self._opened(unit, layer)

    @cached_property
    def _opened(self) -> Callable[[str, str], Stack]:
        # Not all of them: regions are thousands, and what is known of a stack takes 80 kB.
        return lru_cache(_OPEN)(
            lambda unit, layer: open_stack(self.stacks / unit / f"{layer}.zarr")
        )

    def common(self, layer: str) -> StackInfo:
        """What the stacks of all units share.

        Raises:
            StorageError: bands, pixel type or values differ.
        """
        first = self.stack(self.units[0], layer)
        for unit in self.units[1:]:
            other = self.stack(unit, layer)
            here, there = other.info, first.info
            same = ("bands", "dtype", "values", "scl", "size_px")
            if any(getattr(here, key) != getattr(there, key) for key in same):
                raise StorageError(
                    f"{other.path}: bands {here.bands} of {here.size_px} px in "
                    f"{here.values.text!r} ({here.dtype}), but {first.path} has {there.bands} of "
                    f"{there.size_px} px in {there.values.text!r} ({there.dtype}); delete the "
                    "stacks and build again"
                )
        return first.info


def open_sources(built: Built, settings: StageSettings) -> Sources:
    """Read the manifest and keep what is published.

    Raises:
        IncompleteError: no patch is kept.
        StorageError: the manifest cannot be read.
    """
    table = read_geoparquet(built.manifest)
    kept = table[table["kept"].astype(bool)].reset_index(drop=True)
    if kept.empty:
        reasons = table["dropped_reason"].value_counts().head(3).to_dict()
        raise IncompleteError(
            f"{built.manifest}: none of {len(table)} patches is kept, so there is nothing to publish; "
            f"most frequent reasons: {reasons}. Add scenes or lower patches.require"
        )
    legends = {name: load_legend(layer.legend) for name, layer in settings.labels.items()}
    return Sources(kept, built.stacks, settings, legends, built.dates, built.lock)


def write_tables(
    folder: Path,
    sources: Sources,
    names: Sequence[str],
    lines: Sequence[str] | None = None,
) -> None:
    """Write `patches.parquet`, `dates.parquet`, `classes.csv` and `splits/*.txt`.

    In `patches.parquet` the column `id` has the dataset's own names; a column that the table of places
    calls so, as LUCAS's does, is `table_id` there.

    Args:
        folder: the dataset's folder.
        sources: what it is made from.
        names: the dataset's own name of each patch.
        lines: line of each patch in the split files, its name if absent; patches without split
            are in none.
    """
    table = sources.table.rename(columns={"id": "table_id"}).assign(id=list(names))
    write_geoparquet(table, folder / "patches.parquet")
    if sources.dates is not None:
        only = sources.table["patch_id"].tolist()
        join_dates([sources.dates], folder / "dates.parquet", only=only)
    write_text(folder / "classes.csv", _classes(sources.legends))
    (folder / "splits").mkdir()
    split_of = sources.table["split"].tolist()
    for split in SPLITS:
        texts = [text for text, s in zip(lines or names, split_of, strict=True) if s == split]
        texts = list(dict.fromkeys(texts))  # several patches may have one name: those of a point
        write_text(folder / "splits" / f"{split}.txt", "".join(f"{text}\n" for text in texts))


def split_sizes(sources: Sources) -> dict[str, int]:
    """Patches per split."""
    return {split: int((sources.table["split"] == split).sum()) for split in SPLITS}


def layer_record(info: StackInfo, bands: Sequence[str] | None = None) -> LayerRecord:
    """What a record says of a layer.

    Args:
        info: of its stacks.
        bands: in the order of the files, where that is another one.
    """
    return LayerRecord(
        kind=info.kind, bands=tuple(bands or info.bands), dtype=info.dtype, size_px=info.size_px,
        pixel=abs(pixel_of(info)[0]), values=info.values,
    )  # fmt: skip


def pixel_of(info: StackInfo) -> tuple[float, float, float, float]:
    """A pixel of a layer: the parts of its patches' transforms but for the corner.

    A patch has one upper left corner, in the manifest's `transform`, and each layer its own pixel.
    """
    a, b, _, d, e, _ = (float(part) for part in info.geobox["transform"])
    return a, b, d, e


def _classes(legends: Mapping[str, Legend]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["layer", "level", "code", "abbrev", "name", "parent_level", "parent", "color"])
    levels = [
        (layer, legend, n) for layer, legend in legends.items() for n in range(len(legend.levels))
    ]
    for layer, legend, number in levels:
        level = legend.levels[number]
        parents = legend.levels[number + 1].name if number + 1 < len(legend.levels) else ""
        for c in level.classes:
            parent = "" if c.parent is None else c.parent
            row = [level.name, c.code, c.abbrev, c.name, parents, parent, c.color]
            writer.writerow([layer, *row])
    return buffer.getvalue()
