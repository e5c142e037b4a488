# SPDX-License-Identifier: Apache-2.0
"""The section of a recipe about what is to be learnt of the places of a table."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .base import Section

TaskName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)]
"""Name of a task, which becomes part of the name of a column and of files."""


class TaskSettings(Section):
    """One task: a class for each place, from a code in a column of the table."""

    column: str
    """Column with the codes, by its name in the manifest."""
    legend: str
    """Packaged legend of a task (`lucas_landcover`, `sen4map_crops`, `sen4map_crops_paper`), or a CSV
    with code, name, prefix: the longest prefix of a code decides."""
