# SPDX-License-Identifier: Apache-2.0
"""From attributes of features to classes, and to the lines that become networks.

Laws:
1. Codes are compared as text: `11`, `11.0` and ` 11 ` are one code, whatever type a file (or a
   table) gives it; `011` and `1.1` are others.
2. A code in no row is counted and named, never silently a class.
3. Where classes of one product are coded in several attributes, the first attribute whose value
   has a row decides.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import LegendError
from ..legend import NODATA, Legend, table_rows

DISCARD = NODATA
"""The feature's pixels are nodata: mapped, but not to be learnt; a hole that cleaning may fill."""
UNKNOWN = -1
"""No row lists the feature's code."""
NULL = -2
"""The feature has no code."""
IGNORE = -3
"""The feature counts as not in the file."""

_WHOLE = re.compile(r"([+-]?\d+)\.0*")
"""A whole number as text that was written as a fraction: `11.0`."""
_BACKGROUND = -4
_ALL = "*"
_WORDS = {"": DISCARD, "discard": DISCARD, "ignore": IGNORE, "background": _BACKGROUND}

Columns = Mapping[str, Any]
"""Attribute → Arrow array of its values."""


class Coded(NamedTuple):
    """What the codes of some features mean."""

    values: NDArray[Any]
    """(feature,) int16 classes, or float64 widths in metres; see who made it."""
    unknown: Counter[str]
    """Codes in no row, with their number of features."""
    left_out: Counter[str]
    """`attribute=value` that leaves features out, with their number."""


def as_text(value: Any) -> str | None:
    """A code as the tables write it; None where there is none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bytes):
        value = value.decode("utf-8", errors="replace")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = unicodedata.normalize("NFC", str(value)).strip()
    whole = _WHOLE.fullmatch(text)
    return (whole[1] if whole else text) or None


def _texts(column: Any) -> tuple[NDArray[np.intp], list[str | None]]:
    """Each value's number in a list of the texts that occur, without a loop over the values."""
    import pyarrow as pa
    import pyarrow.compute as pc

    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_dictionary(array.type):  # its own numbering leaves nulls out
        array = array.dictionary_decode()
    coded = pc.dictionary_encode(array, null_encoding="encode")
    numbers = np.asarray(coded.indices.to_numpy(zero_copy_only=False)).astype(np.intp)
    return numbers, [as_text(value) for value in coded.dictionary.to_pylist()]


@dataclass(frozen=True)
class FieldCrosswalk:
    """Where each code of a vector layer goes."""

    name: str
    codes: Mapping[str, Mapping[str, int]]
    """Attribute → code → class, DISCARD, IGNORE; the attribute `*` stands for any code field."""

    @classmethod
    def load(
        cls,
        name: str,
        legend: Legend,
        *,
        ignored: Iterable[str] = (),
        background: int | None = None,
        own: Mapping[str, int | str] | None = None,
    ) -> FieldCrosswalk:
        """Load a packaged crosswalk, or a CSV with (field,) source_code, source_name, code.

        `code` is a class of the legend's finest level, or a word: `discard` (or nothing: nodata),
        `ignore` (as if not in the file), `background` (the class that the recipe names so).

        Args:
            name: packaged name or path.
            legend: what codes must be classes of.
            ignored: source codes that count as `ignore` besides the table.
            background: class of the word `background`.
            own: source code → class or word, in whatever attribute; goes before the table.

        Raises:
            LegendError: no such table, a broken row, or a code in no class of the legend.
        """
        codes: dict[str, dict[str, int]] = {}
        rows = table_rows("crosswalks", name, ("source_code", "code"))
        for number, row in enumerate(rows, start=1):
            source = as_text(row["source_code"])
            field = (row.get("field") or _ALL).casefold()
            try:
                if source is None:
                    raise ValueError("no source_code")
                code = _meant(row["code"], legend, background)
                if codes.get(field, {}).get(source, code) != code:
                    raise ValueError(f"source_code {source} has two rows with different codes")
            except ValueError as error:
                raise LegendError(
                    f"crosswalk {name!r}, row {number}: {error}; columns are field (optional), "
                    "source_code, source_name, code (a class, discard, ignore or background)"
                ) from error
            codes.setdefault(field, {})[source] = code
        read: dict[str, int] = {}
        for given, becomes in (own or {}).items():
            text = as_text(given)
            try:
                if text is None:
                    raise ValueError("the source code is empty")
                read[text] = _meant(str(becomes), legend, background)
            except ValueError as error:
                raise LegendError(f"codes, {given!r}: {error}") from error
        for table in codes.values() if read else ():
            table.update({text: code for text, code in read.items() if text in table})
        codes.setdefault(_ALL, {}).update(read)
        for wanted in ignored:
            left = str(as_text(wanted))
            if left in read:
                raise LegendError(
                    f"source_code {left} stands under codes and under ignore_codes; take it out of one"
                )
            listed = {table.get(left, IGNORE) for table in codes.values()}
            if listed - {IGNORE}:
                raise LegendError(
                    f"crosswalk {name!r}: source_code {left} has a row there and stands under "
                    "ignore_codes too; take it out of one of them"
                )
            codes.setdefault(_ALL, {})[left] = IGNORE
        return cls(Path(name).stem, codes)

    def __call__(self, columns: Columns) -> Coded:
        """Classes of features.

        Args:
            columns: the code attributes by their own name, in the order in which they are asked.

        Returns:
            (feature,) int16 classes, DISCARD, IGNORE, NULL or UNKNOWN; unknown codes, as `code` or
            `attribute=code, attribute=code`; and the codes that `ignore` leaves out.
        """
        result: NDArray[np.int16] = np.empty(0, np.int16)
        texts = []
        for field, column in columns.items():
            numbers, values = _texts(column)
            known = {**self.codes.get(_ALL, {}), **self.codes.get(field.casefold(), {})}
            table = [NULL if v is None else known.get(v, UNKNOWN) for v in values]
            here = np.array([*table, NULL], np.int16)[numbers]
            texts.append((field, numbers, values))
            if len(texts) == 1:
                result = here
            else:
                # An attribute that is empty leaves the word to the next one.
                open_ = (result == UNKNOWN) | (result == NULL)
                better = (here != NULL) & ((here != UNKNOWN) | (result == NULL))
                result = np.where(open_ & better, here, result)
        unknown: Counter[str] = Counter()
        ignored: Counter[str] = Counter()
        for kind, counts in ((UNKNOWN, unknown), (IGNORE, ignored)):
            at = np.flatnonzero(result == kind)
            rows = np.stack([numbers[at] for _, numbers, _ in texts], axis=1)
            for row, n in zip(*np.unique(rows, axis=0, return_counts=True), strict=True):
                parts = [(t[0], t[2][number]) for t, number in zip(texts, row, strict=True)]
                named = [f"{field}={text}" for field, text in parts if text is not None]
                short = kind == UNKNOWN and len(texts) == 1
                counts[named[0].split("=", 1)[1] if short else ", ".join(named)] += int(n)
        return Coded(result, unknown, ignored)


def _meant(text: str, legend: Legend, background: int | None) -> int:
    """Class or mark of a cell `code`. Raises: ValueError, if it is none."""
    word = as_text(text.lower()) or ""
    code = _WORDS[word] if word in _WORDS else int(word)
    if code == _BACKGROUND:
        if background is None:
            raise ValueError("'background' needs background in the recipe")
        code = background
    if code not in (IGNORE, DISCARD) and code not in legend.finest.codes:
        raise ValueError(f"{code} is no class of legend {legend.name!r}")
    return code


@dataclass(frozen=True)
class OneClass:
    """All features of a source are of one class."""

    code: int
    name: str = "code"

    def __call__(self, count: int) -> Coded:
        """(feature,) int16 classes of so many features."""
        return Coded(np.full(count, self.code, np.int16), Counter(), Counter())


@dataclass(frozen=True)
class Rule:
    """One row of a table of networks."""

    field: str
    value: str
    action: str
    """`select`, `drop`, or `keep_only` (other values of the attribute are dropped)."""
    kind: str
    buffer_m: float

    def fits(self, text: str | None) -> bool:
        """Whether a value is meant: equal, any (`*`), or below a number (`<0`)."""
        if self.value.startswith("<"):
            try:
                return text is not None and float(text) < float(self.value[1:])
            except ValueError:  # a word, such as "Gué ou radier"
                return False
        return self.value in (_ALL, text)


def _kept(text: str | None, rules: Sequence[Rule]) -> bool:
    return text is None or any(rule.fits(text) for rule in rules)


@dataclass(frozen=True)
class NetworkRules:
    """Which features of a layer become a network, and how wide."""

    name: str
    rules: tuple[Rule, ...]
    width_m: float | None = None
    """One width for all features, whatever their attributes; there are no rules then."""

    @property
    def widest_m(self) -> float:
        """Greatest width that a feature may get, in metres to each side."""
        return max((rule.buffer_m for rule in self.rules), default=self.width_m or 0.0)

    @property
    def fields(self) -> tuple[str, ...]:
        """Attributes that the rules look at, in the order of the table."""
        return tuple(dict.fromkeys(rule.field for rule in self.rules))

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of lines that the rules select."""
        return tuple(dict.fromkeys(rule.kind for rule in self.rules if rule.action == "select"))

    def with_buffers(self, buffers: Mapping[str, float]) -> NetworkRules:
        """The same rules with other widths by kind.

        Raises:
            LegendError: a kind that no rule selects.
        """
        lost = [kind for kind in buffers if kind not in self.kinds]
        if lost:
            raise LegendError(
                f"network rules {self.name!r} select no {', '.join(lost)}; buffers can be given "
                f"for {', '.join(self.kinds)}"
            )
        changed = [
            Rule(r.field, r.value, r.action, r.kind, buffers.get(r.kind, r.buffer_m))
            for r in self.rules
        ]
        return NetworkRules(self.name, tuple(changed), self.width_m)

    def __call__(self, columns: Columns, count: int, ignored: Sequence[str] = ()) -> Coded:
        """Buffer of each feature.

        A feature is left out where a `drop` fits or a `keep_only` does not. Of attributes with a
        `select` every value must be in the table: the first row that fits decides.

        Args:
            columns: attributes as `fields` names them.
            count: number of features.
            ignored: values that leave a feature out besides the table.

        Returns:
            (feature,) float64 metres to each side, NaN where left out; unknown values, as
            `attribute=value`; and the values that leave features out, as `attribute=value`.
        """
        result = np.full(count, np.nan)
        if self.width_m is not None:
            return Coded(np.full(count, self.width_m), Counter(), Counter())
        left_out: Counter[str] = Counter()
        open_ = np.ones(count, bool)
        keys = {rule.field for rule in self.rules if rule.action == "select"}
        seen = {field: _texts(columns[field]) for field in self.fields}

        def where(field: str, fits: Callable[[str | None], bool]) -> NDArray[np.bool_]:
            numbers, values = seen[field]
            return np.array([*(fits(value) for value in values), False])[numbers]

        def drop(field: str, out: NDArray[np.bool_]) -> None:
            """Leave features out, and remember because of which value."""
            nonlocal open_
            numbers, values = seen[field]
            for number, n in zip(*np.unique(numbers[open_ & out], return_counts=True), strict=True):
                left_out[f"{field}={values[number]}"] += int(n)
            open_ &= ~out

        for field in self.fields:
            kept = [r for r in self.rules if r.field == field and r.action == "keep_only"]
            if kept:
                # Without a value nothing speaks against the feature.
                drop(field, ~where(field, partial(_kept, rules=kept)))
            drop(field, where(field, lambda v: v is not None and v in ignored))
        for rule in self.rules:
            if rule.field not in keys and rule.action == "drop":
                drop(rule.field, where(rule.field, rule.fits))
        for rule in self.rules:
            if rule.field in keys and rule.action != "keep_only":
                hit = open_ & where(rule.field, rule.fits)
                if rule.action == "select":
                    result[hit] = rule.buffer_m
                    open_ &= ~hit
                else:
                    drop(rule.field, hit)
        unknown: Counter[str] = Counter()
        for at in np.flatnonzero(open_):
            parts = [f"{f}={seen[f][1][seen[f][0][at]]}" for f in self.fields if f in keys]
            unknown[", ".join(parts)] += 1
        return Coded(result, unknown, left_out)


@cache
def network_rules(name: str) -> NetworkRules:
    """Load packaged rules, or a CSV with field, value, action, kind, buffer_m.

    Raises:
        LegendError: no such table, or a broken row.
    """
    rules: list[Rule] = []
    table = table_rows("networks", name, ("field", "value", "action", "kind", "buffer_m"))
    for number, row in enumerate(table, start=1):
        try:
            action = row["action"].lower()
            selects = action == "select"
            if action not in ("select", "drop", "keep_only"):
                raise ValueError(f"no action {action!r}: give select, drop or keep_only")
            value = as_text(row["value"])
            if value is None or not row["field"]:
                raise ValueError("field or value is empty")
            buffer_m = float(row["buffer_m"].replace(",", ".")) if selects else 0.0
            if selects and not (0 < buffer_m <= 1_000):
                raise ValueError(f"buffer_m {buffer_m:g} is not within 0 to 1000 metres")
            rule = Rule(row["field"], value, action, row["kind"], buffer_m)
            twice = [r for r in rules if (r.field, r.value) == (rule.field, rule.value)]
            if any(r != rule for r in twice):
                raise ValueError(f"{rule.field} = {value} has two rows that differ")
            rules.append(rule)
        except (KeyError, ValueError) as error:
            raise LegendError(
                f"network rules {name!r}, row {number}: {error}; columns are "
                "field, value, action, kind, buffer_m"
            ) from error
    if not any(rule.action == "select" for rule in rules):
        raise LegendError(f"network rules {name!r}: no row selects anything")
    return NetworkRules(Path(name).stem, tuple(rules))
