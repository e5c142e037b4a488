# SPDX-License-Identifier: Apache-2.0
"""Zipped and 7-zipped vector files, unpacked once.

Laws:
1. An archive is unpacked whole or not at all; checksums are checked on the way.
2. The folder's name comes from the archive's content: a new archive is never read from old files.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from ..errors import InputError, SceneError, remedy
from ..files import storage_error

ARCHIVES = (".zip", ".7z")
"""Suffixes of archives, in lower case."""

TABLES = (".gpkg", ".shp", ".fgb", ".parquet", ".geoparquet", ".geojson")
"""Suffixes of vector files, in lower case."""

JSON = (".geojson", ".json")
"""Suffixes of GeoJSON; in an archive .json may be anything, so there only the first counts."""

SIDECARS = (".shx", ".dbf", ".prj", ".cpg")
"""Suffixes of the files that belong to a shapefile."""

_SAMPLE = 2**20
_ENCRYPTED = 1
"""Flag of an encrypted member. Source: PKWARE APPNOTE.TXT, 4.4.4."""
_REMEDY = "the download broke off or the file is damaged: fetch it again"


def unpacked(archive: Path, folder: Path) -> Path:
    """Folder with the vector files of an archive; unpacked on first use.

    Args:
        archive: a .zip or .7z file.
        folder: where unpacked archives are kept, one folder each.

    Raises:
        InputError: no such file, or the library for .7z is not installed.
        SceneError: truncated, damaged, encrypted, or without any vector file.
        StorageError: no space for the files.
    """
    if not archive.is_file():
        raise InputError(f"{archive}: no such file; paths are relative to where you run")
    try:
        target = folder / f"{archive.stem}-{_key(archive)}"
    except OSError as error:
        raise _broken(archive, error) from error
    if target.is_dir():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{target.name}.{os.getpid()}.part"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        extract = _extract_zip if archive.suffix.lower() == ".zip" else _extract_7z
        extract(archive, temporary)
        try:
            temporary.rename(target)
        except OSError:
            if not target.is_dir():  # else another job was faster, with the same files
                raise
    except OSError as error:
        raise storage_error(target, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def _key(path: Path) -> str:
    """Name of a content: size, beginning and end of a file (archives end with their index)."""
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as stream:
        digest.update(stream.read(_SAMPLE))
        stream.seek(max(0, size - _SAMPLE))
        digest.update(stream.read(_SAMPLE))
    return digest.hexdigest()[:16]


def _wanted(archive: Path, names: Sequence[str]) -> list[str]:
    """Members to unpack: vector files and what belongs to them."""
    keep = [n for n in names if PurePosixPath(n).suffix.lower() in (*TABLES, *SIDECARS)]
    if any(n.startswith("/") or ".." in PurePosixPath(n).parts for n in keep):
        raise SceneError(f"{archive}: the archive names files outside of itself; do not trust it")
    if not any(PurePosixPath(n).suffix.lower() in TABLES for n in keep):
        raise SceneError(
            f"{archive}: no vector file in the archive (looked for {', '.join(TABLES)} among "
            f"{len(names)} members); name another file"
        )
    return keep


def _extract_zip(archive: Path, target: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as opened:
            names = _wanted(archive, opened.namelist())
            if any(opened.getinfo(name).flag_bits & _ENCRYPTED for name in names):
                raise _locked_up(archive)
            opened.extractall(target, names)  # checked names
    except SceneError:
        raise
    except NotImplementedError as error:
        raise SceneError(
            f"{archive}: packed in a way that Python does not read ({error}); unpack it yourself and "
            "name the vector file in it"
        ) from error
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise _broken(archive, error) from error


def _extract_7z(archive: Path, target: Path) -> None:
    try:
        import py7zr
    except ImportError as error:
        raise InputError(
            f"{archive}: reading .7z takes the package py7zr (pip install 'terrapatch[archives]'); "
            "or unpack the file yourself and name the vector file in it"
        ) from error
    try:
        with py7zr.SevenZipFile(archive, "r") as opened:
            names = [entry.filename for entry in opened.list() if not entry.is_directory]
            opened.extract(path=target, targets=_wanted(archive, names))
    except (SceneError, MemoryError):
        raise
    except OSError as error:
        if error.errno is not None and not isinstance(error, EOFError):
            raise
        raise _broken(archive, error) from error
    except py7zr.exceptions.PasswordRequired as error:
        raise _locked_up(archive) from error
    except Exception as error:  # the library meets broken headers with errors of many kinds
        raise _broken(archive, error) from error


def _locked_up(archive: Path) -> SceneError:
    return SceneError(
        f"{archive}: is encrypted; unpack it with its password and name the vector file in it"
    )


def _broken(archive: Path, error: Exception) -> SceneError:
    text = str(error).strip() or type(error).__name__
    kind = "zip" if archive.suffix.lower() == ".zip" else "7z"
    advice = remedy(archive, error, _REMEDY)
    return SceneError(f"{archive}: no complete {kind} archive ({text}); {advice}")
