# SPDX-License-Identifier: Apache-2.0
"""The lock and its slices on disk (JSON), see `records`.

Law: no times of day and no order of a file system; the same content gives the same bytes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from .errors import StorageError
from .files import write_text
from .paths import remedy
from .records import Lock, LockedUnit
from .settings import SCENES

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

    from .grid import Unit


def read_lock(path: str | os.PathLike[str]) -> Lock:
    """Read a lock, or a slice of one.

    Raises:
        StorageError: missing or damaged; the remedy is to plan again.
    """
    try:
        return _known(Lock.model_validate_json(Path(path).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        said = str(error).splitlines()[0]
        if isinstance(error, ValidationError):
            found = error.errors()[0]
            place = ".".join(map(str, found["loc"]))
            said = f"{place}: {found['msg']}" if place else found["msg"]
        what = "lock" if Path(path).name == "lock.json" else "slice of the lock"
        raise StorageError(f"{path}: no readable {what}; {remedy(path)} ({said})") from error


def _known(lock: Lock) -> Lock:
    """The lock, whose scenes are all of kinds that there are.

    Raises:
        ValueError: others are named.
    """
    found = {*(item.sensor for item in lock.items), *lock.scenes.values()}
    found |= {gap.sensor for gap in lock.gaps} | {e.sensor for e in lock.excluded} - {"other"}
    if others := sorted(found - SCENES):
        raise ValueError(f"scenes of {', '.join(others)}, which no kind of layer has")
    return lock


def read_slices(paths: Sequence[Path]) -> Lock:
    """Read several slices of a unit as one.

    Raises:
        StorageError: one is missing or damaged.
    """
    first, *others = (read_lock(path) for path in paths)
    parts = [first, *others]
    items = {(item.sensor, item.id): item for part in parts for item in part.items}
    named = {file.href: file for part in parts for file in part.named}
    return first.model_copy(update={"items": tuple(items.values()), "named": tuple(named.values())})


def write_lock(lock: Lock, path: str | os.PathLike[str]) -> None:
    """Write a lock; a file with the same content keeps its time."""
    write_text(path, lock.model_dump_json(indent=1, exclude_defaults=True) + "\n")


def unit_of(locked: LockedUnit, size_px: int) -> Unit:
    """A locked unit with its windows.

    Args:
        locked: as recorded.
        size_px: side of a patch.
    """
    from .grid import Unit, Window

    windows = None
    if locked.windows is not None:
        windows = tuple(
            Window(locked.first_row + n, locked.first_col, y, x, size_px, name)
            for n, (name, y, x) in enumerate(locked.windows)
        )
    return Unit(locked.id, unit_geobox(locked), locked.first_row, locked.first_col, windows)


def unit_geobox(unit: LockedUnit) -> GeoBox:
    """The geobox of a locked unit."""
    from .grid import geobox_from_dict

    return geobox_from_dict(unit.geobox)
