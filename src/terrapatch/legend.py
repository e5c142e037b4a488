# SPDX-License-Identifier: Apache-2.0
"""Legends: class codes, names, colours, levels, and the crosswalks that lead into them.

Laws:
1. The finest level is burnt or mapped; every coarser level is its image through `parent`.
2. `NODATA` (255) means not observed. It maps to itself on every level and through every crosswalk.
3. A source code that a crosswalk does not list is an error, never silently a class.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import LegendError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NODATA = 255
"""Label value of pixels that were not observed, on every level."""

_NODATA_WORDS = ("", "discard", "ignore")


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
    names: Mapping[int, str]
    """Source code → the source's own class name."""


def table_rows(folder: str, name: str) -> list[dict[str, str]]:
    """Rows of a packaged table, or of the user's own file where `name` is a path to a CSV.

    Lines that begin with # are comments.

    Args:
        folder: kind of table, a folder of the package's data: legends, crosswalks, networks …
        name: name of a packaged table, or path of a CSV.

    Raises:
        LegendError: no such table.
    """
    packaged = resources.files("terrapatch") / "data" / folder / f"{name}.csv"
    if name.endswith(".csv"):
        path = Path(name)
        if not path.is_file():
            raise LegendError(f"{name}: no such table; give the path of a CSV or a packaged name")
        text = path.read_text(encoding="utf-8")
    elif packaged.is_file():
        text = packaged.read_text(encoding="utf-8")
    else:
        known = ", ".join(_packaged(folder))
        raise LegendError(f"no table {name!r} among the packaged {folder} ({known})")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return list(csv.DictReader(lines))


def _packaged(folder: str) -> list[str]:
    root = resources.files("terrapatch") / "data" / folder
    return sorted(entry.name[:-4] for entry in root.iterdir() if entry.name.endswith(".csv"))


def legends() -> list[str]:
    """Names of the packaged legends."""
    return _packaged("legends")


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
    for number, row in enumerate(table_rows("legends", name), start=1):
        try:
            entry = LegendClass(
                code=int(row["code"]),
                name=row["name"],
                abbrev=row.get("abbrev") or row["name"],
                color=row["color"],
                parent=int(row["parent"]) if row.get("parent") else None,
                published_pixels=int(row["published_pixels"])
                if row.get("published_pixels")
                else None,
            )
            grouped.setdefault(row.get("level") or "label", []).append(entry)
        except (KeyError, ValueError) as error:
            raise LegendError(
                f"legend {name!r}, row {number}: {error!r}; columns are "
                "level, code, abbrev, name, parent, color, published_pixels"
            ) from error
    levels = [Level(key, tuple(entries)) for key, entries in grouped.items()]
    # Finest first: only the coarsest level has classes without parents.
    levels.sort(key=lambda level: (level.classes[0].parent is None, -len(level.classes)))
    return Legend(Path(name).stem, tuple(levels))


@cache
def load_crosswalk(name: str) -> Crosswalk:
    """Load a packaged crosswalk, or one from a CSV with source_code, source_name, code.

    An empty `code` (or `discard`, or `ignore`) means nodata: the class is mapped, but not to be
    learnt nor counted.

    Raises:
        LegendError: no such table or a broken row.
    """
    codes: dict[int, int] = {}
    names: dict[int, str] = {}
    for number, row in enumerate(table_rows("crosswalks", name), start=1):
        try:
            source = int(row["source_code"])
            codes[source] = int(row["code"]) if row["code"] not in _NODATA_WORDS else NODATA
            names[source] = row.get("source_name") or str(source)
        except (KeyError, ValueError) as error:
            raise LegendError(
                f"crosswalk {name!r}, row {number}: {error!r}; columns are "
                "source_code, source_name, code"
            ) from error
    return Crosswalk(Path(name).stem, codes, names)
