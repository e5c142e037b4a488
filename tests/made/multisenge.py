# SPDX-License-Identifier: Apache-2.0
"""Two small tiles of two UTM zones with series of both sensors, up to the manifest."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from made.patches import write_labels
from made.recipes import resolve
from terrapatch.grid import Unit, geobox_to_dict, mgrs_tile_geobox
from terrapatch.layers import Values
from terrapatch.legend import load_legend
from terrapatch.lock import write_lock
from terrapatch.patches import patches
from terrapatch.paths import Built, Results
from terrapatch.places import patch_windows
from terrapatch.recipe import read_settings, write_settings
from terrapatch.records import Lock, LockedItem, LockedUnit
from terrapatch.sampling import footprints
from terrapatch.splits import splits
from terrapatch.stacks import StackInfo, create_stack
from terrapatch.tables import write_geoparquet
from terrapatch.times import with_steps

TEN = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
SIZE, STRIDE = 16, 17
RELEASED = {
    "31TFN": (136, 32631, 18, 38, 0, 9), "31UEP": (701, 32631, 12, 37, 0, 34),
    "31UEQ": (610, 32631, 13, 37, 0, 38), "31UER": (42, 32631, 32, 37, 25, 37),
    "31UFP": (1344, 32631, 0, 37, 0, 37), "31UFQ": (1404, 32631, 0, 37, 0, 37),
    "31UFR": (241, 32631, 0, 25, 17, 37), "31UGP": (567, 32631, 0, 23, 0, 38),
    "31UGQ": (464, 32631, 0, 14, 3, 37), "32TLT": (230, 32632, 15, 35, 0, 17),
    "32ULU": (1383, 32632, 0, 38, 0, 38), "32ULV": (794, 32632, 0, 38, 5, 37),
    "32UMU": (84, 32632, 0, 8, 0, 20), "32UMV": (157, 32632, 0, 16, 26, 37),
}  # fmt: skip
"""Tiles of the release → patches, EPSG, smallest and largest index in x and y. Source: RECIPES §2.4."""
S2_DATES = ("2020-03-05T10:30:00Z", "2020-07-08T10:30:00Z", "2020-09-01T10:30:00Z")
S1_PASSES = (
    ("2020-01-03T05:40:00Z", "descending", 37, "S1A"),
    ("2020-01-03T17:30:00Z", "ascending", 88, "S1B"),  # on the same day
    ("2020-02-02T17:30:00Z", "ascending", 88, "S1A"),
)
WORLD = {"type": "Polygon", "coordinates": [[[-1, -1], [1, -1], [1, 1], [-1, -1]]]}


@dataclass(frozen=True)
class Tiles:
    """Where the tree lies, and the arrays that it was made from."""

    results: Results
    data: dict[tuple[str, str], np.ndarray]
    """(unit, modality) → (patch, time, band, y, x)."""
    source: dict[tuple[str, str], np.ndarray]
    labels: dict[str, np.ndarray]
    """Unit → (y, x) of the finest level."""

    def built(self, **changes: Any) -> Built:
        """Paths of what was made."""
        return replace(Built.of(self.results), **changes)

    def settings(self, stage: str) -> Path:
        return Path(self.results.settings(stage))


def make_tiles(
    root: Path,
    *,
    grid=(3, 4),
    dtype="uint16",
    shard=5,
    scl=False,
    bands=TEN,
    units=("31UGQ", "32ULV"),
    split_settings=None,
    **recipe,
) -> Tiles:
    """Write the tree; see the tests for what is missing where."""
    plain = {
        "name": "tiles", "area": {"bbox": [6, 48, 7, 49]}, "catalog": {"source": "simulated"},
        "sampling": {"kind": "tiles", "size_px": SIZE, "stride_px": STRIDE},
        "sentinel2": {"bands": list(bands)}, "sentinel1": {"time": "series"},
        "label": {"legend": "multisenge", "edges": "none"},
        "patches": {"require": {"sentinel1": {"valid": 0.05}}},
        "splits": {"block_m": 160, "buffer_m": 0} | (split_settings or {}),
        "layouts": {"name": "multisenge"},
        "publish": {"title": "Tiles", "authors": ["A. Person"], "quicklooks": 2},
    }  # fmt: skip
    plain = plain | recipe
    results = Results(str(root))
    write_settings(resolve(plain), root / "settings")
    rng = np.random.default_rng(7)
    legend = load_legend("multisenge")
    made = Tiles(results, {}, {}, {})
    locked, items = [], {}
    for tile in units:
        height, width = ((n - 1) * STRIDE + SIZE for n in grid)
        unit = Unit(tile, mgrs_tile_geobox(tile)[:height, :width], 0, 0)
        windows = patch_windows(unit, size_px=SIZE, stride_px=STRIDE)
        table = footprints(unit, windows, "tiles")
        write_geoparquet(table, results.footprints(tile))
        fine = rng.integers(1, 15, (height, width)).astype(np.uint8)
        if tile == units[0]:
            fine[-1, -1] = 255  # the last patch of the first tile has no complete label
        made.labels[tile] = fine
        layers = np.stack([fine, legend.derive(legend.levels[1].name)[fine]])
        write_labels(
            results.stack(tile, "label"), unit.geobox, table["patch_id"],
            [(w.y_px, w.x_px) for w in windows], SIZE, layers,
            [level.name for level in legend.levels], tile, shard,
        )  # fmt: skip
        found = {}
        for modality, info in _infos(unit, tuple(table["patch_id"]), dtype, shard, scl, bands):
            for step in info.items:
                for name in step:
                    items[name] = (modality, name)
            found[modality] = tuple(name for step in info.items for name in step)
            _fill(made, info, rng)
            _write(made, info, rng)
        locked.append(LockedUnit(id=tile, geobox=geobox_to_dict(unit.geobox), first_row=0,
                                 first_col=0, items=found))  # fmt: skip
    lock = Lock(
        name="tiles", source="simulated", units=tuple(locked),
        items=tuple(
            LockedItem(
                id=name, sensor=modality, level="x", datetime=f"{name.split('_')[-1]}Z",
                footprint=WORLD, assets={},
                cloud_percent=4.5 if modality == "sentinel2" else None,
            )
            for modality, name in items.values()
        ),
    )  # fmt: skip
    write_lock(with_steps(lock, read_settings(results.settings("plan")).images), results.lock)
    for tile in units:
        patches(
            [Path(results.lock)], tile, Path(results.footprints(tile)),
            {m: Path(results.stack(tile, m)) for m in ("sentinel2", "sentinel1", "label")},
            Path(results.settings("patches")),
            Path(results.patches(tile)), Path(results.dates_of(tile)),
        )  # fmt: skip
    splits(
        [Path(results.patches(tile)) for tile in units], Path(results.settings("splits")),
        Path(results.manifest), Path(results.splits),
        dates=[Path(results.dates_of(tile)) for tile in units], joined_dates=Path(results.dates),
    )  # fmt: skip
    return made


def _infos(unit, ids, dtype, shard, scl, bands):
    shared = {
        "unit": unit.id, "geobox": geobox_to_dict(unit.geobox), "patch_ids": ids, "size_px": SIZE,
        "shard_patches": shard, "series": True,
    }  # fmt: skip
    # The second tile has one optical date less.
    dates = S2_DATES if unit.id == "31UGQ" else S2_DATES[1:]
    yield "sentinel2", StackInfo(
        layer="sentinel2", kind="sentinel2", bands=bands, times=dates, dtype=dtype, scl=scl,
        items=tuple((f"S2_{t[:-1]}",) for t in dates),
        passes=({"direction": "descending", "relative_orbit": 108, "platform": "S2A"},) * len(dates),
        values=Values("reflectance", scale=1e-4, nodata=0.0), **shared,
    )  # fmt: skip
    yield "sentinel1", StackInfo(
        layer="sentinel1", kind="sentinel1", bands=("VV", "VH"), times=tuple(t for t, *_ in S1_PASSES),
        items=tuple((f"S1a_{t[:-1]}", f"S1b_{t[:-1]}") for t, *_ in S1_PASSES), dtype="float32",
        passes=tuple(
            {"direction": d, "relative_orbit": o, "platform": p} for _, d, o, p in S1_PASSES
        ),
        values=Values("linear power"), **shared,
    )  # fmt: skip


def _fill(made, info, rng):
    shape = (len(info.patch_ids), len(info.times), len(info.bands), SIZE, SIZE)
    source = np.ones((*shape[:2], SIZE, SIZE), np.uint8)
    if info.layer == "sentinel2":
        low = 1 if info.dtype != "int16" else -300
        data = rng.integers(low, 9000, shape).astype(info.dtype)
        data[0, 0, 0, 0, :4] = [1, 2, 9000, 32767]
        if info.dtype == "uint16":
            data[0, 0, 1, 0, :2] = [65535, 32768]
        source[1, 0, 3, 5] = 0  # one pixel of one date of the second patch
        source[2, :-1] = 0  # the third patch has its last date alone
    else:
        data = rng.gamma(4, 0.02, shape).astype(np.float32)
        source[:, :, :, ::2] = 2
        source[:, 0, :2] = 0  # the descending pass of the double day lacks two lines …
        source[3, 0], source[3, 1, 1:] = 1, 0  # … but is whole where the ascending one is not
        source[4, 2] = 0  # nothing at all
        source[5, 2, 1:] = 0  # 6 % of the pixels
        source[6, 2] = 0
        source[6, 2, 0, :12] = 1  # 4.7 %
    data = np.where(source[:, :, None] > 0, data, 0).astype(info.dtype)
    if info.dtype == "int16":
        data[(source == 0)[:, :, None].repeat(len(info.bands), 2)] = -10000
    made.data[info.unit, info.layer] = data
    made.source[info.unit, info.layer] = source


def _write(made, info, rng):
    data, source = (part[info.unit, info.layer] for part in (made.data, made.source))
    scl = rng.integers(4, 12, source.shape).astype(np.uint8) if info.scl else None
    if scl is not None:
        made.data[info.unit, "scl"] = scl
    with create_stack(made.results.stack(info.unit, info.layer), info) as writer:
        for number, part in enumerate(info.shards):
            for time in range(len(info.times)):
                where = (slice(part.start, part.stop), time)
                more = () if scl is None else (np.ascontiguousarray(scl[where]),)
                writer.write(
                    number, time, *(np.ascontiguousarray(a[where]) for a in (data, source)), *more
                )
        writer.write_incidence(np.full(data.shape[:2], 38.5, np.float32))
