# SPDX-License-Identifier: Apache-2.0
"""Which images of a series become files, their names, and the tidy table of them.

`images.parquet` has one row a patch and date that the table of dates calls kept:
`id`, `tile`, `x`, `y`; `sensor` (`S2`, `S1`); `date`; `time`, the step's label in the stack; `file`,
null where another image of that day has the name; `products`; `direction`, `relative_orbit`,
`platform`, `incidence_deg`; `scene_cloud_percent`, of the product's metadata, the cloudiest where
several gave pixels; `cloud`, share of the patch that the scene classification calls cloud, where it
was kept; `valid`, share of observed pixels; `split`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..acquisitions import best_of_day, read_dates
from ..errors import IncompleteError, StorageError
from ..files import atomic
from ..lock import read_lock
from ..samples import steps_of

if TYPE_CHECKING:
    import pyarrow as pa

    from .sources import Sources

CLOUDS = (8, 9, 10)
"""Classes of Sentinel-2's scene classification: medium and high probability, thin cirrus. Source:
Sen2Cor, SCL."""


@dataclass(frozen=True, eq=False)
class Images:
    """The kept images of all patches, in the order of patch, layer and time."""

    dates: pa.Table
    """(image,) rows of the table of dates."""
    marks: Mapping[str, str]
    """Layer → its mark in names."""
    rows: NDArray[np.int64]
    """(image,) row of the patch in the manifest's table."""
    ranks: NDArray[np.int64]
    """(image,) number of the layer."""
    named: NDArray[np.bool_]
    """(image,) whether the image has a file."""
    names: NDArray[np.object_]
    """(image,) its file, None without."""
    whole: NDArray[np.bool_]
    """(image,) whether all its pixels were observed."""
    at: NDArray[np.int64]
    """(layer, row, step in the stack of its unit) number of the image, −1 without."""
    starts: NDArray[np.int64]
    """(row · layer + 1,) where the images of each patch and layer begin."""
    clouds: NDArray[np.float64]
    """(image,) share of cloud in the patch, NaN where unknown; filled by `set_clouds`."""

    @property
    def lost(self) -> int:
        """Images whose name another of that day has."""
        return int((~self.named).sum())

    def _numbers(self, layer: str, rows: NDArray[np.int64], step: int) -> NDArray[np.int64]:
        """(patch,) numbers of images, −1 without."""
        return np.asarray(self.at[self._rank(layer), rows, step])

    def _rank(self, layer: str) -> int:
        return list(self.marks).index(layer)

    def chosen(self, layer: str, rows: NDArray[np.int64], step: int) -> NDArray[np.bool_]:
        """(patch,) which of the patches have a file at a step."""
        numbers = self._numbers(layer, rows, step)
        return (numbers >= 0) & self.named[numbers]

    def all_whole(self, layer: str, rows: NDArray[np.int64], step: int) -> bool:
        """Whether these images lack no pixel."""
        return bool(self.whole[self._numbers(layer, rows, step)].all())

    def names_of(self, layer: str, rows: NDArray[np.int64], step: int) -> list[str]:
        """File names of images that are chosen."""
        return [str(name) for name in self.names[self._numbers(layer, rows, step)]]

    def files(self, layer: str, row: int) -> list[str]:
        """File names of a patch, in order of time."""
        if layer not in self.marks:
            return []
        place = row * len(self.marks) + self._rank(layer)
        found = self.names[self.starts[place] : self.starts[place + 1]]
        return [str(name) for name in found if name is not None]

    def days(self, layer: str, rows: NDArray[np.int64]) -> int:
        """Number of days on which any of the patches has a file."""
        return len({f.split("_")[1] for row in rows.tolist() for f in self.files(layer, row)})

    def count(self, layer: str) -> int:
        """Number of files."""
        return int((self.named & (self.ranks == self._rank(layer))).sum())

    def set_clouds(
        self, layer: str, rows: NDArray[np.int64], step: int, scl: NDArray[np.uint8]
    ) -> None:
        """Note the share of cloud in some patches; `scl` is (patch, y, x)."""
        self.clouds[self._numbers(layer, rows, step)] = np.isin(scl, CLOUDS).mean(axis=(1, 2))

    def write(self, path: Path, sources: Sources) -> None:
        """Write `images.parquet`."""
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        table, dates, text = sources.table, self.dates, pa.string()
        tile = table["unit"].to_numpy(object)[self.rows]
        x, y = (table[name].to_numpy(np.int64)[self.rows] for name in ("x_px", "y_px"))
        marks = np.array(list(self.marks.values()), object)
        days = pc.utf8_slice_codeunits(dates["time"], 0, 10)
        scenes = dates["scenes"].combine_chunks()
        columns: dict[str, Any] = {
            "id": pa.array([f"{t}_{i}_{j}" for t, i, j in zip(tile, x, y, strict=True)], text),
            "tile": pa.array(tile, text), "x": x, "y": y,
            "sensor": pa.array(marks[self.ranks], text),
            "date": pc.strptime(days, "%Y-%m-%d", "s").cast(pa.date32()),
            "time": dates["time"],
            "file": pa.array(self.names, text),
            "products": scenes,
            **{k: dates[k] for k in ("direction", "relative_orbit", "platform", "incidence_deg")},
            "scene_cloud_percent": pa.array(_scene_clouds(sources, scenes), pa.float64(), from_pandas=True),
            "cloud": pa.array(self.clouds, pa.float64(), from_pandas=True),
            "valid": dates["valid"],
            "split": pa.array(table["split"].to_numpy(object)[self.rows], text),
        }  # fmt: skip
        with atomic(path) as temporary:
            pq.write_table(pa.table(columns), temporary, compression="zstd")


def choose_images(sources: Sources, marks: Mapping[str, str]) -> Images:
    """Kept images of the patches, and the file name of each.

    Args:
        sources: with the table of dates; patches of a unit are named by its id and by their place
            in it.
        marks: layer → its mark in names.

    Raises:
        IncompleteError: there is no table of dates.
        StorageError: it lacks a patch.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if sources.dates is None:
        raise IncompleteError(
            "the layout multisenge needs the table of dates, which says which dates of each patch "
            "are complete; run `terrapatch splits` and give its dates.parquet"
        )
    ids = sources.table["patch_id"].tolist()
    dates = read_dates(sources.dates, ids, kept=True)
    dates = dates.filter(pc.is_in(dates["layer"], pa.array(list(marks))))
    rows = pc.index_in(dates["patch_id"], pa.array(ids, pa.string())).to_numpy().astype(np.int64)
    ranks = pc.index_in(dates["layer"], pa.array(list(marks))).to_numpy().astype(np.int64)
    valid = dates["valid"].to_numpy()
    step = steps_of(dates, lambda unit, layer: sources.stack(unit, layer).info)
    # Labels begin with the moment, in one form: they sort as text.
    labels, time = np.unique(dates["time"].to_numpy(), return_inverse=True)
    days, day_of = np.unique([str(label)[:10] for label in labels], return_inverse=True)
    day = day_of[time] if len(labels) else time
    named = best_of_day(dates)
    order = np.lexsort((time, ranks, rows))
    places = (rows * len(marks) + ranks)[order]
    starts = np.searchsorted(places, np.arange(len(ids) * len(marks) + 1))
    _check_whole(sources, ids, starts, list(marks))
    rows, ranks, step, day = (v[order] for v in (rows, ranks, step, day))
    named = named[order]
    at = np.full((len(marks), len(ids), int(step.max(initial=-1)) + 1), -1, np.int64)
    at[ranks, rows, step] = np.arange(len(order))
    names = _names(sources, list(marks.values()), rows, ranks, [str(d) for d in days], day)
    names[~named] = None
    return Images(
        dates.take(pa.array(order)), marks, rows, ranks, named, names, valid[order] >= 1, at,
        starts, np.full(len(order), np.nan),
    )  # fmt: skip


def _check_whole(
    sources: Sources, ids: Sequence[str], starts: NDArray[np.int64], layers: list[str]
) -> None:
    lost = np.flatnonzero(np.diff(starts) == 0)
    if lost.size:
        row, rank = divmod(int(lost[0]), len(layers))
        raise StorageError(
            f"{sources.dates}: no complete {layers[rank]} date of patch {ids[row]!r}, which "
            "the manifest keeps; it was made with other settings: delete the tables of patches "
            "and build again"
        )


def _names(
    sources: Sources, marks: list[str], rows: NDArray[np.int64], ranks: NDArray[np.int64],
    days: list[str], day: NDArray[np.int64],
) -> NDArray[np.object_]:  # fmt: skip
    plain = [d.replace("-", "") for d in days]
    table = sources.table
    places = [f"{x}_{y}.tif" for x, y in zip(table["x_px"], table["y_px"], strict=True)]
    units = table["unit"].tolist()
    names = np.empty(len(rows), object)
    for number, (row, rank, d) in enumerate(
        zip(rows.tolist(), ranks.tolist(), day.tolist(), strict=True)
    ):
        names[number] = f"{units[row]}_{plain[d]}_{marks[rank]}_{places[row]}"
    return names


def _scene_clouds(sources: Sources, scenes: Any) -> NDArray[np.float64]:
    """(image,) cloud of the cloudiest scene in percent, NaN where unknown.

    Args:
        sources: with the lock.
        scenes: Arrow array of lists of scene ids, one an image.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if sources.lock is None:
        return np.full(len(scenes), np.nan)
    items = read_lock(sources.lock).items
    known = pa.array([item.cloud_percent for item in items], pa.float64())
    found = pc.index_in(scenes.flatten(), pa.array([item.id for item in items], pa.string()))
    worst = np.full(len(scenes), -1.0)
    clouds = known.take(found).to_numpy(zero_copy_only=False)
    image = pc.list_parent_indices(scenes).to_numpy()
    np.maximum.at(worst, image, np.nan_to_num(clouds, nan=-1.0))
    return np.where(worst < 0, np.nan, worst)
