# SPDX-License-Identifier: Apache-2.0
"""Which band of a file is meant: by order, by number, or by what the file calls its bands.

Laws:
1. A description that is no name of a band says nothing; one that is must not contradict the recipe.
2. Of several bands of one name none is taken: the recipe gives the number.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from ..rasters import Header
from ..settings import S2_BANDS, RasterSource
from .traits import TRAITS

COMMON_NAMES = {
    "B01": "coastal", "B02": "blue", "B03": "green", "B04": "red", "B05": "rededge1",
    "B06": "rededge2", "B07": "rededge3", "B08": "nir", "B8A": "nir08", "B09": "nir09",
    "B10": "cirrus", "B11": "swir16", "B12": "swir22",
}  # fmt: skip
"""Names of Sentinel-2 bands in catalogues (STAC, Earth Search)."""

_WORDS = {name: band for band, name in COMMON_NAMES.items()} | {
    "coastalaerosol": "B01", "aerosol": "B01", "ultrablue": "B01", "narrownir": "B8A",
    "nirnarrow": "B8A", "nir2": "B8A", "watervapour": "B09", "watervapor": "B09", "swir1": "B11",
    "swir2": "B12", "scl": "SCL", "sceneclassification": "SCL",
}  # fmt: skip
ALSO = {"B8A": "B08"}
"""Bands that are called by another one's common name: `nir` may be the narrow one."""
_BAND = re.compile(r"(?<![A-Za-z0-9])(?:B|Band[ _-]?)0?(\d{1,2})(A?)(?![A-Za-z0-9])", re.IGNORECASE)
_POSITION = re.compile(r"\s*(?:band|layer)[ _-]?(\d+)\s*", re.IGNORECASE)
_POLARISATION = re.compile(r"(?<![A-Za-z0-9])(VV|VH|HH|HV)(?![A-Za-z0-9])", re.IGNORECASE)
_DECIBEL = re.compile(r"(?<![A-Za-z0-9])db(?![A-Za-z0-9])", re.IGNORECASE)


def band_name(text: str | None, sensor: Literal["sentinel2", "sentinel1"]) -> str | None:
    """The band that a description means (`B4`, `Band 4`, `B04_10m`, `red`; `Sigma0_VV_db`), if any."""
    if not text:
        return None
    if TRAITS[sensor].power:
        found = {match.upper() for match in _POLARISATION.findall(text)}
        return found.pop() if len(found) == 1 else None
    names = {
        f"B{number:0>2}" if not a else f"B{number}A" for number, a in _BAND.findall(text.upper())
    }
    if not names:
        return _WORDS.get(re.sub(r"[^a-z0-9]", "", text.lower()))
    return names.pop() if len(names) == 1 and names <= {*S2_BANDS} else None


def in_decibel(text: str | None) -> bool:
    """Whether a description of a radar band says decibel."""
    return text is not None and _DECIBEL.search(text) is not None


def described_bands(
    header: Header, sensor: Literal["sentinel2", "sentinel1"]
) -> tuple[str | None, ...]:
    """What the file calls each of its bands."""
    texts = header.descriptions
    places = [_POSITION.fullmatch(text or "") for text in texts]
    if all(m and int(m[1]) == number for number, m in enumerate(places, start=1)):
        return (None,) * len(texts)  # "Band 1", "Band 2" …: numbers of the file, not of the sensor
    return tuple(band_name(text, sensor) for text in texts)


def chosen_bands(source: RasterSource, header: Header | None) -> tuple[list[str], dict[str, int]]:
    """Bands of an entry of `catalog.rasters` with their numbers in the file, from 1.

    Args:
        source: the entry, of a sensor.
        header: of its file; None where each band has a file of its own.

    Returns:
        What is wrong, as `bands: …`, and the bands.
    """
    assert source.sensor != "reference"
    if header is None:
        if isinstance(source.bands, dict):
            return ["bands: numbers are for one file with all bands, not for {band}"], {}
        return [], dict.fromkeys(source.bands, 1)
    told = described_bands(header, source.sensor)
    if isinstance(source.bands, dict):
        return _by_number(source, header, told)
    if not source.bands:
        names: Sequence[str] = [name for name in told if name is not None]
        return _by_name(source, names, told)
    by_name = len(source.bands) < header.count and set(source.bands) <= set(told)
    if by_name:
        return _by_name(source, source.bands, told)
    numbers = {band: number for number, band in enumerate(source.bands, start=1)}
    return _contradictions(source, numbers, header, told), numbers


def _by_name(
    source: RasterSource, names: Sequence[str], told: Sequence[str | None]
) -> tuple[list[str], dict[str, int]]:
    places = {name: [n for n, t in enumerate(told, start=1) if t == name] for name in names}
    several = {name: found for name, found in places.items() if len(found) > 1}
    if several:
        told_places = "; ".join(f"{name} are {found}" for name, found in several.items())
        example = ", ".join(f"{name}: {found[0]}" for name, found in several.items())
        return [
            f"bands: {source.path} has several bands of one name ({told_places}); give numbers, "
            f"for example bands: {{{example}}}"
        ], {}
    return [], {name: found[0] for name, found in places.items()}


def _by_number(
    source: RasterSource, header: Header, told: Sequence[str | None]
) -> tuple[list[str], dict[str, int]]:
    assert isinstance(source.bands, dict)
    findings, numbers = [], {}
    texts = [(text or "").strip() for text in header.descriptions]
    for band, place in source.bands.items():
        if isinstance(place, int):
            numbers[band] = place
            continue
        found = [n for n, text in enumerate(texts, start=1) if text == place.strip()]
        if len(found) == 1:
            numbers[band] = found[0]
        else:
            findings.append(
                f"bands: {len(found) or 'no'} band(s) of {source.path} described as {place!r}; it has "
                f"{texts}"
            )
    return findings + _contradictions(source, numbers, header, told), numbers


def _contradictions(
    source: RasterSource, numbers: dict[str, int], header: Header, told: Sequence[str | None]
) -> list[str]:
    texts = dict(enumerate(header.descriptions, start=1))  # numbers beyond are told by the plan
    return [
        f"bands: {band} is to be band {number} of {source.path}, and the file describes that band "
        f"as {texts[number]!r}; correct the recipe, or the description in a copy of the file"
        for band, number in numbers.items()
        if number in texts and told[number - 1] not in (None, band, ALSO.get(band))
    ]
