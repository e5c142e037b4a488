# SPDX-License-Identifier: Apache-2.0
"""SHA-256 of files, each counted once: kept by path, size and times beside the lock.

Laws:
1. A sum that is kept stands only while size and times (of content and of inode) are what they
   were; where one moved, the file is read again.
2. What is kept is a memory and no result: without it everything is the same, and slower.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections.abc import Iterable
from pathlib import Path

from .access import file_of
from .errors import SourceError, StorageError
from .files import write_text
from .paths import root_of
from .records import Lock, LockedAsset, LockedFile

NAME = "sums.jsonl"
"""File beside the lock."""

_CHUNK = 1 << 22

State = tuple[int, int, int]
"""Size in bytes, time of the content and of the inode in ns."""


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

    def __init__(self, folder: Path | None = None) -> None:
        """Read what is kept.

        Args:
            folder: where it is kept, the lock's; None for a memory of this run alone.
        """
        self._path = None if folder is None else folder / NAME
        self._known = _kept(self._path)
        self._new: dict[str, tuple[State, str]] = {}

    def knows(self, path: Path) -> bool:
        """Whether the sum is at hand."""
        known = self._known.get(os.path.abspath(path))
        return known is not None and known[0] == state_of(path)

    def of(self, path: Path) -> str:
        """SHA-256 of a file, from memory where it has not been touched."""
        name = os.path.abspath(path)
        state = state_of(path)
        known = self._known.get(name)
        if known is None or known[0] != state:
            known = state, sha256_of(path)
            # What changes while it is read is not remembered.
            if state_of(path) == state:
                self._known[name] = self._new[name] = known
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


def _kept(path: Path | None) -> dict[str, tuple[State, str]]:
    if path is None or not path.is_file():
        return {}
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return {
            name: ((size, content, inode), digest) for name, size, content, inode, digest in rows
        }
    except (OSError, ValueError, TypeError):
        return {}  # damaged: counted again


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
