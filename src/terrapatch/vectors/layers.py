# SPDX-License-Identifier: Apache-2.0
"""Layers of vector files: found among the names of a product, described, and located."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import GridError, InputError, SceneError
from .archives import ARCHIVES, TABLES, unpacked
from .reading import PARQUET, Layer, read_boxes, unreadable
from .schema import ANY, Schema

_DBF = ((4, 8), (8, 10), (10, 12))
"""Where a .dbf says its number of records, the length of its head and of a record."""
_SAME_M = 0.1
"""Two CRS whose positions differ by less are one for our purposes: a hundredth of a pixel."""


def open_layer(
    path: str,
    schema: Schema,
    *,
    layer: str | None = None,
    crs: str | None = None,
    fields: Sequence[str] = (),
    unpack_to: Path,
) -> Layer:
    """Find the layer that a product's schema (or the recipe) means in a file or archive.

    Args:
        path: vector file, or .zip or .7z with some.
        schema: names of the product.
        layer: name that the recipe gives; goes before the schema's.
        crs: CRS that the recipe states.
        fields: attributes that the layer must have; they choose where several layers fit.
        unpack_to: folder for unpacked archives.

    Raises:
        InputError: no such file, or of no known kind.
        SceneError: truncated or damaged, or no layer of that name.
        GridError: no CRS, or another one than stated.
    """
    file = Path(path)
    if file.suffix.lower() in ARCHIVES:
        folder = unpacked(file, unpack_to)
        files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in TABLES)
    elif not file.is_file():
        raise InputError(f"{path}: no such file; paths of a recipe are relative to where you run")
    elif file.suffix.lower() not in TABLES:
        raise InputError(
            f"{path}: no known kind of vector file; give one of {', '.join((*TABLES, *ARCHIVES))}"
        )
    else:
        files = [file]
    wanted = {name.casefold() for name in ((layer,) if layer else schema.layers)}
    have = [(p, name) for p in files for name in _layer_names(p)]
    fitting = [(p, n) for p, n in have if ANY in wanted or n.casefold() in wanted]
    if not fitting and layer is None and len(have) == 1:
        fitting = have  # one layer under a file's own name, such as Parquet files have
    if not fitting:
        names = ", ".join(sorted({n for _, n in have})) or "none"
        raise SceneError(
            f"{path}: no layer {' or '.join(sorted(wanted))}; it has {names}. "
            "Name the right one under `layer`"
        )
    layers = [_described(p, name) for p, name in fitting]
    if len(layers) > 1:
        layers = [
            found for found in layers if all(schema.spelled(f, found.fields) for f in fields)
        ] or layers
    if len(layers) > 1:
        raise SceneError(
            f"{path}: {len(layers)} layers could be meant: "
            f"{', '.join(found.where for found in layers)}. Name one under `layer`"
        )
    return _located(layers[0], crs)


def _layer_names(path: Path) -> list[str]:
    if path.suffix.lower() in PARQUET:
        return [path.stem]
    import pyogrio

    try:
        names = [str(name) for name, kind in pyogrio.list_layers(path) if kind is not None]
    except (pyogrio.errors.DataSourceError, RuntimeError) as error:
        raise unreadable(str(path), error) from error
    if not names:
        raise unreadable(str(path), ValueError("it holds no layer with geometries"))
    return names


def _described(path: Path, name: str) -> Layer:
    if path.suffix.lower() in PARQUET:
        return _parquet(path)
    import pyogrio

    try:
        info = pyogrio.read_info(path, layer=name, force_feature_count=True)
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, RuntimeError) as error:
        raise unreadable(str(path), error) from error
    layer = Layer(
        str(path), name, info["crs"] or "", tuple(map(str, info["fields"])), info["features"]
    )
    if path.suffix.lower() == ".fgb":
        _check_flatgeobuf(layer)
    if path.suffix.lower() != ".shp":
        return layer
    suffixes = {Path(p).suffix.lower() for p in layer.files}
    if ".dbf" not in suffixes:
        raise SceneError(
            f"{path}: the shapefile lacks its .dbf, the attributes; fetch all of its files"
        )
    _check_shapefile(layer)
    return replace(layer, encoded=".cpg" in suffixes)


def _check_shapefile(layer: Layer) -> None:
    """Compare the parts with the lengths that their heads state: GDAL reads what is left of them.

    Source: ESRI Shapefile Technical Description (1998), main file header; dBase III file header.
    """
    for name in layer.files:
        part = Path(name)
        with part.open("rb") as stream:
            head = stream.read(32)
        if part.suffix.lower() in (".shp", ".shx"):
            stated = 2 * int.from_bytes(head[24:28], "big")  # in words of 16 bits
        elif part.suffix.lower() == ".dbf":
            count, start, size = (int.from_bytes(head[a:b], "little") for a, b in _DBF)
            stated = start + count * size
        else:
            continue
        if part.stat().st_size < stated or len(head) < 32:
            raise SceneError(
                f"{name}: the file breaks off: {part.stat().st_size} bytes, its head states "
                f"{stated}; fetch it again"
            )


def _check_flatgeobuf(layer: Layer) -> None:
    """A file that breaks off within its index reads as if it were empty."""
    import pyogrio

    try:
        rows = pyogrio.read_arrow(layer.path, columns=[], max_features=1)[1].num_rows
    except (OSError, RuntimeError) as error:
        raise unreadable(layer.path, error) from error
    if layer.features and not rows:
        raise SceneError(f"{layer.path}: the file breaks off within its index; fetch it again")


def _parquet(path: Path) -> Layer:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    try:
        file = pq.ParquetFile(path)
        geo = json.loads((file.schema_arrow.metadata or {})[b"geo"])
        column = geo["columns"][geo["primary_column"]]
        # Absent means longitude and latitude on WGS 84; null means unknown (GeoParquet 1.1).
        given = column.get("crs", "OGC:CRS84")
        found = None if given is None else CRS.from_user_input(given)
    except (OSError, pa.ArrowInvalid) as error:
        raise unreadable(str(path), error) from error
    except (KeyError, TypeError, ValueError, CRSError) as error:
        raise SceneError(
            f"{path}: no GeoParquet: it carries no readable metadata `geo` ({error!r}); write it "
            "with a tool that knows GeoParquet 1.0 or later"
        ) from error
    if column.get("encoding") != "WKB":
        raise SceneError(
            f"{path}: geometries are encoded as {column.get('encoding')}; write them as WKB "
            "(GDAL: -lco GEOMETRY_ENCODING=WKB)"
        )
    crs = ""
    if found is not None:
        # CRS84 is EPSG:4326 with the axes in the order in which all of us store them.
        epsg = 4326 if found == CRS("OGC:CRS84") else found.to_epsg()
        crs = f"EPSG:{epsg}" if epsg else found.to_wkt()
    names = tuple(n for n in file.schema_arrow.names if n not in geo["columns"])
    return Layer(
        str(path), path.stem, crs, names, file.metadata.num_rows, geometry=geo["primary_column"]
    )


def _located(layer: Layer, stated: str | None) -> Layer:
    """The layer with a CRS: its own, checked against what the recipe states."""
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    try:
        declared = None if stated is None else CRS.from_user_input(stated)
    except CRSError as error:
        raise GridError(f"{layer.where}: the stated crs {stated!r} is no CRS: {error}") from error
    if not layer.crs:
        if stated is None:
            raise GridError(
                f"{layer.where}: the file does not say its CRS (a shapefile without .prj, or a "
                "table without one); state it under `crs`"
            )
        return replace(layer, crs=stated)
    if declared is not None and not _same_places(CRS.from_user_input(layer.crs), declared, layer):
        raise GridError(
            f"{layer.where}: CRS that does not match: the file says {_short(layer.crs)}, the recipe "
            f"states {stated}; correct `crs`, or leave it out to take the file's"
        )
    return layer


def _same_places(left: Any, right: Any, layer: Layer) -> bool:
    """Whether two CRS give one position to what lies in the layer: names and WKT vary too much."""
    if left == right:
        return True
    if left.is_geographic != right.is_geographic:
        return False
    from pyproj import Transformer
    from pyproj.exceptions import ProjError

    boxes = read_boxes(layer, None)[0]
    if not len(boxes):
        return False
    west, south = boxes[:, :2].min(axis=0)
    east, north = boxes[:, 2:].max(axis=0)
    x, y = (part.ravel() for part in np.meshgrid([west, east], [south, north]))
    try:
        moved = Transformer.from_crs(left, right, always_xy=True).transform(x, y, errcheck=True)
    except ProjError:
        return False
    unit = 111_320.0 if left.is_geographic else left.axis_info[0].unit_conversion_factor
    return bool(np.abs(np.array(moved) - (x, y)).max() * unit < _SAME_M)


def _short(crs: str) -> str:
    from pyproj import CRS

    return crs if crs.startswith("EPSG") else CRS.from_user_input(crs).name
