# SPDX-License-Identifier: Apache-2.0
"""Layers of vector files: found, checked, and read in batches within a box.

GeoPackage, shapefile and FlatGeobuf are read by GDAL (through pyogrio), GeoParquet by Arrow.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import GridError, InputError, SceneError
from .archives import ARCHIVES, SIDECARS, TABLES, unpacked
from .schema import ANY, Schema

_BATCH = 50_000
_PARQUET = (".parquet", ".geoparquet")
_SAME_M = 0.1
"""Two CRS whose positions differ by less are one for our purposes: a hundredth of a pixel."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Layer:
    """A layer that can be read."""

    path: str
    """The vector file itself, unpacked if it came in an archive."""
    name: str
    crs: str
    """Authority code or WKT."""
    fields: tuple[str, ...]
    features: int
    geometry: str | None = None
    """Name of the geometry column (GeoParquet)."""
    mend: str | None = None
    """Encoding that GDAL took for granted where a shapefile does not say its own (no .cpg)."""

    @property
    def parquet(self) -> bool:
        """Whether Arrow reads it, not GDAL."""
        return Path(self.path).suffix.lower() in _PARQUET

    @property
    def where(self) -> str:
        """File and layer, for messages."""
        stem = Path(self.path).stem
        return self.path if self.name == stem else f"{self.path}, layer {self.name}"

    @property
    def files(self) -> tuple[str, ...]:
        """The file, and for a shapefile all that belongs to it."""
        path = Path(self.path)
        if path.suffix.lower() != ".shp":
            return (self.path,)
        beside = {p.suffix.lower(): p for p in sorted(path.parent.glob(f"{path.stem}.*"))}
        return (self.path, *(str(beside[s]) for s in SIDECARS if s in beside))


@dataclass(frozen=True)
class Batch:
    """Some features of a layer."""

    geometries: NDArray[Any]
    """(feature,) shapely geometries or None."""
    columns: Mapping[str, Any]
    """Attribute, as the caller names it → Arrow array."""


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
    if path.suffix.lower() in _PARQUET:
        return [path.stem]
    import pyogrio

    try:
        return [str(name) for name, kind in pyogrio.list_layers(path) if kind is not None]
    except (pyogrio.errors.DataSourceError, RuntimeError) as error:
        raise _unreadable(str(path), error) from error


def _described(path: Path, name: str) -> Layer:
    if path.suffix.lower() in _PARQUET:
        return _parquet(path)
    import pyogrio

    try:
        info = pyogrio.read_info(path, layer=name, force_feature_count=True)
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, RuntimeError) as error:
        raise _unreadable(str(path), error) from error
    layer = Layer(
        str(path), name, info["crs"] or "", tuple(map(str, info["fields"])), info["features"]
    )
    if path.suffix.lower() != ".shp":
        return layer
    suffixes = {Path(p).suffix.lower() for p in layer.files}
    if ".dbf" not in suffixes:
        raise SceneError(
            f"{path}: the shapefile lacks its .dbf, the attributes; fetch all of its files"
        )
    mend = None if ".cpg" in suffixes else info["encoding"]
    return Layer(layer.path, name, layer.crs, layer.fields, layer.features, mend=mend)


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
        found = "" if given is None else CRS.from_user_input(given)
    except (OSError, pa.ArrowInvalid) as error:
        raise _unreadable(str(path), error) from error
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
    crs = "" if not found else f"EPSG:{found.to_epsg()}" if found.to_epsg() else found.to_wkt()
    if given == "OGC:CRS84":
        crs = "EPSG:4326"
    names = tuple(n for n in file.schema_arrow.names if n not in geo["columns"])
    return Layer(
        str(path), path.stem, crs, names, file.metadata.num_rows, geometry=geo["primary_column"]
    )


def _located(layer: Layer, stated: str | None) -> Layer:
    """The layer with a CRS: its own, checked against what the recipe states."""
    from dataclasses import replace

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


def read_batches(layer: Layer, columns: Mapping[str, str], box: Box | None) -> Iterator[Batch]:
    """Read features whose box meets a box.

    Args:
        layer: an open layer.
        columns: attributes by the caller's name → name in the layer.
        box: left, bottom, right, top in the layer's CRS; all features if None.

    Raises:
        SceneError: the file cannot be read to its end.
    """
    import shapely

    for table, wkb in _tables(layer, list(dict.fromkeys(columns.values())), box):
        try:
            geometries = shapely.from_wkb(wkb)
        except shapely.errors.GEOSException as error:
            raise _unreadable(layer.path, error) from error
        if box is not None and len(geometries):
            # GDAL may answer with a little more than was asked for, Arrow with much more.
            left, bottom, right, top = shapely.bounds(geometries).T
            far = (left > box[2]) | (right < box[0]) | (bottom > box[3]) | (top < box[1])
            keep = ~far  # features without geometry stay: they are counted
            if not keep.all():
                geometries, table = geometries[keep], table.filter(keep)
        yield Batch(geometries, {key: table.column(name) for key, name in columns.items()})


def _tables(layer: Layer, names: list[str], box: Box | None) -> Iterator[tuple[Any, NDArray[Any]]]:
    import pyarrow as pa

    try:
        if layer.parquet:
            import pyarrow.parquet as pq

            wanted = [*names, str(layer.geometry)]
            with pq.ParquetFile(layer.path) as file:
                for part in file.iter_batches(_BATCH, columns=wanted):
                    yield _split(pa.table(part), str(layer.geometry), layer)
            return
        import pyogrio

        with pyogrio.open_arrow(
            layer.path, layer=layer.name, columns=names, bbox=box, batch_size=_BATCH,
            use_pyarrow=True,
        ) as (meta, reader):  # fmt: skip
            geometry = meta["geometry_name"] or "wkb_geometry"
            for part in reader:
                yield _split(pa.table(part), geometry, layer)
    except (OSError, RuntimeError, pa.ArrowException) as error:
        raise _unreadable(layer.path, error) from error


def _split(table: Any, geometry: str, layer: Layer) -> tuple[Any, NDArray[Any]]:
    wkb = np.asarray(table.column(geometry).to_numpy(), dtype=object)
    rest = table.drop_columns([geometry])
    if layer.mend is not None:
        for position, name in enumerate(rest.column_names):
            column = rest.column(position)
            if "string" in str(column.type):
                rest = rest.set_column(position, name, _mended(column, layer.mend))
    return rest, wkb


def _mended(column: Any, encoding: str) -> Any:
    """UTF-8 that GDAL took for another encoding, because the shapefile does not say which.

    Text in a one-byte encoding is hardly ever valid UTF-8 by chance, so the test decides.
    """
    import pyarrow as pa

    def right(text: str | None) -> str | None:
        if text is None or text.isascii():
            return text
        try:
            return text.encode(encoding).decode("utf-8")
        except (UnicodeError, LookupError):
            return text

    coded = column.combine_chunks().dictionary_encode()
    return pa.DictionaryArray.from_arrays(
        coded.indices, pa.array([right(t) for t in coded.dictionary.to_pylist()], pa.string())
    ).cast(pa.string())


def read_boxes(
    layer: Layer, box: Box | None, columns: Mapping[str, str] | None = None
) -> tuple[NDArray[np.float64], list[Batch]]:
    """Boxes of features, and their attributes; the geometries are let go batch by batch.

    Returns:
        (feature, 4) left, bottom, right, top, NaN where there is no geometry; and the batches,
        whose geometries are gone.
    """
    import shapely

    boxes, kept = [np.empty((0, 4))], []
    for batch in read_batches(layer, columns or {}, box):
        boxes.append(shapely.bounds(batch.geometries))
        kept.append(Batch(np.empty(0, object), batch.columns))
    return np.concatenate(boxes), kept


def _unreadable(path: str, error: Exception) -> SceneError:
    return SceneError(
        f"{path}: cannot be read as a vector file ({str(error).strip() or type(error).__name__}); "
        "it is truncated, damaged or not what its name says: fetch it again"
    )
