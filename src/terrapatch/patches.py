# SPDX-License-Identifier: Apache-2.0
"""From stacks and labels to the table of a unit's patches: completeness, classes, provenance.

Laws:
1. Every footprint has a row; a patch that is not kept says why, with all reasons.
2. A pixel counts as observed where the stack's `source` is not 0, and as labelled where the
   finest level is not 255. Dates of a series are judged one by one; a patch has what its best
   date has.
3. Scenes, days and hashes are those of the dates that are complete enough, and of no others.
4. The layers of the recipe have columns, in its order, labels behind images; others have none.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from .acquisitions import write_dates
from .crs import same_crs
from .dropping import drop_reasons, lacking_bands
from .errors import GridError, IncompleteError, StorageError
from .legend import NODATA, Legend, load_legend
from .lock import read_slices, unit_geobox
from .places import Places, read_places
from .recipe import read_settings
from .records import LockedItem
from .samples import hashes_of, plain_bytes
from .settings import named_files
from .stacks import Stack, StackInfo, open_stack
from .sums import check_named
from .tables import read_geoparquet, write_geoparquet

if TYPE_CHECKING:
    import geopandas as gpd
    from odc.geo.geobox import GeoBox


@dataclass(frozen=True)
class Observed:
    """What a stack says about each of its patches."""

    shares: NDArray[np.float64]
    """(patch, time) share of observed pixels, 0..1."""
    scenes: list[list[list[str]]]
    """Patch, time: ids of the scenes that gave pixels, in the order of the stack's items."""
    kept: NDArray[np.bool_]
    """(patch, time) whether the share is enough."""
    hashes: list[str | None]
    """SHA-256 of `data` of the kept dates, little endian, in the order (time, band, y, x); None
    without any."""
    incidence: NDArray[np.float32]
    """(patch, time) degrees at the patch's centre, NaN where unknown."""
    info: StackInfo
    lacking: NDArray[np.uint32]
    """(patch, time, band) missing pixels that the band has no value for; 0 where bands are alike."""

    @property
    def valid(self) -> NDArray[np.float64]:
        """(patch,) share of observed pixels of the best date, 0..1."""
        return np.asarray(self.shares.max(axis=1, initial=0.0))

    @property
    def sources(self) -> list[list[str]]:
        """Ids of the scenes that gave pixels on any kept date, each once."""
        return [
            list(dict.fromkeys(s for date in np.flatnonzero(kept) for s in patch[date]))
            for patch, kept in zip(self.scenes, self.kept, strict=True)
        ]


@dataclass(frozen=True)
class Labelled:
    """What the label stack says about each patch."""

    valid: NDArray[np.float64]
    """(patch,) share of labelled pixels of the finest level, 0..1."""
    counts: dict[str, NDArray[np.int64]]
    """Level → (patch, class) pixels per class, in the order of the level's codes."""
    hashes: list[str]
    """SHA-256 of all bands of the labels, edges included, as (band, y, x)."""


def histograms(values: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Count values patch by patch: (patch, …) uint8 → (patch, 256)."""
    count = len(values)
    pixels = values.reshape(count, math.prod(values.shape[1:]))
    keys = np.arange(count)[:, None] * 256 + pixels
    return np.bincount(keys.reshape(-1), minlength=256 * count).reshape(count, 256)


def scenes_of(counts: NDArray[np.int64], items: tuple[str, ...]) -> list[list[str]]:
    """Scenes that gave pixels: (patch, 256) counts of `source` → ids, in the order of `items`."""
    used = counts[:, 1 : len(items) + 1] > 0
    return [[items[k] for k in np.flatnonzero(patch)] for patch in used]


def observe(stack: Stack, least: float) -> Observed:
    """Look through a stack, shard by shard and date by date; each is read once.

    Args:
        stack: of a unit.
        least: share of observed pixels that a date needs, 0..1.

    Raises:
        StorageError: the stack is damaged.
    """
    info = stack.info
    shares = np.zeros((len(info.patch_ids), len(info.times)))
    scenes: list[list[list[str]]] = []
    hashes: list[str | None] = []
    for shard in info.shards:
        part = slice(shard.start, shard.stop)
        digests = [hashlib.sha256() for _ in shard]
        found: list[list[list[str]]] = [[] for _ in shard]
        for time, items in enumerate(info.items):
            source = stack.read(part, "source", time)
            counts = histograms(source)
            pixels = max(1, math.prod(source.shape[1:]))
            # One division: a tenth of the pixels is 0.1 as the recipe has it, to the last bit.
            shares[part, time] = (pixels - counts[:, 0]) / pixels
            for patch, names in zip(found, scenes_of(counts, items), strict=True):
                patch.append(names)
            enough = np.flatnonzero(shares[part, time] >= least)
            if enough.size:
                data = stack.read(part, "data", time)
                for number in enough.tolist():
                    digests[number].update(plain_bytes(data[number]))
        scenes += found
        hashes += [digest.hexdigest() for digest in digests]
    kept = shares >= least
    for number in np.flatnonzero(~kept.any(axis=1)).tolist():
        hashes[number] = None
    return Observed(shares, scenes, kept, hashes, stack.incidence, info, stack.lacking)


def class_counts(labels: NDArray[np.uint8], codes: tuple[int, ...]) -> NDArray[np.int64]:
    """Pixels per class: (patch, y, x) codes → (patch, class), in the order of `codes`."""
    return histograms(labels)[:, list(codes)]


def look_at_labels(stack: Stack, legend: Legend) -> Labelled:
    """Look through the labels of a unit, shard by shard.

    Args:
        stack: labels of the unit.
        legend: its levels are among the stack's bands.

    Raises:
        StorageError: the stack is damaged, or has not the levels of the legend.
    """
    names, count = list(stack.info.bands), len(stack.info.patch_ids)
    wanted = [level.name for level in legend.levels]
    if any(name not in names for name in wanted):
        raise StorageError(
            f"{stack.path}: bands {names}, but legend {legend.name!r} has the levels {wanted}; "
            "delete the stack and build again"
        )
    valid = np.zeros(count)
    counts = {level.name: np.zeros((count, len(level.codes)), np.int64) for level in legend.levels}
    hashes: list[str] = []
    for shard in stack.info.shards:
        rows = slice(shard.start, shard.stop)
        pixels = stack.read(rows, time=0)
        for level in legend.levels:
            codes = pixels[:, names.index(level.name)]
            counts[level.name][rows] = class_counts(codes, level.codes)
        finest = pixels[:, names.index(legend.finest.name)]
        valid[rows] = (finest != NODATA).mean(axis=(1, 2))
        hashes += hashes_of(pixels)
    return Labelled(valid, counts, hashes)


def dates_of(sources: list[list[str]], items: Mapping[str, LockedItem]) -> list[list[str]]:
    """ISO days of the scenes of each patch, ascending, each once; what has no date gives none."""
    days = {name: item.datetime[:10] for name, item in items.items()}
    return [sorted({days[scene] for scene in scenes} - {""}) for scenes in sources]


def _check_stack(stack: Stack, places: Places) -> None:
    """The patches of a stack must be the unit's, on the same ground in pixels of its own size."""
    same_ids = stack.info.patch_ids == places.ids
    if not same_ids or not _same_ground(stack.info, places):
        what = "other patches" if not same_ids else "another grid or patch size"
        raise StorageError(
            f"{stack.path}: holds {what} than the unit's footprints "
            f"({len(stack.info.patch_ids)} patches, {len(places)} footprints); it was made with "
            "other settings: delete the stack and build again"
        )


def _same_ground(info: StackInfo, places: Places) -> bool:
    transform = info.geobox["transform"]
    own = abs(float(transform[0]))
    if not np.isclose(own, places.pixel, rtol=1e-12, atol=0):
        try:
            places = places.at(own)
        except GridError:
            return False
    return (
        same_crs(info.geobox["crs"], str(places.geobox.crs))
        and np.allclose(transform, list(places.geobox.affine)[:6], rtol=1e-12, atol=1e-9)
        and (info.size_px == places.size_px or not len(places))
    )


def patches(
    slices: Sequence[Path],
    unit: str,
    footprints: Path,
    stacks: Mapping[str, Path],
    settings: Path,
    output: Path,
    dates: Path,
) -> None:
    """Judge and describe the patches of a unit: `patches/UNIT.parquet`, `dates/UNIT.parquet`.

    Columns are those of docs/plan.md, Tables; one row a footprint, in the footprints' order, and
    one row a footprint, layer of images and date.

    Args:
        slices: those of the unit, a layer each (or the whole lock alone).
        unit: id of the unit.
        footprints: the unit's footprints.
        stacks: layer → stack of the unit; all layers of the recipe must be there.
        settings: the stage's settings.
        output: the GeoParquet file to write.
        dates: the Parquet file of dates to write.

    Raises:
        IncompleteError: the stack of a layer is not given.
        StorageError: a stack does not belong to these footprints.
    """
    import geopandas as gpd

    wanted = read_settings(settings)
    absent = [name for name in wanted.layers if name not in stacks]
    if absent:
        raise IncompleteError(
            f"unit {unit!r}: no stack of {', '.join(absent)}; build it, or take the layer "
            "out of the recipe"
        )
    plan = read_slices(slices)
    check_named(named_files(wanted, "patches"), plan, slices[0])
    geobox = unit_geobox(plan.unit(unit))
    table, places = read_geoparquet(footprints), read_places(footprints, geobox)
    columns = _placed(table, geobox, plan.unit(unit).geobox["crs"])
    seen: dict[str, Observed] = {}
    for name in wanted.images:
        stack = open_stack(stacks[name])
        _check_stack(stack, places)
        seen[name] = observe(stack, wanted.patches.of(name).valid)
    labelled: dict[str, Labelled] = {}
    for name, layer in wanted.labels.items():
        stack = open_stack(stacks[name])
        _check_stack(stack, places)
        labelled[name] = look_at_labels(stack, load_legend(layer.legend))
    shares = {name: found.shares for name, found in seen.items()}
    shares |= {name: found.valid[:, None] for name, found in labelled.items()}
    reasons = drop_reasons(
        shares, wanted.patches,
        {name: lacking_bands(o.lacking, o.shares, o.info) for name, o in seen.items()},
    )  # fmt: skip
    columns["kept"] = np.array([reason is None for reason in reasons], bool)
    columns["dropped_reason"] = reasons
    columns |= _provenance(seen, labelled, {item.id: item for item in plan.items})
    outlines = table.geometry.to_crs("EPSG:4326").to_numpy()
    write_geoparquet(gpd.GeoDataFrame(columns, geometry=outlines, crs="EPSG:4326"), output)
    clouds = {item.id: item.cloud_percent for item in plan.items}
    write_dates(_dates(seen, columns["patch_id"], unit, clouds), dates)


def _placed(table: gpd.GeoDataFrame, geobox: GeoBox, crs: str) -> dict[str, Any]:
    """Columns that say where the patches lie, on the grid of the unit."""
    columns: dict[str, Any] = {
        name: table[name].to_numpy() for name in ("patch_id", "unit", "row", "col")
    }
    columns |= {name: table[name].to_numpy(np.int64) for name in ("y_px", "x_px", "size_px")}
    columns["crs"] = [crs] * len(table)
    columns["transform"] = [
        list(geobox.affine * Affine.translation(x, y))[:6]
        for y, x in zip(columns["y_px"].tolist(), columns["x_px"].tolist(), strict=True)
    ]
    return columns


def _dates(
    seen: Mapping[str, Observed], ids: NDArray[Any], unit: str,
    clouds: Mapping[str, float | None],
) -> dict[str, Any]:  # fmt: skip
    """Columns of the table of dates; rows by patch, layer and date."""
    parts: list[dict[str, Any]] = []
    for rank, (name, found) in enumerate(seen.items()):
        patches, steps = found.shares.shape
        number, step = (k.ravel() for k in np.indices((patches, steps)))
        passes = found.info.passes or ({},) * steps
        facts = {
            key: np.array([p.get(key) for p in passes], object)[step]
            for key in ("direction", "relative_orbit", "platform")
        }
        parts.append(
            {
                "order": number * len(seen) + rank,
                "patch_id": ids[number],
                "unit": np.full(number.size, unit, object),
                "layer": np.full(number.size, name, object),
                "time": np.array(found.info.times, object)[step],
                **facts,
                "incidence_deg": found.incidence.ravel(),
                "cloud_percent": np.array(
                    [_cloud(date, clouds) for patch in found.scenes for date in patch], float
                ),
                "valid": found.shares.ravel(),
                "kept": found.kept.ravel(),
                "scenes": np.fromiter((d for patch in found.scenes for d in patch), object),
            }
        )
    joined = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    order = np.argsort(joined.pop("order"), kind="stable")
    return {key: values[order] for key, values in joined.items()}


def _cloud(scenes: Sequence[str], clouds: Mapping[str, float | None]) -> float:
    """Mean cloud percent of scenes; NaN where one is unknown, or there is none."""
    known = [clouds.get(name) for name in scenes]
    found = [cloud for cloud in known if cloud is not None]
    return math.fsum(found) / len(found) if found and len(found) == len(known) else math.nan


def _provenance(
    seen: Mapping[str, Observed], labelled: Mapping[str, Labelled], items: Mapping[str, LockedItem]
) -> dict[str, Any]:
    """Columns valid_…, dates_…, sources_…, hash_… and counts_… of the layers."""
    lost = {s for m in seen.values() for patch in m.scenes for date in patch for s in date}
    lost -= items.keys()
    if lost:
        raise StorageError(
            f"a stack holds pixels of scenes that the lock does not name ({sorted(lost)}); it was "
            "made from another lock: delete the stack and build again"
        )
    both: dict[str, Observed | Labelled] = {**seen, **labelled}
    columns: dict[str, Any] = {f"valid_{name}": found.valid for name, found in both.items()}
    columns |= {f"dates_{name}": dates_of(found.sources, items) for name, found in seen.items()}
    columns |= {f"sources_{name}": found.sources for name, found in seen.items()}
    columns |= {f"hash_{name}": found.hashes for name, found in both.items()}
    for name, label in labelled.items():
        columns |= {f"counts_{name}_{level}": list(n) for level, n in label.counts.items()}
    return columns
