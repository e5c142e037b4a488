# SPDX-License-Identifier: Apache-2.0
"""Which dates a patch has in its files.

Laws:
1. A date of a patch is one that the table of dates calls kept, in order of time; the mask has those of the
   series of Sentinel-2, neither more nor fewer.
2. Two passes of a day are two dates, each with its entry.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...acquisitions import date_groups, require_dates
from ...errors import IncompleteError
from ...samples import steps_of
from ..sources import Sources
from .modalities import MASK, MODALITIES, SERIES


@dataclass(frozen=True, eq=False)
class Dates:
    """The dates of one layer."""

    kept: NDArray[np.bool_]
    """(row, step in the stack of its unit) whether a date of the patch is published."""
    whole: NDArray[np.bool_]
    """(row, step) whether all pixels of a published date were observed."""
    labels: dict[str, tuple[str, ...]]
    """Unit → label of each step."""
    order: dict[str, NDArray[np.int64]]
    """Unit → steps in order of time."""

    def steps(self, unit: str, row: int) -> NDArray[np.int64]:
        """(date,) steps of a patch, in order of time."""
        order = self.order[unit]
        return np.asarray(order[self.kept[row, order]])

    def days(self, unit: str, row: int) -> list[str]:
        """(date,) days of a patch, as YYYYMMDD."""
        labels = self.labels[unit]
        return [labels[step][:10].replace("-", "") for step in self.steps(unit, row).tolist()]


def dates_of(sources: Sources) -> dict[str, Dates]:
    """Layer → its dates, of the layers that are series.

    Raises:
        IncompleteError: there is no table of dates, or the mask lacks dates of the series.
        StorageError: the table of dates is one of other patches.
    """
    names = [name for name in sources.images if MODALITIES[name].series]
    if names and sources.dates is None:
        raise IncompleteError(
            "the layout flairhub needs the table of dates, which says which dates of each patch are "
            "complete; run `terrapatch splits` and give its dates.parquet"
        )
    found = {name: _empty(sources, name) for name in names}
    _fill(sources, found)
    if MASK in found:
        found[MASK] = _of_series(sources, found[SERIES], found[MASK])
    return found


def _empty(sources: Sources, layer: str) -> Dates:
    infos = {unit: sources.stack(unit, layer).info for unit in sources.units}
    kept = np.zeros((len(sources.table), max(len(info.times) for info in infos.values())), bool)
    return Dates(
        kept, np.zeros_like(kept), {unit: info.times for unit, info in infos.items()},
        # Labels begin with the moment, in one form: they sort as text.
        {unit: np.argsort(np.array(info.times), kind="stable") for unit, info in infos.items()},
    )  # fmt: skip


def _fill(sources: Sources, found: Mapping[str, Dates]) -> None:
    """Note which dates are kept, by parts of the table: it has a row a patch, layer and date."""
    import pyarrow as pa
    import pyarrow.compute as pc

    ids = sources.table["patch_id"].tolist()
    names = pa.array(ids, pa.string())
    for part in date_groups(sources.dates, ids, kept=True) if sources.dates and found else ():
        for layer, dates in found.items():
            here = part.filter(pc.equal(part["layer"], layer))
            rows = pc.index_in(here["patch_id"], names).to_numpy().astype(np.int64)
            steps = steps_of(here, lambda unit, layer: sources.stack(unit, layer).info)
            dates.kept[rows, steps] = True
            dates.whole[rows, steps] = here["valid"].to_numpy() >= 1
    for layer, dates in found.items():
        require_dates(str(sources.dates), ids, layer, np.flatnonzero(dates.kept.any(axis=1)))


def _of_series(sources: Sources, series: Dates, mask: Dates) -> Dates:
    """The mask's steps of the dates that the series has."""
    kept = np.zeros_like(mask.kept)
    for unit, rows in _rows_of_units(sources.table["unit"].tolist()):
        step_of = {label: step for step, label in enumerate(mask.labels[unit])}
        for step, label in enumerate(series.labels[unit]):
            wanted = rows[series.kept[rows, step]]
            if not wanted.size:
                continue
            other = step_of.get(label)
            lost = wanted if other is None else wanted[~mask.kept[wanted, other]]
            if lost.size:
                raise IncompleteError(
                    f"patch {sources.table['patch_id'].iloc[int(lost[0])]} has an image of {SERIES} of "
                    f"{label}, and none of {MASK}: every date needs both; give the two layers the same "
                    f"scenes, and set patches.require.{MASK}.valid to 0 or patches.require.{SERIES}.valid "
                    "to 1"
                )
            kept[wanted, other] = True
    return replace(mask, kept=kept)


def _rows_of_units(units: Sequence[str]) -> Iterator[tuple[str, NDArray[np.int64]]]:
    found: dict[str, list[int]] = {}
    for row, unit in enumerate(units):
        found.setdefault(unit, []).append(row)
    for unit, rows in found.items():
        yield unit, np.array(rows, np.int64)
