# SPDX-License-Identifier: Apache-2.0
"""Files and folders written whole: under a temporary name first, then renamed.

Laws:
1. Nothing half-written ever has the name of a result.
2. Of a folder that is replaced, only what is ours goes (`RECORD`).
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from .errors import InputError, StorageError

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


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file whole; one with the same content keeps its time."""
    target = Path(path)
    if target.is_file() and target.read_bytes() == data:
        return
    with atomic(target) as temporary:
        temporary.write_bytes(data)


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
