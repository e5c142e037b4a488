# SPDX-License-Identifier: Apache-2.0
"""What raw scenes need besides pixels: slices, annotations, orbits, heights.

Laws:
1. All that can be known without reading pixels is checked here, and all findings are told at once.
   The annotations of a scene are read (0.1 s a scene of two polarisations, little beside hashing).
2. Nothing is decided here: a scene is whole, or the plan fails.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import shapely
from odc.geo import CRS
from odc.geo.geobox import GeoBox
from shapely.geometry.base import BaseGeometry

from ..access import portable
from ..crs import GEOGRAPHIC
from ..errors import IncompleteError, InputError, SceneError, TerrapatchError
from ..grid import reprojected, share_surface
from ..heights import HeightModel
from ..radar.annotation import Annotation
from ..radar.orbit import read_eof
from ..radar.orbitfiles import best_orbit, orbit_paths
from ..radar.product import read_sidecars
from ..records import Exclusion, LockedFile, LockedItem
from ..settings import Auxiliary
from .files import Files
from .scene import Scene

_APART_S = 2.0
"""Slices further apart than this in time have something missing between them; neighbours begin a
line (1.5 ms) after the one before, and old processors overlapped them."""


def together(errors: Sequence[TerrapatchError]) -> TerrapatchError:
    """One error that says what all of them say; its kind is that of the first."""
    lines = dict.fromkeys(str(error) for error in errors)
    return type(errors[0])("\n".join(lines))


def degrees(area: BaseGeometry, crs: str) -> BaseGeometry:
    """The dataset's area in EPSG:4326.

    Raises:
        InputError: it lies beyond the poles.
    """
    if CRS(crs).geographic and (area.bounds[1] < -90 or area.bounds[3] > 90):
        metres = max(map(abs, area.bounds)) > 360
        raise InputError(
            f"area: latitudes from {area.bounds[1]:g} to {area.bounds[3]:g} in degrees: "
            + (
                "these are metres, state their CRS in the file"
                if metres
                else "longitude stands first, then latitude; are they swapped in the file?"
            )
        )
    return reprojected(area, crs, GEOGRAPHIC)


def swapped(area: BaseGeometry, scenes: Sequence[Scene], kind: str) -> list[str]:
    """A hint where scenes lie on the area with latitude and longitude swapped, and none on it."""
    there = shapely.transform(area, lambda xy: xy[:, ::-1])
    footprints = [s.footprint for s in scenes if s.sensor == kind]
    if any(share_surface(f, area) for f in footprints):
        return []
    if not any(share_surface(f, there) for f in footprints):
        return []
    return [
        "with latitude and longitude swapped the area would lie on these scenes: area.bbox is "
        "west, south, east, north, and in an area.file longitude stands before latitude"
    ]


def shared_pixels(items: Sequence[LockedItem]) -> list[TerrapatchError]:
    """Items that would take the same band of the same file: a file shows one acquisition."""
    first: dict[tuple[str, str, int], str] = {}
    found = {}
    for item in items:
        for asset in item.assets.values():
            other = first.setdefault((item.sensor, asset.href, asset.band), item.id)
            if other != item.id:
                found[other, item.id] = SceneError(
                    f"{asset.href}: both {other} and {item.id} would take band {asset.band} of "
                    "this file, which shows one acquisition; give each its own files, or name it "
                    "once"
                )
    return [*found.values()]


def missing_slices(
    chosen: Sequence[Scene],
    found: Sequence[Scene],
    excluded: Sequence[Exclusion],
    area: BaseGeometry,
) -> list[TerrapatchError]:
    """Slices that are missing between two chosen ones of a datatake, where the area needs them.

    Args:
        chosen: scenes that will be used.
        found: all that the source offers.
        excluded: why some of them are not used.
        area: the dataset's area in EPSG:4326.

    Returns:
        An error for each hole, naming the datatake and its slices.
    """
    reasons = {(e.sensor, e.id): e.reason for e in excluded}
    takes: dict[tuple[str | None, str | None, str], list[Scene]] = {}
    for scene in chosen:
        if scene.slice is not None:
            takes.setdefault((scene.platform, scene.datatake, scene.slice.segment), []).append(
                scene
            )
    errors: list[TerrapatchError] = []
    for (platform, datatake, segment), scenes in sorted(takes.items(), key=str):
        scenes.sort(key=_number)
        for first, second in pairwise(scenes):
            numbers = range(_number(first) + 1, _number(second))
            if not numbers or not _apart(first, second) or not _needed(first, second, area):
                continue
            assert first.slice is not None
            there = {
                other.slice.number: f"{other.id} was left out: {reasons.get((other.sensor, other.id), '?')}"
                for other in found
                if other.slice is not None
                and (other.platform, other.datatake, other.slice.segment)
                == (platform, datatake, segment)
            }
            told = "; ".join(there.get(n, f"slice {n} is not in the archive") for n in numbers)
            which = ", ".join(map(str, numbers))
            errors.append(
                IncompleteError(
                    f"datatake {(datatake or '?').split('_')[0]} of {platform}, {first.datetime}: "
                    f"slice {which} of {first.slice.total} is missing between {first.id} and "
                    f"{second.id}, and the area needs it ({told}); fetch it, or set "
                    "catalog.missing_slices: allow to leave its pixels missing"
                )
            )
    return errors


def _number(scene: Scene) -> int:
    return scene.slice.number if scene.slice is not None else 0


def _apart(first: Scene, second: Scene) -> bool:
    """Whether time passes between two slices; numbers alone may have been counted anew."""
    assert first.slice is not None
    assert second.slice is not None
    return (second.slice.start - first.slice.stop).total_seconds() > _APART_S


def _needed(first: Scene, second: Scene, area: BaseGeometry) -> bool:
    """Whether the ground between two slices shares surface with the area."""
    one, two, here = first.footprint, second.footprint, area
    if shapely.union(one, two).bounds[2] - shapely.union(one, two).bounds[0] > 180:
        one, two, here = (_eastward(g) for g in (one, two, here))
    between = shapely.union(one, two).convex_hull.difference(one).difference(two)
    # Footprints are no perfect quadrangles: slivers beside them are not between them.
    between = between.buffer(-0.01).buffer(0.01)
    return share_surface(between, here)


def _eastward(geometry: BaseGeometry) -> BaseGeometry:
    """Longitudes from 0 to 360."""
    parts = [
        shapely.transform(part, lambda xy: xy + np.array([360.0, 0.0]))
        if part.bounds[0] < 0
        else part
        for part in shapely.get_parts(geometry)
    ]
    return shapely.union_all(parts)


def check_raw(
    items: Sequence[LockedItem], needs: Auxiliary, files: Files
) -> tuple[list[LockedItem], list[LockedFile], list[TerrapatchError]]:
    """Read the annotations of raw scenes and find the orbit file of each.

    Args:
        items: scenes of any kind.
        needs: what raw scenes need.
        files: sizes and hashes.

    Returns:
        The items, raw ones with their orbit file; the orbit files that are used, by path; and
        what is wrong.
    """
    errors: list[TerrapatchError] = []
    paths: list[Path] = []
    try:
        paths = orbit_paths(needs.orbits) if needs.orbits and needs.terrain else []
    except InputError as error:
        errors.append(error)
    result: list[LockedItem] = []
    used: dict[str, LockedFile] = {}
    for item in items:
        result.append(item)
        if not item.raw:
            continue
        found, faults = _read(item, needs)
        errors += faults
        if paths and found is not None:
            try:
                path = _orbit_of(item, found, paths)
            except SceneError as error:
                errors.append(error)
            else:
                href = portable(path)
                used[href] = files.locked(path)
                result[-1] = item.model_copy(update={"orbit_file": href})
    return result, [used[href] for href in sorted(used)], errors


def _read(item: LockedItem, needs: Auxiliary) -> tuple[Annotation | None, list[TerrapatchError]]:
    """The annotation of the first band, and what is wrong with any of them."""
    errors: list[TerrapatchError] = []
    first = None
    for band in needs.bands:
        try:
            found = read_sidecars(
                item.assets[band], band, ipf=item.processing_baseline or "",
                relative_orbit=item.relative_orbit, noise=needs.noise,
            )  # fmt: skip
        except SceneError as error:
            errors.append(error)
        else:
            first = first or found.annotation
    return first, errors


def _orbit_of(item: LockedItem, annotation: Annotation, paths: Sequence[Path]) -> Path:
    start, stop = annotation.span
    path = best_orbit(paths, item.id, annotation.platform, start, stop)
    read_eof(path, start, stop, annotation.platform)
    return path


def check_heights(
    model: HeightModel, boxes: Mapping[str, GeoBox], *, sea: bool
) -> list[TerrapatchError]:
    """Whether height files cover the units.

    Args:
        model: height files that fit together.
        boxes: by unit, what its patches take up.
        sea: whether places without a file are open sea.

    Returns:
        What is wrong; units that are not covered are summed up in one finding.
    """
    lacking: list[tuple[str, TerrapatchError]] = []
    for unit, box in sorted(boxes.items()):
        try:
            model.check(box, sea=sea)
        except TerrapatchError as error:
            lacking.append((unit, error))
    if not lacking:
        return []
    name, first = lacking[0]
    others = len(lacking) - 1
    more = f" and {others} other unit{'' if others == 1 else 's'}" if others else ""
    return [type(first)(f"unit {name}{more}: {first}")]
