# SPDX-License-Identifier: Apache-2.0
"""What raw scenes need besides their own files, found and checked: heights, geoid, orbits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from odc.geo.geobox import GeoBox

from ..errors import InputError, TerrapatchError
from ..heights import HeightModel
from ..recipe import StageSettings
from ..records import LockedFile, LockedItem
from ..settings import Auxiliary
from .checks import check_heights, check_raw
from .files import Files


@dataclass(frozen=True)
class Beside:
    """Files beside those of scenes."""

    heights: tuple[LockedFile, ...] = ()
    geoid: LockedFile | None = None
    orbits: tuple[LockedFile, ...] = ()
    model: HeightModel | None = None
    """The height files, opened."""
    sea: bool = False
    """Whether places without a height are open sea."""

    def check(self, boxes: Mapping[str, GeoBox]) -> list[TerrapatchError]:
        """What is wrong with the heights of units, see `check_heights`."""
        return [] if self.model is None else check_heights(self.model, boxes, sea=self.sea)


def raw_layers(settings: StageSettings) -> dict[str, Auxiliary]:
    """Layers that are made of raw scenes, with what these need."""
    policies = {name: layer.policy for name, layer in settings.layers.items()}
    return {n: p.auxiliary for n, p in policies.items() if p.raw and p.auxiliary is not None}


def find_beside(
    needs: Sequence[Auxiliary], archive: Path | None, items: Sequence[LockedItem], files: Files
) -> tuple[list[LockedItem], Beside, list[TerrapatchError]]:
    """The items with their orbit files, all files beside them, and what is wrong.

    Args:
        needs: of all layers of raw scenes; but for their bands they are the same.
        archive: the embedded archive, where there is one: its heights stand in for the recipe's.
        items: scenes of any kind.
        files: sizes and hashes.
    """
    if not needs:
        return list(items), Beside(), []
    bands = dict.fromkeys(band for each in needs for band in each.bands)
    asked = replace(needs[0], bands=tuple(bands))
    placed, orbits, errors = check_raw(items, asked, files)
    found = Beside(orbits=tuple(orbits), sea=asked.sea)
    if not asked.terrain:
        return placed, found, errors
    own = [] if archive is None else sorted((archive / "dem").glob("*.tif"))
    paths = [Path(name) for name in asked.heights] or own
    try:
        heights = tuple(_locked(path, "height model", "dem", files) for path in paths)
        geoid = None
        if asked.geoid is not None:
            geoid = _locked(Path(asked.geoid), "geoid raster", "geoid", files)
        model = HeightModel([file.href for file in heights], asked.vertical, asked.geoid)
        found = replace(found, heights=heights, geoid=geoid, model=model)
    except TerrapatchError as error:
        errors.append(error)
    return placed, found, errors


def _locked(path: Path, what: str, field: str, files: Files) -> LockedFile:
    if not path.is_file():
        raise InputError(f"{path}: no such {what}; correct {field} of the layer in the recipe")
    found = files.locked(path, str(path))
    return found.model_copy(update={"beside": files.beside(str(path))})
