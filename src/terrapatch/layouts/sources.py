# SPDX-License-Identifier: Apache-2.0
"""What every layout is made from, and the tables that every layout carries."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..dates import join_dates
from ..errors import IncompleteError
from ..legend import Legend, load_legend
from ..recipe import StageSettings
from ..tables import read_geoparquet, write_geoparquet, write_text

if TYPE_CHECKING:
    import geopandas as gpd

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Sources:
    """The inputs of a layout."""

    table: gpd.GeoDataFrame
    """Kept patches alone, in the order of the manifest."""
    stacks: Path
    """Folder with UNIT/LAYER.zarr."""
    settings: StageSettings
    legend: Legend
    dates: Path | None = None
    """Table of dates of all patches."""
    lock: Path | None = None
    """The lock, for what it says about scenes."""


def open_sources(
    manifest: Path, stacks: Path, settings: StageSettings,
    dates: Path | None = None, lock: Path | None = None,
) -> Sources:  # fmt: skip
    """Read the manifest and keep what is published.

    Raises:
        IncompleteError: no patch is kept.
        StorageError: the manifest cannot be read.
    """
    table = read_geoparquet(manifest)
    kept = table[table["kept"].astype(bool)].reset_index(drop=True)
    if kept.empty:
        reasons = table["dropped_reason"].value_counts().head(3).to_dict()
        raise IncompleteError(
            f"{manifest}: none of {len(table)} patches is kept, so there is nothing to publish; "
            f"most frequent reasons: {reasons}. Add scenes or lower patches.require"
        )
    return Sources(kept, stacks, settings, load_legend(settings.label.legend), dates, lock)


def write_tables(
    folder: Path, sources: Sources, names: Sequence[str], lines: Sequence[str] | None = None,
    step: Callable[[str, str, int], int] | None = None,
) -> None:  # fmt: skip
    """Write `patches.parquet`, `dates.parquet`, `classes.csv` and `splits/*.txt`.

    Args:
        folder: the dataset's folder.
        sources: what it is made from.
        names: the dataset's own name of each patch.
        lines: line of each patch in the split files, its name if absent; patches without split
            are in none.
        step: unit, modality and step in the unit's stack → `step` of `dates.parquet`; as it is if
            absent.
    """
    write_geoparquet(sources.table.assign(id=list(names)), folder / "patches.parquet")
    if sources.dates is not None:
        only = sources.table["patch_id"].tolist()
        join_dates([sources.dates], folder / "dates.parquet", only=only, step=step)
    write_text(folder / "classes.csv", _classes(sources.legend))
    (folder / "splits").mkdir()
    split_of = sources.table["split"].tolist()
    for split in SPLITS:
        texts = [text for text, s in zip(lines or names, split_of, strict=True) if s == split]
        write_text(folder / "splits" / f"{split}.txt", "".join(f"{text}\n" for text in texts))


def split_sizes(sources: Sources) -> dict[str, int]:
    """Patches per split."""
    return {split: int((sources.table["split"] == split).sum()) for split in SPLITS}


def _classes(legend: Legend) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["level", "code", "abbrev", "name", "parent_level", "parent", "color"])
    for number, level in enumerate(legend.levels):
        parents = legend.levels[number + 1].name if number + 1 < len(legend.levels) else ""
        for c in level.classes:
            parent = "" if c.parent is None else c.parent
            writer.writerow([level.name, c.code, c.abbrev, c.name, parents, parent, c.color])
    return buffer.getvalue()
