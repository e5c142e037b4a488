# SPDX-License-Identifier: Apache-2.0
"""Which of many orbit files is the one for a scene.

Law: the choice depends on the names and the scene alone: precise before restituted, then the one
made last.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import InputError, SceneError

_NAME = re.compile(
    r"(?P<platform>S1[A-Z])_OPER_AUX_(?P<kind>POE|RES)ORB_OPOD_(?P<made>\d{8}T\d{6})_"
    r"V(?P<start>\d{8}T\d{6})_(?P<stop>\d{8}T\d{6})"
)
"""Source: Copernicus POD Product Handbook, file naming."""


def orbit_paths(files: Sequence[str]) -> list[Path]:
    """Orbit files, those of folders (searched downwards) by name.

    Raises:
        InputError: no such file or folder, or a folder without any.
    """
    paths: list[Path] = []
    for name in files:
        path = Path(name)
        found = sorted(path.rglob("*.EOF")) if path.is_dir() else [path]
        if not found or not path.exists():
            raise InputError(
                f"{name}: {'no .EOF file in this folder' if path.is_dir() else 'no such file'}; "
                "correct orbit_files in the recipe (relative to where you run)"
            )
        paths += found
    return paths


def best_orbit(
    paths: Sequence[Path], scene: str, platform: str, start: np.datetime64, stop: np.datetime64
) -> Path:
    """The orbit file for a scene, by name; a file with a name of its own may fit any scene.

    Args:
        paths: see `orbit_paths`.
        scene: the scene's name, for messages.
        platform: `S1A`, `S1B`, …
        start: first moment of the image, UTC.
        stop: last moment of the image, UTC.

    Raises:
        SceneError: none is of that satellite and time.
    """
    fitting = [path for path in paths if _covers(path, platform, start, stop)]
    if not fitting:
        example = next((p for p in paths if p.name.startswith(platform)), paths[0])
        raise SceneError(
            f"{scene}: none of the {len(paths)} orbit files is of {platform} and its time "
            f"({np.datetime_as_string(start, 's')}), for example {example}; give the right .EOF "
            "file in orbit_files, or leave that out to take the annotated orbit"
        )
    return max(fitting, key=_rank)


def _rank(path: Path) -> tuple[bool, str, str]:
    match = _NAME.match(path.name)
    made = match["made"] if match else ""
    return "POEORB" in path.name, made, path.name


def _covers(path: Path, platform: str, start: np.datetime64, stop: np.datetime64) -> bool:
    match = _NAME.match(path.name)
    if match is None:
        return True  # a name of its own: the file itself will tell
    first, last = (_moment(match[k]) for k in ("start", "stop"))
    return bool(match["platform"] == platform and first <= start and stop <= last)


def _moment(text: str) -> np.datetime64:
    return np.datetime64(
        f"{text[:4]}-{text[4:6]}-{text[6:8]}T{text[9:11]}:{text[11:13]}:{text[13:15]}", "ns"
    )
