# SPDX-License-Identifier: Apache-2.0
"""HDF5 files of points: at the root one dataset a point, its bands as fields, dates along its first axis.

Laws:
1. A dataset is one chunk, or one run of bytes where it is not compressed: a point is one read.
2. The same points in the same order give the same bytes: no times, one version of the format.
3. Filters, which take the time, run where the pixels are made, in any thread (`encode`); a file has one
   writer, since HDF5 lets one thread in at a time.
4. Any HDF5 library reads them: deflate and shuffle are in all, links lead to files by relative paths.

Source: HDF5 File Format Specification, version 3.0; filters 1 (deflate) and 2 (shuffle).
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import h5py

_FORMAT = ("earliest", "v108")
"""The oldest forms that hold what is written: every HDF5 since 1.8 reads them, and attributes stand in
the header of their dataset."""
_LEVEL = 1
"""Of deflate: 4 is 5 % smaller on Sentinel-2 and takes 40 % longer, 6 is 6 % and twice as long."""

Attribute = str | int | float | Sequence[str] | Sequence[float]
"""Text is of variable length in UTF-8, numbers are of 64 bits."""


def fields(names: Sequence[str]) -> np.dtype[Any]:
    """Type of a pixel: one uint16 a name, without gaps."""
    return np.dtype([(name, "<u2") for name in names])


@dataclass(frozen=True)
class Encoded:
    """The pixels of a point as its file holds them."""

    shape: tuple[int, ...]
    """Date, y, x."""
    data: bytes
    deflated: bool


def encode(pixels: NDArray[Any], *, deflate: bool) -> Encoded:
    """Bring the pixels of a point into the form of the file.

    Args:
        pixels: (date, y, x) of a type of `fields`.
        deflate: compress them: bytes of one place in all pixels stand together (shuffle), which
            brings the high bytes of a band next to each other, then deflate.
    """
    raw = np.ascontiguousarray(pixels)
    if not deflate:
        return Encoded(raw.shape, raw.tobytes(), deflate)
    plain = raw.view(np.uint8).reshape(raw.size, raw.dtype.itemsize)
    return Encoded(raw.shape, zlib.compress(np.ascontiguousarray(plain.T).data, _LEVEL), deflate)


class PointFile:
    """Writes points into one file; make it with `create_points`."""

    def __init__(self, file: h5py.File, kind: np.dtype[Any]) -> None:
        import h5py

        self._h5, self._root, self._kind = h5py, file.id, kind
        self._type = h5py.h5t.py_create(kind)
        self._string = h5py.string_dtype()

    def write(self, name: str, pixels: Encoded, attributes: Mapping[str, Attribute]) -> None:
        """Write one point.

        Args:
            name: of its dataset, at the root of the file.
            pixels: see `encode`.
            attributes: by name, in their order.
        """
        with _told_as_of_the_disk():
            self._write(name, pixels, attributes)

    def _write(self, name: str, pixels: Encoded, attributes: Mapping[str, Attribute]) -> None:
        h5 = self._h5
        form = h5.h5p.create(h5.h5p.DATASET_CREATE)
        form.set_obj_track_times(False)
        if pixels.deflated:
            form.set_chunk(pixels.shape)
            form.set_shuffle()
            form.set_deflate(_LEVEL)
        space = h5.h5s.create_simple(pixels.shape)
        dataset = h5.h5d.create(self._root, name.encode(), self._type, space, form)
        if pixels.deflated:
            dataset.write_direct_chunk((0,) * len(pixels.shape), pixels.data)
        else:
            array = np.frombuffer(pixels.data, self._kind).reshape(pixels.shape)
            dataset.write(h5.h5s.ALL, h5.h5s.ALL, array)
        for key, value in attributes.items():
            self._attach(dataset, key, value)

    def _attach(self, dataset: Any, name: str, value: Attribute) -> None:
        # The high-level way makes each attribute under a random name first, and takes ten times as long.
        h5 = self._h5
        texts = isinstance(value, str) or (
            isinstance(value, Sequence) and all(isinstance(part, str) for part in value)
        )
        array = np.array(value, self._string if texts else None)
        space = h5.h5s.create_simple(array.shape) if array.ndim else h5.h5s.create(h5.h5s.SCALAR)
        kind = h5.h5t.py_create(array.dtype, logical=True)
        h5.h5a.create(dataset, name.encode(), kind, space).write(array)


@contextmanager
def create_points(path: str | os.PathLike[str], kind: np.dtype[Any]) -> Iterator[PointFile]:
    """Open a new file for writing.

    Args:
        path: where; its folder is there.
        kind: type of a pixel, see `fields`.

    Raises:
        OSError: it cannot be written.
    """
    with _created(path) as file:
        yield PointFile(file, kind)


def write_links(path: str | os.PathLike[str], links: Iterable[tuple[str, str]]) -> None:
    """Write a file whose datasets lie in others.

    Args:
        path: where.
        links: name of each dataset, and the file that holds it under the same name, by its path from
            the folder of `path`.

    Raises:
        OSError: it cannot be written.
    """
    import h5py

    with _created(path) as file:
        for name, target in links:
            file[name] = h5py.ExternalLink(target, f"/{name}")


@contextmanager
def _created(path: str | os.PathLike[str]) -> Iterator[h5py.File]:
    import h5py

    # Nobody else has this file, and network drives without locks refuse to give one.
    file = h5py.File(path, "w", libver=_FORMAT, locking=False, track_order=False)
    try:
        yield file
    except BaseException:
        with suppress(OSError, RuntimeError):  # what is to be told has been raised
            file.close()
        raise
    with _told_as_of_the_disk():
        file.close()


@contextmanager
def _told_as_of_the_disk() -> Iterator[None]:
    """Errors of the disk as such: some HDF5 tells in its own words, with the number among them."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        if found := re.search(r"errno = (\d+)", str(error)):
            raise OSError(int(found[1]), os.strerror(int(found[1]))) from error
        raise
