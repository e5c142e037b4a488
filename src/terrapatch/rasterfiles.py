# SPDX-License-Identifier: Apache-2.0
"""Which files on disk a raster's pixels come from: itself, its sidecars, the sources of a VRT.

Laws:
1. What GDAL would read to give the pixels is named, through VRTs of VRTs; nothing is read here
   but heads.
2. Pixels that lie elsewhere than in files on this machine are refused: no hash can stand for them.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from .access import file_of, opened
from .errors import InputError, SceneError

_ELSEWHERE = {
    "WMS",
    "WMTS",
    "WCS",
    "STACIT",
    "STACTA",
    "HTTP",
    "OGCAPI",
    "GTI",
    "EEDAI",
    "PLMOSAIC",
}
"""Drivers whose files name pixels that they do not hold, and do not tell us where these are."""


def files_beside(address: str, driver: str = "", files: Sequence[str] = ()) -> tuple[Path, ...]:
    """Files that pixels come from besides the one at the address, in the order of their names.

    Sidecars (`.msk`, `.hdr`, `.aux.xml`, world files) and, of a VRT, its sources with theirs.
    Overviews count only below a VRT, which may read them; everything else is read at full size.

    Args:
        address: what GDAL opens.
        driver: what its header says, where it has been read: opening a file takes most of the time.
        files: the same.

    Raises:
        InputError: a source is missing or lies elsewhere than on this machine.
        SceneError: a source cannot be read.
    """
    found: dict[Path, None] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        for file in _walk(address, address, set(), driver, files):
            found[file] = None
    found.pop(_absolute(file_of(address)), None)
    return tuple(sorted(found))


def _absolute(path: Path | None) -> Path:
    return Path(os.path.abspath(path or ""))


def _walk(
    address: str, top: str, seen: set[str], driver: str = "", names: Sequence[str] = ()
) -> Iterator[Path]:
    """Files of a raster and of all that it is made from."""
    seen.add(address)
    try:
        if driver in ("", "VRT"):
            driver, names = _listed(address)
    except RasterioError as error:
        file = file_of(address)
        if address != top and file is not None and file.is_file():
            if file.suffix.lower() in (".vrt", ".tif", ".tiff", ".jp2"):
                raise SceneError(
                    f"{top}: its source {address} cannot be read "
                    f"({error.__cause__ or error}); mend or replace it"
                ) from error
            yield _absolute(file)  # the bare pixels of a raw band
            return
        raise SceneError(f"{address}: cannot be read ({error.__cause__ or error})") from error
    if driver in _ELSEWHERE:
        raise InputError(
            f"{top}: {'' if address == top else f'{address} is '}a list of pixels that lie elsewhere "
            f"(GDAL's driver {driver}), which no lock can hold; give files, or a VRT of files "
            "(gdalbuildvrt)"
        )
    for name in names:
        file = file_of(name)
        if file is None:
            raise InputError(
                f"{top}: its source {name} is not on this machine, so its pixels can change unseen; "
                "copy it here (gdal_translate) and name the copy"
            )
        if driver == "VRT" and name != address:
            if name in seen:
                continue
            if not (file.exists() or ":" in name):
                raise InputError(
                    f"{top}: its source {name} is missing; put it there, or make the VRT again from "
                    "the files that are (gdalbuildvrt)"
                )
            yield from _walk(name, top, seen)
        elif file.is_file() and (address != top or file.suffix.lower() != ".ovr"):
            yield _absolute(file)


def _listed(address: str) -> tuple[str, list[str]]:
    """GDAL's driver for a raster, and the files that it reads."""
    with opened(address) as dataset:
        more = _masks(dataset, address) if dataset.driver == "VRT" else ()
        return dataset.driver, [*dataset.files, *more]


def _masks(dataset: rasterio.DatasetReader, address: str) -> Iterator[str]:
    """Sources of a VRT's mask bands, which GDAL's list of files leaves out."""
    text = dataset.tags(ns="xml:VRT").get("xml:VRT", "")
    if "<MaskBand>" not in text:
        return
    for element in ET.fromstring(text).iterfind(".//MaskBand//SourceFilename"):  # noqa: S314
        name = element.text or ""
        relative = element.get("relativeToVRT") == "1"
        yield os.path.join(os.path.dirname(address), name) if relative else name
