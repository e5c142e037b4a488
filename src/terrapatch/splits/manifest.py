# SPDX-License-Identifier: Apache-2.0
"""Join the units' patches, give each its split, and measure what leaks between the splits.

Laws:
1. The manifest has every patch of every unit, sorted by unit, row and col; patches that are not
   kept are in no split. Which of several patches of one ground are kept is decided here.
2. The leakage of both methods is always measured, whichever is used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..acquisitions import join_dates
from ..errors import IncompleteError, RecipeError, StorageError
from ..files import write_json
from ..legend import load_legend
from ..paths import SPLITS
from ..places import PLACE
from ..recipe import StageSettings, read_settings
from ..settings import SplitsSettings
from ..tables import read_geoparquet, write_geoparquet
from ..tasks import CLASS, code_text, load_task_legend
from .blocks import BlockLayout, block_split, lay_blocks
from .classes import class_figures, with_classes
from .distance import leakage, metric_outlines, tolerance_m
from .overlap import drop_overlaps
from .places import with_columns
from .published import PUBLISHED_SHARES, published_split
from .stratified import stratified_split

if TYPE_CHECKING:
    import geopandas as gpd


def join_units(paths: Sequence[Path]) -> gpd.GeoDataFrame:
    """All patches of all units, sorted by unit, row and col.

    Raises:
        StorageError: tables of different stages of the work, or one patch twice.
    """
    import geopandas as gpd

    tables = {path: read_geoparquet(path) for path in sorted(paths)}
    columns: dict[str, list[Any]] = {}
    for path, table in tables.items():
        columns = columns or {name: [] for name in table.columns}
        if list(columns) != list(table.columns):
            differing = sorted(set(columns) ^ set(table.columns))
            raise StorageError(
                f"{path}: other columns than the other units ({differing}); it was made with "
                "other settings: delete the tables of patches and build again"
            )
        for name in columns:
            columns[name] += table[name].tolist()
    if not columns:
        raise IncompleteError("splits: no table of patches was given; plan and build the units")
    rows = sorted(
        range(len(columns["patch_id"])),
        key=lambda n: (columns["unit"][n], columns["row"][n], columns["col"][n]),
    )
    repeated = [name for name, n in Counter(columns["patch_id"]).items() if n > 1]
    if repeated:
        raise StorageError(
            f"patch ids stand in more than one row: {sorted(repeated)[:5]}; delete the tables of "
            "patches and build again"
        )
    ordered = {name: [values[n] for n in rows] for name, values in columns.items()}
    geometry = ordered.pop("geometry")
    return gpd.GeoDataFrame(ordered, geometry=geometry, crs="EPSG:4326")


def refuse_empty(table: gpd.GeoDataFrame) -> None:
    """Stop where no patch is kept.

    Raises:
        IncompleteError: with the number of patches per reason.
    """
    if len(table) and table["kept"].any():
        return
    counts = dropped_reasons(table)
    listed = ", ".join(f"{name} incomplete in {count}" for name, count in counts.items())
    raise IncompleteError(
        f"splits: none of {len(table)} patches is complete ({listed or 'no patches'}); look at "
        "dropped_reason in the tables of patches, widen catalog.period or catalog.cloud_percent, "
        "or lower patches.require"
    )


def dropped_reasons(table: gpd.GeoDataFrame) -> dict[str, int]:
    """How many patches are dropped for each layer (a patch may count for several)."""
    found: Counter[str] = Counter()
    for text in table["dropped_reason"]:
        if isinstance(text, str):
            found.update({part.split(":")[0] for part in text.split("; ")})
    return dict(sorted(found.items()))


def splits(
    patches: Sequence[Path],
    settings: Path,
    output: Path,
    summary: Path,
    *,
    dates: Sequence[Path] = (),
    joined_dates: Path | None = None,
    places: Path | None = None,
) -> None:
    """Write the manifest, the table of dates, and the figures of the split.

    The manifest has the columns of the units' tables and `split`, `block`, `split_reason`
    (docs/plan.md, Tables). The figures stand in its metadata under `terrapatch` and in
    `summary`: `method`; `patches` (`all`, `kept`, `dropped`, `buffer`: numbers);
    `dropped_reasons` (layer → number); `splits` (split → `patches`, `share`, `wanted`);
    `blocks` (`side_m`, `count`, `per_split`; null for `published`); `leakage` (`buffer_m`, and
    for `blocks` and `published` what `leakage` returns, or `error` where that split is impossible);
    `tasks` (task → what `class_figures` returns), where the recipe has any.

    Args:
        patches: one table a unit.
        settings: the stage's settings.
        output: the manifest (GeoParquet).
        summary: the figures (JSON).
        dates: tables of dates, one a unit.
        joined_dates: where all of them go, by unit.
        places: `plan/places.parquet`, whose columns become the manifest's, for samplings of a table.

    Raises:
        IncompleteError: no complete patch, too few blocks, or an empty split.
        StorageError: the tables do not belong together.
    """
    given = read_settings(settings)
    wanted = given.splits
    table = join_units(patches)
    refuse_empty(table)
    if places is not None and given.sampling.kind == "points":
        table = with_columns(table, places, given.sampling.rename)
    table = with_classes(table, given.tasks)
    drop_overlaps(table, wanted.overlap, wanted.tile_priority)
    outlines = metric_outlines(table.geometry.to_numpy())
    touch_m = tolerance_m(outlines, int(table["size_px"].iloc[0]))
    kept = table["kept"].to_numpy(bool)
    blocks = lay_blocks(outlines, wanted.block_m)
    ids, classes = table["patch_id"].to_numpy(object), _finest_counts(table, given)
    methods: dict[str, Callable[[], NDArray[Any]]] = {
        "blocks": lambda: _by_blocks(
            outlines, blocks, kept, classes, settings=wanted, touch_m=touch_m
        ),
        "published": lambda: _as_published(ids, kept, wanted),
    }
    if wanted.method == "stratified":
        methods["stratified"] = lambda: _within_values(table, kept, wanted)
    split, measured = _measured(methods, outlines, wanted, touch_m)
    names = np.array(blocks.names, object)[blocks.number]
    inside = np.array([name is not None for name in split])
    geometry = table.pop("geometry")
    table["split"] = split
    table["block"] = names if wanted.method == "blocks" else None
    table["split_reason"] = ["buffer" if out else None for out in (kept & ~inside).tolist()]
    table["geometry"] = geometry
    figures = _figures(table, wanted, measured)
    if given.tasks:
        figures["tasks"] = class_figures(table, given.tasks)
    write_geoparquet(table.set_geometry("geometry"), output, figures)
    write_json(summary, figures)
    if joined_dates is not None:
        join_dates(sorted(dates), joined_dates)


def _measured(
    methods: Mapping[str, Callable[[], NDArray[Any]]], outlines: NDArray[np.object_],
    settings: SplitsSettings, touch_m: float,
) -> tuple[NDArray[Any], dict[str, Any]]:  # fmt: skip
    """The split of the wanted method, and how far each of the methods leaks; see `splits`."""
    measured: dict[str, Any] = {"buffer_m": settings.buffer_m}
    split = np.empty(0)
    for method, run in methods.items():
        try:
            found = run()
        except IncompleteError as error:
            if method == settings.method:
                raise
            measured[method] = {"error": str(error)}
            continue
        measured[method] = leakage(outlines, found, buffer_m=settings.buffer_m, touch_m=touch_m)
        if method == settings.method:
            split = found
    return split, measured


def _finest_counts(table: gpd.GeoDataFrame, settings: StageSettings) -> NDArray[np.float64]:
    """(patch, class) pixels of the classes that the splits shall share out; no class without labels."""
    layer = settings.splits.stratify or next(iter(settings.labels), None)
    if layer is None:
        return np.zeros((len(table), 0))
    if layer in settings.tasks:
        codes = load_task_legend(settings.tasks[layer].legend).level.codes
        return np.asarray(
            table[f"{CLASS}{layer}"].to_numpy()[:, None] == np.array(codes), np.float64
        )
    finest = load_legend(settings.labels[layer].legend).finest
    return np.array(table[f"counts_{layer}_{finest.name}"].tolist(), np.float64)


def _by_blocks(
    outlines: NDArray[Any],
    blocks: BlockLayout,
    kept: NDArray[np.bool_],
    classes: NDArray[np.float64],
    *,
    settings: SplitsSettings,
    touch_m: float,
) -> NDArray[Any]:
    number = block_split(outlines, blocks, kept, classes, settings=settings, tolerance=touch_m)
    return np.array([*SPLITS, None], object)[number]


def _as_published(
    ids: NDArray[Any], kept: NDArray[np.bool_], settings: SplitsSettings
) -> NDArray[Any]:
    found = published_split(ids[kept].tolist(), seed=settings.seed, val_seed=settings.val_seed)
    empty = sorted(set(SPLITS) - set(found.values()))
    if empty:
        raise IncompleteError(
            f"splits: {kept.sum()} complete patches are too few for 90/10 and 80/20 "
            f"({', '.join(empty)} would be empty); enlarge the area"
        )
    return np.array([found.get(name) for name in ids], object)


def _within_values(
    table: gpd.GeoDataFrame, kept: NDArray[np.bool_], settings: SplitsSettings
) -> NDArray[Any]:
    if settings.by not in table.columns:
        raise RecipeError(
            f"splits.by: the manifest has no column {settings.by!r}; it has {', '.join(table.columns)}"
        )
    names = table[PLACE if PLACE in table.columns else "patch_id"].astype(str).to_numpy(object)
    values = dict(zip(names, map(code_text, table[settings.by]), strict=True))
    found = stratified_split(
        {name: values[name] for name in names[kept]}, settings.fractions, settings.seed
    )
    asked = {split for split, share in zip(SPLITS, settings.fractions, strict=True) if share > 0}
    if empty := sorted(asked - set(found.values())):
        raise IncompleteError(
            f"splits: too few patches with one value of {settings.by} to have {', '.join(empty)}; "
            "take a column with fewer values in splits.by, or enlarge the area"
        )
    return np.array(
        [found[name] if inside else None for name, inside in zip(names, kept, strict=True)], object
    )


def _figures(
    table: gpd.GeoDataFrame, wanted: SplitsSettings, measured: dict[str, Any]
) -> dict[str, Any]:
    kept = int(table["kept"].sum())
    split = table["split"].to_numpy(object)
    sizes = {name: int((split == name).sum()) for name in SPLITS}
    used = max(1, sum(sizes.values()))
    in_blocks = wanted.method == "blocks"
    shares = PUBLISHED_SHARES if wanted.method == "published" else wanted.fractions
    asked = dict(zip(SPLITS, shares, strict=True))
    block = table["block"].to_numpy(object)
    return {
        "method": wanted.method,
        "patches": {
            "all": len(table), "kept": kept, "dropped": len(table) - kept,
            "buffer": kept - sum(sizes.values()),
        },
        "dropped_reasons": dropped_reasons(table),
        "splits": {
            name: {"patches": n, "share": round(n / used, 6), "wanted": asked[name]}
            for name, n in sizes.items()
        },
        "blocks": {
            "side_m": wanted.block_m, "count": len(set(block)),
            "per_split": {name: len(set(block[split == name])) for name in SPLITS},
        } if in_blocks else None,
        "leakage": measured,
    }  # fmt: skip
