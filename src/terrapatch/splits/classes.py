# SPDX-License-Identifier: Apache-2.0
"""Classes of places in the tasks of a recipe, for the manifest.

Law: a place that a task leaves out stays in the dataset; it is counted by its code.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import RecipeError
from ..paths import SPLITS
from ..tasks import CLASS, OUTSIDE, code_text, columns_of, load_task_legend

if TYPE_CHECKING:
    import geopandas as gpd

    from ..settings import TaskSettings


def with_classes(table: gpd.GeoDataFrame, tasks: Mapping[str, TaskSettings]) -> gpd.GeoDataFrame:
    """The manifest with `class_TASK` for each task: (row,) int16, −1 for places left out.

    Args:
        table: one row a patch, with the columns of its place.
        tasks: the recipe's.

    Raises:
        RecipeError: a task's column is not there, or `class_TASK` is taken.
        LegendError: a task's legend is missing or broken.
    """
    for task, column in columns_of(tasks, table.columns).items():
        name = f"{CLASS}{task}"
        if name in table.columns:
            raise RecipeError(
                f"tasks.{task}: the table of points has a column {name} of its own; give it another name, "
                f"for example sampling.rename: {{{name}: table_{name}}}, or call the task otherwise"
            )
        codes = [code_text(value) for value in table[column]]
        table[name] = load_task_legend(tasks[task].legend).classes_of(codes)
    return table


def class_figures(
    table: gpd.GeoDataFrame, tasks: Mapping[str, TaskSettings]
) -> dict[str, dict[str, Any]]:
    """Kept patches of each task by class and split, and those it leaves out.

    Args:
        table: manifest with `class_TASK` and `split`.
        tasks: the recipe's.

    Returns:
        Task → `column`; `classes` (code, name, color, `patches` by split and in `kept`); `without`:
        kept patches without a class; `empty`: those of them without a code; `codes`: the others by
        their code, the most frequent first.
    """
    kept = table[table["kept"].astype(bool)]
    found = {}
    for task, column in columns_of(tasks, table.columns).items():
        classes, split = kept[f"{CLASS}{task}"], kept["split"]
        out = Counter(code_text(value) for value in kept.loc[classes == OUTSIDE, column])
        found[task] = {
            "column": column,
            "classes": [
                {
                    "code": entry.code, "name": entry.name, "color": entry.color,
                    "patches": {
                        "kept": int((classes == entry.code).sum()),
                        **{s: int(((classes == entry.code) & (split == s)).sum()) for s in SPLITS},
                    },
                }
                for entry in load_task_legend(tasks[task].legend).level.classes
            ],
            "without": sum(out.values()),
            "empty": out.pop("", 0),
            "codes": dict(sorted(out.items(), key=lambda pair: (-pair[1], pair[0]))),
        }  # fmt: skip
    return found
