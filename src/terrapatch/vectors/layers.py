# SPDX-License-Identifier: Apache-2.0
"""Layers of vector files: found among the names of a product, described, and located."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..crs import GEOGRAPHIC, apart_m, crs_name, same_crs, short_name
from ..errors import GridError, InputError, SceneError
from .archives import ARCHIVES, JSON, TABLES, unpacked
from .geometry import surfaces, type_name
from .reading import PARQUET, VectorLayer, in_degrees, quiet, read_boxes, unreadable
from .schema import ANY, Schema
from .text import BYTES, decoded, stated_encoding

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
    any_kind: bool = False,
) -> VectorLayer:
    """Find the layer that a product's schema (or the recipe) means in a file or archive.

    Args:
        path: vector file, or .zip or .7z with some.
        schema: names of the product.
        layer: name that the recipe gives; goes before the schema's.
        crs: CRS that the recipe states.
        fields: attributes that the layer must have; they choose where several layers fit.
        unpack_to: folder for unpacked archives.
        any_kind: take whatever GDAL reads, not only the formats that references come in.

    Raises:
        InputError: no such file, or of no known kind.
        SceneError: truncated or damaged, or no layer of that name.
        GridError: no CRS, or another one than stated.
    """
    file = Path(path)
    if file.suffix.lower() in ARCHIVES:
        folder = unpacked(file, unpack_to)
        files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in TABLES)
    elif file.is_dir() and not any_kind:
        raise InputError(
            f"{path}: is a folder; name a vector file in it (of a file geodatabase write the layer "
            "to a GeoPackage: ogr2ogr layer.gpkg folder.gdb layer)"
        )
    elif not file.exists():
        raise InputError(f"{path}: no such file; paths of a recipe are relative to where you run")
    elif not any_kind and file.suffix.lower() not in (*TABLES, *JSON):
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
    layers = [_described(p, name, bare=any_kind) for p, name in fitting]
    if len(layers) > 1:
        layers = [
            found for found in layers if all(schema.spellings(f, found.fields) for f in fields)
        ] or layers
    if len(layers) > 1:
        alike = len({found.name for found in layers}) == 1
        remedy = "Unpack it and name one of these files" if alike else "Name one under `layer`"
        raise SceneError(
            f"{path}: {len(layers)} layers could be meant: "
            f"{', '.join(found.where for found in layers)}. {remedy}"
        )
    return _located(layers[0], crs)


def _layer_names(path: Path) -> list[str]:
    if path.suffix.lower() in PARQUET:
        return [path.stem]
    import pyogrio

    try:
        with quiet():
            names = [str(name) for name, kind in pyogrio.list_layers(path) if kind is not None]
    except (RuntimeError, ValueError) as error:
        raise _not_opened(str(path), error) from error
    if not names and path.suffix.lower() == ".fgb":  # its head is not whole
        raise unreadable(str(path), ValueError("it holds no layer"))
    if not names:
        raise SceneError(f"{path}: it holds no layer with geometries; name another file")
    return names


def _not_opened(where: str, error: Exception) -> SceneError:
    """The error for a file or layer that GDAL does not open; kinds of geometry are named."""
    kind = re.search(r"Geometry type is not supported: (\d+)", str(error))
    if kind is None:
        return unreadable(where, error)
    return surfaces(Counter({type_name(int(kind[1])): 0}), where)


def _described(path: Path, name: str, *, bare: bool = False) -> VectorLayer:
    """A layer's description; `bare` where attributes do not matter."""
    if path.suffix.lower() in PARQUET:
        return _parquet(path)
    import pyogrio

    shapefile = path.suffix.lower() == ".shp"
    try:
        with quiet():
            info = pyogrio.read_info(
                path, layer=name, force_feature_count=True,
                force_total_bounds=path.suffix.lower() in JSON,
                encoding=BYTES if shapefile else None,
            )  # fmt: skip
    except (RuntimeError, ValueError) as error:
        raise _not_opened(f"{path}, layer {name}", error) from error
    fields = tuple(map(str, info["fields"]))
    layer = VectorLayer(str(path), name, "", fields, info["features"])
    layer = replace(layer, crs=_own_crs(layer, info["crs"] or "", info["total_bounds"]))
    if path.suffix.lower() == ".fgb":
        _check_flatgeobuf(layer)
    if path.suffix.lower() != ".shp":
        return layer
    suffixes = {Path(p).suffix.lower() for p in layer.files}
    if ".dbf" not in suffixes and bare:
        return layer
    if ".dbf" not in suffixes:
        raise SceneError(
            f"{path}: the shapefile lacks its .dbf, the attributes; fetch all of its files"
        )
    _check_shapefile(layer)
    encoding = stated_encoding(layer.path)
    names = tuple(decoded(text.encode(BYTES), encoding, layer.where) for text in fields)
    return replace(layer, encoding=encoding, fields=names, stored=fields)


def _own_crs(layer: VectorLayer, known: str, bounds: Sequence[float] | None) -> str:
    """The layer's CRS as the file defines it, by code where the code says the same.

    GDAL gives the code of a definition's authority and lets go of a shift that stands beside it.
    """
    path = Path(layer.path)
    definition = known
    if path.suffix.lower() in JSON and known == GEOGRAPHIC and not _in_range(bounds):
        return ""  # degrees are what a GeoJSON without CRS means, and these are none
    if path.suffix.lower() == ".shp" and path.with_suffix(".prj").is_file():
        definition = (
            path.with_suffix(".prj").read_text(encoding="utf-8-sig", errors="replace").strip()
        )
    elif path.suffix.lower() == ".gpkg" and known:
        definition = _of_geopackage(path, layer.name) or known
    try:
        return crs_name(definition) if definition else ""
    except GridError:
        # A form of GDAL's own: what it makes of it.
        return crs_name(known) if known else ""


def _in_range(bounds: Sequence[float] | None) -> bool:
    """Whether bounds (left, bottom, right, top) can be degrees."""
    return bounds is None or bool(
        (np.abs(np.asarray(bounds)) <= (360.001, 90.001, 360.001, 90.001)).all()
    )


def _of_geopackage(path: Path, layer: str) -> str | None:
    """Definition of a layer's CRS in a GeoPackage. Source: OGC 12-128r19, gpkg_spatial_ref_sys."""
    import sqlite3

    query = (
        "SELECT s.definition FROM gpkg_spatial_ref_sys AS s JOIN gpkg_geometry_columns AS g "
        "ON s.srs_id = g.srs_id WHERE g.table_name = ?"
    )
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            row = database.execute(query, [layer]).fetchone()
    except sqlite3.Error:
        return None
    return str(row[0]) if row and str(row[0]).strip().lower() != "undefined" else None


def _check_shapefile(layer: VectorLayer) -> None:
    """Compare the parts with the lengths that their heads state: GDAL reads what is left of them.

    Source: ESRI Shapefile Technical Description (1998), main file header; dBase III file header.
    """
    for name in layer.files:
        part = Path(name)
        try:
            with part.open("rb") as stream:
                head = stream.read(32)
        except OSError as error:
            raise unreadable(name, error) from error
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


def _check_flatgeobuf(layer: VectorLayer) -> None:
    """A file that breaks off within its index reads as if it were empty."""
    import pyogrio

    try:
        rows = pyogrio.read_arrow(layer.path, columns=[], max_features=1)[1].num_rows
    except (OSError, RuntimeError) as error:
        raise unreadable(layer.path, error) from error
    if layer.features and not rows:
        raise SceneError(f"{layer.path}: the file breaks off within its index; fetch it again")


def _parquet(path: Path) -> VectorLayer:
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
        crs = GEOGRAPHIC if found == CRS("OGC:CRS84") else crs_name(found.to_wkt())
    names = tuple(n for n in file.schema_arrow.names if n not in geo["columns"])
    return VectorLayer(
        str(path), path.stem, crs, names, file.metadata.num_rows, geometry=geo["primary_column"]
    )


def _located(layer: VectorLayer, stated: str | None) -> VectorLayer:
    """The layer with a CRS: its own, checked against what the recipe states."""
    try:
        declared = None if stated is None else crs_name(stated)
    except GridError as error:
        raise GridError(f"{layer.where}: the stated crs {stated!r} is no CRS: {error}") from error
    if not layer.crs:
        if declared is None:
            raise GridError(
                f"{layer.where}: the file does not say its CRS (a shapefile without .prj, a table "
                "without one, a GeoJSON that is not in degrees); state it under `crs`"
            )
        return replace(layer, crs=declared)
    if declared is not None and not _same_places(layer.crs, declared, layer):
        raise GridError(
            f"{layer.where}: CRS that does not match: the file says {short_name(layer.crs)}, the "
            f"recipe states {stated}; correct `crs`, or leave it out to take the file's"
        )
    return layer


def _same_places(left: str, right: str, layer: VectorLayer) -> bool:
    """Whether two CRS give one position to what lies in the layer: names and WKT vary too much."""
    if same_crs(left, right):
        return True
    if in_degrees(left) != in_degrees(right):
        return False
    boxes = read_boxes(layer, None)[0]
    boxes = boxes[~np.isnan(boxes).any(axis=1)]  # features without geometry
    if not len(boxes):
        return False
    west, south = boxes[:, :2].min(axis=0)
    east, north = boxes[:, 2:].max(axis=0)
    x, y = (part.ravel() for part in np.meshgrid([west, east], [south, north]))
    return apart_m(left, right, x, y) < _SAME_M
