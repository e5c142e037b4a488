# SPDX-License-Identifier: Apache-2.0
"""Features of vector layers, read in portions within a box.

GeoPackage, shapefile, FlatGeobuf and GeoJSON are read by GDAL (through pyogrio), GeoParquet by
Arrow.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import GridError, SceneError, remedy
from ..grid import reprojected
from .archives import SIDECARS
from .geometry import check_finite, shapes_of
from .text import BYTES, mended

if TYPE_CHECKING:
    from odc.geo.geobox import GeoBox

PARQUET = (".parquet", ".geoparquet")
"""Suffixes of GeoParquet files, in lower case."""
_BATCH = 50_000

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class VectorLayer:
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
    encoding: str | None = None
    """Shapefiles: what text is that is no UTF-8, see `text`; other formats are UTF-8 by rule."""
    stored: tuple[str, ...] = ()
    """How the file is asked for each of `fields`, where that is not the name itself."""

    @property
    def parquet(self) -> bool:
        """Whether Arrow reads it, not GDAL."""
        return Path(self.path).suffix.lower() in PARQUET

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
class Portion:
    """Some features of a layer."""

    geometries: NDArray[Any]
    """(feature,) shapely geometries or None."""
    ids: NDArray[np.int64]
    """(feature,) what tells the features of a layer apart; says nothing else."""
    columns: Mapping[str, Any]
    """Attribute, as the caller names it → Arrow array."""
    closed: NDArray[np.bool_]
    """(feature,) whether rings had to be closed."""


def read_portions(
    layer: VectorLayer, columns: Mapping[str, str], box: Box | None
) -> Iterator[Portion]:
    """Read features whose box meets a box.

    Args:
        layer: an open layer.
        columns: attributes by the caller's name → name in the layer.
        box: left, bottom, right, top in the layer's CRS; all features if None.

    Raises:
        SceneError: the file cannot be read to its end.
    """
    import shapely

    asked = dict(zip(layer.fields, layer.stored, strict=True)) if layer.stored else {}
    columns = {key: asked.get(name, name) for key, name in columns.items()}
    straight = None if layer.parquet else partial(_straight, layer)
    for part in _tables(layer, list(dict.fromkeys(columns.values())), box):
        table, wkb, ids = part
        geometries, closed = shapes_of(wkb, ids, layer.where, straight)
        if box is not None and len(geometries):
            # GDAL may answer with a little more than was asked for, Arrow with much more.
            left, bottom, right, top = shapely.bounds(geometries).T
            far = (left > box[2]) | (right < box[0]) | (bottom > box[3]) | (top < box[1])
            keep = ~far & ~np.isnan(left)  # what has no geometry lies in no box
            if not keep.all():
                geometries, ids, table = geometries[keep], ids[keep], table.filter(keep)
                closed = closed[keep]
        check_finite(geometries, ids, layer.where)
        found = {key: table.column(name) for key, name in columns.items()}
        yield Portion(geometries, ids, found, closed)


def _straight(layer: VectorLayer, ids: NDArray[np.int64]) -> NDArray[Any]:
    """Geometries of some features without curves, as WKB."""
    import pyogrio

    try:
        with quiet():
            _, found, wkb, _ = pyogrio.raw.read(
                layer.path, layer=layer.name, fids=ids, columns=[], return_fids=True
            )
    except (OSError, RuntimeError, ValueError) as error:
        raise unreadable(layer.path, error) from error
    place = {number: at for at, number in enumerate(found)}
    return np.array([wkb[place[number]] for number in ids], object)


def _tables(
    layer: VectorLayer, names: list[str], box: Box | None
) -> Iterator[tuple[Any, NDArray[Any], NDArray[np.int64]]]:
    """Attributes, geometries as WKB, and ids."""
    import pyarrow as pa

    try:
        if layer.parquet:
            import pyarrow.parquet as pq

            wanted = [*names, str(layer.geometry)]
            with pq.ParquetFile(layer.path) as file:
                first = 0
                for part in file.iter_batches(_BATCH, columns=wanted):
                    ids = np.arange(first, first + len(part), dtype=np.int64)
                    yield *_split(pa.Table.from_batches([part]), str(layer.geometry), layer), ids
                    first += len(part)
            return
        import pyogrio

        with ExitStack() as stack:
            with quiet():
                meta, reader = stack.enter_context(
                    pyogrio.open_arrow(
                        layer.path, layer=layer.name, columns=names, bbox=box, batch_size=_BATCH,
                        use_pyarrow=True, return_fids=True,
                        encoding=None if layer.encoding is None else BYTES,
                    )
                )  # fmt: skip
            geometry = meta["geometry_name"] or "wkb_geometry"
            batches = iter(reader)
            while True:
                with quiet():
                    part = next(batches, None)
                if part is None:
                    break
                table, wkb = _split(pa.Table.from_batches([part]), geometry, layer)
                number = next(i for i, n in enumerate(table.column_names) if n not in names)
                ids = table.column(number).to_numpy().astype(np.int64)
                yield table.remove_column(number), wkb, ids
    except SceneError:
        raise
    except (OSError, RuntimeError, ValueError, KeyError, pa.ArrowException) as error:
        raise unreadable(layer.path, error) from error


def _split(table: Any, geometry: str, layer: VectorLayer) -> tuple[Any, NDArray[Any]]:
    import pyarrow as pa

    wkb = np.asarray(table.column(geometry).to_numpy(), dtype=object)
    rest = table.drop_columns([geometry])
    for position, name in enumerate(rest.column_names):
        column = rest.column(position)
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            column = mended(column, layer.encoding, layer.where)
            rest = rest.set_column(position, name, column)
    return rest, wkb


def read_boxes(
    layer: VectorLayer, box: Box | None, columns: Mapping[str, str] | None = None
) -> tuple[NDArray[np.float64], list[Portion]]:
    """Boxes of features, and their attributes; the geometries are let go portion by portion.

    Returns:
        (feature, 4) left, bottom, right, top, NaN where there is no geometry; and the portions,
        whose geometries are gone.
    """
    import shapely

    boxes, kept = [np.empty((0, 4))], []
    for portion in read_portions(layer, columns or {}, box):
        boxes.append(shapely.bounds(portion.geometries))
        kept.append(Portion(np.empty(0, object), portion.ids, portion.columns, portion.closed))
    return np.concatenate(boxes), kept


def read_box(geobox: GeoBox, crs: str, reach_m: float = 0.0) -> tuple[float, float, float, float]:
    """Box in another CRS around a geobox and all that reaches into it.

    Args:
        geobox: part of a grid.
        crs: CRS of the answer.
        reach_m: how far lines will be widened, in metres.

    Returns:
        left, bottom, right, top: a little more than is needed, never less.
    """
    outline = reprojected(geobox.extent.geom, str(geobox.crs), crs)
    left, bottom, right, top = outline.bounds
    if not all(math.isfinite(edge) for edge in (left, bottom, right, top)):
        raise GridError(f"the grid cannot be drawn in {crs}, the CRS of a vector file")
    rim = 0.01 * max(right - left, top - bottom)
    # Twice, for scales that are not true; degrees of longitude are shorter than of latitude.
    up = 2 * reach_m * (1 / 111_320 if in_degrees(crs) else 1)
    across = (
        up / max(0.01, math.cos(math.radians(max(abs(top), abs(bottom)))))
        if in_degrees(crs)
        else up
    )
    return left - rim - across, bottom - rim - up, right + rim + across, top + rim + up


@lru_cache(maxsize=64)
def in_degrees(crs: str) -> bool:
    """Whether the coordinates of a CRS are degrees."""
    from pyproj import CRS

    return bool(CRS.from_user_input(crs).is_geographic)


@contextmanager
def quiet() -> Iterator[None]:
    """Without GDAL's warnings: what is wrong with a geometry is counted or named by us."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


class UnreadableError(SceneError):
    """A vector file that its library cannot read; `why` is the library's reason."""

    why = ""


def unreadable(path: str, error: Exception) -> UnreadableError:
    """The error for a file that cannot be read."""
    why = str(error).split("; It might help")[0].strip()  # to name a driver: not for ours
    why = why or type(error).__name__
    damaged = "it is truncated, damaged or not what its name says: fetch it again"
    advice = remedy(path, None, damaged)
    made = UnreadableError(f"{path}: cannot be read as a vector file ({why}); {advice}")
    made.why = why
    return made
