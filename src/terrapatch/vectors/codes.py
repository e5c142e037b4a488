# SPDX-License-Identifier: Apache-2.0
"""From attributes of features to classes, and to the lines that become networks.

Laws:
1. Codes are compared as text: `11`, `11.0` and ` 11 ` are one code, whatever type a file gives it.
2. A code in no row is counted and named, never silently a class.
3. Where classes of one product are coded in several attributes, the first attribute whose value
   has a row decides.
"""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

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

_BACKGROUND = -4
_ALL = "*"
_WORDS = {"": DISCARD, "discard": DISCARD, "ignore": IGNORE, "background": _BACKGROUND}

Columns = Mapping[str, Any]
"""Attribute → Arrow array of its values."""


def as_text(value: Any) -> str | None:
    """A code as the tables write it; None where there is none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = unicodedata.normalize("NFC", str(value)).strip()
    return text or None


def _texts(column: Any) -> tuple[NDArray[np.intp], list[str | None]]:
    """Each value's number in a list of the texts that occur, without a loop over the values."""
    import pyarrow as pa
    import pyarrow.compute as pc

    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
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
    ) -> FieldCrosswalk:
        """Load a packaged crosswalk, or a CSV with (field,) source_code, source_name, code.

        `code` is a class of the legend's finest level, or a word: `discard` (or nothing: nodata),
        `ignore` (as if not in the file), `background` (the class that the recipe names so).

        Args:
            name: packaged name or path.
            legend: what codes must be classes of.
            ignored: source codes that count as `ignore` besides the table.
            background: class of the word `background`.

        Raises:
            LegendError: no such table, a broken row, or a code in no class of the legend.
        """
        codes: dict[str, dict[str, int]] = {}
        for number, row in enumerate(table_rows("crosswalks", name), start=1):
            text = (row.get("code") or "").strip()
            source = as_text(row.get("source_code"))
            try:
                if source is None:
                    raise ValueError("no source_code")
                code = _WORDS[text] if text in _WORDS else int(text)
                if code == _BACKGROUND:
                    if background is None:
                        raise ValueError("'background' needs reference.background in the recipe")
                    code = background
                if code not in (IGNORE, DISCARD) and code not in legend.finest.codes:
                    raise ValueError(f"{code} is no class of legend {legend.name!r}")
            except ValueError as error:
                raise LegendError(
                    f"crosswalk {name!r}, row {number}: {error}; columns are field (optional), "
                    "source_code, source_name, code (a class, discard, ignore or background)"
                ) from error
            codes.setdefault((row.get("field") or _ALL).casefold(), {})[source] = code
        for source in ignored:
            codes.setdefault(_ALL, {})[str(as_text(source))] = IGNORE
        return cls(Path(name).stem, codes)

    def __call__(self, columns: Columns) -> tuple[NDArray[np.int16], Counter[str]]:
        """Classes of features.

        Args:
            columns: the code attributes by their own name, in the order in which they are asked.

        Returns:
            (feature,) int16 classes, DISCARD, IGNORE, NULL or UNKNOWN; and the unknown codes, as
            `code` or `attribute=code, attribute=code`, with their number of features.
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
        counts: Counter[str] = Counter()
        for at in np.flatnonzero(result == UNKNOWN):
            parts = [(field, values[numbers[at]]) for field, numbers, values in texts]
            named = [f"{field}={text}" for field, text in parts if text is not None]
            counts[named[0].split("=", 1)[1] if len(texts) == 1 else ", ".join(named)] += 1
        return result, counts


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
        return NetworkRules(self.name, tuple(changed))

    def __call__(
        self, columns: Columns, count: int, ignored: Sequence[str] = ()
    ) -> tuple[NDArray[np.float64], Counter[str]]:
        """Buffer of each feature.

        A feature is left out where a `drop` fits or a `keep_only` does not. Of attributes with a
        `select` every value must be in the table: the first row that fits decides.

        Args:
            columns: attributes as `fields` names them.
            count: number of features.
            ignored: values that leave a feature out besides the table.

        Returns:
            (feature,) float64 metres to each side, NaN where left out; and the unknown values, as
            `attribute=value`, with their number of features.
        """
        result = np.full(count, np.nan)
        open_ = np.ones(count, bool)
        keys = {rule.field for rule in self.rules if rule.action == "select"}
        seen = {field: _texts(columns[field]) for field in self.fields}

        def where(field: str, fits: Callable[[str | None], bool]) -> NDArray[np.bool_]:
            numbers, values = seen[field]
            return np.array([*(fits(value) for value in values), False])[numbers]

        for field in self.fields:
            kept = [r for r in self.rules if r.field == field and r.action == "keep_only"]
            if kept:
                # Without a value nothing speaks against the feature.
                open_ &= where(field, partial(_kept, rules=kept))
            open_ &= ~where(field, lambda v: v is not None and v in ignored)
        for rule in self.rules:
            if rule.field not in keys and rule.action == "drop":
                open_ &= ~where(rule.field, rule.fits)
        for rule in self.rules:
            if rule.field in keys and rule.action != "keep_only":
                hit = open_ & where(rule.field, rule.fits)
                if rule.action == "select":
                    result[hit] = rule.buffer_m
                open_ &= ~hit
        unknown: Counter[str] = Counter()
        for at in np.flatnonzero(open_):
            parts = [f"{f}={seen[f][1][seen[f][0][at]]}" for f in self.fields if f in keys]
            unknown[", ".join(parts)] += 1
        return result, unknown


@cache
def network_rules(name: str) -> NetworkRules:
    """Load packaged rules, or a CSV with field, value, action, kind, buffer_m.

    Raises:
        LegendError: no such table, or a broken row.
    """
    rules = []
    for number, row in enumerate(table_rows("networks", name), start=1):
        try:
            action, selects = row["action"], row["action"] == "select"
            if action not in ("select", "drop", "keep_only"):
                raise ValueError(f"no action {action!r}: give select, drop or keep_only")
            value = as_text(row["value"])
            if value is None or not row["field"]:
                raise ValueError("field or value is empty")
            buffer_m = float(row["buffer_m"]) if selects else 0.0
            if selects and not (0 < buffer_m <= 1_000):
                raise ValueError(f"buffer_m {buffer_m:g} is not within 0 to 1000 metres")
            rules.append(Rule(row["field"], value, action, row.get("kind") or "", buffer_m))
        except (KeyError, ValueError) as error:
            raise LegendError(
                f"network rules {name!r}, row {number}: {error}; columns are "
                "field, value, action, kind, buffer_m"
            ) from error
    if not any(rule.action == "select" for rule in rules):
        raise LegendError(f"network rules {name!r}: no row selects anything")
    return NetworkRules(Path(name).stem, tuple(rules))
