# SPDX-License-Identifier: Apache-2.0
"""What a layout would have to hold, as the plan knows it or as the stacks have it.

Law: each layout says in one function, `unfit`, what it cannot hold; the plan asks it before any pixel
is made, and the stage again, since a recipe may have changed in between.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..errors import RecipeError
from ..legend import Legend, load_legend
from ..recipe import StageSettings
from ..records import Lock
from .sources import Sources, pixel_of

TILE = re.compile(r"\d{2}[C-HJ-NP-X][A-Z]{2}")
"""Name of an MGRS tile."""


@dataclass(frozen=True)
class ImageForm:
    """The images of one layer."""

    bands: tuple[str, ...]
    dtype: str
    decibel: bool
    series: bool
    times: tuple[tuple[str, ...], ...]
    """Per unit: label of each time step; empty where no scene is known yet."""
    classes: bool = False
    """Whether a classification of the scene is kept beside the bands."""
    offsets: bool = False
    """Whether numbers keep the radiometric offset of their product."""
    unit: str = ""
    """Of the numbers; nothing where that is not known yet."""
    directions: frozenset[str] = frozenset()
    """Directions of flight of what is in it, where they are known."""


@dataclass(frozen=True)
class Form:
    """All that decides whether a dataset fits a layout."""

    legends: Mapping[str, Legend]
    """By layer of labels."""
    edges: bool
    """Whether labels have edges."""
    tiles: bool
    """Whether units are MGRS tiles."""
    repeats: bool
    """Whether two patches have the same row and column, as in tiles, which count their own."""
    units: tuple[str, ...]
    """Their ids; empty where no scene is known yet."""
    last: tuple[int, int]
    """Largest row and column of a patch."""
    images: Mapping[str, ImageForm]
    """By layer."""
    points: bool = False
    """Whether patches lie around points of a table."""
    columns: frozenset[str] | None = None
    """Of the manifest; None where there is none yet."""
    regions: bool | None = None
    """Whether units are regions of a table; None where only their ids tell."""
    grids: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    """Layer, of labels too → side of its pixels in units of the CRS, side of a patch in pixels."""

    @property
    def one_label(self) -> Legend | None:
        """The legend of the one layer of labels; None where there is another number of them."""
        return next(iter(self.legends.values())) if len(self.legends) == 1 else None


def label_findings(form: Form) -> list[str]:
    """What is wrong where a layout holds one layer of labels."""
    if form.one_label is not None:
        return []
    names = ", ".join(form.legends) or "none"
    return [f"layers: the layout holds one layer of labels; the recipe has {names}"]


def planned(settings: StageSettings, lock: Lock | None) -> Form:
    """The form that a recipe leads to.

    Args:
        settings: of the stage `layouts`.
        lock: with its time steps; absent before scenes are looked for, and what depends on them is
            then left out.
    """
    sampling = settings.sampling
    units = () if lock is None else lock.units
    regions = str(sampling.kind) == "rois"
    images = {
        name: ImageForm(
            bands=layer.stack_bands,
            dtype=layer.stack_dtype,
            decibel=layer.decibel,
            series=layer.time == "series",
            times=tuple(
                tuple(step.label for step in lock.steps_of(unit.id, name)) for unit in lock.units
            ) if lock is not None else (),
            classes=layer.stack_classes, offsets=layer.stack_offsets, unit=layer.stack_unit,
            directions=layer.stack_directions,
        )
        for name, layer in settings.images.items()
    }  # fmt: skip
    ends = [
        [unit.first_row + len(unit.windows) - 1, unit.first_col]
        if unit.windows is not None
        else [
            first + (side - sampling.size_px) // sampling.step_px
            for first, side in zip(
                (unit.first_row, unit.first_col), unit.geobox["shape"], strict=True
            )
        ]
        for unit in units
    ]
    last = max((row for row, _ in ends), default=0), max((col for _, col in ends), default=0)
    return Form(
        legends={name: load_legend(layer.legend) for name, layer in settings.labels.items()},
        edges=all(layer.edges != "none" for layer in settings.labels.values()),
        tiles=sampling.kind == "tiles", repeats=sampling.of_tiles and len(units) > 1,
        units=tuple(unit.id for unit in units), last=last, images=images,
        points=sampling.kind == "points", regions=regions,
        grids=_grids(settings) if regions else {},
    )  # fmt: skip


def _grids(settings: StageSettings) -> dict[str, tuple[float, int]]:
    """See `Form.grids`, of samplings on a grid of the recipe's."""
    sampling = settings.sampling
    side = sampling.resolution * sampling.size_px
    sizes = {n: layer.pixel_m or sampling.resolution for n, layer in settings.layers.items()}
    return {name: (pixel, round(side / pixel)) for name, pixel in sizes.items()}


def built(sources: Sources) -> Form:
    """The form of a dataset whose stacks lie there.

    Raises:
        StorageError: a stack is missing.
    """
    units = tuple(sources.units)
    images = {}
    for name in sources.images:
        infos = [sources.stack(unit, name).info for unit in units]
        first = infos[0]
        images[name] = ImageForm(
            bands=first.bands, dtype=first.dtype,
            decibel=any(info.values.decibel for info in infos),
            series=first.series, times=tuple(info.times for info in infos),
            classes=first.scl, offsets=any(info.values.offset != 0 for info in infos),
            unit=first.values.unit, directions=frozenset(
                str(found) for info in infos for step in info.passes if (found := step.get("direction"))
            ),
        )  # fmt: skip
    rows, cols = (int(sources.table[name].max()) for name in ("row", "col"))
    columns = frozenset(map(str, sources.table.columns))
    places = list(zip(sources.table["row"], sources.table["col"], strict=True))
    return Form(
        legends=sources.legends,
        edges=all(layer.edges != "none" for layer in sources.settings.labels.values()),
        tiles=all(TILE.fullmatch(unit) for unit in units), repeats=len(set(places)) < len(places),
        units=units, last=(rows, cols), images=images,
        points="point_id" in columns, columns=columns,
        grids={
            name: (abs(pixel_of(info)[0]), info.size_px)
            for name in (*images, *sources.legends)
            for info in (sources.stack(units[0], name).info,)
        },
    )  # fmt: skip


def refuse(recipe: str, layout: str, findings: Sequence[str]) -> None:
    """Stop where a layout cannot hold what a recipe makes.

    Raises:
        RecipeError: with all findings.
    """
    if findings:
        raise RecipeError(
            f"recipe {recipe!r} does not fit layouts.name: {layout}\n  "
            + "\n  ".join(findings)
            + ("" if layout == "native" else "\n  or take layouts.name: native")
        )
