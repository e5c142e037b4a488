# SPDX-License-Identifier: Apache-2.0
"""Tables of places: points of a survey with all their columns.

Laws:
1. A table is CSV (as spreadsheets write it) or any vector file; names of columns are in lower case.
2. A place has one id, and its id names its patch: letters, digits, dots and hyphens.
3. A place without a position is told, and never put anywhere.
"""

from __future__ import annotations

import io
import re
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..crs import GEOGRAPHIC, transformer
from ..errors import InputError, RecipeError, SceneError
from ..legend import cell_text, table_rows
from .layers import open_layer
from .reading import read_portions
from .schema import schema_of
from .text import decoded

if TYPE_CHECKING:
    from ..settings import SamplingSettings

NO_POSITION = "the table has no position of it"
_ID = re.compile(r"[A-Za-z0-9.-]+")
_WEST = "2"
"""LUCAS, GPS_EW: 1 east, 2 west, 8 not relevant. Source: LUCAS 2018 microdata, record descriptor."""
_NO_DEGREES = 88.0
"""LUCAS writes 88.888888 where there is no position."""
_NOT_RELEVANT = "8"
"""What LUCAS writes where a question does not arise. Source: LUCAS 2018 microdata, record descriptor."""
_TYPES = {"int": "int64", "float": "float64", "text": "string"}


@dataclass(frozen=True)
class PlaceTable:
    """Places of a table, in the order of their ids."""

    path: str
    ids: tuple[str, ...]
    xy: NDArray[np.float64]
    """(place, 2) longitude and latitude in degrees (EPSG:4326), NaN without a position."""
    columns: Any
    """All columns as an Arrow table, by their names in lower case, rows as `ids`."""
    wanting: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Column → ids of places that have nothing in it, and by `sampling.needs` no position here."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lost(self) -> dict[str, tuple[str, ...]]:
        """Why places lie nowhere → their ids."""
        found = {f"the table has no {name} of it": ids for name, ids in self.wanting.items()}
        told = {name for ids in self.wanting.values() for name in ids}
        nowhere = np.flatnonzero(~np.isfinite(self.xy).all(axis=1)).tolist()
        without = tuple(self.ids[n] for n in nowhere if self.ids[n] not in told)
        return found | ({NO_POSITION: without} if without else {})


def places_path(sampling: SamplingSettings, archive: Path | None = None) -> Path | None:
    """The file of a table of places; None for samplings without one.

    Args:
        sampling: the recipe's section.
        archive: folder of the embedded archive, which `{archive}` stands for.
    """
    if sampling.path is None:
        return None
    return Path(sampling.path.replace("{archive}", "" if archive is None else str(archive)))


def read_place_table(sampling: SamplingSettings, path: Path) -> PlaceTable:
    """Read a table of points.

    Args:
        sampling: the recipe's section; says which columns are what.
        path: the file, see `places_path`.

    Raises:
        InputError: the file is missing or cannot be read; a column is missing; ids repeat or cannot
            be part of a file name; coordinates are none.
    """
    import pyarrow as pa

    if not path.is_file():
        raise InputError(f"{path}: no such table of points; correct sampling.path in the recipe")
    roles = _roles(sampling)
    if path.suffix.lower() in (".csv", ".txt", ".tsv"):
        table, xy = _csv(path, sampling, roles)
    else:
        table, xy = _vector(path, sampling)
    name = _column(roles.get("id"), table, path, "id")
    ids = [cell_text(value) for value in table.column(name).to_pylist()]
    _check_ids(ids, path, name)
    if _types(sampling).get(name) == "int64" and pa.types.is_string(table.schema.field(name).type):
        # Read as text, so that ids of other tables keep their zeros in front.
        number = table.column_names.index(name)
        table = table.set_column(number, name, table.column(name).cast(pa.int64()))
    order = np.argsort(np.array(ids, object), kind="stable")
    ids, xy, table = [ids[n] for n in order.tolist()], xy[order], table.take(pa.array(order))
    wanting: dict[str, tuple[str, ...]] = {}
    for needed in sampling.needs:
        cells = table.column(_column(needed.lower(), table, path, "needs")).to_pylist()
        nothing = ("",) if sampling.product == "custom" else ("", _NOT_RELEVANT)
        empty = np.array([cell_text(value) in nothing for value in cells], bool)
        empty &= np.isfinite(xy).all(axis=1)
        if empty.any():
            wanting[needed.lower()] = tuple(ids[n] for n in np.flatnonzero(empty).tolist())
            xy[empty] = np.nan
    return PlaceTable(str(path), tuple(ids), xy, table, wanting)


def _roles(sampling: SamplingSettings) -> dict[str, str]:
    """What a column is for → its name, of the product and then of the recipe."""
    found: dict[str, str] = {}
    if sampling.product != "custom":
        rows = table_rows("points", sampling.product, ("column", "type", "role"))
        named = {row["role"]: row["column"] for row in rows if row["role"]}
        found = {
            "id": named["id"],
            "x": named[f"{sampling.position}_x"],
            "y": named[f"{sampling.position}_y"],
        }
        if sampling.position == "gps":
            found["ew"] = named["gps_ew"]
    own = {"id": sampling.id, "x": sampling.x, "y": sampling.y}
    return found | {role: name.lower() for role, name in own.items() if name is not None}


def _types(sampling: SamplingSettings) -> dict[str, str]:
    if sampling.product == "custom":
        return {}
    return {r["column"]: _TYPES[r["type"]] for r in table_rows("points", sampling.product)}


def _csv(
    path: Path, sampling: SamplingSettings, roles: Mapping[str, str]
) -> tuple[Any, NDArray[np.float64]]:
    import pyarrow as pa
    from pyarrow import csv

    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    raw = raw.removeprefix(b"\xef\xbb\xbf")
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raw = raw.decode("utf-16").encode()
    else:
        raw = decoded(raw, "cp1252", str(path)).encode()
    head = raw.split(b"\n", 1)[0].decode().rstrip("\r")
    separator = max(",;\t|", key=head.count)
    names = [cell.strip().strip('"').lower() for cell in head.split(separator)]
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise InputError(f"{path}: columns {twice} stand there more than once; rename one of each")
    types = {n: pa.type_for_alias(t) for n, t in _types(sampling).items() if n in names}
    types |= {roles[r]: pa.string() for r in ("id",) if roles.get(r) in names}
    try:
        table = csv.read_csv(
            io.BytesIO(raw),
            csv.ReadOptions(column_names=names, skip_rows=1),
            csv.ParseOptions(delimiter=separator),
            csv.ConvertOptions(column_types=types, strings_can_be_null=False),
        )
    except pa.ArrowInvalid as error:
        raise InputError(f"{path}: no readable table: {error}") from error
    x, y = (_numbers(table, _column(roles.get(r), table, path, r), path) for r in ("x", "y"))
    if "ew" in roles and roles["ew"] in names:
        west = np.array([cell_text(v) == _WEST for v in table.column(roles["ew"]).to_pylist()])
        x = np.where(west, -np.abs(x), x)
    if sampling.product != "custom":
        without = np.abs(y) >= _NO_DEGREES
        x, y = np.where(without, np.nan, x), np.where(without, np.nan, y)
    return table, _degrees(np.column_stack([x, y]), sampling.table_crs, path)


def _vector(path: Path, sampling: SamplingSettings) -> tuple[Any, NDArray[np.float64]]:
    import pyarrow as pa
    import shapely

    with tempfile.TemporaryDirectory() as folder:
        try:
            layer = open_layer(
                str(path), schema_of("custom"), layer=sampling.layer, unpack_to=Path(folder),
                any_kind=True,
            )  # fmt: skip
            portions = list(read_portions(layer, {name: name for name in layer.fields}, None))
        except SceneError as error:
            raise InputError(f"sampling.path: {error}") from error
    shapes = np.concatenate([p.geometries for p in portions] or [np.empty(0, object)])
    kinds = Counter(str(s.geom_type) for s in shapes if s is not None)
    if set(kinds) - {"Point"}:
        listed = ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items()))
        raise InputError(f"{path}: a table of points holds points alone; it holds {listed}")
    xy = np.full((len(shapes), 2), np.nan)
    there = np.array([s is not None and not s.is_empty for s in shapes], bool)
    xy[there] = shapely.get_coordinates(shapes[there])
    columns = {
        name.lower(): pa.chunked_array([c for p in portions for c in _chunks(p.columns[name])])
        for name in layer.fields
    }
    return pa.table(columns), _degrees(xy, layer.crs, path)


def _chunks(column: Any) -> list[Any]:
    import pyarrow as pa

    return column.chunks if isinstance(column, pa.ChunkedArray) else [column]


def _column(name: str | None, table: Any, path: Path, role: str) -> str:
    if name is None:
        raise RecipeError(f"sampling.{role}: names the column of {path}; it is needed there")
    if name not in table.column_names:
        listed = ", ".join(table.column_names[:20])
        raise InputError(
            f"{path}: no column {name!r} (sampling.{role}); it has {listed}"
            + (", …" if len(table.column_names) > 20 else "")
        )
    return name


def _numbers(table: Any, name: str, path: Path) -> NDArray[np.float64]:
    import pyarrow as pa

    try:
        column = table.column(name).cast(pa.float64())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InputError(f"{path}: column {name!r} holds no numbers: {error}") from error
    return np.array(column.to_numpy(zero_copy_only=False), np.float64)


def _check_ids(ids: list[str], path: Path, name: str) -> None:
    odd = [n for n in ids if not _ID.fullmatch(n)]
    if odd:
        raise InputError(
            f"{path}: {len(odd)} values of {name!r} cannot name a patch, for example {odd[0]!r}: ids "
            "are of letters, digits, dots and hyphens"
        )
    twice = [n for n, count in Counter(ids).items() if count > 1]
    if twice:
        raise InputError(
            f"{path}: {len(twice)} ids stand in more than one row, for example {twice[0]}; every "
            f"point needs one of its own: take the repeated rows out, or name another column (sampling.id)"
        )


def _degrees(xy: NDArray[np.float64], crs: str, path: Path) -> NDArray[np.float64]:
    """Positions in degrees of EPSG:4326."""
    if crs != GEOGRAPHIC:
        x, y = transformer(crs, GEOGRAPHIC).transform(xy[:, 0], xy[:, 1])
        xy = np.column_stack([x, y])
        xy[~np.isfinite(xy).all(axis=1)] = np.nan
    far = (np.abs(xy[:, 0]) > 180) | (np.abs(xy[:, 1]) > 90)
    if far.any():
        one = xy[far][0]
        swapped = "; longitude and latitude may be swapped" if abs(one[0]) <= 90 else ""
        raise InputError(
            f"{path}: {int(far.sum())} positions are no degrees, for example {one[0]:g}, {one[1]:g}"
            f"{swapped}; correct sampling.x and sampling.y, or give sampling.table_crs"
        )
    return xy
