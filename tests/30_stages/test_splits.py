# SPDX-License-Identifier: Apache-2.0
"""Splits: published numbers, blocks with buffer, leakage, the manifest."""

import json
import random
from collections import Counter

import geopandas as gpd
import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from made.patches import settings_folder
from terrapatch.errors import IncompleteError, RecipeError, StorageError
from terrapatch.paths import SPLITS
from terrapatch.settings import SplitsSettings
from terrapatch.splits import splits
from terrapatch.splits.blocks import (
    Criteria,
    assign,
    block_split,
    cost,
    lay_blocks,
    without_near,
)
from terrapatch.splits.distance import leakage, metric_outlines, pairs_within, tolerance_m
from terrapatch.splits.published import published_split, torch_permutation
from terrapatch.tables import read_geoparquet, read_table_metadata, write_geoparquet

SIDE = 1280.0


def ids_of(count):
    return [f"r{n // 200:05d}_c{n % 200:05d}" for n in range(count)]


# The published split ----------------------------------------------------------------------------


def test_published_numbers_of_the_paper():
    found = Counter(published_split(ids_of(30_291), seed=42, val_seed=666).values())
    assert found == {"train": 21_808, "val": 5_453, "test": 3_030}


def test_published_split_is_what_the_authors_tools_do():
    torch = pytest.importorskip("torch")
    ids = ids_of(3_333)
    # split-folders: sort, seed, shuffle, cut with int(); the middle share is 0.
    files = sorted(ids)
    random.seed(42)
    random.shuffle(files)
    cut = int(0.9 * len(files))
    folder, test = sorted(files[:cut]), files[cut + int(0.0 * len(files)) :]
    # The training scripts: lengths as integers, one generator.
    fit = int(0.8 * len(folder))
    generator = torch.Generator().manual_seed(666)
    train, val = torch.utils.data.random_split(folder, [fit, len(folder) - fit], generator)
    expected = dict.fromkeys(test, "test") | dict.fromkeys(train, "train")
    expected |= dict.fromkeys(val, "val")
    assert published_split(ids, seed=42, val_seed=666) == expected


@pytest.mark.parametrize("count", [0, 1, 2, 3, 100, 27_261])
@pytest.mark.parametrize("seed", [0, 666, 2**32 + 5])
def test_permutations_are_those_of_torch(count, seed):
    torch = pytest.importorskip("torch")
    expected = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist()
    assert torch_permutation(count, seed) == expected


def test_permutations_without_torch_at_hand():
    # Drawn once with PyTorch 2.13.
    assert torch_permutation(10, 666) == [0, 4, 7, 6, 1, 2, 5, 3, 8, 9]


@given(st.lists(st.text("abc0123", min_size=1), unique=True, max_size=60), st.randoms())
def test_published_split_does_not_depend_on_the_order_and_is_complete(ids, order):
    shuffled = list(ids)
    order.shuffle(shuffled)
    found = published_split(ids, seed=1, val_seed=2)
    assert found == published_split(shuffled, seed=1, val_seed=2)
    assert set(found) == set(ids)
    sizes = Counter(found.values())
    rest = int(0.9 * len(ids))
    assert (sizes["train"], sizes["val"]) == (int(0.8 * rest), rest - int(0.8 * rest))


# Distances and leakage --------------------------------------------------------------------------


def squares(cells, side=SIDE, step=SIDE):
    """Squares at (col, row) cells, in metres."""
    return np.array(
        [shapely.box(c * step, r * step, c * step + side, r * step + side) for c, r in cells]
    )


def grid_cells(cols, rows):
    return [(c, r) for r in range(rows) for c in range(cols)]


def test_leakage_on_a_row_of_squares_with_the_answer_in_sight():
    outlines = squares([(0, 0), (1, 0), (2, 0), (4, 0), (7, 0), (9, 9)])
    split = np.array(["train", "test", "val", "test", "test", None], object)
    found = leakage(outlines, split, buffer_m=4000, touch_m=0.1)
    assert found["test"] == {
        "patches": 3,
        "touching_train": pytest.approx(1 / 3, abs=1e-6),
        "nearer_than_buffer": pytest.approx(2 / 3, abs=1e-6),
        "min_distance_m": 0.0,
    }
    assert found["val"] == {
        "patches": 1, "touching_train": 0.0, "nearer_than_buffer": 1.0, "min_distance_m": 1280.0,
    }  # fmt: skip


def test_leakage_without_train_or_without_test_is_null():
    outlines = squares([(0, 0), (1, 0)])
    for names in (["test", "test"], ["train", "train"]):
        found = leakage(outlines, np.array(names, object), buffer_m=10, touch_m=0.1)
        assert found["test"]["min_distance_m"] is None
        assert found["test"]["touching_train"] is None


def test_exactly_the_buffer_apart_is_not_nearer():
    outlines = squares([(0, 0), (2, 0)])
    split = np.array(["train", "test"], object)
    assert leakage(outlines, split, buffer_m=1280, touch_m=1)["test"]["nearer_than_buffer"] == 0
    assert leakage(outlines, split, buffer_m=1290, touch_m=1)["test"]["nearer_than_buffer"] == 1


@pytest.mark.parametrize(("lon", "lat"), [(-48, -6.3), (7.5, 48.6), (25, 69)])
def test_metric_outlines_have_true_distances(lon, lat):
    from pyproj import Geod

    degrees = shapely.points(lon + np.array([0, 0.3, 0, 1.7]), lat + np.array([0, 0, 0.3, 1.1]))
    boxes = shapely.buffer(degrees, 1e-4)
    metric = shapely.centroid(metric_outlines(boxes))
    geod = Geod(ellps="WGS84")
    for other in range(1, 4):
        x, y = shapely.get_coordinates(degrees)[[0, other]].T
        true = geod.inv(x[0], y[0], x[1], y[1])[2]
        assert shapely.distance(metric[0], metric[other]) == pytest.approx(true, rel=1e-3)


def test_neighbours_in_degrees_touch_and_those_with_a_pixel_between_do_not():
    side = 128 * 8.983152841195215e-05
    gap = side * 129 / 128
    outlines = metric_outlines(
        np.array(
            [
                shapely.box(-48, -6, -48 + side, -6 + side),
                shapely.box(-48 + side, -6, -48 + 2 * side, -6 + side),
                shapely.box(-48 - gap, -6, -48 - gap + side, -6 + side),
            ]
        )
    )
    touch = tolerance_m(outlines, 128)
    assert touch == pytest.approx(1.0, rel=0.01)
    split = np.array(["train", "test", None], object)
    assert leakage(outlines, split, buffer_m=5, touch_m=touch)["test"]["touching_train"] == 1
    split = np.array(["train", None, "test"], object)
    assert leakage(outlines, split, buffer_m=5, touch_m=touch)["test"]["touching_train"] == 0


# Blocks -----------------------------------------------------------------------------------------


def random_classes(count, kinds=5, seed=3):
    rng = np.random.default_rng(seed)
    return rng.multinomial(100, [0.5, 0.3, 0.15, 0.04, 0.01][:kinds], count).astype(float)


def split_of(cells, *, kept=None, classes=None, block_m=4 * SIDE, buffer_m=SIDE, **changes):
    outlines = squares(cells)
    asked = {"fractions": (0.72, 0.18, 0.10), "seed": 42} | changes
    return outlines, block_split(
        outlines, lay_blocks(outlines, block_m),
        np.ones(len(cells), bool) if kept is None else kept,
        random_classes(len(cells)) if classes is None else classes,
        settings=SplitsSettings(buffer_m=buffer_m, **asked), tolerance=1.0,
    )  # fmt: skip


def test_blocks_are_squares_by_centre_laid_evenly_over_the_extent():
    outlines = squares(grid_cells(5, 3))
    # 5 columns: blocks of 1½, 2, 1½ patches; 3 rows: 1½, 1½. Ties go east and south.
    blocks = lay_blocks(outlines, 2 * SIDE)
    assert blocks.extent_m == (5 * SIDE, 3 * SIDE)
    by_cell = dict(zip(grid_cells(5, 3), (blocks.names[n] for n in blocks.number), strict=True))
    assert [by_cell[c, 2] for c in range(5)] == [
        "x000_y000", "x001_y000", "x001_y000", "x002_y000", "x002_y000",
    ]  # fmt: skip
    assert [by_cell[0, r][-4:] for r in (2, 1, 0)] == ["y000", "y001", "y001"]


def test_one_block_of_exactly_the_extent():
    assert len(lay_blocks(squares(grid_cells(4, 4)), 4 * SIDE).names) == 1


def brute_buffer_holds(outlines, split, buffer_m):
    members = np.flatnonzero(split >= 0)
    distance = shapely.distance(outlines[members][:, None], outlines[members][None])
    foreign = split[members][:, None] != split[members][None]
    return not (foreign & (distance < buffer_m - 1.001)).any()


@settings(max_examples=15, deadline=None)
@given(
    st.tuples(st.integers(8, 16), st.integers(8, 16)), st.sampled_from([2, 3, 4]),
    st.sampled_from([0.0, 500.0, SIDE, 1500.0]), st.integers(0, 10_000), st.integers(0, 10**9),
)  # fmt: skip
def test_buffer_holds_splits_are_disjoint_and_exclusion_is_needed(
    shape, per_block, buffer_m, seed, holes
):
    cells = grid_cells(*shape)
    kept = np.random.default_rng(holes).random(len(cells)) > 0.1
    try:
        outlines, split = split_of(
            cells, kept=kept, block_m=per_block * SIDE, buffer_m=buffer_m, seed=seed
        )
    except IncompleteError:
        assert buffer_m  # without a buffer nothing can be lost
        return
    assert (split[~kept] == -1).all()
    assert set(np.unique(split)) <= {-1, 0, 1, 2}
    assert brute_buffer_holds(outlines, split, buffer_m)
    blocks = lay_blocks(outlines, per_block * SIDE).number
    for block in np.unique(blocks):
        assert len(set(split[(blocks == block) & (split >= 0)])) <= 1
    # Every excluded patch lies too near to one that stays in another split.
    for number in np.flatnonzero(kept & (split < 0)):
        near = shapely.distance(outlines[number], outlines) <= buffer_m - 1
        assert (split[near] > 0).any()
    if not buffer_m:
        assert (split[kept] >= 0).all()


def test_test_patches_stay_and_others_give_way():
    outlines = squares([(0, 0), (1, 0), (2, 0), (3, 0), (4, 0)])
    left, right = pairs_within(outlines, 1.0)
    criteria = Criteria(
        np.arange(5), (left, right), np.ones((5, 1)), np.ones((5, 1)), np.array([0.6, 0.2, 0.2])
    )
    # val next to test is excluded; then the train patch beside it may stay.
    assert without_near(criteria, np.array([0, 1, 2, 0, 0])).tolist() == [0, -1, 2, -1, 0]
    assert without_near(criteria, np.array([0, 0, 1, 0, 2])).tolist() == [0, -1, 1, -1, 2]


def test_cost_is_zero_for_a_perfect_deal_and_knows_what_is_wrong():
    criteria = Criteria(
        np.arange(10), (np.empty(0, int), np.empty(0, int)), np.ones((10, 2)), np.ones((10, 1)),
        np.array([0.7, 0.2, 0.1]),
    )  # fmt: skip
    spread = np.array([True, True])
    perfect = np.array([0] * 7 + [1] * 2 + [2])
    assert cost(criteria, perfect, spread) == pytest.approx(0)
    lost = perfect.copy()
    lost[0] = -1
    assert cost(criteria, lost, spread) > 0.1
    assert cost(criteria, np.array([0] * 8 + [1] * 2), spread) > 10
    lone = Criteria(
        criteria.block, criteria.pairs, np.eye(10)[:, :2] + 1, criteria.regions, criteria.fractions
    )
    assert cost(lone, perfect, spread) < cost(lone, perfect, np.array([False, False])) + 1e-9


def test_fractions_are_met_on_a_large_grid_after_exclusion():
    _, split = split_of(grid_cells(60, 60), block_m=6 * SIDE)
    sizes = np.bincount(split[split >= 0], minlength=3)
    np.testing.assert_allclose(sizes / sizes.sum(), [0.72, 0.18, 0.10], atol=0.02)
    assert sizes.sum() > 0.5 * 3600


def test_every_split_has_the_rare_classes_where_blocks_allow():
    cells = grid_cells(32, 32)
    classes = np.zeros((len(cells), 3))
    classes[:, 0] = 100
    rare = [n for n, (c, r) in enumerate(cells) if c % 8 < 2 and r % 16 < 2]
    classes[rare, 1] = 50
    classes[0, 2] = 50  # only in one block: cannot be everywhere
    _, split = split_of(cells, classes=classes, block_m=4 * SIDE, buffer_m=500.0)
    for name in range(3):
        assert classes[split == name][:, 1].sum() > 0
    plain = [
        len({name for name in range(3) if classes[random_deal(cells, seed) == name][:, 1].any()})
        for seed in range(20)
    ]
    assert min(plain) < 3  # a blind assign often leaves one without


def random_deal(cells, seed):
    blocks = lay_blocks(squares(cells), 4 * SIDE)
    order = np.random.default_rng(seed).permutation(len(blocks.names))
    count = len(blocks.names)
    dealt = np.zeros(count, int)
    dealt[order[: count // 10]] = 2
    dealt[order[count // 10 : count * 28 // 100]] = 1
    return dealt[blocks.number]


def test_other_seeds_give_other_splits_and_the_same_seed_the_same():
    cells = grid_cells(20, 20)
    first = split_of(cells, seed=1)[1]
    np.testing.assert_array_equal(first, split_of(cells, seed=1)[1])
    assert (first != split_of(cells, seed=2)[1]).any()


def test_a_split_that_is_not_wanted_stays_empty():
    _, split = split_of(grid_cells(12, 12), fractions=(0.8, 0.0, 0.2))
    assert (split == SPLITS.index("val")).sum() == 0
    assert (split == SPLITS.index("test")).sum() > 0


def test_dealing_leaves_no_wanted_split_empty_where_there_is_a_way():
    # 3 blocks in a row of three patches each: only one arrangement of splits keeps patches.
    outlines, split = split_of([(c, 0) for c in range(9)], block_m=3 * SIDE)
    assert [(split == n).sum() > 0 for n in range(3)] == [True] * 3
    assert brute_buffer_holds(outlines, split, SIDE)


def test_too_few_blocks_are_refused_with_the_remedy():
    with pytest.raises(IncompleteError, match=r"1 block\(s\).*3 splits.*smaller splits\.block_m"):
        split_of(grid_cells(8, 8), block_m=100_000.0)


def test_a_buffer_that_takes_everything_is_refused_with_the_remedy():
    with pytest.raises(IncompleteError, match=r"no patch is left for .*splits\.buffer_m"):
        split_of(grid_cells(6, 6), block_m=2 * SIDE, buffer_m=20_000.0)


def test_dealing_thirty_thousand_patches_ends():
    cells = grid_cells(175, 173)
    outlines, split = split_of(cells, block_m=10_000.0)
    sizes = np.bincount(split[split >= 0], minlength=3)
    np.testing.assert_allclose(sizes / sizes.sum(), [0.72, 0.18, 0.10], atol=0.02)
    touch = leakage(outlines, np.array([*SPLITS, None], object)[split], buffer_m=SIDE, touch_m=1.0)
    assert touch["test"]["nearer_than_buffer"] == 0
    assert touch["val"]["nearer_than_buffer"] == 0
    # A large area is not tested in one corner.
    col, row = np.array(cells)[split == SPLITS.index("test")].T
    quarters = np.bincount((col > 87) * 2 + (row > 86), minlength=4)
    assert quarters.min() > 0.15 * quarters.sum()


def test_deal_gives_every_block_a_wanted_split():
    criteria = Criteria(
        np.arange(30) // 3, (np.empty(0, int), np.empty(0, int)), random_classes(30), np.ones((30, 1)),
        np.array([0.7, 0.0, 0.3]),
    )  # fmt: skip
    dealt = assign(criteria, 4)
    assert len(dealt) == 10
    assert set(dealt) == {0, 2}


# The manifest -----------------------------------------------------------------------------------


def write_units(folder, *, cols=12, rows=12, drop=(), units=2, side=0.0115, levels=("l2", "l1")):
    """Tables of patches as the stage before writes them; units are halves of the grid."""
    rng = np.random.default_rng(8)
    table = []
    for row in range(rows):
        for col in range(cols):
            number = row * cols + col
            x, y = -48 + col * side, -6 - row * side
            entry = {
                "patch_id": f"r{row:05d}_c{col:05d}",
                "unit": f"b000_{col * units // cols:03d}",
                "row": row, "col": col, "y_px": 128 * row, "x_px": 128 * col, "size_px": 128,
                "crs": "EPSG:4326", "transform": [side / 128, 0.0, x, 0.0, -side / 128, y],
                "kept": number not in drop,
                "dropped_reason": "sentinel2: 50.0 % observed < 100 %; label: 1.0 % observed < 2.0 %"
                if number in drop else None,
                "valid_sentinel2": 0.5 if number in drop else 1.0, "valid_sentinel1": np.nan,
                "valid_label": 1.0, "dates_sentinel2": ["2022-07-01"], "dates_sentinel1": None,
                "sources_sentinel2": ["a", "b"], "sources_sentinel1": None,
                "hash_sentinel2": "0" * 64, "hash_sentinel1": None, "hash_label": "1" * 64,
            }  # fmt: skip
            for level in levels:
                entry[f"counts_label_{level}"] = rng.multinomial(
                    16_384, [0.5, 0.3, 0.19, 0.01]
                ).tolist()
            table.append(entry | {"geometry": shapely.box(x, y - side, x + side, y)})
    frame = gpd.GeoDataFrame(table, geometry="geometry", crs="EPSG:4326")
    paths = []
    for unit, rows_of_unit in frame.groupby("unit"):
        paths.append(folder / f"{unit}.parquet")
        write_geoparquet(rows_of_unit, paths[-1])
    return paths


def run(folder, paths, **changes):
    asked = {"block_m": 4_000.0, "buffer_m": 1_200.0} | changes
    recipe = settings_folder(folder / "settings", splits=asked)
    manifest, summary = folder / "manifest.parquet", folder / "splits.json"
    splits(paths, recipe / "splits.json", manifest, summary)
    return read_geoparquet(manifest), json.loads(summary.read_text())


def test_the_manifest_holds_all_units_sorted_with_their_splits(tmp_path):
    paths = write_units(tmp_path, drop=(5, 17))
    table, figures = run(tmp_path, paths[::-1])
    assert len(table) == 144
    keys = list(zip(table["unit"], table["row"], table["col"], strict=True))
    assert keys == sorted(keys)
    assert table.columns[-4:].tolist() == ["split", "block", "split_reason", "geometry"]
    assert table.crs.to_epsg() == 4326
    dropped = ~table["kept"].to_numpy(bool)
    assert dropped.sum() == 2
    assert table["split"][dropped].isna().all()
    assert table["split_reason"][dropped].isna().all()
    excluded = table["split"].isna() & table["kept"].astype(bool)
    assert (table["split_reason"][excluded] == "buffer").all()
    assert table["split_reason"][~excluded].isna().all()
    assert table["block"].notna().all()
    assert figures["patches"] == {
        "all": 144, "kept": 142, "dropped": 2, "buffer": int(excluded.sum()),
    }  # fmt: skip
    assert figures["dropped_reasons"] == {"label": 2, "sentinel2": 2}
    for name, counts in table["split"].value_counts().items():
        assert figures["splits"][name]["patches"] == counts
    assert figures["leakage"]["blocks"]["test"]["nearer_than_buffer"] == 0
    assert figures["leakage"]["blocks"]["val"]["touching_train"] == 0
    assert figures["leakage"]["published"]["test"]["touching_train"] > 0.9
    assert figures["leakage"]["blocks"]["test"]["min_distance_m"] >= 1_199


def test_figures_stand_in_the_manifest_too_beside_its_geometry(tmp_path):
    _, figures = run(tmp_path, write_units(tmp_path))
    assert read_table_metadata(tmp_path / "manifest.parquet") == figures
    schema = pq.read_schema(tmp_path / "manifest.parquet")
    assert b"geo" in schema.metadata
    assert str(schema.field("split").type) == "string"
    assert str(schema.field("dates_sentinel1").type) == "list<element: string>"
    assert str(schema.field("hash_sentinel1").type) == "string"


def test_nothing_of_the_units_tables_is_lost(tmp_path):
    paths = write_units(tmp_path, drop=(3,))
    table, _ = run(tmp_path, paths)
    by_id = table.set_index("patch_id")
    for path in paths:
        for row in read_geoparquet(path).itertuples():
            found = by_id.loc[row.patch_id]
            assert list(found["counts_label_l2"]) == list(row.counts_label_l2)
            assert list(found["transform"]) == list(row.transform)
            assert found["valid_sentinel2"] == row.valid_sentinel2
            assert found["geometry"].equals(row.geometry)
            assert found["dates_sentinel1"] is None


@pytest.mark.parametrize("method", ["blocks", "published"])
def test_the_order_of_units_and_how_the_area_is_cut_change_no_split(tmp_path, method):
    results = []
    for units in (1, 2, 3):
        folder = tmp_path / str(units)
        folder.mkdir()
        paths = write_units(folder, units=units, drop=(7, 8))
        table, figures = run(folder, paths, method=method)
        results.append((table.set_index("patch_id")["split"].to_dict(), figures))
        first = (folder / "manifest.parquet").read_bytes()
        run(folder, paths[::-1], method=method)
        assert (folder / "manifest.parquet").read_bytes() == first
    names = [{k: str(v) for k, v in split.items()} for split, _ in results]
    assert names[0] == names[1] == names[2]
    assert results[0][1] == results[2][1]


def test_published_splits_take_kept_patches_alone(tmp_path):
    table, figures = run(tmp_path, write_units(tmp_path, drop=range(44)), method="published")
    assert figures["splits"]["train"]["patches"] == 72
    assert figures["splits"]["val"]["patches"] == 18
    assert figures["splits"]["test"]["patches"] == 10
    assert figures["blocks"] is None
    assert table["block"].isna().all()
    assert table["split_reason"].isna().all()
    kept = table[table["kept"].astype(bool)]
    expected = published_split(kept["patch_id"].tolist(), seed=42, val_seed=666)
    assert dict(zip(kept["patch_id"], kept["split"], strict=True)) == expected


def test_published_splits_say_where_blocks_are_impossible(tmp_path):
    _, figures = run(tmp_path, write_units(tmp_path), method="published", block_m=1e6)
    assert "smaller splits.block_m" in figures["leakage"]["blocks"]["error"]


def test_nothing_kept_is_refused_with_the_reasons_counted(tmp_path):
    paths = write_units(tmp_path, cols=4, rows=3, drop=range(12))
    with pytest.raises(IncompleteError) as caught:
        run(tmp_path, paths)
    message = str(caught.value)
    assert "none of 12 patches is complete" in message
    assert "label incomplete in 12, sentinel2 incomplete in 12" in message
    assert "patches.require" in message
    assert not (tmp_path / "manifest.parquet").exists()


def test_no_units_and_no_patches_are_refused(tmp_path):
    with pytest.raises(IncompleteError, match="no table of patches"):
        run(tmp_path, [])


def test_too_few_patches_for_the_published_split_are_refused(tmp_path):
    with pytest.raises(IncompleteError, match="2 complete patches are too few"):
        run(tmp_path, write_units(tmp_path, cols=2, rows=1, units=1), method="published")


def test_one_patch_in_two_units_is_refused(tmp_path):
    paths = write_units(tmp_path, cols=4, rows=4)
    again = tmp_path / "again.parquet"
    again.write_bytes(paths[0].read_bytes())
    with pytest.raises(StorageError, match="more than one row"):
        run(tmp_path, [*paths, again])


def test_units_of_different_settings_are_refused(tmp_path):
    paths = write_units(tmp_path, cols=4, rows=4)
    (tmp_path / "other").mkdir()
    other = write_units(tmp_path / "other", cols=4, rows=4, levels=("fine",))
    with pytest.raises(StorageError, match=r"counts_label_fine.*build again"):
        run(tmp_path, [paths[0], other[1]])


def test_a_damaged_unit_is_named(tmp_path):
    paths = write_units(tmp_path, cols=4, rows=4)
    paths[1].write_bytes(paths[1].read_bytes()[:100])
    with pytest.raises(StorageError, match=r"b000_001\.parquet: no readable GeoParquet"):
        run(tmp_path, paths)


def test_within_each_value_of_a_column_the_manifest_has_its_shares(tmp_path):
    paths = write_units(tmp_path, drop=(5, 17))
    asked = {"method": "stratified", "by": "unit", "fractions": [0.7, 0.15, 0.15]}
    table, figures = run(tmp_path, paths, **asked)
    kept = table[table["kept"].astype(bool)]
    for _, part in kept.groupby("unit"):
        n, sizes = len(part), Counter(part["split"])
        assert (sizes["train"], sizes["val"]) == (n * 7 // 10, n * 15 // 100)
    assert table["split"][~table["kept"].astype(bool)].isna().all()
    assert set(figures["leakage"]) == {"buffer_m", "blocks", "published", "stratified"}
    assert figures["splits"]["train"]["wanted"] == 0.7
    with pytest.raises(RecipeError, match=r"splits\.by: the manifest has no column 'nuts0'"):
        run(tmp_path, paths, **asked | {"by": "nuts0"})
