# SPDX-License-Identifier: Apache-2.0
"""Vector references in the plan: files found, layers and attributes checked, codes counted.

All of it before a pixel is burnt: unknown codes of all files stand in one error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from shapely.geometry.base import BaseGeometry

from ..errors import TerrapatchError
from ..grid import reprojected
from ..legend import load_legend
from ..recipe import ReferenceSettings
from ..tables import LockedVector
from ..vectors import (
    IGNORE,
    NULL,
    Source,
    code_error,
    findings,
    open_network,
    open_vectors,
    read_box,
    source_paths,
)
from .files import Files


@dataclass(frozen=True)
class FoundVectors:
    """Vector files of a recipe, and where their polygons lie."""

    vectors: tuple[LockedVector, ...]
    boxes: Mapping[str, NDArray[np.float64]]
    """Id of a polygon layer → (feature, 4) left, bottom, right, top in the layer's CRS."""

    def around(self, geobox: GeoBox) -> tuple[str, ...]:
        """Ids of the polygon layers that have features around a geobox."""
        found = []
        for vector in self.vectors:
            if vector.kind == "vectors":
                left, bottom, right, top = read_box(geobox, vector.crs)
                boxes = self.boxes[vector.id]
                meets = (boxes[:, 0] <= right) & (boxes[:, 2] >= left)
                meets &= (boxes[:, 1] <= top) & (boxes[:, 3] >= bottom)
                if meets.any():
                    found.append(vector.id)
        return tuple(found)


def find_vectors(
    reference: ReferenceSettings,
    area: BaseGeometry,
    area_crs: str,
    files: Files,
    *,
    archive: Path | None,
    unpack_to: Path,
) -> FoundVectors:
    """Open all vector files of a recipe and check what can be checked without burning.

    Args:
        reference: settings of the stage.
        area: the recipe's area.
        area_crs: its CRS.
        files: sizes and hashes.
        archive: folder of the embedded archive, where there is one.
        unpack_to: folder for unpacked archives.

    Raises:
        InputError, SceneError, GridError, RecipeError: a file, a layer, an attribute or a CRS is
            missing or wrong; of several broken files all are named.
        LegendError: codes that no table lists, of all files in one message with their counts.
    """
    legend = load_legend(reference.legend)
    vectors: list[LockedVector] = []
    boxes: dict[str, NDArray[np.float64]] = {}
    wrong: list[str] = []
    errors: list[TerrapatchError] = []
    entries = [("vectors", n, s.path, open_vectors) for n, s in enumerate(reference.vectors)]
    entries += [("networks", n, s.path, open_network) for n, s in enumerate(reference.networks)]
    for kind, number, pattern, opened in entries:
        try:
            for count, path in enumerate(source_paths(pattern, archive)):
                source = opened(reference, number, path, legend, unpack_to)
                name = f"{kind}.{number}.{count}"
                box = _area_box(area, area_crs, source)
                boxes[name], lines = _looked_through(source, box)
                wrong += lines
                vectors.append(_locked(name, path, source, len(boxes[name]), files))
        except TerrapatchError as error:
            errors.append(error)
    if errors:
        raise type(errors[0])("\n".join(str(error) for error in errors))
    if wrong:
        raise code_error(wrong)
    return FoundVectors(tuple(vectors), boxes)


def _area_box(
    area: BaseGeometry, area_crs: str, source: Source
) -> tuple[float, float, float, float]:
    left, bottom, right, top = reprojected(area, area_crs, source.layer.crs).bounds
    # Patches may reach over the area's edge, and labels look at what lies around them.
    rim = 0.02 * max(right - left, top - bottom)
    return left - rim, bottom - rim, right + rim, top + rim


def _looked_through(
    source: Source, box: tuple[float, float, float, float]
) -> tuple[NDArray[np.float64], list[str]]:
    """Boxes of the features that count, and what is wrong with codes."""
    unknown: Counter[str] = Counter()
    nulls = 0
    found = [np.empty((0, 4))]
    for features in source.read(box):
        unknown.update(features.unknown)
        nulls += int((features.codes == NULL).sum())
        found.append(shapely.bounds(features.geometries[features.codes != IGNORE]))
    return np.concatenate(found), findings(source, unknown, nulls)


def _locked(name: str, path: str, source: Source, count: int, files: Files) -> LockedVector:
    # An archive stands for what is in it; a shapefile is several files.
    parts = (path,) if Path(path).suffix.lower() in (".zip", ".7z") else source.layer.files
    # What SQLite has written and not yet moved into a GeoPackage is read, too.
    log = Path(f"{source.layer.path}-wal")
    if path == source.layer.path and log.is_file() and log.stat().st_size:
        parts = (*parts, str(log))
    return LockedVector(
        id=name,
        href=path,
        layer=source.layer.name,
        crs=source.layer.crs,
        fields=source.fields,
        features=count,
        files=tuple(files.locked(Path(part), part) for part in parts),
    )
