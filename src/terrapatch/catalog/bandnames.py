# SPDX-License-Identifier: Apache-2.0
"""Which band of a file is meant: by order, by number, or by what the file calls its bands.

Laws:
1. A description that is no name of a band says nothing; one that is must not contradict the recipe.
2. Of several bands of one name none is taken: the recipe gives the number.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..rasters import Header
from ..settings import RasterSource
from .traits import TRAITS

_POSITION = re.compile(r"\s*(?:band|layer)[ _-]?(\d+)\s*", re.IGNORECASE)
_DECIBEL = re.compile(r"(?<![A-Za-z0-9])db(?![A-Za-z0-9])", re.IGNORECASE)


def band_name(text: str | None, kind: str) -> str | None:
    """The band of a kind of scenes that a description means, if any."""
    return TRAITS[kind].band_name(text) if text else None


def in_decibel(text: str | None) -> bool:
    """Whether a description of a radar band says decibel."""
    return text is not None and _DECIBEL.search(text) is not None


def described_bands(header: Header, kind: str) -> tuple[str | None, ...]:
    """What the file calls each of its bands."""
    texts = header.descriptions
    places = [_POSITION.fullmatch(text or "") for text in texts]
    if all(m and int(m[1]) == number for number, m in enumerate(places, start=1)):
        return (None,) * len(
            texts
        )  # "Band 1", "Band 2" …: numbers of the file, not of the satellite
    return tuple(band_name(text, kind) for text in texts)


def chosen_bands(source: RasterSource, header: Header | None) -> tuple[list[str], dict[str, int]]:
    """Bands of an entry of `catalog.rasters` with their numbers in the file, from 1.

    Args:
        source: the entry, of images.
        header: of its file; None where each band has a file of its own.

    Returns:
        What is wrong, as `bands: …`, and the bands.
    """
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
    also = TRAITS[source.sensor].also
    texts = dict(enumerate(header.descriptions, start=1))  # numbers beyond are told by the plan
    return [
        f"bands: {band} is to be band {number} of {source.path}, and the file describes that band "
        f"as {texts[number]!r}; correct the recipe, or the description in a copy of the file"
        for band, number in numbers.items()
        if number in texts and told[number - 1] not in (None, band, also.get(band))
    ]
