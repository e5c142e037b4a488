# SPDX-License-Identifier: Apache-2.0
"""Files of products as the lock records them: size, hash, what is read with them, soundness."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..access import file_of, portable
from ..archives import members, open_archive, read_member
from ..errors import SceneError, remedy
from ..rasterfiles import files_beside
from ..rasters import Header
from ..records import LockedFile
from ..sums import Sums


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
        """Bytes of a file, and its SHA-256 where the recipe wants it.

        Raises:
            SceneError: it cannot be read.
        """
        if path not in self._records:
            try:
                digest = self._sums.of(path) if self.hash_files else None
                self._records[path] = path.stat().st_size, digest
            except OSError as error:
                advice = remedy(path, error, "put it back")
                raise SceneError(f"{path}: cannot be read ({error}); {advice}") from error
        return self._records[path]

    def locked(self, path: Path, href: str | None = None) -> LockedFile:
        """A file as the lock records it, under its own path if `href` is absent."""
        size, digest = self.record(path)
        return LockedFile(href=href or portable(path), size=size, sha256=digest)

    def beside(
        self, address: str, *others: str, header: Header | None = None
    ) -> tuple[LockedFile, ...]:
        """What is read with a raster, see `files_beside`, and further files named by address.

        Raises: see `files_beside`.
        """
        if address not in self._beside:
            known = ("", ()) if header is None else (header.driver, header.files)
            self._beside[address] = tuple(
                self.locked(path) for path in files_beside(address, *known)
            )
        own = file_of(address)
        more = [path for path in map(file_of, others) if path is not None and path != own]
        return (*self._beside[address], *(self.locked(path) for path in more))

    def check_archive(self, path: Path, wanted: Sequence[str]) -> None:
        """Read members of a zip archive to their end (all of them where files are hashed).

        Raises:
            SceneError: the archive is truncated, or a member's checksum does not fit.
        """
        with open_archive(path) as archive:
            if self.hash_files and self._sums.knows(path):
                return  # read to its end and hashed by a former run
            names = [*members(archive)] if self.hash_files else wanted
            for name in names:
                if (path, name) not in self._sound:
                    read_member(archive, path, name, keep=False)
                    self._sound.add((path, name))
