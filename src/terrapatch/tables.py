# SPDX-License-Identifier: Apache-2.0
"""Tables on disk: the lock (JSON) and footprints and manifests (GeoParquet).

Laws:
1. Everything is written to a temporary name and renamed.
2. No timestamps, no absolute order of a file system: the same content gives the same bytes.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from .errors import IncompleteError, InputError, StorageError

if TYPE_CHECKING:
    import geopandas as gpd
    from odc.geo.geobox import GeoBox
    from shapely.geometry.base import BaseGeometry

    from .recipe import AreaSettings

Sensor = Literal["sentinel2", "sentinel1", "reference"]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class LockedAsset(_Record):
    """One file (or one band of a file) of a scene, with all that reading it takes."""

    href: str
    """Path that GDAL opens: a file, or /vsizip/… for a member of an archive."""
    band: int = 1
    """Band number inside the file, from 1."""
    size: int | None = None
    """Bytes of the file (of the archive for /vsizip/)."""
    sha256: str | None = None
    """Hash of the file (of the archive for /vsizip/), where recorded."""
    crs: str
    """Empty for radar geometry (Sentinel-1 GRD), whose transform is the identity."""
    transform: tuple[float, float, float, float, float, float]
    """Pixel to map, in the order of `affine.Affine`; read from the file itself."""
    shape: tuple[int, int]
    """Height, width."""
    dtype: str
    nodata: float | None = None
    nodata_nan: bool = False
    """Whether NaN means missing."""
    add_offset: float = 0.0
    """Sentinel-2: from the product's metadata, to be added to DN (RADIO/BOA_ADD_OFFSET)."""
    quantification: float = 10_000.0
    """Sentinel-2: DN + offset, divided by this, is reflectance."""
    scale: Literal["linear", "db"] = "linear"
    """Sentinel-1: unit of the pixels."""
    annotation: str | None = None
    """Sentinel-1 GRD: address of the product annotation of this polarisation (XML)."""
    calibration: str | None = None
    """Sentinel-1 GRD: address of the calibration annotation."""
    noise: str | None = None
    """Sentinel-1 GRD: address of the noise annotation; absent in products without one."""


class LockedItem(_Record):
    """One scene that goes into the dataset."""

    id: str
    sensor: Sensor
    level: str
    """L1C, L2A, RTC, GRD, map."""
    datetime: str
    """Acquisition start, ISO 8601 in UTC."""
    tile: str | None = None
    """MGRS tile with leading T, for example T31TCJ."""
    platform: str | None = None
    processing_baseline: str | None = None
    relative_orbit: int | None = None
    orbit_direction: str | None = None
    cloud_percent: float | None = None
    footprint: dict[str, Any]
    """GeoJSON geometry in EPSG:4326 of the valid data."""
    licence: str | None = None
    assets: dict[str, LockedAsset]
    """By band name: B02, SCL, VV, map."""


class LockedUnit(_Record):
    """One unit with its grid and the scenes that it is made from."""

    id: str
    geobox: dict[str, Any]
    """See `grid.geobox_to_dict`."""
    first_row: int
    first_col: int
    items: dict[str, tuple[str, ...]]
    """Item ids by sensor, best first: where scenes overlap, the first with a valid pixel wins."""
    vectors: tuple[str, ...] = ()
    """Ids of the polygon layers that have features here, in the order of the recipe."""


class Exclusion(_Record):
    """A scene that was found and not used."""

    id: str
    sensor: Sensor
    reason: str


class LockedFile(_Record):
    """A file that goes in beside the scenes."""

    href: str
    size: int | None = None
    sha256: str | None = None


class LockedVector(_Record):
    """One vector file of a reference."""

    id: str
    """Entry of the recipe and number of its file: `vectors.0.1`, `networks.0.0`."""
    href: str
    """Path of the vector file, or of the archive that holds it."""
    layer: str
    crs: str
    fields: dict[str, str]
    """Attribute as the recipe, the product or the crosswalk names it → as the file spells it."""
    features: int
    """Features of the layer that lie around the area."""
    files: tuple[LockedFile, ...]
    """All files that are read: `href`, or the parts of a shapefile."""

    @property
    def kind(self) -> str:
        """`vectors` or `networks`."""
        return self.id.split(".")[0]

    @property
    def source(self) -> int:
        """Number of the entry in the recipe's list."""
        return int(self.id.split(".")[1])


class Lock(_Record):
    """Exactly which products go in; all later stages read this alone."""

    version: Literal[1] = 1
    name: str
    source: str
    units: tuple[LockedUnit, ...]
    items: tuple[LockedItem, ...]
    heights: tuple[LockedFile, ...] = ()
    """Height model for the terrain correction of raw Sentinel-1 scenes."""
    vectors: tuple[LockedVector, ...] = ()
    """Polygons and networks of the reference, in the order of the recipe."""
    excluded: tuple[Exclusion, ...] = ()
    units_left_out: dict[str, str] = {}
    """Units that the area has and no job makes, with the reason: a sensor has no scene there."""

    def unit(self, unit_id: str) -> LockedUnit:
        """The unit of that id."""
        for unit in self.units:
            if unit.id == unit_id:
                return unit
        raise IncompleteError(
            f"the lock has no unit {unit_id!r}; it has {[u.id for u in self.units]}"
        )

    def items_of(self, unit_id: str, sensor: str) -> list[LockedItem]:
        """Scenes of a unit, best first."""
        by_id = {item.id: item for item in self.items if item.sensor == sensor}
        return [by_id[item_id] for item_id in self.unit(unit_id).items.get(sensor, ())]

    def vectors_of(self, unit_id: str) -> list[LockedVector]:
        """Polygon layers of a unit, in the order of the recipe."""
        here = set(self.unit(unit_id).vectors)
        return [vector for vector in self.vectors if vector.id in here]


def read_lock(path: str | os.PathLike[str]) -> Lock:
    """Read a lock.

    Raises:
        StorageError: missing or damaged; the remedy is to plan again.
    """
    try:
        return Lock.model_validate_json(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise StorageError(
            f"{path}: no readable lock; run `terrapatch plan` again: {error}"
        ) from error


def write_lock(lock: Lock, path: str | os.PathLike[str]) -> None:
    """Write a lock; a file with the same content keeps its time."""
    write_text(path, lock.model_dump_json(indent=1, exclude_defaults=True) + "\n")


@contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it to `path` when the block ends well.

    Works for files and folders. An old file or folder of that name is replaced. On any error
    the temporary one is removed; a full disk becomes a `StorageError` that says so.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    _remove(temporary)
    try:
        yield temporary
        if target.is_dir() and not target.is_symlink():
            _remove(target)
        temporary.replace(target)
    except OSError as error:
        _remove(temporary)
        raise storage_error(target, error) from error
    except BaseException:
        _remove(temporary)
        raise


def storage_error(path: Path, error: OSError) -> StorageError:
    """The clear form of an error of the file system while writing `path`."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageError(
            f"{path}: the disk is full; nothing half-written is left under this name. "
            "Free some space (or give another --output) and run again"
        )
    return StorageError(f"{path}: cannot be written: {error}")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file whole; one with the same content keeps its time."""
    target = Path(path)
    if target.is_file() and target.read_text(encoding="utf-8") == text:
        return
    with atomic(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike[str], data: Mapping[str, Any]) -> None:
    """Write JSON with sorted keys, whole."""
    write_text(path, json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def write_geoparquet(
    table: gpd.GeoDataFrame,
    path: str | os.PathLike[str],
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Write a GeoParquet file whole, rows in the order given, without an index column.

    Columns with a name of the house (docs/plan.md, Tables) get their fixed type, so that a
    column without values in one unit has the same type as in the others.

    Args:
        table: rows with a geometry column.
        path: where.
        metadata: recorded as JSON under `terrapatch` in the file's own metadata.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with atomic(path) as temporary:
        table.reset_index(drop=True).to_parquet(temporary, index=False)
        plain = pq.read_table(temporary, memory_map=False)
        for position, name in enumerate(plain.column_names):
            if wanted := _column_type(name):
                column = plain.column(position)
                without = column.null_count == len(column)  # then its type says nothing
                column = pa.nulls(len(column), wanted) if without else column.cast(wanted)
                plain = plain.set_column(position, plain.field(position).with_type(wanted), column)
        if metadata is not None:
            text = json.dumps(metadata, sort_keys=True, ensure_ascii=False)
            plain = plain.replace_schema_metadata(
                {**(plain.schema.metadata or {}), b"terrapatch": text.encode()}
            )
        pq.write_table(plain, temporary, compression="zstd")


def _column_type(name: str) -> Any:
    """The Arrow type of a column of the house, or None for others."""
    import pyarrow as pa

    text = {"patch_id", "unit", "crs", "dropped_reason", "split", "block", "split_reason"}
    if name in text or name.startswith("hash_"):
        return pa.string()
    if name in {"row", "col", "y_px", "x_px", "size_px"}:
        return pa.int64()
    if name.startswith("valid_"):
        return pa.float64()
    if name.startswith(("dates_", "sources_")):
        return pa.list_(pa.string())
    if name.startswith("counts_"):
        return pa.list_(pa.int64())
    return pa.list_(pa.float64()) if name == "transform" else None


def read_table_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What `write_geoparquet` recorded as `metadata`; empty where nothing was.

    Raises:
        StorageError: missing or damaged.
    """
    import pyarrow.parquet as pq

    try:
        found = (pq.read_schema(path).metadata or {}).get(b"terrapatch", b"{}")
        return dict(json.loads(found))
    except (OSError, ValueError) as error:
        raise StorageError(f"{path}: no readable GeoParquet file: {error}") from error


def read_geoparquet(path: str | os.PathLike[str]) -> gpd.GeoDataFrame:
    """Read a GeoParquet file.

    Raises:
        StorageError: missing or damaged.
    """
    import geopandas as gpd

    try:
        return gpd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise StorageError(f"{path}: no readable GeoParquet file: {error}") from error


def read_area(area: AreaSettings) -> tuple[BaseGeometry, str]:
    """The recipe's area: a shapely (multi)polygon and its CRS.

    Raises:
        InputError: the area's file is missing, has no CRS or holds no polygon.
    """
    import geopandas as gpd
    import shapely

    if area.file is None:
        assert area.bbox is not None
        return shapely.box(*area.bbox), "EPSG:4326"
    try:
        table = gpd.read_file(area.file)
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(
            f"{area.file}: cannot be read as a polygon file ({error}); give area.file a GeoJSON, "
            "GeoPackage or Shapefile, relative to where you run"
        ) from error
    polygons = table.geometry[table.geom_type.isin(["Polygon", "MultiPolygon"])]
    if polygons.empty or table.crs is None:
        missing = "polygons" if polygons.empty else "the CRS"
        raise InputError(
            f"{area.file}: area.file must hold polygons and say its CRS; it lacks {missing}"
        )
    epsg = table.crs.to_epsg()
    return shapely.make_valid(polygons.union_all()), f"EPSG:{epsg}" if epsg else table.crs.to_wkt()


def read_columns(path: str | os.PathLike[str], names: Sequence[str]) -> dict[str, list[Any]]:
    """Read some columns of a (Geo)Parquet file as plain lists, without loading geopandas.

    Raises:
        StorageError: missing, damaged, or without one of the columns.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # Not `read_table`: that loads pandas, a quarter of a second.
        table = pq.ParquetFile(path).read(columns=list(names))
        return {name: table.column(name).to_pylist() for name in names}
    except (OSError, KeyError, pa.ArrowInvalid) as error:
        raise StorageError(
            f"{path}: no readable table with columns {list(names)}; build it again: {error}"
        ) from error


def unit_geobox(unit: LockedUnit) -> GeoBox:
    """The geobox of a locked unit."""
    from .grid import geobox_from_dict

    return geobox_from_dict(unit.geobox)
