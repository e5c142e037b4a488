# SPDX-License-Identifier: Apache-2.0
"""Files of products as the lock records them: size, hash, what is read with them, soundness."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from ..errors import SceneError
from ..rasterfiles import file_of, files_beside
from ..sums import Sums
from ..tables import LockedFile

_CHUNK = 1 << 22


class Files:
    """Size, hash and soundness of files, each looked at once a run."""

    def __init__(self, hash_files: bool, sums: Sums | None = None) -> None:
        """Look at no file yet.

        Args:
            hash_files: whether files are hashed.
            sums: hashes kept from former runs.
        """
        self.hash_files = hash_files
        self._sums = sums or Sums()
        self._records: dict[Path, tuple[int, str | None]] = {}
        self._beside: dict[str, tuple[LockedFile, ...]] = {}
        self._sound: set[tuple[Path, str]] = set()

    def record(self, path: Path) -> tuple[int, str | None]:
        """Bytes of a file, and its SHA-256 where the recipe wants it."""
        if path not in self._records:
            digest = self._sums.of(path) if self.hash_files else None
            self._records[path] = path.stat().st_size, digest
        return self._records[path]

    def locked(self, path: Path, href: str | None = None) -> LockedFile:
        """A file as the lock records it, under its own path if `href` is absent."""
        size, digest = self.record(path)
        return LockedFile(href=href or portable(path), size=size, sha256=digest)

    def beside(self, address: str, *others: str) -> tuple[LockedFile, ...]:
        """What is read with a raster, see `files_beside`, and further files named by address.

        Raises: see `files_beside`.
        """
        if address not in self._beside:
            self._beside[address] = tuple(self.locked(path) for path in files_beside(address))
        own = file_of(address)
        more = [path for path in map(file_of, others) if path is not None and path != own]
        return (*self._beside[address], *(self.locked(path) for path in more))

    def check_archive(self, path: Path, members: Sequence[str]) -> None:
        """Read members of a zip archive to their end (all of them where files are hashed).

        Raises:
            SceneError: the archive is truncated, or a member's checksum does not fit.
        """
        with open_archive(path) as archive:
            if self.hash_files and self._sums.knows(path):
                return  # read to its end and hashed by a former run
            names = archive.namelist() if self.hash_files else members
            for name in names:
                if (path, name) not in self._sound:
                    read_member(archive, path, name, keep=False)
                    self._sound.add((path, name))


def open_archive(path: Path) -> zipfile.ZipFile:
    """Open a zip archive.

    Raises:
        SceneError: no zip file, or truncated.
    """
    try:
        return zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise SceneError(
            f"{path}: no complete zip archive ({error}); the download broke off: fetch it again"
        ) from error


def read_member(archive: zipfile.ZipFile, path: Path, name: str, *, keep: bool = True) -> bytes:
    """Read a member of a zip archive; its CRC-32 is checked on the way.

    Raises:
        SceneError: the member is broken.
    """
    parts = []
    try:
        with archive.open(name) as stream:
            while chunk := stream.read(_CHUNK):
                if keep:
                    parts.append(chunk)
    except (OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise SceneError(
            f"{path}: the member {name!r} is broken ({error}); fetch the archive again"
        ) from error
    return b"".join(parts)


def portable(path: Path) -> str:
    """A path as the lock records it: relative where it lies under the working directory."""
    absolute = os.path.abspath(path)
    relative = os.path.relpath(absolute)
    return absolute if relative.split(os.sep)[0] == os.pardir else relative
