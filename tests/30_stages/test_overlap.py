# SPDX-License-Identifier: Apache-2.0
"""Overlapping tiles: brute force in another projection, the published pairs, laws."""

import json
from itertools import chain
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Transformer

from made.multisenge import RELEASED, make_tiles
from made.patches import settings_folder
from terrapatch.grid import Unit, mgrs_tile_geobox, tile_footprint
from terrapatch.places import patch_windows
from terrapatch.places.windows import tile_units
from terrapatch.sampling import footprints
from terrapatch.splits import splits
from terrapatch.splits.overlap import (
    PUBLISHED_PAIRS,
    dense_outlines,
    drop_overlaps,
    polygon_winners,
    published_winners,
)
from terrapatch.tables import read_geoparquet, write_geoparquet

SIZE, STRIDE, SIDE_M = 256, 257, 2_560.0


def tile_table(tile, rows=range(42), cols=range(42), kept=True):
    """Patches of a tile as its table has them."""
    geobox = mgrs_tile_geobox(tile)
    left, top = geobox.affine.c, geobox.affine.f
    found = []
    for row in rows:
        for col in cols:
            x, y = col * STRIDE, row * STRIDE
            place = [10.0, 0.0, left + 10 * x, 0.0, -10.0, top - 10 * y]
            found.append(
                {"patch_id": f"{tile}_{x}_{y}", "unit": tile, "row": row, "col": col, "size_px": SIZE,
                 "crs": str(geobox.crs), "transform": place, "kept": kept, "dropped_reason": None}
            )  # fmt: skip
    return gpd.GeoDataFrame(found, geometry=[shapely.Point(0, 0)] * len(found), crs="EPSG:4326")


def joined(*tables):
    return gpd.GeoDataFrame(
        {c: list(chain(*(t[c].tolist() for t in tables))) for c in tables[0].columns if c != "geometry"},
        geometry=[shapely.Point(0, 0)] * sum(map(len, tables)), crs="EPSG:4326",
    )  # fmt: skip


def in_zone_32(table):
    """Outlines in UTM 32N with 200 points a side: another way than the one judged."""
    found = []
    for crs, (a, _, left, _, e, top) in zip(table["crs"], table["transform"], strict=True):
        box = shapely.box(left, top + e * SIZE, left + a * SIZE, top)
        dense = shapely.segmentize(box, SIDE_M / 200)
        to = Transformer.from_crs(crs, "EPSG:32632", always_xy=True)
        found.append(
            shapely.transform(dense, lambda xy, to=to: np.column_stack(to.transform(*xy.T)))
        )
    return found


def by_brute_force(table, units):
    """Tile by tile, row by row: kept where no patch kept before shares 100 m²."""
    shapes = in_zone_32(table)
    rank = {unit: number for number, unit in enumerate(units)}
    order = sorted(
        range(len(table)),
        key=lambda n: (rank[table["unit"][n]], table["row"][n], table["col"][n]),
    )
    kept = []
    for number in order:
        others = [k for k in kept if table["unit"][k] != table["unit"][number]]
        if not any(shapes[number].intersection(shapes[k]).area > 100 for k in others):
            kept.append(number)
    return set(table["patch_id"][kept])


@pytest.fixture(scope="module")
def corner():
    """Where three tiles of two zones meet: 31UGQ and 31UGP over 32ULV and 32ULU."""
    return joined(
        tile_table("31UGQ", range(34, 42), range(10, 18)), tile_table("32ULV", range(34, 42), range(5)),
        tile_table("31UGP", range(5), range(10, 18)), tile_table("32ULU", range(4), range(5)),
    )  # fmt: skip


@pytest.mark.parametrize(
    "units",
    [("32ULU", "32ULV", "31UGP", "31UGQ"), ("31UGQ", "31UGP", "32ULV", "32ULU"),
     ("31UGP", "32ULV", "31UGQ", "32ULU")],
)  # fmt: skip
def test_polygons_against_brute_force_in_another_projection(corner, units):
    wanted = by_brute_force(corner, units)
    table = corner.copy()
    drop_overlaps(table, "polygons", units)
    assert set(table.loc[table["kept"], "patch_id"]) == wanted
    assert 0 < len(wanted) < len(table)
    assert set(table.loc[wanted_first(table, units[0]), "kept"]) == {True}


def wanted_first(table, unit):
    return table["unit"] == unit


def test_no_two_kept_patches_overlap_and_none_is_dropped_without_need(corner):
    table = corner.copy()
    drop_overlaps(table, "polygons", ("32ULU", "31UGQ"))
    shapes = dict(zip(table["patch_id"], in_zone_32(table), strict=True))
    kept = table[table["kept"]]
    for a in kept.itertuples():
        for b in kept.itertuples():
            if a.unit < b.unit:
                assert shapes[a.patch_id].intersection(shapes[b.patch_id]).area <= 100
    order = ["32ULU", "31UGQ", "31UGP", "32ULV"]
    for row in table[~table["kept"]].itertuples():
        winner = row.dropped_reason.removeprefix("overlap: shows ground of ")
        assert winner in set(kept["patch_id"])
        assert order.index(winner[:5]) < order.index(row.unit)
        assert shapes[row.patch_id].intersection(shapes[winner]).area > 100


@given(st.randoms())
def test_the_order_of_rows_and_units_changes_nothing(random):
    table = joined(tile_table("31UGQ", range(4, 6), range(11, 16)), tile_table("32ULV", range(4, 7), range(4)))  # fmt: skip
    numbers = list(range(len(table)))
    random.shuffle(numbers)
    other = table.iloc[numbers].reset_index(drop=True)
    for rule in ("polygons", "published"):
        a, b = table.copy(), other.copy()
        drop_overlaps(a, rule, ("32ULV",))
        drop_overlaps(b, rule, ("32ULV",))
        reasons = dict(zip(b["patch_id"], b["dropped_reason"].fillna(""), strict=True))
        assert dict(zip(a["patch_id"], a["dropped_reason"].fillna(""), strict=True)) == reasons


def degree_table(*patches):
    """Patches (unit, left, top) with a side of 16 px of 1/1024 degree, exact in binary."""
    found = [
        {"patch_id": f"{unit}_{n}", "unit": unit, "row": 0, "col": n, "size_px": 16,
         "crs": "EPSG:4326", "transform": [2**-10, 0.0, left, 0.0, -(2**-10), top], "kept": True,
         "dropped_reason": None}
        for n, (unit, left, top) in enumerate(patches)
    ]  # fmt: skip
    return gpd.GeoDataFrame(found, geometry=[shapely.Point(0, 0)] * len(found), crs="EPSG:4326")


def test_patches_that_only_touch_are_apart_but_not_as_published():
    side = 16 / 1024
    for dx, dy in ((side, 0), (0, side), (side, side), (side, side / 2)):
        table = degree_table(("31UGQ", 6.0, 49.0), ("32ULV", 6.0 + dx, 49.0 - dy))
        assert polygon_winners(table, ("32ULV",)).tolist() == [-1, -1]
        assert published_winners(table).tolist() == [1, -1]
    table = degree_table(("31UGQ", 6.0, 49.0), ("32ULV", 6.0 + side * 1.01, 49.0))
    assert published_winners(table).tolist() == [-1, -1]
    # Two pixels of ground are an overlap, one pixel is not more than a pixel.
    for pixels, winners in ((2, [1, -1]), (0.5, [-1, -1])):
        shift = side - pixels / 16 / 1024
        table = degree_table(("31UGQ", 6.0, 49.0), ("32ULV", 6.0 + shift, 49.0))
        assert polygon_winners(table, ("32ULV",)).tolist() == winners


def test_a_patch_loses_only_to_one_that_stays_but_as_published_to_any():
    # UGQ overlaps UGP, which overlaps ULU: the last comes first.
    row = [("31UGQ", 6.0, 49.0), ("31UGP", 6.01, 49.0), ("32ULU", 6.02, 49.0)]
    table = degree_table(*row)
    assert polygon_winners(table, ("32ULU", "31UGP", "31UGQ")).tolist() == [-1, 2, -1]
    assert published_winners(table).tolist() == [1, 2, -1]


def test_what_is_not_kept_takes_no_ground_and_keeps_its_reason():
    for rule in ("polygons", "published"):
        table = degree_table(("31UGQ", 6.0, 49.0), ("32ULV", 6.005, 49.0))
        table["kept"] = [True, False]
        table["dropped_reason"] = [None, "label: 3.0 % observed < 100 %"]
        drop_overlaps(table, rule, ("32ULV",))
        assert table["kept"].tolist() == [True, False]
        assert table["dropped_reason"].fillna("").tolist() == ["", "label: 3.0 % observed < 100 %"]


def test_patches_of_one_unit_may_overlap_and_none_is_none():
    table = degree_table(("31UGQ", 6.0, 49.0), ("31UGQ", 6.005, 49.0))
    drop_overlaps(table, "polygons", ())
    assert table["kept"].all()
    table = degree_table(("31UGQ", 6.0, 49.0), ("32ULV", 6.005, 49.0))
    drop_overlaps(table, "none", ())
    assert table["kept"].all()


def test_tiles_without_priority_follow_by_name():
    table = degree_table(("32ULV", 6.0, 49.0), ("31UGQ", 6.005, 49.0), ("31UGP", 6.01, 49.0))
    assert polygon_winners(table, ()).tolist() == [2, 2, -1]
    assert polygon_winners(table, ("32ULV",)).tolist() == [-1, 0, 0]


def test_published_boxes_are_those_of_the_authors_code():
    # Their test, on corners in degrees: max of lefts, min of tops, min of rights, max of bottoms.
    table = joined(tile_table("31UGQ", range(20, 23), range(11, 17)), tile_table("32ULV", range(20, 23), range(3)))  # fmt: skip
    corners = []
    for crs, (_, _, left, _, _, top) in zip(table["crs"], table["transform"], strict=True):
        to = Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
        corners.append((*to.transform(left, top), *to.transform(left + SIDE_M, top - SIDE_M)))
    wanted = set()
    for a, p in zip(corners, table.itertuples(), strict=True):
        for b, q in zip(corners, table.itertuples(), strict=True):
            apart = min(a[2], b[2]) < max(a[0], b[0]) or min(a[1], b[1]) < max(a[3], b[3])
            if (p.unit, q.unit) == ("31UGQ", "32ULV") and not apart:
                wanted.add(p.patch_id)
    drop_overlaps(table, "published", ("31UGQ",))  # the list of pairs is theirs
    assert set(table.loc[~table["kept"], "patch_id"]) == wanted
    assert wanted


def test_published_pairs_lose_in_the_west_and_north():
    assert len(PUBLISHED_PAIRS) == len(set(PUBLISHED_PAIRS)) == 21
    assert {tile for pair in PUBLISHED_PAIRS for tile in pair} == RELEASED.keys()
    for first, second in PUBLISHED_PAIRS:
        a, b = (tile_footprint(tile) for tile in (first, second))
        assert a.intersects(b)
        assert a.centroid.x < b.centroid.x - 0.5 or a.centroid.y > b.centroid.y + 0.5


@pytest.fixture(scope="module")
def release():
    """All windows of the 14 tiles after the published rule, as if every label were whole."""
    table = joined(*(tile_table(tile) for tile in RELEASED))
    drop_overlaps(table, "published", ())
    return table[table["kept"]]


def test_indices_of_the_release_are_possible_and_its_borders_are_hit(release):
    for tile, (count, epsg, x0, x1, y0, y1) in RELEASED.items():
        part = release[release["unit"] == tile]
        assert set(part["crs"]) == {f"EPSG:{epsg}"}
        assert count <= len(part)
        assert 0 <= x0 <= x1 <= 41
        assert 0 <= y0 <= y1 <= 41
    # Where a neighbour with a whole label lies east or south, the largest index is its doing.
    for tile in ("31UEP", "31UEQ", "31UER", "31UFP", "31UFQ"):
        assert release.loc[release["unit"] == tile, "col"].max() == RELEASED[tile][3] == 37
    for tile in ("31UFP", "31UFQ", "31UFR", "31UGQ", "31UER", "32ULV", "32UMV"):
        assert release.loc[release["unit"] == tile, "row"].max() == RELEASED[tile][5] == 37
    # Across zones the border is slanted: the furthest patch of 31UGQ has index 14.
    assert release.loc[release["unit"] == "31UGQ", "col"].max() == RELEASED["31UGQ"][3] == 14


def test_targets_add_up_to_the_published_number():
    assert sum(t[0] for t in RELEASED.values()) == 8157


def test_grid_of_a_whole_tile_has_42_windows_an_axis():
    (unit,) = tile_units(["T31UGQ"])
    windows = patch_windows(unit, size_px=SIZE, stride_px=STRIDE)
    assert [w.x_px for w in windows[:42]] == list(range(0, 10_538, 257))
    assert sorted({w.y_px for w in windows}) == list(range(0, 10_980 - SIZE, 257))
    assert len(windows) == 42 * 42
    assert windows[-1].x_px + SIZE == 10_793
    table = footprints(Unit("31UGQ", unit.geobox, 0, 0), windows[:44], "tiles")
    assert table["patch_id"].tolist()[:2] == ["31UGQ_0_0", "31UGQ_257_0"]
    assert table["patch_id"].tolist()[43] == "31UGQ_257_257"
    assert table.geometry.iloc[43].bounds == (702_530.0, 5_494_890.0, 705_090.0, 5_497_450.0)
    # Without the lost pixel between them one more fits nowhere: 42 of 256 px.
    assert len(patch_windows(unit, size_px=256, stride_px=256)) == 42 * 42


def test_dense_outlines_bend_with_the_side():
    table = tile_table("31UGQ", [3], [41])
    (outline,) = dense_outlines(table)
    truth = in_zone_32(table)[0]
    to = Transformer.from_crs("EPSG:4326", "EPSG:32632", always_xy=True)
    there = shapely.transform(outline, lambda xy: np.column_stack(to.transform(*xy.T)))
    assert there.symmetric_difference(truth).area < 0.2  # m², of 6.5 million
    bare = shapely.Polygon(np.array(truth.exterior.coords)[:-1:200])
    assert bare.symmetric_difference(truth).area > 30.0


def test_the_manifest_names_what_gave_way_and_splits_leave_it_out(tmp_path):
    # Both small tiles lie at the upper left corners of theirs, so they are moved onto one place.
    tiles = make_tiles(tmp_path / "tree")
    table = read_geoparquet(tiles.results.patches("32ULV"))
    other = read_geoparquet(tiles.results.patches("31UGQ"))
    table["crs"] = other["crs"]
    table["transform"] = other["transform"]
    table = table.set_geometry(other.geometry)
    write_geoparquet(table, tmp_path / "b.parquet")
    parts = [tmp_path / "b.parquet", Path(tiles.results.patches("31UGQ"))]
    folder = settings_folder(
        tmp_path / "settings",
        splits={"overlap": "polygons", "tile_priority": ["31UGQ"], "block_m": 160, "buffer_m": 0},
        label={"legend": "multisenge"},
    )
    for n, order in enumerate((parts, parts[::-1])):
        splits(order, folder / "splits.json", tmp_path / f"m{n}.parquet", tmp_path / f"s{n}.json")
    assert (tmp_path / "m0.parquet").read_bytes() == (tmp_path / "m1.parquet").read_bytes()
    manifest = read_geoparquet(tmp_path / "m0.parquet").set_index("patch_id")
    # The last patch of 31UGQ has no whole label: its twin stays.
    lost = [name for name in table["patch_id"] if name != "32ULV_51_34"]
    for name in lost:
        assert not manifest.loc[name, "kept"]
        assert manifest.loc[name, "dropped_reason"] == f"overlap: shows ground of 31UGQ{name[5:]}"
        assert pd.isna(manifest.loc[name, "split"])
    assert manifest.loc["32ULV_51_34", "kept"]
    assert not manifest.loc["31UGQ_51_34", "kept"]
    figures = json.loads((tmp_path / "s0.json").read_text("utf-8"))
    assert figures["dropped_reasons"] == {"label": 1, "overlap": 11}
    assert figures["patches"]["kept"] == 12
