# SPDX-License-Identifier: Apache-2.0
"""What is said when a command fails: one message, an exit code, and where a fault can be looked at."""

from __future__ import annotations

import errno
import os
import platform
import sys
import tempfile
import traceback
from pathlib import Path

from . import __version__
from .errors import TerrapatchError
from .paths import Results

UNFORESEEN = 1
"""Exit code of a fault of terrapatch itself."""
INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""
UNREAD = 141
"""Exit code where nobody reads any more what is said and the work was not done, as shells have it."""

_REMEDIES = {
    errno.ENOSPC: "the disk is full; free some space and run again",
    errno.EDQUOT: "your share of the disk is used up; free some space and run again",
    errno.EFBIG: "the file system takes no file of this size; use another one",
    errno.EROFS: "it lies on a read-only file system; give a folder that can be written",
    errno.EACCES: "you may not read or write it; change its permissions, or use another one",
    errno.EPERM: "you may not do this; change its permissions, or use another one",
    errno.EISDIR: "it is a folder, and a file is needed",
    errno.ENOTDIR: "a part of this path is a file, and a folder is needed",
    errno.EEXIST: "it is there already, and of another kind; move it away",
    errno.ENOENT: "there is no such file or folder",
    errno.ENAMETOOLONG: "the name is too long for this file system; use shorter ones",
    errno.ELOOP: "its links lead in a circle",
    errno.EMFILE: "too many files are open; raise the limit (ulimit -n), or use fewer threads",
    errno.ENFILE: "too many files are open on this machine; try again later",
    errno.ENOMEM: "no memory is left; use fewer threads or cores, or a smaller sampling.unit_patches",
    errno.EIO: "the disk or the network drive does not answer as it should; try again, or look at it",
    errno.ESTALE: "the network drive has lost it; run again",
    errno.ETIMEDOUT: "the network drive does not answer; run again",
}
"""What errors of the system mean to somebody who wants a dataset."""


def verdict(
    error: BaseException, verb: str, unit: str, results: str | None, shown: bool
) -> tuple[int, str]:
    """Exit code and message of an error that ended a command.

    Args:
        error: what was raised.
        verb: the command.
        unit: its unit, or nothing.
        results: folder of the recipe's results, where the command was told one; the traceback of
            a fault is written among its logs.
        shown: put the traceback on the screen instead.
    """
    if isinstance(error, TerrapatchError):
        return error.exit_code, str(error)
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED, ""
    if isinstance(error, BrokenPipeError):
        return UNREAD, ""
    if isinstance(error, MemoryError):
        return 4, (
            f"no memory is left ({_one_line(error)}); use fewer threads or cores, or a smaller "
            "sampling.unit_patches"
        )
    if isinstance(error, OSError) and error.errno in _REMEDIES:
        names = [os.fspath(n) for n in (error.filename, error.filename2) if n is not None]
        where = " → ".join(str(n) for n in names) or verb
        return 4, f"{where}: {_REMEDIES[error.errno]} ({error.strerror})"
    text = "".join(traceback.format_exception(error))
    what = f"a fault of terrapatch that was not foreseen: {_one_line(error)}"
    if shown:
        return UNFORESEEN, f"{what}\n{text}"
    path = _keep(text, verb, unit, results)
    there = f"{path} says where it arose" if path else "--traceback shows where it arose"
    return UNFORESEEN, f"{what}. {there}; please report it with that and the recipe"


def _one_line(error: BaseException) -> str:
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words[:300]}" if words else type(error).__name__


def _keep(text: str, verb: str, unit: str, results: str | None) -> Path | None:
    """Write a traceback beside the command's log, or in the folder for temporary files."""
    said = (
        f"terrapatch {__version__}, Python {platform.python_version()}, {platform.platform()}\n"
        f"{' '.join(sys.argv[1:])}\n\n{text}"
    )
    if results is not None and Path(results).is_dir():
        path = Path(Results(results).log(verb, unit or "all")).with_suffix(".traceback.txt")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(said, encoding="utf-8", errors="replace")
        except OSError:
            pass
        else:
            return path
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix=f"terrapatch-{verb}-", suffix=".txt", delete=False, encoding="utf-8",
            errors="replace",
        ) as file:  # fmt: skip
            file.write(said)
            return Path(file.name)
    except OSError:
        return None
