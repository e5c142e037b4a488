# SPDX-License-Identifier: Apache-2.0
"""Slices of the lock: what the job of one unit and layer reads of the plan, and nothing else.

Laws:
1. A job that reads its slice makes what it would make of the whole lock.
2. What changes in one unit and layer changes no other slice: the plan has made the time steps, by
   all scenes.
3. A slice whose text is the same keeps its time; slices of units that are gone are removed.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from pathlib import Path

from ..files import write_bytes
from ..lock import write_lock
from ..places import PLACE, place_of
from ..recipe import StageSettings
from ..records import Lock, LockedFile, LockedItem
from ..settings import named_files
from ..vectors import PlaceTable

PLACES = "places.parquet"
"""Columns of the table of points, of those that are planned: see `paths.Results.places`."""


def write_slices(
    lock: Lock, settings: StageSettings, folder: Path, table: PlaceTable | None = None
) -> None:
    """Write all slices of a lock: `UNIT.json` for the places, `UNIT/LAYER.json` for the layers.

    Args:
        lock: the lock.
        settings: of the stage `plan`.
        folder: where; other files there go.
        table: points, where the sampling has them.

    Raises:
        StorageError: they cannot be written.
    """
    written: set[Path] = set()
    if table is not None:
        written.add(folder / PLACES)
        write_places(table, lock, folder / PLACES)
    for name, part in slices(lock, settings):
        path = folder / f"{name}.json"
        written.add(path)
        write_lock(part, path)
    for path in sorted([*folder.rglob("*.json"), folder / PLACES], reverse=True):
        if path not in written:
            path.unlink(missing_ok=True)
    for unit in sorted(folder.iterdir()):
        if unit.is_dir() and not any(unit.iterdir()):
            shutil.rmtree(unit)


def write_places(table: PlaceTable, lock: Lock, path: Path) -> None:
    """Write the rows of the points that units have; a file with the same content keeps its time.

    Columns are those of the table and `place`, the point's id.

    Args:
        table: all points.
        lock: what is planned.
        path: the Parquet file.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    planned = {place_of(name) for unit in lock.units for name, _, _ in unit.windows or ()}
    rows = np.array([n for n, name in enumerate(table.ids) if name in planned], np.int64)
    found = table.columns.take(pa.array(rows))
    found = found.append_column(PLACE, pa.array([table.ids[n] for n in rows.tolist()], pa.string()))
    with io.BytesIO() as buffer:
        pq.write_table(found.combine_chunks(), buffer, compression="zstd")
        write_bytes(path, buffer.getvalue())


def slices(lock: Lock, settings: StageSettings) -> Iterator[tuple[str, Lock]]:
    """Slices by their names: `UNIT` and `UNIT/LAYER`, each a lock of one unit."""
    area = set(named_files(settings, "sampling"))
    of_area = tuple(file for file in lock.named if file.href in area)
    label = set(named_files(settings, "stack"))
    of_label = tuple(file for file in lock.named if file.href in label)
    items: dict[tuple[str, str], LockedItem] = {(i.sensor, i.id): i for i in lock.items}
    orbits = {file.href: file for file in lock.orbits}
    networks = {vector.id for vector in lock.vectors if vector.kind == "networks"}
    empty = Lock(name=lock.name, source=lock.source, units=(), items=(), latitude=lock.latitude)
    for unit in lock.units:
        places = unit.model_copy(update={"items": {}, "steps": {}, "vectors": ()})
        yield unit.id, empty.model_copy(update={"units": (places,), "named": of_area})
        bare = places.model_copy(update={"windows": None})
        for name in settings.layers:
            ids = unit.items.get(name, ())
            here = tuple(items[lock.scenes.get(name, name), each] for each in ids)
            part: dict[str, object] = {
                "layer": name,
                "items": here,
                "scenes": {name: lock.scenes[name]} if name in lock.scenes else {},
            }
            change: dict[str, object] = {"items": {name: ids} if ids else {}}
            if name not in settings.images:
                polygons = networks | set(unit.vectors)
                own = [v for v in lock.vectors if v.id in polygons and v.label in (name, "")]
                part["vectors"] = tuple(own)
                part["named"] = of_label
                known = {v.id for v in own}
                change["vectors"] = tuple(v for v in unit.vectors if v in known)
            else:
                change["steps"] = {name: lock.steps_of(unit.id, name)}
                if any(item.raw for item in here):
                    part |= _beside(lock, {orbits[i.orbit_file] for i in here if i.orbit_file})
            part["units"] = (bare.model_copy(update=change),)
            yield f"{unit.id}/{name}", empty.model_copy(update=part)


def _beside(lock: Lock, used: set[LockedFile]) -> dict[str, object]:
    """Heights, geoid and orbits, which raw scenes need."""
    return {
        "heights": lock.heights,
        "geoid": lock.geoid,
        "orbits": tuple(file for file in lock.orbits if file in used),
    }
