# SPDX-License-Identifier: Apache-2.0
"""Tasks: what is to be learnt of the places of a table, a class from a code in one of its columns.

Laws:
1. The longest prefix that a code begins with decides; prefixes may overlap.
2. A place whose code has no class is left out of the task, never out of the dataset, and is counted.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import LegendError, RecipeError
from .legend import LegendClass, Level, cell_text, table_rows, whole_number
from .settings import TaskSettings

CLASS = "class_"
"""How columns of the manifest begin that say a place's class in a task."""
OUTSIDE = -1
"""Class of places that a task leaves out."""
_COLOUR = "#808080"


@dataclass(frozen=True)
class TaskLegend:
    """Classes of a task, and the codes that lead into them."""

    level: Level
    prefixes: dict[str, int]
    """What a code begins with → its class, or `OUTSIDE`."""

    def class_of(self, code: str) -> int:
        """The class of a code by its longest known prefix; −1 where none is known."""
        for end in range(len(code), 0, -1):
            found = self.prefixes.get(code[:end])
            if found is not None:
                return found
        return OUTSIDE

    def classes_of(self, codes: Sequence[str]) -> NDArray[np.int16]:
        """(place,) int16 classes of codes; −1 for places left out."""
        known = {code: self.class_of(code) for code in set(codes)}
        return np.array([known[code] for code in codes], np.int16)


def code_text(value: Any) -> str:
    """A cell of the manifest as a code, see `cell_text`; no value in any of pandas' forms is nothing."""
    text = cell_text(value)
    return "" if text in ("nan", "<NA>") else text


def columns_of(tasks: Mapping[str, TaskSettings], names: Iterable[str]) -> dict[str, str]:
    """Task → its column, among those of a table (as it stands there, or in lower case).

    Raises:
        RecipeError: a column is not there.
    """
    there, found = list(names), {}
    for task, settings in tasks.items():
        given = [name for name in (settings.column, settings.column.lower()) if name in there]
        if not given:
            near = difflib.get_close_matches(settings.column.lower(), there, n=3, cutoff=0.5)
            raise RecipeError(
                f"tasks.{task}.column: the table of points has no column {settings.column!r}; "
                f"{'did you mean' if near else 'it has'} {', '.join(near or there[:12])}"
            )
        found[task] = given[0]
    return found


@cache
def load_task_legend(name: str) -> TaskLegend:
    """Load a packaged legend of a task, or one from a CSV with code, name, prefix and, if wanted, color.

    A class has as many rows as prefixes. A row without a code takes its prefix out of the task.

    Raises:
        LegendError: no such table, a broken row, or a prefix with two classes.
    """
    prefixes: dict[str, int] = {}
    classes: dict[int, LegendClass] = {}
    for number, row in enumerate(table_rows("tasks", name, ("code", "name", "prefix")), start=1):
        try:
            code, prefix = OUTSIDE, row["prefix"]
            if not prefix:
                raise ValueError("the row has no prefix, so no code leads to it")
            if row["code"]:
                entry = _entry(row)
                code = entry.code
                if classes.setdefault(code, entry) != entry:
                    raise ValueError(f"class {code} has another name or colour in a row before")
            if prefixes.setdefault(prefix, code) != code:
                raise ValueError(f"prefix {prefix!r} has another class in a row before")
        except ValueError as error:
            raise LegendError(
                f"legend {name!r} of a task, row {number}: {error}; columns are code, name, prefix, "
                "color"
            ) from error
    named = [entry.name for entry in classes.values()]
    if twice := sorted({word for word in named if named.count(word) > 1}):
        raise LegendError(
            f"legend {name!r} of a task: several classes are called {', '.join(twice)}"
        )
    if not classes:
        raise LegendError(f"legend {name!r} of a task: no row has a code, so there is no class")
    ordered = tuple(classes[code] for code in sorted(classes))
    return TaskLegend(Level(Path(name).stem, ordered), prefixes)


def _entry(row: dict[str, str]) -> LegendClass:
    if not row["name"]:
        raise ValueError("the class has no name")
    code = whole_number(row["code"])
    if not 0 <= code < 255:
        raise ValueError(f"code {code} is none of 0..254")
    return LegendClass(code, row["name"], row["name"], row.get("color") or _COLOUR)
