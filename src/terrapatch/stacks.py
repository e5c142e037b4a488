# SPDX-License-Identifier: Apache-2.0
"""Stacks on disk: Zarr v3, sharded; a chunk is one patch at one date.

A stack is a Zarr group with
    data    (patch, time, band, y, x)   the pixels
    source  (patch, time, y, x) uint8   0: missing; k: taken from `items[t][k-1]`
    scl     (patch, time, y, x) uint8   Sentinel-2 scene classification, only where asked for
    incidence (patch, time) float32     angle at the patch's centre in degrees, only where known
    lacking (patch, time, band) uint32  missing pixels that the band has no value for, only where
                                        bands differ
and its description, a `StackInfo`, in the group's attributes under `terrapatch`.

Laws:
1. A shard is written once, whole, by one thread; its chunks stand in the order of the patches,
   so the bytes do not depend on the number of threads.
2. A stack appears under its name only when it is whole (written beside it, then renamed).
3. Damage is seen: every chunk has a checksum, and a file that is gone is an error.

Reading goes through zarr-python. Shards are encoded here: the format is a concatenation of
chunks and an index (Zarr v3, sharding codec 1.0, index at the end), and writing it directly
costs half of the library's time and keeps the order of chunks fixed
(docs/decisions/0003-shards.md).
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from .errors import StorageError
from .files import atomic
from .layers import Values
from .paths import remedy

if TYPE_CHECKING:
    import xarray as xr
    import zarr

VERSION = 2
"""Of the record, see `StackInfo`; a stack of another one is made again."""
EXTRAS = frozenset({"local_incidence", "ellipsoid_incidence", "layover_shadow"})
"""Bands that no sensor measured: angles and masks."""
LABEL = "label"
"""Name of the stack of labels."""
INCIDENCE = "incidence"
LACKING = "lacking"
_LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}
_PARTS = re.compile(r"zarr\.json|(data|source|scl|incidence|lacking)/(zarr\.json|c(/\d+)+)")
"""Names of the files of a stack."""
_EMPTY = 2**64 - 1
"""Offset and length of a chunk that is not stored. Source: Zarr v3 sharding codec 1.0."""


@dataclasses.dataclass(frozen=True)
class StackInfo:
    """All that a reader needs to know about a stack."""

    layer: str
    """Its name in the recipe."""
    kind: str
    """The family of layers that it is of, for example `sentinel2` or `labels`."""
    unit: str
    """Id of the unit."""
    geobox: Mapping[str, Any]
    """Geobox of the unit, see `grid.geobox_to_dict`."""
    bands: tuple[str, ...]
    patch_ids: tuple[str, ...]
    size_px: int
    times: tuple[str, ...]
    """One label per time step, each once: a date, or a period for mosaics; the moment of a pass in a
    series. Tables name an image by it."""
    items: tuple[tuple[str, ...], ...]
    """Per time step: ids of the scenes that `source` counts from 1."""
    dtype: str
    values: Values
    """What the numbers mean, but for those of angles and masks."""
    shard_patches: int
    scl: bool = False
    series: bool = False
    """Whether time steps are passes, and units may have different ones."""
    passes: tuple[Mapping[str, Any], ...] = ()
    """Per time step: `direction`, `relative_orbit`, `platform`, each null where scenes differ."""
    reduce: tuple[str, ...] = ()
    """Per time step: how its scenes became one image, see `records.Reduction`; none of labels."""
    joined: tuple[tuple[str, ...], ...] = ()
    """Of a stack over several units, per time step: the labels that units have for it; of series one
    each, since a pass has one label in all units."""
    record: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """What the stage tells of its work; of labels what became of the features of each source."""

    @property
    def measured(self) -> list[int]:
        """Numbers of the bands that a sensor measured; angles and masks are the others."""
        return [number for number, band in enumerate(self.bands) if band not in EXTRAS]

    @property
    def arrays(self) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
        """Array name → (shape of one chunk without patch and time axes, dtype)."""
        side = (self.size_px, self.size_px)
        found: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {
            "data": ((len(self.bands), *side), np.dtype(self.dtype)),
            "source": (side, np.dtype("uint8")),
        }
        if self.scl:
            found["scl"] = (side, np.dtype("uint8"))
        return found

    @property
    def shards(self) -> list[range]:
        """Patch numbers of each shard."""
        n = len(self.patch_ids)
        return [range(i, min(i + self.shard_patches, n)) for i in range(0, n, self.shard_patches)]


class StackWriter:
    """Writes whole shards; safe to call from several threads with different shards."""

    def __init__(self, folder: Path, info: StackInfo) -> None:
        self.folder = folder
        self.info = info
        folder.mkdir(parents=True)
        self._describe()
        for name, (chunk, dtype) in info.arrays.items():
            (folder / name).mkdir()
            _write_node(folder / name, _array_metadata(info, name, chunk, dtype))

    def write(
        self,
        shard: int,
        time: int,
        data: NDArray[Any],
        source: NDArray[np.uint8],
        scl: NDArray[np.uint8] | None = None,
    ) -> None:
        """Write one shard of one time step.

        Args:
            shard: number of the shard, see `StackInfo.shards`.
            time: number of the time step.
            data: (patch, band, y, x) pixels of the shard's patches.
            source: (patch, y, x) uint8; 0 where missing.
            scl: (patch, y, x) uint8, exactly where the info says so.
        """
        given = {"data": data, "source": source} | ({} if scl is None else {"scl": scl})
        count = len(self.info.shards[shard])
        for name, (chunk, dtype) in self.info.arrays.items():
            array = given[name]
            assert array.shape == (count, *chunk), (name, array.shape)
            assert array.dtype == dtype, (name, array.dtype)
            zeros = "/0" * len(chunk)
            path = self.folder / name / "c" / f"{shard}/{time}{zeros}"
            path.parent.mkdir(parents=True, exist_ok=True)
            # Chunk by chunk: a shard joined in memory costs its copy and as many fresh pages.
            with path.open("wb") as file:
                file.writelines(_encode_shard(array, self.info.shard_patches))

    def record(self, facts: Mapping[str, Any]) -> None:
        """Note what the stage tells of its work, once it is done."""
        self.info = dataclasses.replace(self.info, record=facts)
        self._describe()

    def _describe(self) -> None:
        attributes = {"terrapatch": {"version": VERSION, **dataclasses.asdict(self.info)}}
        _write_node(self.folder, {"node_type": "group", "attributes": attributes})

    def write_incidence(self, degrees: NDArray[np.float32]) -> None:
        """Write the array `incidence`.

        Args:
            degrees: (patch, time) float32, NaN where unknown.
        """
        about = {"units": "degrees", "long_name": "incidence angle on the ellipsoid"}
        self._write_table(INCIDENCE, degrees, ("patch", "time"), about)

    def write_lacking(self, pixels: NDArray[np.uint32]) -> None:
        """Write the array `lacking`.

        Args:
            pixels: (patch, time, band) uint32.
        """
        about = {"units": "pixels", "long_name": "missing pixels that the band has no value for"}
        self._write_table(LACKING, pixels, ("patch", "time", "band"), about)

    def _write_table(
        self, name: str, values: NDArray[Any], axes: tuple[str, ...], about: Mapping[str, str]
    ) -> None:
        """Write a small array of the whole stack, in one chunk."""
        lengths = {
            "patch": len(self.info.patch_ids), "time": len(self.info.times),
            "band": len(self.info.bands),
        }  # fmt: skip
        assert values.shape == tuple(lengths[axis] for axis in axes), values.shape
        path = self.folder / name / ("c" + "/0" * len(axes))
        path.parent.mkdir(parents=True)
        _write_node(self.folder / name, {
            "node_type": "array", "shape": values.shape, "data_type": values.dtype.name,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": values.shape}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": "NaN" if values.dtype.kind == "f" else 0,
            "codecs": [_LITTLE, {"name": "crc32c"}], "dimension_names": axes, "attributes": about,
        })  # fmt: skip
        data = values.astype(values.dtype.newbyteorder("<")).tobytes()
        path.write_bytes(data + _checksum(data))


@contextmanager
def create_stack(path: str | Path, info: StackInfo) -> Iterator[StackWriter]:
    """Open a stack for writing; it takes its name when the block ends without an error.

    Raises:
        InputError: something else than a stack stands there.
        StorageError: the disk is full or the folder cannot be written.
    """
    with atomic(path, ours=lambda _: lambda name: _PARTS.fullmatch(name) is not None) as temporary:
        yield StackWriter(temporary, info)


@dataclasses.dataclass(frozen=True)
class Stack:
    """A stack opened for reading."""

    path: Path
    info: StackInfo
    group: zarr.Group

    def read(
        self, patches: slice | Sequence[int], name: str = "data", time: int | None = None
    ) -> NDArray[Any]:
        """Read patches: (patch, time, …) of the array `name`, or (patch, …) of one time step."""
        array = self.group[name]
        step = slice(None) if time is None else time
        self._require(patches, name, time)
        try:
            if isinstance(patches, slice):
                return np.asarray(array[patches, step])  # type: ignore[index]
            return np.asarray(array.oindex[np.asarray(patches), step])  # type: ignore[union-attr]
        except (OSError, ValueError, RuntimeError) as error:
            raise StorageError(
                f"{self.path}/{name}: damaged ({error}); {remedy(self.path)}"
            ) from error

    def _require(self, patches: slice | Sequence[int], name: str, time: int | None) -> None:
        """Files that lie under the patches must be there: Zarr reads one that is not as zeros.

        A stack over several units leaves out passes that its patches have not: it has no geobox.
        """
        if not self.info.geobox:
            return
        numbers = range(len(self.info.patch_ids))
        chosen = numbers[patches] if isinstance(patches, slice) else patches
        shards = sorted({number // self.info.shard_patches for number in chosen})
        steps = range(len(self.info.times)) if time is None else [time]
        if name in (INCIDENCE, LACKING):
            files = [f"{name}/c" + "/0" * (2 if name == INCIDENCE else 3)]
        else:
            zeros = "/0" * len(self.info.arrays[name][0])
            files = [f"{name}/c/{shard}/{step}{zeros}" for shard in shards for step in steps]
        lost = [file for file in files if not _has_bytes(self.path / file)]
        if lost:
            more = f" and {len(lost) - 1} other files" if len(lost) > 1 else ""
            raise StorageError(
                f"{self.path}/{lost[0]}{more}: missing or empty, so pixels of the stack are lost; "
                f"{remedy(self.path)}"
            )

    @property
    def incidence(self) -> NDArray[np.float32]:
        """Incidence angle at the centre of each patch in degrees, (patch, time); NaN: unknown."""
        if INCIDENCE in self.group:
            return self.read(slice(None), INCIDENCE)
        return np.full((len(self.info.patch_ids), len(self.info.times)), np.nan, np.float32)

    @property
    def lacking(self) -> NDArray[np.uint32]:
        """Missing pixels that each band has no value for, (patch, time, band) uint32.

        0 where no band lacks what another one has.
        """
        if LACKING in self.group:
            return self.read(slice(None), LACKING)
        info = self.info
        return np.zeros((len(info.patch_ids), len(info.times), len(info.bands)), np.uint32)

    def as_xarray(self) -> xr.Dataset:
        """The stack as a lazy xarray Dataset (patch, time, band, y, x), for people.

        Coordinates: `patch` (ids), `time`, `band`; `crs` and the unit's `transform` stand in the
        attributes. Pixels are read when they are asked for.
        """
        import xarray as xr

        lazy: xr.Dataset = xr.open_zarr(self.path, zarr_format=3, chunks=None, consolidated=False)
        named = lazy.assign_coords(
            patch=list(self.info.patch_ids),
            time=list(self.info.times),
            **self._coordinates(),
            band=list(self.info.bands),
        )
        return named.assign_attrs(
            crs=self.info.geobox.get("crs"),
            transform=self.info.geobox.get("transform"),
            unit_of_values=self.info.values.text,
        )

    def _coordinates(self) -> dict[str, Any]:
        """Direction, relative orbit and platform along `time`, where steps are passes."""
        if not self.info.series:
            return {}
        names = self.info.passes[0] if self.info.passes else ()
        return {name: ("time", [step[name] for step in self.info.passes]) for name in names}


def open_stack(path: str | Path) -> Stack:
    """Open a stack for reading.

    Raises:
        StorageError: missing, not a stack of terrapatch, or one of another version.
    """
    import zarr

    try:
        group = zarr.open_group(str(path), mode="r", zarr_format=3)
        plain: dict[str, Any] = dict(cast("Any", group.attrs["terrapatch"]))
        version = plain.pop("version", 1)
        info = _info_of(plain) if version == VERSION else None
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise StorageError(f"{path}: no readable stack ({error!r}); {remedy(path)}") from error
    if info is None:
        raise StorageError(
            f"{path}: a stack of another version of terrapatch (its record is of version {version}, "
            f"and {VERSION} is read); {remedy(path)} and build again"
        )
    return Stack(Path(path), info, group)


def _info_of(plain: dict[str, Any]) -> StackInfo:
    """The record from its plain form."""
    for key in ("bands", "patch_ids", "times", "passes", "reduce"):
        plain[key] = tuple(plain.get(key, ()))
    for key in ("items", "joined"):
        plain[key] = tuple(tuple(step) for step in plain.get(key, ()))
    plain["values"] = Values.of(plain["values"])
    return StackInfo(**plain)


def _has_bytes(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False


def _codec(dtype: np.dtype[Any]) -> dict[str, Any]:
    # LZ4 with bit shuffling: 9 % larger than zstd-1 and half its time; JP2 decoding leaves
    # little time to spare (docs/benchmarks.md).
    return {
        "typesize": dtype.itemsize, "cname": "lz4", "clevel": 1, "shuffle": "bitshuffle",
        "blocksize": 0,
    }  # fmt: skip


def _encode_shard(array: NDArray[Any], capacity: int) -> Iterator[bytes]:
    """Chunks in order, each with its CRC-32C, then an index with the index' own.

    The index is (offset, length) of each chunk as little-endian uint64.

    Source: Zarr v3 specification, sharding codec 1.0, `index_location: end`; crc32c codec 1.0.
    """
    from numcodecs import blosc

    blosc.use_threads = False  # its own threads would share one global state
    index = np.full((capacity, 2), _EMPTY, "<u8")
    offset = 0
    for number, chunk in enumerate(array):
        if not chunk.any():
            continue  # equal to the fill value: not stored
        part = blosc.compress(np.ascontiguousarray(chunk), b"lz4", 1, blosc.BITSHUFFLE)
        yield part
        yield _checksum(part)
        index[number] = offset, len(part) + 4
        offset += len(part) + 4
    table = index.tobytes()
    yield table
    yield _checksum(table)


def _checksum(data: bytes) -> bytes:
    """CRC-32C of some bytes, little endian."""
    import google_crc32c

    return int(google_crc32c.value(data)).to_bytes(4, "little")


def _array_metadata(
    info: StackInfo, name: str, chunk: tuple[int, ...], dtype: np.dtype[Any]
) -> dict[str, Any]:
    axes = ["patch", "time", "band", "y", "x"] if len(chunk) == 3 else ["patch", "time", "y", "x"]
    plain = {"name": "bytes"} if dtype.itemsize == 1 else _LITTLE
    return {
        "node_type": "array",
        "shape": [len(info.patch_ids), len(info.times), *chunk],
        "data_type": dtype.name,
        "chunk_grid": {
            "name": "regular",
            "configuration": {"chunk_shape": [info.shard_patches, 1, *chunk]},
        },
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": [
            {
                "name": "sharding_indexed",
                "configuration": {
                    "chunk_shape": [1, 1, *chunk],
                    "codecs": [
                        plain,
                        {"name": "blosc", "configuration": _codec(dtype)},
                        {"name": "crc32c"},
                    ],
                    "index_codecs": [_LITTLE, {"name": "crc32c"}],
                    "index_location": "end",
                },
            }
        ],
        "dimension_names": axes,
        "attributes": {"bands": list(info.bands)} if name == "data" else {},
    }


def _write_node(folder: Path, metadata: dict[str, Any]) -> None:
    text = json.dumps({"zarr_format": 3, **metadata}, indent=1)
    (folder / "zarr.json").write_text(text, encoding="utf-8")
