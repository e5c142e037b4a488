# SPDX-License-Identifier: Apache-2.0
"""The errors that people meet, named by their remedy, each with its exit code.

TerrapatchError
├── RecipeError        2  the recipe or a settings file is wrong
├── InputError         2  an argument or a file that the user named is wrong
├── SourceError        3  an archive, a catalogue or the network failed
├── SceneError         4  a product is broken, incomplete or of another kind than said
├── GridError          4  coordinate systems or pixel grids do not fit together
├── LegendError        4  a class code is in no legend
├── StorageError       4  a result could not be written or read back
└── IncompleteError    4  nothing, or not enough, is left to build from
    └── ValidationError   the training stage did not beat its baselines

Every message says what is wrong, in which file, and what to do about it.
"""

from __future__ import annotations

import errno
import os


class TerrapatchError(Exception):
    """Base of all errors that are the user's to mend; `exit_code` ends the process."""

    exit_code = 4


class RecipeError(TerrapatchError, ValueError):
    """The recipe is wrong; all findings stand in one message."""

    exit_code = 2


class InputError(TerrapatchError, ValueError):
    """An argument, or a file named by the user, is wrong."""

    exit_code = 2


class SourceError(TerrapatchError, RuntimeError):
    """An archive, a catalogue or the network did not give what the lock names."""

    exit_code = 3


class SceneError(TerrapatchError, ValueError):
    """A product is truncated, lacks a band or its metadata, or is of the wrong level."""


class GridError(TerrapatchError, ValueError):
    """Two layers do not lie on grids that fit together."""


class LegendError(TerrapatchError, ValueError):
    """A class code is in no class of the legend."""


class StorageError(TerrapatchError, RuntimeError):
    """A result could not be written whole, or is not what was written."""


class IncompleteError(TerrapatchError, RuntimeError):
    """Too little data is left: an empty plan, no complete patch, an empty split."""


class ValidationError(IncompleteError):
    """The trained model did not beat its baselines by the recipe's margin."""


def remedy(path: str | os.PathLike[str], error: BaseException | None, otherwise: str) -> str:
    """What helps with a file that could not be read.

    Args:
        path: the file.
        error: what reading it ended with, if known.
        otherwise: the advice where the file's content is to blame: fetching it again helps there,
            and neither for a file that is not to be read nor for a drive that fails.
    """
    try:
        if not isinstance(error, OSError):
            with open(path, "rb") as stream:
                stream.read(1)
    except OSError as found:
        error = found
    if isinstance(error, PermissionError):
        return "you have no permission to read it: change its permissions, or ask its owner"
    if isinstance(error, OSError) and error.errno in _FAILING:
        return "the drive or the network behind it fails: see to it and run once more"
    return otherwise


_FAILING = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTDOWN)
