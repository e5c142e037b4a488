# SPDX-License-Identifier: Apache-2.0
"""The table of dates: one row a patch, layer and time step, beside the manifest.

`time` is the step's label: with patch and layer it names the image, in the stack of the unit and in
any that joins several units; no number of a step stands here, which would be another one in each.
Rows of a patch and layer stand in the order of the unit's steps. `direction`, `relative_orbit` and `platform` are null for
mosaics of several passes, `incidence_deg` (degrees at the patch's centre) where no annotation says
it. `cloud_percent` is that of the scenes that gave pixels, as their metadata have it for the whole
scene: their mean, null where one does not say it, and for Sentinel-1. `valid` is the share of observed pixels, `kept` whether that is enough for the recipe, `scenes`
names those that gave pixels.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .errors import StorageError
from .files import atomic
from .paths import remedy

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

DATES: dict[str, str] = {
    "patch_id": "string", "unit": "string", "layer": "string",
    "time": "string", "direction": "string", "relative_orbit": "int64", "platform": "string",
    "incidence_deg": "float32", "cloud_percent": "float64", "valid": "float64", "kept": "bool", "scenes": "strings",
}  # fmt: skip
"""Columns of the table of dates and their types; one row a patch, layer and date."""


def write_dates(columns: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write a table of dates whole, rows in the order given.

    Args:
        columns: those of `DATES`, arrays of one length; None and NaN are null.
        path: where.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {"strings": pa.list_(pa.string())}
    arrays = {
        name: pa.array(columns[name], types.get(kind) or pa.type_for_alias(kind), from_pandas=True)
        for name, kind in DATES.items()
    }
    with atomic(path) as temporary:
        pq.write_table(pa.table(arrays), temporary, compression="zstd")


def join_dates(
    parts: Sequence[str | os.PathLike[str]], path: str | os.PathLike[str],
    only: Sequence[str] | None = None,
) -> None:  # fmt: skip
    """Put tables of dates one below the other.

    Args:
        parts: files in the order wanted.
        path: where.
        only: patch ids whose rows are taken; all if absent.

    Raises:
        StorageError: a part is missing or damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    whole = pa.concat_tables([read_dates(part, only) for part in parts])
    with atomic(path) as temporary:
        pq.write_table(whole, temporary, compression="zstd")


def read_dates(
    path: str | os.PathLike[str], only: Sequence[str] | None = None, *, kept: bool = False
) -> pa.Table:
    """A table of dates with the columns of `DATES`, rows in the file's order.

    Args:
        path: where.
        only: patch ids whose rows are taken; all if absent.
        kept: leave out the rows that are not kept.

    Raises:
        StorageError: missing or damaged.
    """
    import pyarrow as pa

    return pa.concat_tables(date_groups(path, only, kept=kept))


def date_groups(
    path: str | os.PathLike[str], only: Sequence[str] | None = None, *, kept: bool = False
) -> Iterator[pa.Table]:
    """The same rows, a part at a time: those that are not wanted never lie in memory together.

    There is at least one part, maybe without rows.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    wanted = None if only is None else pa.array(only, pa.string())
    try:
        file = pq.ParquetFile(path)
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=list(DATES))
            if wanted is not None:
                table = table.filter(pc.is_in(table.column("patch_id"), wanted))
            yield table.filter(table.column("kept")) if kept else table
        if not file.num_row_groups:
            yield file.read(columns=list(DATES))
    except (OSError, KeyError, pa.ArrowInvalid) as error:
        raise StorageError(
            f"{path}: no readable table of dates; {remedy(path)} ({error})"
        ) from error


def best_of_day(dates: pa.Table) -> NDArray[np.bool_]:
    """(row,) whether an image is the one of its patch, layer and day that a file is named after.

    The one with most observed pixels; of equals the earliest.

    Args:
        dates: rows of a table of dates, in any order.
    """
    import numpy as np
    import pyarrow.compute as pc

    days = pc.utf8_slice_codeunits(dates["time"], 0, 10)
    group = np.stack([
        column.combine_chunks().dictionary_encode().indices.to_numpy()
        for column in (dates["patch_id"], dates["layer"], days)
    ])  # fmt: skip
    valid = dates["valid"].to_numpy()
    # Labels begin with the moment, in one form: they sort as text, and no two of a group are equal.
    time = np.unique(dates["time"].to_numpy(), return_inverse=True)[1]
    best = np.lexsort((time, -valid, *group))
    first = np.ones(len(best), bool)
    first[1:] = (group[:, best[1:]] != group[:, best[:-1]]).any(axis=0)
    chosen = np.zeros(len(best), bool)
    chosen[best[first]] = True
    return chosen


def published_dates(
    path: str | os.PathLike[str], ids: Sequence[str], layer: str, *, one_a_day: bool
) -> tuple[pa.Table, NDArray[np.int64]]:
    """Rows of the published images of some patches, and of each row the number of its patch.

    Args:
        path: table of dates.
        ids: patches, each once.
        layer: of the images.
        one_a_day: whether only one image of a day is (`LayoutsSettings.one_a_day`).

    Raises:
        StorageError: the table is missing or damaged, or has no published image of a patch.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    dates = read_dates(path, ids, kept=True)
    dates = dates.filter(pc.equal(dates["layer"], layer))
    if one_a_day:
        dates = dates.filter(pa.array(best_of_day(dates)))
    rows = pc.index_in(dates["patch_id"], pa.array(ids, pa.string())).to_numpy().astype(np.int64)
    require_dates(path, ids, layer, rows)
    return dates, rows


def require_dates(
    path: str | os.PathLike[str], ids: Sequence[str], layer: str, rows: NDArray[np.integer[Any]]
) -> None:
    """Every patch that the manifest keeps has an image.

    Args:
        path: the table of dates.
        ids: patches.
        layer: of the images.
        rows: numbers of the patches that have one.

    Raises:
        StorageError: a patch has none.
    """
    import numpy as np

    lost = np.flatnonzero(np.bincount(rows, minlength=len(ids)) == 0)
    if lost.size:
        raise StorageError(
            f"{path}: no complete {layer} date of patch {ids[int(lost[0])]!r}, which the "
            "manifest keeps; it was made with other settings: delete the tables of patches and "
            "build again"
        )
