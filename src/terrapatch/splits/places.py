# SPDX-License-Identifier: Apache-2.0
"""Columns of the table of points for the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import RecipeError, StorageError
from ..paths import remedy
from ..places import PLACE, place_of

if TYPE_CHECKING:
    import geopandas as gpd


def with_columns(
    table: gpd.GeoDataFrame, places: Path, rename: Mapping[str, str]
) -> gpd.GeoDataFrame:
    """The manifest with the columns of each patch's place.

    Args:
        table: one row a patch.
        places: `plan/places.parquet`, one row a place.
        rename: name in the table of places → name in the manifest.

    Raises:
        RecipeError: a column has a name that the manifest has.
        StorageError: the file cannot be read, or lacks a place.
    """
    import pandas as pd

    try:
        columns = pd.read_parquet(places).set_index(PLACE)
    except (OSError, ValueError, KeyError) as error:
        raise StorageError(f"{places}: no readable table; {remedy(places)} ({error})") from error
    unknown = sorted(set(rename) - set(columns.columns))
    if unknown:
        raise RecipeError(
            f"sampling.rename: the table of points has no column {', '.join(unknown)}"
        )
    columns = columns.rename(columns=dict(rename))
    taken = sorted(set(columns.columns) & {*table.columns, *RESERVED})
    if taken:
        raise RecipeError(
            f"sampling.rename: the manifest has columns {', '.join(taken)} of its own; give those of "
            f"the table of points other names, for example {{{taken[0]}: table_{taken[0]}}}"
        )
    names = [place_of(name) for name in table["patch_id"]]
    lost = sorted(set(names) - set(columns.index))
    if lost:
        raise StorageError(f"{places}: lacks {', '.join(lost[:5])}; {remedy(places)}")
    found = columns.loc[names].reset_index()
    for name in found.columns:
        table[name] = found[name].to_numpy()
    return table


RESERVED = ("split", "block", "split_reason", "geometry")
"""Columns that the splits add."""
