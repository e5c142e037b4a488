# SPDX-License-Identifier: Apache-2.0
"""The one door to bytes: what an address means, what GDAL opens for it, how people are told of it.

Bytes lie in a file of this machine, in a member of a zip archive, or behind an address of the
network (`https://`, `s3://`). GDAL takes keys and signatures for the latter from the environment
(`AWS_…`, `VSICURL_PC_URL_SIGNING`), so a lock can do without them.

Laws:
1. Whatever reads the bytes of a scene opens them here, and nowhere else.
2. What may be secret in an address (its query, a user's name and password) stands in no message
   and in no lock, see `shown`.
"""

from __future__ import annotations

import os
import re
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import rasterio

from .archives import open_archive, read_member
from .errors import SceneError, SourceError, remedy

_ZIP = "/vsizip/"
_IN_ARCHIVES = (_ZIP, "/vsitar/", "/vsigzip/", "/vsi7z/", "/vsirar/")
"""Addresses inside of a file."""
_REMOTE = {
    "http": "/vsicurl/http://", "https": "/vsicurl/https://", "s3": "/vsis3/", "gs": "/vsigs/",
    "az": "/vsiaz/",
}  # fmt: skip
"""How GDAL calls what lies behind an address of the network, by its scheme."""
_SECRET = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)(?:[^/@\s'\"]*@)?(?P<path>[^?\s'\"})]*)"
                     r"(?:\?[^\s'\"})]*)?", re.IGNORECASE)  # fmt: skip
_PATIENCE_S = 60


@dataclass(frozen=True, slots=True)
class Access:
    """Where bytes lie: a file or an address of the network, or a member of an archive there."""

    path: str
    """A path of this machine, or an address with a scheme."""
    member: str | None = None
    """Name inside a zip archive."""

    @property
    def local(self) -> Path | None:
        """The file on this machine (the archive of a member); None for what lies elsewhere."""
        return None if "://" in self.path else Path(self.path)

    @property
    def href(self) -> str:
        """The address as the lock has it: see `portable` and `shown`."""
        path = shown(self.path) if self.local is None else portable(self.local)
        return path if self.member is None else address(path, self.member)


def portable(path: Path) -> str:
    """A path as the lock records it: relative where it lies under the working directory."""
    absolute = os.path.abspath(path)
    relative = os.path.relpath(absolute)
    return absolute if relative.split(os.sep)[0] == os.pardir else relative


def shown(text: str) -> str:
    """An address, or any text with addresses in it, without what may be secret."""
    return _SECRET.sub(r"\g<scheme>\g<path>", text) if "://" in text else text


def address(path: str, member: str) -> str:
    """The address of a member; archives without the suffix .zip stand in braces."""
    archive = _opened_by_gdal(path)
    braces = not archive.lower().endswith(".zip") or archive.startswith("/vsi")
    return f"{_ZIP}{f'{{{archive}}}' if braces else archive}/{member}"


def file_of(href: str) -> Path | None:
    """The file on disk behind an address: itself, or the archive that holds it.

    None for what is not on this machine's file system.
    """
    if not href.startswith("/vsi"):
        return None if "://" in href else Path(href)
    prefix = next((p for p in _IN_ARCHIVES if href.startswith(p)), None)
    if prefix is None:
        return None
    inside = href.removeprefix(prefix)
    if inside.startswith("{"):
        return file_of(inside[1:].partition("}")[0])
    if inside.startswith("/vsi"):  # an archive in an archive, or on the network
        return file_of(inside)
    path = Path(inside)
    archives = [p for p in (path, *path.parents) if p.suffix.lower() in (".zip", ".tar", ".gz")]
    found = next((p for p in (path, *path.parents) if p.is_file()), None)
    return found or (archives[-1] if archives else path)


def split_address(href: str) -> Access:
    """The file behind an address, and the member's name where it is an archive's."""
    if not href.startswith(_ZIP):
        return Access(href)
    inside = href.removeprefix(_ZIP)
    if inside.startswith("{"):
        path, _, member = inside[1:].partition("}/")
        return Access(path, member)
    whole = Path(inside)
    archives = [p for p in (whole, *whole.parents) if p.suffix.lower() == ".zip"]
    found = next((p for p in archives if p.is_file()), archives[-1] if archives else whole)
    return Access(str(found), os.path.relpath(inside, found) if found != whole else None)


def opened(href: str) -> rasterio.DatasetReader:
    """A raster, opened to be read.

    Raises:
        rasterio.errors.RasterioError: it cannot be opened; see `rasters.unreadable` for the words.
        SourceError: an address of a kind that is not read.
    """
    return rasterio.open(_opened_by_gdal(href))


def _opened_by_gdal(href: str) -> str:
    if href.startswith("/vsi") or "://" not in href:
        return href
    scheme, _, rest = href.partition("://")
    if scheme.lower() not in _REMOTE:
        raise SourceError(
            f"{shown(href)}: addresses that begin with {scheme}:// are not read; fetch the file "
            "and name its path"
        )
    return _REMOTE[scheme.lower()] + rest


def read_bytes(href: str) -> bytes:
    """Bytes of a file, of a member of an archive (`/vsizip/…`), or behind a web address.

    Raises:
        SceneError: missing or damaged.
        SourceError: the network gives none.
    """
    if href.startswith(("http://", "https://")):
        return _from_web(href)
    at = split_address(href)
    if at.local is None:
        raise SourceError(f"{shown(href)}: is not on this machine; fetch it and name its path")
    try:
        return bytes_of(at.local, at.member)
    except OSError as error:
        advice = remedy(at.local, error, "fetch the product again")
        raise SceneError(f"{at.local}: cannot be read ({error}); {advice}") from error


def bytes_of(path: Path, member: str | None = None) -> bytes:
    """Bytes of a file of this machine, or of a member of the archive that it is.

    Raises:
        OSError: the file cannot be read.
        SceneError: the archive or its member is missing or damaged.
    """
    if member is None:
        return path.read_bytes()
    with open_archive(path) as archive:
        return read_member(archive, path, member)


def first_bytes(path: Path, count: int) -> bytes:
    """The beginning of a file of this machine.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as stream:
        return stream.read(count)


def _from_web(href: str) -> bytes:
    try:
        with urllib.request.urlopen(href, timeout=_PATIENCE_S) as answer:  # noqa: S310 (http alone)
            return bytes(answer.read())
    except (OSError, urllib.error.URLError) as error:
        raise SourceError(
            f"{shown(href)}: the network did not give it ({shown(str(error))}); try again, or "
            "fetch the file and name its path"
        ) from None
