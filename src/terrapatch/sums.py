# SPDX-License-Identifier: Apache-2.0
"""Sums of files, each counted once and kept by path, size and times: SHA-256 beside the lock.

Laws:
1. A sum that is kept stands only while size and times (of content and of inode) are what they
   were; where one moved, the file is read again.
2. What is kept is a memory and no result: without it everything is the same, and slower.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import shlex
from collections.abc import Callable, Iterable
from pathlib import Path

from .access import file_of
from .errors import SourceError, StorageError
from .files import write_text
from .paths import root_of
from .records import Lock, LockedAsset, LockedFile

NAME = "sums.jsonl"
"""File beside the lock."""

_CHUNK = 1 << 22
_FEW = 200
"""So many names are looked up one by one, as a job asks for few of many; then all are read."""

State = tuple[int, int, int]
"""Size in bytes, time of the content and of the inode in ns."""
Sum = tuple[State, str]
"""What a file was like, and its sum."""


def state_of(path: Path) -> State:
    """What tells whether a file has been touched.

    A time that was copied back does not hide a change: the inode's cannot be set.
    """
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


class Sums:
    """Sums of files, remembered from run to run."""

    def __init__(
        self,
        folder: Path | None = None,
        name: str = NAME,
        count: Callable[[Path], str] | None = None,
    ) -> None:
        """Read nothing yet.

        Args:
            folder: where it is kept, the lock's; None for a memory of this run alone.
            name: of the file there.
            count: sum of a file's content; SHA-256 of its bytes if absent.
        """
        self._path = None if folder is None else folder / name
        self._count = count or sha256_of
        self._all: dict[str, Sum] | None = None
        self._seen: dict[str, Sum | None] = {}
        self._new: dict[str, Sum] = {}

    def knows(self, path: Path) -> bool:
        """Whether the sum is at hand."""
        known = self._known(os.path.abspath(path))
        return known is not None and known[0] == state_of(path)

    def _known(self, name: str) -> Sum | None:
        if name not in self._seen:
            if self._all is None and len(self._seen) >= _FEW:
                self._all = _kept(self._path)
            all_ = self._all
            self._seen[name] = _looked_up(self._path, name) if all_ is None else all_.get(name)
        return self._seen[name]

    def of(self, path: Path) -> str:
        """Sum of a file, from memory where it has not been touched."""
        name = os.path.abspath(path)
        state = state_of(path)
        known = self._known(name)
        if known is None or known[0] != state:
            known = state, self._count(path)
            # What changes while it is read is not remembered.
            if state_of(path) == state:
                self._seen[name] = self._new[name] = known
        return known[1]

    def save(self) -> None:
        """Keep what is new, beside what other jobs have kept meanwhile."""
        if self._path is None or not self._new:
            return
        merged = _kept(self._path) | self._new
        text = "".join(
            f"{json.dumps([name, *state, digest], ensure_ascii=False)}\n"
            for name, (state, digest) in sorted(merged.items())
        )
        try:
            write_text(self._path, text)
        except StorageError:
            return  # a folder that can only be read: counted again next time
        self._new.clear()


def _kept(path: Path | None) -> dict[str, Sum]:
    """All that is kept."""
    if path is None or not path.is_file():
        return {}
    try:
        return dict(map(_row, path.read_text(encoding="utf-8").splitlines()))
    except (OSError, ValueError, TypeError):
        return {}  # damaged: counted again


def _looked_up(path: Path | None, name: str) -> Sum | None:
    """What is kept of one name, by halves: lines stand in the order of names."""
    if path is None:
        return None
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
            low, high = 0, len(text)
            while low < high:
                begin = text.rfind(b"\n", low, (low + high) // 2) + 1 or low
                end = text.find(b"\n", begin, high)
                end = high if end < 0 else end
                found, known = _row(text[begin:end])
                if found == name:
                    return known
                low, high = (end + 1, high) if found < name else (low, begin)
    except (OSError, ValueError, TypeError):
        pass  # nothing is kept yet, or it is damaged: counted again
    return None


def _row(line: str | bytes) -> tuple[str, Sum]:
    name, size, content, inode, digest = json.loads(line)
    return name, ((size, content, inode), digest)


def check_unchanged(files: Iterable[LockedAsset | LockedFile], lock: Path) -> None:
    """Hold files against the lock: they must exist, with the content that was planned.

    Size and times tell; where these moved, the sum does. Files that the lock has no sum of
    (`catalog.hash_files: false`) are told by their size alone. Addresses that are not on this
    machine's file system are passed over.

    Args:
        files: files of the lock; those beside them are looked at, too.
        lock: the lock's path.

    Raises:
        SourceError: with all findings in one message.
    """
    wanted: dict[Path, LockedAsset | LockedFile] = {}
    for file in files:
        for each in (file, *file.beside):
            path = file_of(each.href)
            if path is not None:
                wanted.setdefault(path, each)
    root = root_of(lock)
    sums = Sums(root)
    findings = [text for path, each in wanted.items() if (text := _finding(path, each, sums))]
    sums.save()
    if findings:
        lost = any(text.endswith("no longer there") for text in findings)
        raise SourceError(
            "\n".join(
                [
                    *findings,
                    ("put these files back, or run " if lost else "run ")
                    + f"`terrapatch plan --results {shlex.quote(str(root))}` again",
                ]
            )
        )


def check_named(names: Iterable[str], plan: Lock, lock: Path) -> None:
    """Hold files that the recipe names against the lock.

    Args:
        names: those that a stage reads, see `recipe.named_files`.
        plan: the lock.
        lock: its path.

    Raises:
        SourceError: with all findings in one message.
    """
    wanted = set(names)
    check_unchanged((file for file in plan.named if file.href in wanted), lock)


def _finding(path: Path, file: LockedAsset | LockedFile, sums: Sums) -> str | None:
    if not path.is_file():
        return f"{path}: no longer there"
    size = path.stat().st_size
    if file.size is not None and size != file.size:
        return f"{path}: changed since it was planned ({size} bytes, the lock says {file.size})"
    try:
        same = file.sha256 is None or sums.of(path) == file.sha256
    except OSError as error:
        return f"{path}: cannot be read ({error})"
    if not same:
        return f"{path}: changed since it was planned (as many bytes, but others)"
    return None
