# SPDX-License-Identifier: Apache-2.0
r"""Zip archives: their members' names and bytes.

Laws:
1. A member has one name, with `/`: tools that write `\` or `./` make no difference. What macOS
   adds (`__MACOSX/`, `._name`) is no member.
2. A member is read whole and its checksum is checked, or there is an error with the remedy.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path, PurePosixPath

from .errors import SceneError, remedy

MAGIC = b"PK\x03\x04"
"""How a zip archive with members begins."""

_CHUNK = 1 << 22
ENCRYPTED = 1
"""Bit of a member's flags."""


def open_archive(path: Path) -> zipfile.ZipFile:
    """Open a zip archive.

    Raises:
        SceneError: no zip file, truncated, or not to be read.
    """
    try:
        return zipfile.ZipFile(path)
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        advice = remedy(path, error, "the download broke off: fetch it again")
        raise SceneError(f"{path}: no complete zip archive ({error}); {advice}") from error


def members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Files of an archive by their one name (see law 1), sorted."""
    found = {}
    for info in archive.infolist():
        name = info.filename.replace("\\", "/").removeprefix("./")
        if not name.endswith("/") and not is_apple_double(name):
            found[name] = info
    return dict(sorted(found.items()))


def is_apple_double(name: str) -> bool:
    """Whether a file (its path with `/`) holds what macOS keeps beside another one."""
    parts = PurePosixPath(name).parts
    return "__MACOSX" in parts or any(part.startswith("._") for part in parts)


def read_member(archive: zipfile.ZipFile, path: Path, name: str, *, keep: bool = True) -> bytes:
    """Read a member of a zip archive; its CRC-32 is checked on the way.

    Args:
        archive: an open archive.
        path: its path, for messages.
        name: of the member, as `members` has it.
        keep: whether its bytes are wanted, or only looked at.

    Raises:
        SceneError: the member is missing, encrypted, packed in an unknown way or broken.
    """
    parts = []
    try:
        info = archive.NameToInfo.get(name) or members(archive)[name]
        if info.flag_bits & ENCRYPTED:
            raise SceneError(
                f"{path}: the archive is encrypted; unpack it with its password and name the "
                "folder instead"
            )
        with archive.open(info) as stream:
            while chunk := stream.read(_CHUNK):
                if keep:
                    parts.append(chunk)
    except NotImplementedError as error:
        raise SceneError(
            f"{path}: the member {name!r} is packed in a way that is not read ({error}); unpack "
            "the archive and name the folder instead"
        ) from error
    except (OSError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        advice = remedy(path, error, "fetch the archive again")
        raise SceneError(f"{path}: the member {name!r} is broken ({error}); {advice}") from error
    return b"".join(parts)
