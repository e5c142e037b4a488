# SPDX-License-Identifier: Apache-2.0
"""Tables on disk: the lock (JSON) and footprints and manifests (GeoParquet).

Laws:
1. Everything is written to a temporary name and renamed.
2. No timestamps, no absolute order of a file system: the same content gives the same bytes.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from .errors import InputError, StorageError
from .records import Exclusion as Exclusion
from .records import Gap as Gap
from .records import Lock as Lock
from .records import LockedAsset as LockedAsset
from .records import LockedFile as LockedFile
from .records import LockedItem as LockedItem
from .records import LockedStep as LockedStep
from .records import LockedUnit as LockedUnit
from .records import LockedVector as LockedVector
from .records import Sensor as Sensor
from .results import remedy

if TYPE_CHECKING:
    import geopandas as gpd
    from odc.geo.geobox import GeoBox


def read_lock(path: str | os.PathLike[str]) -> Lock:
    """Read a lock, or a slice of one.

    Raises:
        StorageError: missing or damaged; the remedy is to plan again.
    """
    try:
        return Lock.model_validate_json(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        said = str(error).splitlines()[0]
        if isinstance(error, ValidationError):
            found = error.errors()[0]
            place = ".".join(map(str, found["loc"]))
            said = f"{place}: {found['msg']}" if place else found["msg"]
        what = "lock" if Path(path).name == "lock.json" else "slice of the lock"
        raise StorageError(f"{path}: no readable {what}; {remedy(path)} ({said})") from error


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


RECORD = ".terrapatch"
"""File in a folder that we wrote: a line `hash  name` (or `-  name`) for each of its files."""

Ours = Callable[[Path], Callable[[str], bool]]
"""Folder → which of the files in it, by their names below it, are ours to replace."""


@contextmanager
def atomic(path: str | os.PathLike[str], ours: Ours | None = None) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it to `path` when the block ends well.

    On any error the temporary one is removed; a full disk becomes a `StorageError` that says so.
    An old file of that name is replaced. Of an old folder only what is ours is: other files in it
    stay, and a folder with nothing of ours in it is refused.

    Args:
        path: of a file, or of a folder where `ours` is given.
        ours: tells what is ours in the folder that is there.

    Raises:
        InputError: something else stands there.
        StorageError: it cannot be written.
    """
    target = Path(path)
    if ours is not None and target.is_symlink() and target.is_dir():
        target = target.resolve()  # a folder on another disk
    _kept_files(target, ours)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove(temporary)
        yield temporary
        kept = _kept_files(target, ours)
        if target.is_dir():
            _swap(temporary, target, kept)
        else:
            temporary.replace(target)
    except OSError as error:
        with suppress(OSError):
            _remove(temporary)
        raise storage_error(target, error) from error
    except BaseException:
        with suppress(OSError):
            _remove(temporary)
        raise


def _kept_files(target: Path, ours: Ours | None) -> list[str]:
    """Files of a folder that must stay, by their names below it."""
    if ours is None:
        if target.is_dir():
            raise InputError(f"{target}: is a folder, and a file is to be written there; move it")
        return []
    if target.is_dir():
        mine = ours(target)
        names = files_below(target)
        kept = [name for name in names if not mine(name)]
        if names and len(kept) == len(names):
            raise InputError(
                f"{target}: holds files that terrapatch has no record of having written, such as "
                f"{kept[0]}; nothing of it has been touched. Name another folder, or move these "
                "files away (or delete them, where an older version of terrapatch wrote them)"
            )
        return kept
    if os.path.lexists(target):
        raise InputError(f"{target}: is a file, and a folder is to be written there; move it")
    return []


def _swap(temporary: Path, target: Path, kept: Sequence[str]) -> None:
    """Put a new folder into the place of an old one; files to be kept move over."""
    taken = [name for name in kept if os.path.lexists(temporary / name)]
    if taken:
        raise InputError(
            f"{target}/{taken[0]}: terrapatch has no record of having written this file, and would "
            "write one of that name; nothing has been touched: move it away"
        )
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    target.rename(old)
    try:
        temporary.rename(target)
    except OSError:
        old.rename(target)
        raise
    for name in kept:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (old / name).rename(target / name)
    shutil.rmtree(old)


def files_below(folder: Path) -> list[str]:
    """Names of all files below a folder, sorted; a link is a file, wherever it leads."""
    found: list[str] = []
    for root, folders, files in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(root, name))]
        found += [(Path(root) / name).relative_to(folder).as_posix() for name in (*files, *links)]
    return sorted(found)


def write_record(folder: Path, lines: Iterable[tuple[str, str]]) -> None:
    """Write which files of a folder are ours: pairs of hash and name."""
    text = "".join(f"{digest}  {name}\n" for digest, name in lines)
    (folder / RECORD).write_text(text, encoding="utf-8", errors="surrogateescape")


def read_record(folder: Path, name: str = RECORD) -> dict[str, str]:
    """Name → hash of the files that we wrote into a folder; empty without a record."""
    try:
        text = (folder / name).read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return {}
    pairs = (line.split("  ", 1) for line in text.splitlines())
    return {pair[1]: pair[0] for pair in pairs if len(pair) == 2}


def recorded(folder: Path) -> Callable[[str], bool]:
    """Whether a file of a folder stands in the folder's own record."""
    names = {*(found := read_record(folder)), *([RECORD] if found else [])}
    return names.__contains__


def storage_error(path: Path, error: OSError) -> StorageError:
    """The clear form of an error of the file system while writing `path`."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageError(
            f"{path}: the disk is full; nothing half-written is left under this name. "
            "Free some space (or give another --output) and run again"
        )
    return StorageError(f"{path}: cannot be written: {error}")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file whole; one with the same content keeps its time."""
    target = Path(path)
    if target.is_file() and target.read_text(encoding="utf-8") == text:
        return
    with atomic(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike[str], data: Mapping[str, Any]) -> None:
    """Write JSON with sorted keys, whole."""
    write_text(path, json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def write_geoparquet(
    table: gpd.GeoDataFrame,
    path: str | os.PathLike[str],
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Write a GeoParquet file whole, rows in the order given, without an index column.

    Columns with a name of the house (docs/plan.md, Tables) get their fixed type, so that a
    column without values in one unit has the same type as in the others.

    Args:
        table: rows with a geometry column.
        path: where.
        metadata: recorded as JSON under `terrapatch` in the file's own metadata.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with atomic(path) as temporary:
        table.reset_index(drop=True).to_parquet(temporary, index=False)
        plain = pq.read_table(temporary, memory_map=False)
        for position, name in enumerate(plain.column_names):
            if wanted := _column_type(name):
                column = plain.column(position)
                without = column.null_count == len(column)  # then its type says nothing
                column = pa.nulls(len(column), wanted) if without else column.cast(wanted)
                plain = plain.set_column(position, plain.field(position).with_type(wanted), column)
        if metadata is not None:
            text = json.dumps(metadata, sort_keys=True, ensure_ascii=False)
            plain = plain.replace_schema_metadata(
                {**(plain.schema.metadata or {}), b"terrapatch": text.encode()}
            )
        pq.write_table(plain, temporary, compression="zstd")


def _column_type(name: str) -> Any:
    """The Arrow type of a column of the house, or None for others."""
    import pyarrow as pa

    text = {"patch_id", "unit", "crs", "dropped_reason", "split", "block", "split_reason"}
    if name in text or name.startswith("hash_"):
        return pa.string()
    if name in {"row", "col", "y_px", "x_px", "size_px"}:
        return pa.int64()
    if name.startswith("valid_"):
        return pa.float64()
    if name.startswith(("dates_", "sources_")):
        return pa.list_(pa.string())
    if name.startswith("counts_"):
        return pa.list_(pa.int64())
    return pa.list_(pa.float64()) if name == "transform" else None


def read_table_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What `write_geoparquet` recorded as `metadata`; empty where nothing was.

    Raises:
        StorageError: missing or damaged.
    """
    import pyarrow.parquet as pq

    try:
        found = (pq.read_schema(path).metadata or {}).get(b"terrapatch", b"{}")
        return dict(json.loads(found))
    except (OSError, ValueError) as error:
        raise StorageError(
            f"{path}: no readable GeoParquet file; {remedy(path)} ({error})"
        ) from error


def read_geoparquet(path: str | os.PathLike[str]) -> gpd.GeoDataFrame:
    """Read a GeoParquet file.

    Raises:
        StorageError: missing or damaged.
    """
    import geopandas as gpd

    try:
        return gpd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise StorageError(
            f"{path}: no readable GeoParquet file; {remedy(path)} ({error})"
        ) from error


def read_columns(path: str | os.PathLike[str], names: Sequence[str]) -> dict[str, list[Any]]:
    """Read some columns of a (Geo)Parquet file as plain lists, without loading geopandas.

    Raises:
        StorageError: missing, damaged, or without one of the columns.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # Not `read_table`: that loads pandas, a quarter of a second.
        table = pq.ParquetFile(path).read(columns=list(names))
        return {name: table.column(name).to_pylist() for name in names}
    except (OSError, KeyError, pa.ArrowInvalid) as error:
        raise StorageError(
            f"{path}: no readable table with columns {list(names)}; {remedy(path)} ({error})"
        ) from error


def unit_geobox(unit: LockedUnit) -> GeoBox:
    """The geobox of a locked unit."""
    from .grid import geobox_from_dict

    return geobox_from_dict(unit.geobox)
