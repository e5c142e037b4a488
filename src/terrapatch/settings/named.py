# SPDX-License-Identifier: Apache-2.0
"""Files that a recipe names and stages read for themselves: settings as much as numbers are.

Scenes, maps, vectors and heights are the lock's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

READS = {
    "simulate": ("area",), "sampling": ("area",), "plan": ("area", "legend", "tables", "places", "tasks", "layers"),
    "stack": ("legend", "tables"), "patches": ("legend",), "splits": ("legend", "tasks"), "layouts": ("legend",),
    "publish": ("legend",), "training": ("legend",),
}  # fmt: skip
"""Which of them each stage reads; `tables` are crosswalks and rules of networks,
`places` the table of points, `tasks` the legends of tasks, `layers` what layers name of their own."""
_SHAPEFILE = (".shp", ".shx", ".dbf", ".prj", ".cpg")


def named_files(found: Any, stage: str) -> tuple[str, ...]:
    """Paths of the files of a recipe that a stage reads.

    Args:
        found: the recipe, or a stage's settings, with the section `area` and layers.
        stage: for example `plan`.
    """
    kinds = READS.get(stage, ())
    area: list[str] = []
    if "area" in kinds and found.area.file is not None:
        path = Path(found.area.file)
        parts = [path.with_suffix(end) for end in _SHAPEFILE] if path.suffix == ".shp" else []
        area = [found.area.file, *(str(part) for part in parts if part != path and part.is_file())]
    # A table in the embedded archive is as the archive was made.
    table = found.sampling.path if "places" in kinds else None
    places = [] if table is None or "{archive}" in table else [table]
    if "layers" in kinds:
        places += [
            n for layer in found.layers.values() for n in layer.named if "{archive}" not in n
        ]
    tables: list[str] = []
    for layer in found.labels.values() if "legend" in kinds else ():
        tables.append(layer.legend)
        if "tables" in kinds:
            tables.append(layer.crosswalk)
            tables += [source.crosswalk or "" for source in layer.vectors]
            tables += [source.rules or "" for source in layer.networks]
    tables += [task.legend for task in found.tasks.values()] if "tasks" in kinds else []
    # Tables without this ending are packaged ones, see `legend.table_rows`.
    return tuple(
        dict.fromkeys([*area, *places, *(name for name in tables if name.endswith(".csv"))])
    )
