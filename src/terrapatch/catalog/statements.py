# SPDX-License-Identifier: Apache-2.0
"""What file, product metadata and recipe say about the numbers in a band, held against each other.

Laws:
1. Who says nothing contradicts nobody: a scale of 1 with an offset of 0 is what software writes
   that knows neither, unless the numbers are floating-point and the scale is stated outright.
2. Two who say different things are an error that names all of them; nobody wins.
3. What is settled goes into the lock: stages ask no file and no metadata again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from typing import Annotated, Literal, TypeVar

import numpy as np
from pydantic import PlainSerializer

from ..errors import SceneError, TerrapatchError
from ..legend import NODATA, load_crosswalk
from ..rasters import Header
from ..records import LockedItem

Unit = Literal["linear", "db"]
T = TypeVar("T")

FULL_SCALE = 10_000.0
"""Number of reflectance 1 in products, where nobody says otherwise."""
_LARGEST_REFLECTANCE = 2.0
"""Offsets beyond this, without a scale, are DN."""


Missing = Annotated[
    float, PlainSerializer(lambda v: "nan" if math.isnan(v) else v, when_used="json")
]


@dataclass(frozen=True, eq=False, slots=True)
class Statement:
    """What one source says about a band; None where it is silent."""

    who: str
    """For messages: the file's tag, the item's path …"""
    nodata: Missing | None = None
    add_offset: float | None = None
    """Added to the numbers in the file."""
    quantification: float | None = None
    """Number + offset, divided by this, is what was measured."""
    unit: Unit | None = None

    def __eq__(self, other: object) -> bool:
        """Whether both say the same; NaN is NaN here."""
        return isinstance(other, Statement) and self._words == other._words

    def __hash__(self) -> int:
        return hash(self._words)

    @property
    def _words(self) -> tuple[str, ...]:
        return tuple(map(repr, astuple(self)))


SILENT = Statement("nobody says")


def statement(
    who: str, *, scale: float | None = None, offset: float | None = None,
    nodata: float | None = None, unit: Unit | None = None, reflectance: bool = False,
    floating: bool = False,
) -> Statement:  # fmt: skip
    """A statement in the form of GDAL and STAC: measured = number · scale + offset.

    Args:
        who: who says it.
        scale: None or 1 says nothing, but for floating-point numbers (1 stated outright).
        offset: in the units of `scale`; without a scale 0 says nothing beside a scale of 1.
        nodata: missing number.
        unit: of radar backscatter.
        reflectance: whether reflectance is measured: offsets of −0.1 without a scale are meant
            with 0.0001.
        floating: whether the numbers are floating-point.
    """
    silent = scale in (None, 0.0, 1.0) and not (floating and scale == 1.0)
    if silent and scale is not None and offset == 0:
        offset = None
    quantification = None if silent or not scale else round(1 / scale, 6)
    add_offset = None
    if offset is not None:
        if not silent and scale:
            add_offset = offset / scale
        elif reflectance and abs(offset) <= _LARGEST_REFLECTANCE:
            add_offset = offset * FULL_SCALE
        else:
            add_offset = offset
        add_offset = round(add_offset, 6)
    return Statement(who, nodata, add_offset, quantification, unit)


def of_header(header: Header, band: int, *, reflectance: bool) -> Statement:
    """What the file's own tags say about a band."""
    number = band - 1
    nodata = header.nodatas[number]
    return statement(
        "the file's tags say",
        scale=header.scales[number],
        offset=header.offsets[number],
        nodata=nodata if nodata is not None and possible(nodata, header.dtypes[number]) else None,
        unit="db" if (header.units[number] or "").strip().lower() in ("db", "decibel") else None,
        reflectance=reflectance,
    )


def possible(value: float, dtype: str) -> bool:
    """Whether a pixel of that type can have that value."""
    if math.isnan(value):
        return True
    kind = np.dtype(dtype)
    if np.issubdtype(kind, np.integer):
        limits = np.iinfo(kind)
        return value == int(value) and limits.min <= value <= limits.max
    return math.isinf(value) or abs(value) <= float(np.finfo(kind).max)


def check_tags(
    href: str, header: Header, band: int, said: Sequence[Statement], *, codes: bool,
    reflectance: bool = False,
) -> None:  # fmt: skip
    """Whether what is said about a band can be true of it.

    Args:
        href: the file.
        header: its header.
        band: number in the file, from 1.
        said: what metadata and recipe say.
        codes: whether the numbers are codes.
        reflectance: whether they are reflectances.

    Raises:
        SceneError: an alpha band, codes with a scale, a nodata value that no pixel can have.
    """
    number = band - 1
    own = of_header(header, band, reflectance=False)
    if header.interpretations[number] == "alpha":
        raise SceneError(
            f"{href}: band {band} is wanted, and the file says that it is an alpha band; correct "
            "the bands in the recipe, or, where it holds measurements, a copy of the file "
            f"(gdal_edit.py -colorinterp_{band} undefined)"
        )
    if codes and (own.quantification, own.add_offset) != (None, None):
        raise SceneError(
            f"{href}: the file's tags give its codes a scale of {header.scales[number]:g} and an "
            f"offset of {header.offsets[number]:g}; codes have none: correct the tags of a copy "
            "(gdal_edit.py -scale 1 -offset 0)"
        )
    stated = [(s.who, s.nodata) for s in said if s.nodata is not None]
    tag = header.nodatas[number]
    # Maps have a crosswalk, which refuses what it does not know; no power is below 0.
    if tag is not None and reflectance and not codes:
        stated.append((own.who, tag))
    for who, value in stated:
        if not possible(value, header.dtypes[number]):
            raise SceneError(
                f"{href}: {who} nodata {value:g}, which no pixel of {header.dtypes[number]} can be; "
                "correct it (the tag of a copy of the file: gdal_edit.py -a_nodata VALUE, or "
                "-unsetnodata)"
            )


def settled(href: str, statements: Sequence[Statement], usual: Statement = SILENT) -> Statement:
    """What all statements about a band say together, and what usually holds where they are silent.

    Raises:
        SceneError: two of them contradict each other; names all.
    """
    found = _together(href, statements)
    return Statement(
        "all",
        nodata=usual.nodata if found.nodata is None else found.nodata,
        add_offset=usual.add_offset if found.add_offset is None else found.add_offset,
        quantification=found.quantification,
        unit=found.unit or usual.unit,
    )


def _together(href: str, statements: Sequence[Statement]) -> Statement:
    return Statement(
        "all",
        nodata=_one(
            href, "missing pixels", [(s.who, s.nodata) for s in statements],
            lambda v: f"nodata {v:g}",
            "correct the wrong one (the tag of a copy of the file: gdal_edit.py -a_nodata VALUE, or "
            "-unsetnodata)",
        ),
        add_offset=_one(
            href, "the radiometric offset", [(s.who, s.add_offset) for s in statements],
            lambda v: f"{v:g} to be added to each DN",
            "correct the recipe (add_offset, offset), or the tag of a copy of the file "
            "(gdal_edit.py -offset, -scale)",
        ),
        quantification=_one(
            href, "the scale", [(s.who, s.quantification) for s in statements],
            lambda v: f"scale {1 / v:g}",
            "correct the recipe (scale), or the tag of a copy of the file (gdal_edit.py -scale)",
        ),
        unit=_one(
            href, "the unit", [(s.who, s.unit) for s in statements], str,
            "correct the recipe (unit), or the tag of a copy of the file (gdal_edit.py -units)",
        ),
    )  # fmt: skip


def _one(
    href: str, what: str, said: Sequence[tuple[str, T | None]], words: Callable[[T], str], mend: str
) -> T | None:
    """What all say that say anything."""
    stated = [(who, value) for who, value in said if value is not None]
    # NaN is missing whatever else is.
    numbers = [(who, v) for who, v in stated if not (isinstance(v, float) and math.isnan(v))]
    stated = numbers or stated[:1]
    for _, value in stated[1:]:
        first = stated[0][1]
        same = (
            math.isclose(value, first, rel_tol=1e-6, abs_tol=1e-6)
            if isinstance(value, float) and isinstance(first, float)
            else value == first
        )
        if not same:
            told = ", ".join(f"{who} {words(v)}" for who, v in stated)
            raise SceneError(f"{href}: contradicting statements about {what}: {told}; {mend}")
    return stated[0][1] if stated else None


def wrong_codes(items: Sequence[LockedItem], crosswalk: str) -> list[TerrapatchError]:
    """Maps whose nodata value is a class of their crosswalk, an error each."""
    errors: list[TerrapatchError] = []
    for asset in (item.assets["map"] for item in items):
        try:
            table = load_crosswalk(crosswalk)
        except TerrapatchError as error:
            return [error]
        code = asset.nodata
        # Codes are whole numbers: NaN, infinity and fractions are no class of any crosswalk.
        if (
            code is None
            or not float(code).is_integer()
            or table.codes.get(int(code), NODATA) == NODATA
        ):
            continue
        name, label = table.names[int(code)], table.codes[int(code)]
        errors.append(
            SceneError(
                f"{asset.href}: contradicting statements about code {code:g}: the map says nodata "
                f"{code:g}, crosswalk {crosswalk!r} lists it as {name!r}, class {label}; leave its "
                "code empty in the crosswalk, or take the nodata value off a copy of the map "
                "(gdal_edit.py -unsetnodata)"
            )
        )
    return errors
