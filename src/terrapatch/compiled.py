# SPDX-License-Identifier: Apache-2.0
"""Compiled kernels whose cache on disk is safe when several jobs start at once.

numba numbers the files of its cache, and writes the index before the file it names. Two processes
that compile the same kernel for other types at the same moment can give one number to both, and
one that reads in between can load another kernel's machine code: a crash. Here each read and each
write of a cache holds a lock of the file system.

numba's caches look at a kernel's own file only, while the machine code holds the kernels that it calls
and the order of the fields of named tuples that it takes, whatever files these stand in. Here a cache
is of the files of all of them.

Where nothing can be kept (a read-only package and a home that cannot be written, as in containers; a
full disk), kernels are compiled anew in every process, and a line says once how to give them a place.
"""

from __future__ import annotations

import inspect
import os
import pickle
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import Any

import numba

from . import progress

fcntl: Any
try:
    import fcntl
except ImportError:  # not POSIX: numba's own behaviour
    fcntl = None


class _SerialCache:
    """A numba cache whose reads and writes are serialised between processes."""

    def __init__(self, cache: Any, function: Callable[..., Any]) -> None:
        self._cache, self._function = cache, function

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cache, name)

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        # Not before: kernels further down in a file are not there when this one is decorated.
        self._cache._cache_file._source_stamp = stamp(self._function, signature)
        try:
            with _lock(self._cache.cache_path, exclusive=False):
                return self._cache.load_overload(signature, target_context)
        except _UNREADABLE:
            with suppress(OSError), _lock(self._cache.cache_path, exclusive=True):
                self._cache.flush()
            return None

    def save_overload(self, signature: Any, data: Any) -> None:
        self._cache._cache_file._source_stamp = stamp(self._function, signature)
        try:
            with _lock(self._cache.cache_path, exclusive=True):
                self._cache.save_overload(signature, data)
        except OSError as error:
            _say_uncached(f"{self._cache.cache_path}: {error.strerror}")


_UNREADABLE = (OSError, EOFError, pickle.UnpicklingError, AttributeError, ImportError)
"""A cache that is cut short, not ours to read, or of named tuples that are no more."""


def stamp(
    function: Callable[..., Any], signature: Iterable[Any] = ()
) -> tuple[tuple[str, int, int], ...]:
    """Name, time and size of the files that a kernel's machine code depends on.

    Args:
        function: its files and those of all kernels that it calls count.
        signature: numba types of its arguments; the files of named tuples among them count.
    """
    seen: set[Any] = set()
    waiting = [function]
    while waiting:
        found = waiting.pop()
        if found in seen:
            continue
        seen.add(found)
        names = found.__code__.co_names
        places: list[Any] = [found.__globals__.get(name) for name in names]
        places += [getattr(m, name, None) for m in places if isinstance(m, ModuleType)
                   for name in names]  # fmt: skip
        waiting += [place.py_func for place in places if hasattr(place, "py_func")]
    files = {f.__code__.co_filename for f in seen} | set(_homes(signature))
    return tuple((name, (at := os.stat(name)).st_mtime_ns, at.st_size) for name in sorted(files))


def _homes(signature: Iterable[Any]) -> Iterator[str]:
    """Files of the classes of named tuples, also of those in others."""
    for found in signature:
        if isinstance(found, numba.types.BaseTuple):
            yield from _homes(found)
        if isinstance(found, numba.types.BaseNamedTuple):
            yield inspect.getfile(found.instance_class)


@contextmanager
def _lock(folder: str, *, exclusive: bool) -> Iterator[None]:
    if fcntl is None:
        yield
        return
    try:
        os.makedirs(folder, exist_ok=True)
        handle = os.open(os.path.join(folder, ".lock"), os.O_CREAT | os.O_RDWR, 0o666)
    except OSError:  # a read-only installation: numba does not write there either
        yield
        return
    try:
        with suppress(OSError):  # a network drive without locks
            fcntl.flock(handle, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        yield
    finally:
        os.close(handle)


def _say_uncached(why: str) -> None:
    """Say once, in this process and those that it starts, that kernels are not kept."""
    if "TERRAPATCH_UNCACHED" not in os.environ:
        os.environ["TERRAPATCH_UNCACHED"] = "said"
        progress.note(
            f"compiled kernels cannot be kept ({why}): every job compiles them anew, which takes "
            "seconds. Set NUMBA_CACHE_DIR to a folder that can be written"
        )


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a function on first use, without the GIL, and keep the result on disk.

    No fast-math: sums keep their order, so that every thread gives the same bits.
    """
    options = {"nogil": True, "error_model": "numpy"}
    try:
        compiled = numba.njit(cache=True, **options)(function)
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise
        _say_uncached("neither beside the package nor in your home")
        return numba.njit(**options)(function)
    compiled._cache = _SerialCache(compiled._cache, function)
    return compiled
