# SPDX-License-Identifier: Apache-2.0
"""Legends: class codes, names, colours, levels, and the crosswalks that lead into them.

Laws:
1. The finest level is burnt or mapped; every coarser level is its image through `parent`.
2. `NODATA` (255) means not observed. It maps to itself on every level and through every crosswalk.
3. A source code that a crosswalk does not list is an error, never silently a class.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import LegendError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NODATA = 255
"""Label value of pixels that were not observed, on every level."""

_NODATA_WORDS = ("", "discard", "ignore")
_NUMBER = re.compile(r"\s*([+-]?\d+)(?:\.0*)?\s*")
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True)
class LegendClass:
    """One class of one level."""

    code: int
    """Value in label rasters, 0..254."""
    name: str
    abbrev: str
    color: str
    """`#rrggbb`."""
    parent: int | None = None
    """Code of the class one level up; None on the coarsest level."""
    published_pixels: int | None = None
    """Pixels of this class in the published dataset, where its authors state them."""

    @property
    def rgb(self) -> tuple[int, int, int]:
        """`color` as three numbers 0..255."""
        red, green, blue = bytes.fromhex(self.color.removeprefix("#"))
        return red, green, blue


@dataclass(frozen=True)
class Level:
    """The classes of one level of detail, in the order of their codes."""

    name: str
    classes: tuple[LegendClass, ...]

    def __post_init__(self) -> None:
        codes = [c.code for c in self.classes]
        if not codes or codes != sorted(set(codes)) or not 0 <= codes[0] <= codes[-1] < NODATA:
            raise LegendError(
                f"level {self.name!r}: codes must be unique, ascending and 0..254: {codes}"
            )

    @property
    def codes(self) -> tuple[int, ...]:
        """Class codes, ascending."""
        return tuple(c.code for c in self.classes)

    def __getitem__(self, code: int) -> LegendClass:
        for entry in self.classes:
            if entry.code == code:
                return entry
        raise LegendError(f"level {self.name!r} has no class with code {code}")


@dataclass(frozen=True)
class Legend:
    """A named set of levels, finest first."""

    name: str
    levels: tuple[Level, ...]

    def __post_init__(self) -> None:
        for fine, coarse in zip(self.levels, self.levels[1:], strict=False):
            orphans = [c.code for c in fine.classes if c.parent not in coarse.codes]
            if orphans:
                raise LegendError(
                    f"legend {self.name!r}: classes {orphans} of level {fine.name!r} have no "
                    f"parent in level {coarse.name!r}; complete the column 'parent'"
                )

    @property
    def finest(self) -> Level:
        """The level that references are mapped to."""
        return self.levels[0]

    def level(self, name: str) -> Level:
        """The level of that name."""
        for level in self.levels:
            if level.name == name:
                return level
        known = ", ".join(level.name for level in self.levels)
        raise LegendError(f"legend {self.name!r} has no level {name!r}; it has {known}")

    def derive(self, name: str) -> NDArray[np.uint8]:
        """Table that leads from the finest level to the level `name`.

        Returns:
            (256,) uint8: `table[code of the finest level]` is the code on that level;
            codes in no class, and 255, give 255.
        """
        import numpy as np

        table = np.full(256, NODATA, np.uint8)
        table[list(self.finest.codes)] = self.finest.codes
        for fine, coarse in zip(self.levels, self.levels[1:], strict=False):
            if fine.name == name:
                return table
            step = np.full(256, NODATA, np.uint8)
            for entry in fine.classes:
                step[entry.code] = NODATA if entry.parent is None else entry.parent
            table = step[table]
            if coarse.name == name:
                return table
        if self.levels[-1].name == name:
            return table
        self.level(name)  # raises with the known names
        raise AssertionError("unreachable")


@dataclass(frozen=True)
class Crosswalk:
    """Where each code of a source map goes: a code of the finest level, or nodata."""

    name: str
    codes: Mapping[int, int]
    """Source code → legend code or NODATA."""
    names: Mapping[int | str, str]
    """Source code → the source's own class name."""
    words: Mapping[str, int] = field(default_factory=dict)
    """The same of codes that are no numbers, which polygons have."""
    tolerated: frozenset[int] = frozenset()
    """Source codes that should not occur: taken as the table says, and counted."""


def table_rows(folder: str, name: str, columns: Sequence[str] = ()) -> list[dict[str, str]]:
    """Rows of a packaged table, or of the user's own file where `name` is a path to a CSV.

    Lines that begin with # are comments. A user's file may be as spreadsheets write it: UTF-8 with
    or without a byte order mark, UTF-16 or Windows-1252; commas, semicolons, tabs or bars between
    cells. Names of columns are compared without case, and spaces around cells do not count.

    Args:
        folder: kind of table, a folder of the package's data: legends, crosswalks, networks …
        name: name of a packaged table, or path of a CSV.
        columns: columns that the table must have.

    Raises:
        LegendError: no such table, a column is missing or there twice, or a row has more or fewer
            cells than the head.
    """
    packaged = resources.files("terrapatch") / "data" / folder / f"{name}.csv"
    if name.lower().endswith(".csv"):
        path = Path(name)
        if not path.is_file():
            raise LegendError(f"{name}: no such table; give the path of a CSV or a packaged name")
        try:
            text = _decoded(path.read_bytes())
        except OSError as error:
            raise LegendError(f"{name}: cannot be read: {error.strerror}") from error
    elif packaged.is_file():
        text = packaged.read_text(encoding="utf-8")
    else:
        known = ", ".join(_packaged(folder))
        raise LegendError(f"no table {name!r} among the packaged {folder} ({known})")
    lines = [(n, line) for n, line in enumerate(text.splitlines(), start=1) if _counts(line)]
    stated = re.fullmatch(r"\ufeff?\"?sep=(.)\"?", lines[0][1].strip(), re.I) if lines else None
    lines = lines[1:] if stated else lines  # what Excel writes to say its separator
    if not lines:
        raise LegendError(f"{name}: the table is empty")
    separator = stated[1] if stated else max(",;\t|", key=lines[0][1].count)
    reader = csv.reader((line for _, line in lines), delimiter=separator)
    try:
        head, *table = [(reader.line_num, [c.strip() for c in cells]) for cells in reader]
    except csv.Error as error:
        raise LegendError(f"{name}: no readable CSV ({error})") from error
    names = [cell.lower() for cell in head[1]]
    while names and not names[-1]:  # empty columns at the right of a sheet
        names.pop()
    missing = [column for column in columns if column not in names]
    twice = sorted({column for column in names if names.count(column) > 1})
    if missing or twice:
        wrong = f"no column {', '.join(missing)}" if missing else f"two columns {', '.join(twice)}"
        raise LegendError(
            f"{name}: {wrong}; the first line names {', '.join(names)} (separated by {separator!r})"
        )
    rows = []
    for number, cells in table:
        if not any(cells):
            continue
        if len(cells) < len(names) or any(cells[len(names) :]):
            raise LegendError(
                f"{name}, line {lines[number - 1][0]}: {len(cells)} cells where the first line "
                f"names {len(names)} columns; put text that holds {separator!r} into quotes"
            )
        rows.append(dict(zip(names, cells, strict=False)))
    return rows


def _decoded(raw: bytes) -> str:
    """Text of a table, in the encodings that spreadsheets write."""
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):  # fmt: skip
        if raw.startswith(mark):
            return raw.decode(encoding, errors="replace")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp1252", errors="replace")


def _counts(line: str) -> bool:
    """Whether a line is a row: no comment (a colour in the first column begins with # too)."""
    colour = re.match(r"#[0-9a-fA-F]{6}\"?\s*[,;\t|]", line)
    return bool(line.strip()) and (colour is not None or not line.startswith("#"))


def whole_number(text: str) -> int:
    """A whole number as tables write it: `11`, also `11.0`.

    Raises:
        ValueError: it is none.
    """
    found = _NUMBER.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no whole number")
    return int(found[1])


def cell_text(value: Any) -> str:
    """A cell of a table as text: whole numbers without a point, nothing for no value."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "" if value is None else str(value).strip()


def _packaged(folder: str) -> list[str]:
    root = resources.files("terrapatch") / "data" / folder
    return sorted(entry.name[:-4] for entry in root.iterdir() if entry.name.endswith(".csv"))


def legends() -> list[str]:
    """Names of the packaged legends."""
    return _packaged("legends")


def task_legends() -> list[str]:
    """Names of the packaged legends of tasks, see `tasks`."""
    return _packaged("tasks")


def crosswalks() -> list[str]:
    """Names of the packaged crosswalks."""
    return _packaged("crosswalks")


@cache
def load_legend(name: str) -> Legend:
    """Load a packaged legend, or one from a CSV file with the same columns.

    Columns: level, code, abbrev, name, parent, color, published_pixels. Levels stand coarsest
    first in the file's rows or finest first: the level whose classes have parents is the finer.

    Raises:
        LegendError: no such table, a broken row, or a class without parent.
    """
    grouped: dict[str, list[LegendClass]] = {}
    rows = table_rows("legends", name, ("code", "name", "color"))
    for number, row in enumerate(rows, start=1):
        try:
            if not row["name"]:
                raise ValueError("the class has no name")
            if not _COLOUR.fullmatch(row["color"]):
                raise ValueError(f"color {row['color']!r} is none of the form #rrggbb")
            entry = LegendClass(
                code=whole_number(row["code"]),
                name=row["name"],
                abbrev=row.get("abbrev") or row["name"],
                color=row["color"],
                parent=whole_number(row["parent"]) if row.get("parent") else None,
                published_pixels=whole_number(row["published_pixels"])
                if row.get("published_pixels")
                else None,
            )
            grouped.setdefault(row.get("level") or "label", []).append(entry)
        except (KeyError, ValueError) as error:
            raise LegendError(
                f"legend {name!r}, row {number}: {error}; columns are "
                "level, code, abbrev, name, parent, color, published_pixels"
            ) from error
    for key, entries in grouped.items():
        for what in ("code", "name", "abbrev"):
            given = [getattr(entry, what) for entry in entries]
            twice = sorted({value for value in given if given.count(value) > 1})
            if twice:
                raise LegendError(
                    f"legend {name!r}, level {key!r}: {what} {', '.join(map(str, twice))} stands in "
                    "several rows; codes and names must be unique"
                )
    levels = [Level(key, tuple(entries)) for key, entries in grouped.items()]
    # Finest first: only the coarsest level has classes without parents.
    levels.sort(key=lambda level: (level.classes[0].parent is None, -len(level.classes)))
    return Legend(Path(name).stem, tuple(levels))


@cache
def load_crosswalk(name: str) -> Crosswalk:
    """Load a packaged crosswalk, or one from a CSV with source_code, source_name, code.

    An empty `code` (or `discard`, or `ignore`) means nodata: the class is mapped, but not to be
    learnt nor counted. Rows with a `field` are of polygons, whose codes may be text. Where the
    column `tolerated` says yes, the code should not occur and its pixels are counted.

    Raises:
        LegendError: no such table or a broken row.
    """
    codes: dict[int, int] = {}
    names: dict[int | str, str] = {}
    words: dict[str, int] = {}
    tolerated = set()
    rows = table_rows("crosswalks", name, ("source_code", "code"))
    for number, row in enumerate(rows, start=1):
        try:
            code = NODATA if row["code"].lower() in _NODATA_WORDS else whole_number(row["code"])
            text = row["source_code"]
            if row.get("field") and not _NUMBER.fullmatch(text):
                words[text] = code
                names[text] = row.get("source_name") or text
                continue
            source = whole_number(text)
            if codes.get(source, code) != code:
                raise ValueError(f"source_code {source} has two rows with different codes")
            if row.get("tolerated") not in (None, "", "yes"):
                raise ValueError(f"tolerated is {row['tolerated']!r}: give yes or nothing")
        except ValueError as error:
            raise LegendError(
                f"crosswalk {name!r}, row {number}: {error}; columns are "
                "source_code, source_name, code, and if you like tolerated"
            ) from error
        codes[source] = code
        names[source] = row.get("source_name") or str(source)
        if row.get("tolerated"):
            tolerated.add(source)
    return Crosswalk(Path(name).stem, codes, names, words, frozenset(tolerated))
