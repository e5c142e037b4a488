# SPDX-License-Identifier: Apache-2.0
"""What lies below folders: products, archives, items, rasters, and what is none of them.

Laws:
1. The order of a file system plays no part; everything is walked in the order of names, and what
   links lead to twice (or in a circle) is seen once.
2. Products are not searched: their files are theirs.
3. Content counts, not the suffix: a file without a known one is known by its first bytes.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .. import archives
from ..access import first_bytes
from ..errors import InputError
from .families import FAMILIES, family_of, is_beside, named_family, stray_folder

Kind = Literal["product", "zip", "items", "raster", "no"]


@dataclass(frozen=True)
class Entry:
    """Something that a search has to look at."""

    path: Path
    kind: Kind
    """`product`: a folder of one; files by form; `no`: nothing that is read."""
    told: str = ""
    """Of `no`: why; of a product: its family."""


ITEMS = (".json", ".geojson")
RASTERS = (".tif", ".tiff", ".jp2")
"""Suffixes of rasters that may be of a known family, in lower case."""

_OTHER_RASTERS = (
    ".img", ".vrt", ".nc", ".nc4", ".h5", ".hdf", ".hdf5", ".he5", ".hdf4", ".dim", ".bil", ".bip",
    ".bsq", ".pix", ".kea", ".asc", ".grb", ".grib", ".grib2", ".ntf", ".adf", ".sdat",
)  # fmt: skip
_PACKED = (
    ".gz", ".tgz", ".tar", ".bz2", ".tbz", ".tbz2", ".xz", ".txz", ".zst", ".7z", ".rar", ".z",
)  # fmt: skip
_PARTIAL = (
    ".part", ".partial", ".crdownload", ".download", ".incomplete", ".aria2", ".tmp", ".filepart",
)  # fmt: skip
_PLAIN = frozenset((
    ".xml", ".xsd", ".xsl", ".txt", ".csv", ".tsv", ".md", ".rst", ".log", ".html", ".htm", ".pdf",
    ".png", ".jpg", ".jpeg", ".gif", ".svg", ".bmp", ".webp", ".kml", ".kmz", ".yaml", ".yml",
    ".toml", ".ini", ".cfg", ".py", ".pyc", ".ipynb", ".r", ".sh", ".js", ".css", ".j2", ".qml", ".qgz",
    ".qgs", ".sld", ".gpkg", ".shp", ".shx", ".dbf", ".prj", ".cpg", ".qix", ".qpj", ".sbn", ".sbx",
    ".fgb", ".parquet", ".geoparquet", ".feather", ".gml", ".gfs", ".gpx", ".sqlite", ".db", ".eof",
    ".hdr", ".ovr", ".msk", ".tfw", ".tifw", ".j2w", ".wld", ".aux", ".rrd", ".clr", ".pgw", ".jgw",
    ".npy", ".npz", ".pt", ".pth", ".pkl", ".xlsx", ".xls", ".docx", ".doc", ".pptx", ".odt", ".ods",
    ".jar", ".whl", ".hgt", ".dt2", ".md5", ".sha1", ".sha256", ".sha512", ".url", ".lock",
    ".bin", ".mdb", ".idx",
))  # fmt: skip
"""Suffixes of what lies beside data or is read by other settings; not opened."""

_SYSTEM = ("__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found")
"""Folders of operating systems, with copies and shadows of names."""
_LINES = (".jsonl", ".ndjson", ".geojsonl", ".geojsons")
_HEAD = 1 << 16
_SMALLEST = 22
"""Bytes of the smallest archive."""

_NOT_OPENED = "archive of a form that is not looked into: unpack it and name the folder"
_MAGIC: tuple[tuple[bytes, Kind, str], ...] = (
    *((magic, "zip", "") for magic in (archives.MAGIC, b"PK\x05\x06")),
    # TIFF (two orders of bytes, large), JPEG 2000 (file, stream), HDF5, netCDF.
    *(
        (magic, "raster", "")
        for magic in (
            b"II*\0", b"MM\0*", b"II+\0", b"\0\0\0\x0cjP  ", b"\xffO\xffQ", b"\x89HDF", b"CDF",
        )
    ),
    # gzip, bzip2, xz, 7-Zip, RAR, Zstandard.
    *(
        (magic, "no", _NOT_OPENED)
        for magic in (
            b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!", b"\x28\xb5\x2f\xfd",
        )
    ),
)  # fmt: skip
"""First bytes of files by what they are."""

_HALF = "by its name a download that has not ended: fetch it again, or rename it if it is whole"
_HIDDEN = "a hidden name, as half-written files have: rename it if it is whole"


def entries(paths: Sequence[Path], besides: Path | None = None) -> Iterator[Entry]:
    """What a search finds at and below paths, each thing once; not a folder `besides` on the way.

    Raises:
        InputError: a path does not exist, or may not be read.
    """
    ours = set() if besides is None else {os.path.realpath(besides)}
    seen = ours - {os.path.realpath(path) for path in paths}
    for path in paths:
        try:
            os.stat(path)
        except OSError as error:
            told = "no such file or folder; catalog.paths are relative to where you run"
            if isinstance(error, PermissionError):
                told = "you have no permission to read it; change its permissions"
            raise InputError(f"{path}: {told}") from error
        if path.is_file() and any(f.is_metadata(path.name) for f in FAMILIES.values()):
            yield from _walk(path.parent, seen)
            continue
        below = list(_walk(path, seen, named=True))
        if any(entry.path == path and entry.kind == "no" for entry in below) and path.is_dir():
            raise InputError(f"{path}: {below[0].told}")
        yield from below


def _walk(
    path: Path, seen: set[str], *, parent: str | None = None, named: bool = False
) -> Iterator[Entry]:
    """`parent`: where the folder around it truly is; `named`: the user gave this very path."""
    try:
        if parent is None or path.is_symlink():
            real = os.path.realpath(path)
        else:
            real = f"{parent}/{path.name}"
        if real in seen:
            return
        seen.add(real)
        mode = os.stat(path).st_mode
        if stat.S_ISREG(mode):
            yield from _file(path, named)
            return
        if not stat.S_ISDIR(mode):
            return  # a pipe or a device
        names = sorted(os.listdir(path))
    except OSError as error:
        yield Entry(path, "no", _fault(path, error))
        return
    if family := _family(path, names):
        yield Entry(path, "product", family)
    elif why := stray_folder(names):
        yield Entry(path, "no", why)
    elif path.suffix.lower() == ".zarr":
        yield Entry(path, "no", "a Zarr store, which is not read as a scene")
    else:
        for name in names:
            child = path / name
            if name in _SYSTEM:
                continue
            if name.startswith("."):
                yield from _hidden(child)
            elif not (name.endswith(".data") and f"{name[:-5]}.dim" in names):
                yield from _walk(child, seen, parent=real)


def _fault(path: Path, error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "you have no permission to read it; change its permissions"
    if path.is_symlink():
        return f"a link that leads nowhere ({error.strerror})"
    return f"cannot be read ({error.strerror})"


def _family(path: Path, names: Sequence[str]) -> str | None:
    """The family of a product folder; None for other folders."""
    if found := family_of(names):
        return found
    by_name = named_family(path.name)
    # Archives are often unpacked into a folder of their own name.
    if by_name is None or any(named_family(name) for name in names if (path / name).is_dir()):
        return None
    return by_name


def _file(path: Path, named: bool) -> Iterator[Entry]:
    suffix = path.suffix.lower()
    if archives.is_apple_double(path.name) or is_beside(path.name):
        return
    if suffix == ".zip":
        yield Entry(path, "zip")
    elif suffix in ITEMS:
        yield Entry(path, "items")
    elif suffix in (*RASTERS, *_OTHER_RASTERS):
        yield Entry(path, "raster")
    elif suffix in _PACKED:
        yield Entry(path, "no", _NOT_OPENED)
    elif suffix in _PARTIAL:
        yield Entry(path, "no", _HALF)
    elif suffix in _LINES:
        if b'"stac_version"' in first_bytes(path, _HEAD):
            yield Entry(path, "no", "STAC items a line, not read: save them as a collection")
    elif suffix not in _PLAIN and (entry := _sniffed(path)) is not None:
        yield entry
    elif named:
        yield Entry(path, "no", "no product, archive, STAC item or raster")


def _sniffed(path: Path) -> Entry | None:
    begin = first_bytes(path, _SMALLEST)
    for magic, kind, reason in _MAGIC:
        if len(begin) == _SMALLEST and begin.startswith(magic):
            return Entry(path, kind, reason)
    return None


def _hidden(path: Path) -> Iterator[Entry]:
    """Hidden names are half-written files, ours or those of a download tool."""
    name = path.name.lstrip(".")
    if archives.is_apple_double(path.name):
        return
    data = (".zip", *RASTERS, *_OTHER_RASTERS, *_PACKED, *_PARTIAL)
    product = any(family.PRODUCT_NAME.match(name) for family in FAMILIES.values())
    if product or name.lower().endswith(data):
        yield Entry(path, "no", _HIDDEN)
