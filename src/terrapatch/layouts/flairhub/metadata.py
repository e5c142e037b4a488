# SPDX-License-Identifier: Apache-2.0
"""Tables of FLAIR-HUB: GeoPackages with a row a patch, and lists of files a split.

Law: `patch_id` is `{DOMAIN}_{ROI}_{row}-{col}` in all of them, rows stand in the order of the manifest,
and their geometry is the outline of the patch.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import shapely

from ...vectors.geopackage import ROWS_AT_ONCE, rows_written
from ..sources import Sources
from .files import Writer, Written
from .modalities import MODALITIES, RADIOMETRY, parts_of
from .radiometry import STATISTICS

if TYPE_CHECKING:
    import geopandas as gpd

FOLDER, LISTS = "GLOBAL_ALL_MTD", "csv"
SPLIT_WORDS = {"train": "train", "val": "valid", "valid": "valid", "test": "test"}
"""Word of the manifest → word of the release."""
OFFICIAL = "split_flairhub"
NO_SPLIT = "none"
"""The release's word for a patch in no split."""
_FOLD = re.compile(r"split_[1-9]\d*")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_COSIA = MODALITIES["cosia"].classes[0]

Row = Mapping[str, Any]


def split_columns(table: gpd.GeoDataFrame) -> dict[str, list[str]]:
    """Split columns: name → (row,) word of the release.

    Those of folds (`split_1` …) where the manifest has them, else `split` as `split_1`; `split_flairhub`
    is the first of them.
    """
    folds = sorted(
        (str(c) for c in table.columns if _FOLD.fullmatch(str(c))), key=lambda c: int(c[6:])
    )
    columns = {name: table[name] for name in folds} or {"split_1": table["split"]}
    found = {n: [SPLIT_WORDS.get(value, NO_SPLIT) for value in c] for n, c in columns.items()}
    return found | {OFFICIAL: next(iter(found.values()))}


@dataclass(frozen=True, eq=False)
class MetadataTables:
    """The tables of one dataset."""

    sources: Sources
    writer: Writer

    @cached_property
    def ids(self) -> list[str]:
        """(row,) name of the patch in all tables."""
        columns = (self.sources.table[name].tolist() for name in ("unit", "row", "col"))
        return [f"{unit}_{row}-{col}" for unit, row, col in zip(*columns, strict=True)]

    @cached_property
    def _units(self) -> list[str]:
        return [str(unit) for unit in self.sources.table["unit"]]

    @cached_property
    def _boxes(self) -> list[tuple[float, float, float, float]]:
        """(row,) left, bottom, right and top edge."""
        table = self.sources.table
        return [
            (t[2], t[5] + size * t[4], t[2] + size * t[0], t[5])
            for t, size in zip(table["transform"], table["size_px"].tolist(), strict=True)
        ]

    def frame(self, rows: list[Row]) -> gpd.GeoDataFrame:
        """Rows as a table: `row`, the number of the patch, becomes `patch_id` and its outline."""
        import geopandas as gpd

        numbers = [row["row"] for row in rows]
        columns = {"patch_id": [self.ids[n] for n in numbers]}
        columns |= {key: [row[key] for row in rows] for key in rows[0] if key != "row"}
        outlines = [shapely.box(*self._boxes[n]) for n in numbers]
        crs = str(self.sources.table["crs"].iloc[0])
        return gpd.GeoDataFrame(columns, geometry=outlines, crs=crs)

    def write(self, folder: Path) -> None:
        """Write the tables that need no pixels."""
        splits = split_columns(self.sources.table)
        present = {MODALITIES[name].name for name in self.writer.layers}
        modalities = {m.name: int(m.name in present) for m in MODALITIES.values()}
        self._whole(folder, "ALL_MTD_GEOM", self._place)
        self._whole(folder, "ALL_MTD_MODALITIES", lambda _: modalities)
        self._whole(
            folder, "ALL_MTD_SPLIT", lambda n: {name: words[n] for name, words in splits.items()}
        )
        for layer in RADIOMETRY:
            if layer in self.sources.images:
                self._whole(folder, f"{MODALITIES[layer].sensor}_MTD_DATES", self._dates(layer))

    def _whole(self, folder: Path, name: str, row: Callable[[int], Row]) -> None:
        """Write one table; `row` says what it has of a patch."""
        path = folder / f"GLOBAL_{name}.gpkg"
        with rows_written(path, path.stem, self.frame) as take:
            for start in range(0, len(self.ids), ROWS_AT_ONCE):
                numbers = range(start, min(start + ROWS_AT_ONCE, len(self.ids)))
                take([{"row": n, **row(n)} for n in numbers])

    @cached_property
    def _regions(self) -> dict[str, dict[str, Any]]:
        """Unit → what the table of places says of the region."""
        found = {}
        layer = self.writer.layers[0]
        for unit in self.sources.units:
            info = self.sources.stack(unit, layer).info
            height, width = info.geobox["shape"]
            a, _, left, _, e, top = info.geobox["transform"][:6]
            rows, cols = height // info.size_px, width // info.size_px
            found[unit] = {
                "ROI_id": unit, "ROI_xmin": left, "ROI_ymin": top + height * e,
                "ROI_xmax": left + width * a, "ROI_ymax": top,
                "ROI_nbpatch": rows * cols, "ROI_nbpatchx": cols, "ROI_nbpatchy": rows,
            }  # fmt: skip
        return found

    def _place(self, n: int) -> Row:
        left, bottom, right, top = self._boxes[n]
        table = self.sources.table
        region = dict(self._regions[self._units[n]])
        counts = {key: region.pop(key) for key in list(region) if "nbpatch" in key}
        return {
            "patch_xmin": left, "patch_ymin": bottom, "patch_xmax": right, "patch_ymax": top, **region,
            "patch_row": int(table["row"].iloc[n]), "patch_col": int(table["col"].iloc[n]), **counts,
        }  # fmt: skip

    def _dates(self, layer: str) -> Callable[[int], Row]:
        if layer in self.writer.dates:
            dates = self.writer.dates[layer]

            def series(n: int) -> Row:
                days = dates.days(self._units[n], n)
                # Readers take the order of the text for that of time.
                places = {str(place): day for place, day in enumerate(days, start=1)}
                return {"acquisition_dates": json.dumps(places)}

            return series
        column = f"dates_{layer}"
        known = self.sources.table[column].tolist() if column in self.sources.table else None

        def single(n: int) -> Row:
            days = [] if known is None or known[n] is None else list(known[n])
            days = [day for day in days if _DAY.match(day)]
            return {"date": min(days)[:10].replace("-", "") if days else None}

        return single

    @contextmanager
    def from_pixels(self, folder: Path) -> Iterator[Callable[[Written], None]]:
        """Write the tables that pixels are counted for; yields what takes a part of them."""
        with ExitStack() as stack:
            takes: dict[str, Callable[[list[Any]], None]] = {}
            for layer in self.writer.layers:
                if layer in RADIOMETRY:
                    name = f"{MODALITIES[layer].sensor}_MTD_RADIO-STATS"
                elif layer == "cosia":
                    name = "AERIAL_MTD_LABEL-COSIA"
                else:
                    continue
                path = folder / f"GLOBAL_{name}.gpkg"
                takes[layer] = stack.enter_context(rows_written(path, path.stem, self.frame))

            def take(written: Written) -> None:
                for layer, give in takes.items():
                    give([{"row": row, **_figures(layer, written, row)} for row in written.rows])

            yield take

    def write_lists(self, folder: Path) -> None:
        """Write the lists of files, a CSV a split column and split."""
        names = sorted(self.writer.layers, key=lambda layer: MODALITIES[layer].name)
        header = ["patch_id", *(MODALITIES[layer].name for layer in names)]
        columns = split_columns(self.sources.table)
        columns.pop(OFFICIAL)  # the same as the first
        for column, words in columns.items():
            for word in dict.fromkeys(SPLIT_WORDS.values()):
                chosen = (n for n, own in enumerate(words) if own == word)
                rows = (
                    [self.ids[n], *(f"../{self.writer.paths[layer][n]}" for layer in names)]
                    for n in chosen
                )
                _write_csv(folder / f"{column}_{word}.csv", header, rows)


def _figures(layer: str, written: Written, row: int) -> dict[str, Any]:
    if layer == "cosia":
        counts = written.counts[row]
        return {f"class_{code}": counts[code] for code in range(_COSIA)}
    return dict(zip(STATISTICS, written.radiometry[layer][row], strict=True))


def _write_csv(path: Path, header: Sequence[str], rows: Iterator[list[str]]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def domains_of(units: Sequence[str]) -> dict[str, int]:
    """Domain → its patches.

    Args:
        units: (patch,) id of the unit of each.
    """
    found: dict[str, int] = {}
    for unit in units:
        domain = parts_of(unit)[0]
        found[domain] = found.get(domain, 0) + 1
    return dict(sorted(found.items()))
