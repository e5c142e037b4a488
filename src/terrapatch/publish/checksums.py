# SPDX-License-Identifier: Apache-2.0
"""SHA-256 of every file of the dataset, in the form of `sha256sum -c`."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..errors import StorageError
from ..tables import write_text

NAME = "SHA256SUMS"


def checksums(folder: Path, threads: int = 1) -> str:
    """Lines `hash  path` of all files below a folder, sorted by path, but for the list itself.

    Raises:
        StorageError: a file cannot be read.
    """
    paths = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.relative_to(folder).as_posix() != NAME
    )

    def one(path: str) -> str:
        with (folder / path).open("rb") as file:
            return f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {path}\n"

    try:
        with ThreadPoolExecutor(max(1, threads)) as pool:
            return "".join(pool.map(one, paths))
    except OSError as error:
        raise StorageError(f"{folder}: a file cannot be read for its checksum: {error}") from error


def write_checksums(folder: Path, threads: int = 1) -> None:
    """Write the list; it is the last file of a dataset, so it stands for the whole."""
    write_text(folder / NAME, checksums(folder, threads))
