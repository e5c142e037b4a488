# SPDX-License-Identifier: Apache-2.0
"""Vector references in the plan: files found, layers and attributes checked, codes counted.

All of it before a pixel is burnt: unknown codes of all files stand in one error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from shapely.geometry.base import BaseGeometry

from ..crs import short_name
from ..errors import LegendError, RecipeError, TerrapatchError
from ..grid import reprojected
from ..legend import load_legend
from ..records import LockedVector
from ..settings import LabelsSettings, NetworkSource, VectorSource
from ..vectors import (
    IGNORE,
    IN_COLLECTION,
    NULL,
    OpenVectors,
    code_error,
    findings,
    open_network,
    open_vectors,
    read_box,
    read_boxes,
    schema_of,
    source_paths,
)
from .files import Files

Box = tuple[float, float, float, float]

_LISTED = 8
"""Reasons that a message names."""


@dataclass(frozen=True)
class FoundVectors:
    """Vector files of a recipe, and where their polygons lie."""

    vectors: tuple[LockedVector, ...]
    boxes: Mapping[str, NDArray[np.float64]]
    """Id of a polygon layer → (feature, 4) left, bottom, right, top in the layer's CRS."""

    def of(self, layer: str) -> bool:
        """Whether a layer of labels has polygons, which stand in for maps."""
        return any(v.label == layer and v.kind == "vectors" for v in self.vectors)

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
    reference: LabelsSettings,
    area: BaseGeometry,
    area_crs: str,
    files: Files,
    *,
    archive: Path | None,
    unpack_to: Path,
    layer: str = "",
) -> FoundVectors:
    """Open all vector files of a recipe and check what can be checked without burning.

    Args:
        reference: settings of the stage.
        area: the recipe's area.
        area_crs: its CRS.
        files: sizes and hashes.
        archive: folder of the embedded archive, where there is one.
        unpack_to: folder for unpacked archives.
        layer: name of the layer of labels.

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
    entries: list[tuple[str, int, VectorSource | NetworkSource, Any]] = []
    entries += [("vectors", n, s, open_vectors) for n, s in enumerate(reference.vectors)]
    entries += [("networks", n, s, open_network) for n, s in enumerate(reference.networks)]
    for kind, number, wanted, opened in entries:
        seen = _Seen()
        try:
            for count, path in enumerate(source_paths(wanted.path, archive)):
                source = opened(reference, number, path, legend, unpack_to)
                name = f"{layer and layer + '.'}{kind}.{number}.{count}"
                box = _area_box(area, area_crs, source)
                found = _looked_through(source, box)
                boxes[name] = found.boxes
                wrong += found.wrong
                seen = seen.with_file(source, found, box)
                vectors.append(_locked(name, path, source, found, files))
            if wanted.required:
                seen.check(f"{kind}.{number}")
        except TerrapatchError as error:
            errors.append(error)
    if errors:
        raise type(errors[0])("\n".join(str(error) for error in errors))
    if wrong:
        raise code_error(wrong)
    return FoundVectors(tuple(vectors), boxes)


def wrong_years(
    labels: Mapping[str, LabelsSettings], years: Collection[int]
) -> list[TerrapatchError]:
    """Parcels of a year that no scene is of, an error each.

    Args:
        labels: layers of labels by name.
        years: in which scenes of images were taken; none where no image says its date.
    """
    found: list[TerrapatchError] = []
    for name, label in labels.items():
        for number, source in enumerate(label.vectors):
            year = schema_of(source.product, source.year).yearly
            if years and year is not None and year not in years and not source.allow_year:
                seen = ", ".join(map(str, sorted(years)))
                found.append(
                    RecipeError(
                        f"layers.{name}.vectors.{number}: {source.path} holds parcels of {year}, and the "
                        f"scenes are of {seen}: crops are others each year. Take the edition of that "
                        f"year (or catalog.period of {year}), or set allow_year: true"
                    )
                )
    return found


def _area_box(area: BaseGeometry, area_crs: str, source: OpenVectors) -> Box:
    left, bottom, right, top = reprojected(area, area_crs, source.layer.crs).bounds
    # Patches may reach over the area's edge, and labels look at what lies around them.
    rim = 0.02 * max(right - left, top - bottom)
    return left - rim, bottom - rim, right + rim, top + rim


@dataclass(frozen=True)
class _Looked:
    """What the plan sees in a file."""

    boxes: NDArray[np.float64]
    """(feature, 4) boxes of the features that count, in the layer's CRS."""
    around: int
    """Features around the area, those that do not count too."""
    left_out: Counter[str]
    """Why the others do not count, with their number."""
    wrong: list[str]
    """What is wrong with codes, in words."""


def _looked_through(source: OpenVectors, box: Box) -> _Looked:
    unknown: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    nulls = around = 0
    found = [np.empty((0, 4))]
    for features in source.read(box):
        unknown.update(features.unknown)
        left_out += features.left_out
        nulls += int((features.codes == NULL).sum())
        kept = features.codes != IGNORE
        around += int(kept.sum())
        found.append(shapely.bounds(features.geometries[kept]))
    around += sum(n for reason, n in left_out.items() if not reason.endswith(IN_COLLECTION))
    return _Looked(np.concatenate(found), around, left_out, findings(source, unknown, nulls))


@dataclass(frozen=True)
class _Seen:
    """All files of an entry together: only one of them has to lie around the area."""

    files: tuple[str, ...] = ()
    features: int = 0
    around: int = 0
    counted: int = 0
    swapped: bool = False
    """Whether features would lie around the area if their axes were changed over."""
    left_out: Mapping[str, int] = field(default_factory=dict)

    def with_file(self, source: OpenVectors, found: _Looked, box: Box) -> _Seen:
        """The same and one file more, `box` is the area in its CRS."""
        swapped = self.swapped
        if not found.around:
            boxes = read_boxes(source.layer, None)[0]
            meets = (boxes[:, 1] <= box[2]) & (boxes[:, 3] >= box[0])
            meets &= (boxes[:, 0] <= box[3]) & (boxes[:, 2] >= box[1])
            swapped |= bool(meets.any())
        return _Seen(
            (*self.files, f"{source.layer.where} ({short_name(source.layer.crs)})"),
            self.features + source.layer.features,
            self.around + found.around,
            # Unknown codes are an error of their own.
            self.counted + len(found.boxes) + len(found.wrong),
            swapped,
            Counter(self.left_out) + found.left_out,
        )

    def check(self, entry: str) -> None:
        """Raise where an entry gives nothing."""
        if self.counted:
            return
        if not self.around:
            why = (
                f"none of its {self.features} feature(s) lies around the area; is it the right "
                "file, and are its coordinates in the CRS that it says"
            )
            if self.swapped:
                why += " (with x and y, or longitude and latitude, changed over they would)"
        else:
            most = sorted(self.left_out.items(), key=lambda item: (-item[1], item[0]))
            listed = ", ".join(f"{reason} ({n})" for reason, n in most[:_LISTED])
            more = f" and {len(most) - _LISTED} more" if len(most) > _LISTED else ""
            why = (
                f"all of the {self.around} feature(s) around the area are left out: {listed}{more}; "
                "is this the edition that the product (or where, or the rules) means"
            )
        raise LegendError(
            f"{', '.join(self.files)} ({entry}): selects nothing: {why}? "
            f"If that is as it should be, set {entry}.required: false"
        )


def _locked(
    name: str, path: str, source: OpenVectors, found: _Looked, files: Files
) -> LockedVector:
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
        features=len(found.boxes),
        left_out=dict(sorted(found.left_out.items())),
        files=tuple(files.locked(Path(part), part) for part in parts),
    )
