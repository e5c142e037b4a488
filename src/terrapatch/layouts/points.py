# SPDX-License-Identifier: Apache-2.0
"""Points of a survey: what the table of points says of each, its images in order of time, their names.

Laws:
1. A point has the images of all its patches, which lie in one tile or in several (`sampling.overlap`);
   its split is theirs.
2. In the name of an image stands the month in which it was taken, and no other (`image_id`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..acquisitions import date_groups, require_dates
from ..errors import IncompleteError, InputError, RecipeError, StorageError
from ..legend import cell_text, table_rows
from ..lock import read_lock
from ..records import LockedItem
from ..samples import steps_of
from ..tasks import CLASS

if TYPE_CHECKING:
    import geopandas as gpd
    import pandas as pd
    import pyarrow as pa

    from .sources import Sources

ID, COUNTRY, COVER, USE, LONGITUDE, LATITUDE = (
    "point_id", "nuts0", "lc1", "lu1", "th_long", "th_lat",
)  # fmt: skip
"""Columns of the LUCAS survey. Source: Eurostat, LUCAS 2018 microdata, record descriptor."""

REQUIRED = (ID, COUNTRY, COVER, USE, LONGITUDE, LATITUDE)
"""Those that no point can be written without."""

_OURS = {
    "patch_id", "unit", "row", "col", "y_px", "x_px", "size_px", "crs", "transform", "kept",
    "dropped_reason", "split", "block", "split_reason", "geometry", "place",
}  # fmt: skip
"""Columns of the manifest that no table of points gave, besides those of layers, tasks and folds."""

_NAME = re.compile(r"MSIL(?:1C|2A)_(?P<sensed>\d{8}T\d{6})_(?:.*_)?(?P<made>\d{8}T\d{6})(?:_|$)")
"""Times in a product's name. Source: Sentinel-2 Products Specification, naming from 2016-12-06 on."""

_YEAR = "2018"
"""Of the survey: the year whose months readers look for."""


@dataclass(frozen=True, eq=False)
class SurveyPoints:
    """The points of a dataset, in the order of the manifest."""

    ids: list[str]
    """(point,) of the survey."""
    countries: list[str]
    """(point,) name, as files are called."""
    splits: list[str | None]
    """(point,) split, None in none."""
    first: NDArray[np.int64]
    """(point,) its first row in the manifest's table."""
    of_row: NDArray[np.int64]
    """(row,) number of the point."""

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def keys(self) -> list[str]:
        """(point,) name of its dataset."""
        return [f"Lucas_Point_{name}" for name in self.ids]


def country_names() -> dict[str, str]:
    """LUCAS's code of a country (`nuts0`) → its name in files."""
    rows = table_rows("published", "sen4map_countries", ("nuts0", "country"))
    return {row["nuts0"]: row["country"] for row in rows}


def points_of(table: gpd.GeoDataFrame) -> SurveyPoints:
    """The points that some patches show.

    Args:
        table: rows of a manifest with the columns `REQUIRED`.

    Raises:
        InputError: a point has no id, or its country is none of the layout's.
        RecipeError: patches of one point are in different splits.
    """
    names = [cell_text(value) for value in _cells(table[ID])]
    if "" in names:
        patch = table["patch_id"].iloc[names.index("")]
        raise InputError(
            f"the table of points: {ID} of patch {patch!r} is empty; a dataset is called by it: give "
            "every point its id, or leave the point out"
        )
    number: dict[str, int] = {}
    of_row = np.array([number.setdefault(name, len(number)) for name in names], np.int64)
    first = np.unique(of_row, return_index=True)[1]
    ids = list(number)
    codes = [cell_text(value) for value in _cells(table[COUNTRY])[first]]
    splits = [str(s) if isinstance(s, str) else None for s in table["split"]]
    own = [splits[row] for row in first.tolist()]
    for row, point in enumerate(of_row.tolist()):
        if splits[row] != own[point]:
            raise RecipeError(
                f"point {ids[point]}: its patches are in splits {own[point]} and {splits[row]}; a point "
                "is one sample: take sampling.overlap: first"
            )
    return SurveyPoints(ids, _countries(codes, ids), own, first, of_row)


def _countries(codes: Sequence[str], ids: Sequence[str]) -> list[str]:
    known = country_names()
    if unknown := Counter(code for code in codes if code not in known):
        listed = ", ".join(
            f"{code!r} of {n} point{'' if n == 1 else 's'} (for example {ids[codes.index(code)]})"
            for code, n in sorted(unknown.items())
        )
        raise InputError(
            f"the table of points: {COUNTRY} is {listed}, and that is no country of the survey, "
            f"which has {', '.join(known)}; correct the table, or leave these points out"
        )
    return [known[code] for code in codes]


def _cells(column: pd.Series) -> NDArray[np.object_]:
    """Cells of a column, None where there is no value."""
    found: NDArray[np.object_] = column.astype(object).where(column.notna(), None).to_numpy(object)
    return found


class Attributes:
    """What the table of points says of each: all its columns, in their order."""

    def __init__(self, sources: Sources) -> None:
        """Take the columns of the manifest that are not the dataset's own.

        Text stays text (nothing: an empty one), whole numbers stay whole where every point has one,
        other numbers are float64 (nothing: NaN), yes and no are 1 and 0.
        """
        import pandas as pd

        table = sources.table
        self._columns: dict[str, tuple[Any, NDArray[Any]]] = {}
        for name in attribute_names(sources):
            column = table[name]
            if pd.api.types.is_integer_dtype(column) or pd.api.types.is_bool_dtype(column):
                if column.isna().any():
                    self._columns[name] = float, column.to_numpy(np.float64, na_value=np.nan)
                else:
                    self._columns[name] = int, column.to_numpy(np.int64)
            elif pd.api.types.is_float_dtype(column):
                self._columns[name] = float, column.to_numpy(np.float64, na_value=np.nan)
            else:
                self._columns[name] = cell_text, _cells(column)

    def of(self, row: int) -> dict[str, str | int | float]:
        """Those of one row of the table."""
        return {name: kind(values[row]) for name, (kind, values) in self._columns.items()}


def attribute_names(sources: Sources) -> list[str]:
    """Columns of the manifest that came with the table of points."""
    layers = [*sources.images, *sources.legends]
    ours = _OURS | {f"{kind}_{n}" for n in layers for kind in ("valid", "hash", "dates", "sources")}
    ours |= {
        f"counts_{layer}_{level.name}"
        for layer, legend in sources.legends.items()
        for level in legend.levels
    }
    return [
        str(name)
        for name in sources.table.columns
        if name not in ours and not re.fullmatch(rf"{CLASS}.+|split_\d+", str(name))
    ]


def image_id(item: LockedItem, unit: str) -> str:
    """What the image of a scene is called: `20180104T105421_20180104T105420_T30SYJ`.

    When it was sensed, when its product was made (or sensed, where that is not known), its tile.
    Readers find the month by looking for `201801` anywhere in it. A product made in another month than
    it was sensed in, or a time of day that reads as one, would count twice: such a time gives way.

    Args:
        item: the scene, as the lock has it.
        unit: tile of the patch, for scenes that do not say theirs.

    Source: Earth Engine, names of the assets of COPERNICUS/S2_SR; RECIPES §5.1.
    """
    tile = item.tile or f"T{unit}"
    found = _NAME.search(item.id)
    sensed = found["sensed"] if found else re.sub(r"[-:Z]|\.\d+", "", item.datetime)
    made = found["made"] if found else sensed
    for second in (made, sensed):
        name = f"{sensed}_{second}_{tile}"
        if _months(name) == {sensed[:6]}:
            return name
    midnight = f"{sensed[:8]}T000000"
    return f"{midnight}_{midnight}_{tile}"


def _months(name: str) -> set[str]:
    """All that reads as a month, of the survey's year or of the one in which the name begins."""
    parts = (name[k : k + 6] for k in range(len(name) - 5))
    return {p for p in parts if p[:4] in (_YEAR, name[:4]) and "01" <= p[4:] <= "12"}


@dataclass(frozen=True, eq=False)
class Entries:
    """The images of all points, in the order of point and time."""

    rows: NDArray[np.int32]
    """(entry,) row of its patch in the manifest's table."""
    steps: NDArray[np.int32]
    """(entry,) step in the stack of the patch's unit."""
    names: NDArray[np.int32]
    """(entry,) number of its name."""
    texts: list[str]
    """Names of images, each once."""
    starts: NDArray[np.int64]
    """(point + 1,) where the entries of each begin."""

    def of(self, point: int) -> slice:
        """Entries of a point."""
        return slice(int(self.starts[point]), int(self.starts[point + 1]))

    def names_of(self, point: int) -> list[str]:
        """Names of a point's images, in order of time."""
        return [self.texts[number] for number in self.names[self.of(point)].tolist()]


def entries_of(sources: Sources, layer: str, points: SurveyPoints) -> Entries:
    """All images that the table of dates calls kept.

    Args:
        sources: with the table of dates and the lock.
        layer: of the images.
        points: those of the sources' table.

    Raises:
        IncompleteError: there is no table of dates, or no lock.
        StorageError: one of them was made with other settings than the manifest.
    """
    if sources.dates is None or sources.lock is None:
        raise IncompleteError(
            "the layout sen4map needs the table of dates and the lock, which say which dates of each "
            "point are complete and from which scenes; run `terrapatch splits` and give both"
        )
    ids = sources.table["patch_id"].tolist()
    unit_of = _codes(sources.table["unit"].tolist(), sources.units)
    scenes: dict[str, int] = {}
    # A part of the table at a time, and four numbers an image: ids and labels of a large one would
    # take more memory than its pixels.
    parts = [
        _part(sources, dates, layer, ids, scenes)
        for dates in date_groups(sources.dates, ids, kept=True)
    ]
    rows, steps, taken = (np.concatenate(column) for column in zip(*parts, strict=True))
    require_dates(sources.dates, ids, layer, rows)
    order = np.lexsort(
        (unit_of[rows], _ranks(sources, layer)[unit_of[rows], steps], points.of_row[rows])
    )
    rows, steps, taken = (values[order] for values in (rows, steps, taken))
    names, texts = _names(sources, list(scenes), taken, unit_of[rows])
    starts = np.searchsorted(points.of_row[rows], np.arange(len(points) + 1))
    return Entries(rows, steps, names, texts, starts.astype(np.int64))


def _part(
    sources: Sources, dates: pa.Table, layer: str, ids: Sequence[str], scenes: dict[str, int]
) -> tuple[NDArray[np.int32], ...]:
    """Row, step and number of the scene of some images; scenes not met before get a number."""
    import pyarrow as pa
    import pyarrow.compute as pc

    dates = dates.filter(pc.equal(dates["layer"], layer))
    if not len(dates):
        return (np.empty(0, np.int32),) * 3
    rows = pc.index_in(dates["patch_id"], pa.array(ids, pa.string())).to_numpy()
    steps = steps_of(dates, lambda unit, name: sources.stack(unit, name).info)
    lists = dates["scenes"].combine_chunks()
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    starts = pa.array(np.cumsum(lengths) - lengths, mask=lengths == 0)
    first = lists.flatten().take(starts).dictionary_encode()
    numbers = [scenes.setdefault(name, len(scenes)) for name in first.dictionary.to_pylist()]
    codes = pc.fill_null(first.indices, -1).to_numpy(zero_copy_only=False)
    taken = np.append(np.array(numbers, np.int32), -1)[codes]
    units = dates["unit"]
    for row in np.flatnonzero(taken < 0).tolist():  # no pixel of it was seen, and that is enough
        items = sources.stack(units[row].as_py(), layer).info.items[int(steps[row])]
        taken[row] = scenes.setdefault(items[0], len(scenes))
    return rows.astype(np.int32), steps.astype(np.int32), taken


def _codes(values: Sequence[str], known: Sequence[str]) -> NDArray[np.int32]:
    number = {name: n for n, name in enumerate(known)}
    return np.array([number[value] for value in values], np.int32)


def _ranks(sources: Sources, layer: str) -> NDArray[np.int32]:
    """(unit, step) place of a step among those of all units, in order of time."""
    times = [sources.stack(unit, layer).info.times for unit in sources.units]
    # Labels begin with the moment, in one form: they sort as text.
    place = {label: n for n, label in enumerate(sorted({label for own in times for label in own}))}
    ranks = np.zeros((len(times), max(map(len, times))), np.int32)
    for unit, own in enumerate(times):
        ranks[unit, : len(own)] = [place[label] for label in own]
    return ranks


def _names(
    sources: Sources, scenes: Sequence[str], taken: NDArray[np.int32], units: NDArray[np.int32]
) -> tuple[NDArray[np.int32], list[str]]:
    """Number of each image's name, and the names."""
    assert sources.lock is not None
    items: Mapping[str, LockedItem] = {item.id: item for item in read_lock(sources.lock).items}
    if lost := [name for name in scenes if name not in items]:
        raise StorageError(
            f"{sources.dates}: names scenes that the lock does not know ({', '.join(lost[:3])}); it was "
            "made from another lock: delete the tables of patches and build again"
        )
    pairs, names = np.unique(
        taken.astype(np.int64) * len(sources.units) + units, return_inverse=True
    )
    texts = [
        image_id(items[scenes[scene]], sources.units[unit])
        for scene, unit in (divmod(pair, len(sources.units)) for pair in pairs.tolist())
    ]
    return names.astype(np.int32), texts
