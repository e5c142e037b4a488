# SPDX-License-Identifier: Apache-2.0
"""What was found and is of no scene, in words: a line a folder and kind."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from ..access import portable
from ..records import Exclusion
from .families import stray_file
from .folder import Found

_OTHERS = (
    (re.compile(r"L[COTEM]0[4-9]_L\d|L[COTEM][4-9]\d{13}"), "Landsat"),
    (re.compile(r"HLS\.[SL]30\."), "HLS"),
    (re.compile(r"S3[A-D_]_(?:OL|SL|SR|SY)_"), "Sentinel-3"),
    (re.compile(r"S5P_"), "Sentinel-5P"),
    (re.compile(r"(?:MOD|MYD|MCD|VNP|VJ1)\w{2,5}\.A\d{7}"), "MODIS or VIIRS"),
    (re.compile(r"ALOS|ALPSR|PALSAR", re.IGNORECASE), "ALOS"),
    (re.compile(r"\d{8}_\d{6}_\w+_(?:3B|1B|1A)_|PSScene", re.IGNORECASE), "PlanetScope"),
)
"""Products of other kinds by how their names begin."""

_UNKNOWN = "of no known kind: describe under catalog.rasters what is to be used"
_MOST_FOLDERS = 10
"""A kind that lies in more folders than these has one line for all of them."""


def left_over(found: Found, wanted: Collection[str], used: Collection[str]) -> list[Exclusion]:
    """What a search found and no policy judged, without what the recipe uses elsewhere.

    Args:
        found: what the source offers.
        wanted: what the scenes of the recipe's layers are of.
        used: absolute paths of files that the recipe names outside of the catalogue.
    """
    kept = [
        e
        for e in found.excluded
        if e.sensor in wanted or (e.sensor == "other" and os.path.abspath(e.id) not in used)
    ]
    others = Counter(scene.sensor for scene in found.scenes)
    others.update(e.sensor for e in found.excluded if e.sensor != "other")
    for kind, count in sorted(others.items()):
        if kind not in wanted:
            reason = f"the recipe asks for no {kind} (layers)"
            kept.append(Exclusion(id=f"{count} product(s)", sensor=kind, reason=reason))
    return kept + _unknown(found.unknown, used)


def printable(exclusion: Exclusion) -> Exclusion:
    """An exclusion whose words are text: names of files may be bytes of no encoding."""
    words = (exclusion.id, exclusion.reason)
    plain = [
        w.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace") for w in words
    ]
    return exclusion.model_copy(update={"id": plain[0], "reason": plain[1]})


def _unknown(rasters: Iterable[Path], used: Collection[str]) -> list[Exclusion]:
    groups: dict[str, dict[Path, list[Path]]] = {}
    for path in rasters:
        if os.path.abspath(path) not in used:
            kind = _kind(path)
            groups.setdefault(kind, {}).setdefault(path.parent, []).append(path)
    found = []
    for kind, folders in sorted(groups.items()):
        if len(folders) > _MOST_FOLDERS:
            root = Path(os.path.commonpath([os.path.abspath(folder) for folder in folders]))
            found.append(_line(kind, root, [p for f in folders for p in folders[f]], len(folders)))
        else:
            found += [_line(kind, folder, paths) for folder, paths in sorted(folders.items())]
    return found


def _line(kind: str, folder: Path, paths: Sequence[Path], folders: int = 1) -> Exclusion:
    told = f"file(s) {kind}" if kind else f"raster(s) {_UNKNOWN}"
    if len(paths) == 1:
        return Exclusion(id=portable(paths[0]), sensor="other", reason=f"1 {told}")
    where = f" in {folders} folders" if folders > 1 else ""
    first = os.path.relpath(min(paths), folder)
    reason = f"{len(paths)} {told}{where}, for example {first}"
    return Exclusion(id=portable(folder), sensor="other", reason=reason)


def _kind(path: Path) -> str:
    """What a file belongs to, by its name or that of its folder; empty if nothing tells it."""
    for name in (path.name, path.parent.name):
        for pattern, kind in _OTHERS:
            if pattern.match(name):
                return f"of {kind}, which is not read"
    return stray_file(path) or ""
