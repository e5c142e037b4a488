# SPDX-License-Identifier: Apache-2.0
"""The table of a unit's patches: completeness, classes, provenance, drop reasons."""

import hashlib
import shutil

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from made.patches import (
    scene_item,
    settings_folder,
    small_lock,
    utm_geobox,
    write_footprints,
    write_labels,
    write_stack,
)
from terrapatch.acquisitions import DATES
from terrapatch.dropping import drop_reasons
from terrapatch.errors import IncompleteError, StorageError
from terrapatch.legend import NODATA, load_legend
from terrapatch.patches import (
    class_counts,
    histograms,
    observe,
    patches,
)
from terrapatch.settings import PatchesSettings
from terrapatch.stacks import open_stack
from terrapatch.tables import read_geoparquet

SIZE = 16
COLUMNS = [
    "patch_id", "unit", "row", "col", "y_px", "x_px", "size_px", "crs", "transform", "kept",
    "dropped_reason", "valid_sentinel2", "valid_sentinel1", "valid_label", "dates_sentinel2",
    "dates_sentinel1", "sources_sentinel2", "sources_sentinel1", "hash_sentinel2",
    "hash_sentinel1", "hash_label", "counts_label_l2", "counts_label_l1", "geometry",
]  # fmt: skip
S2 = [
    scene_item("late", "sentinel2", "2022-08-09"),
    scene_item("early", "sentinel2", "2022-07-01"),
    scene_item("same_day", "sentinel2", "2022-07-01"),
]
S1 = [scene_item("radar", "sentinel1", "2022-07-03")]


class World:
    """A unit of 3 × 4 patches with random stacks and labels, and the judge's own copies."""

    def __init__(self, folder, stride=None, modalities=("sentinel2", "sentinel1"), **changes):
        rng = np.random.default_rng(5)
        self.folder = folder
        step = stride or SIZE
        self.geobox = utm_geobox((2 * step + SIZE + 3, 3 * step + SIZE + 5))
        self.footprints = write_footprints(folder / "footprints.parquet", self.geobox, SIZE, step)
        self.ids = self.footprints["patch_id"].tolist()
        count = len(self.ids)
        self.data = {
            "sentinel2": rng.integers(1, 10_000, (count, 1, 2, SIZE, SIZE)).astype("uint16"),
            "sentinel1": rng.random((count, 1, 2, SIZE, SIZE), np.float32) + 0.1,
        }
        self.source = {
            "sentinel2": rng.integers(1, 4, (count, 1, SIZE, SIZE)).astype("uint8"),
            "sentinel1": np.ones((count, 1, SIZE, SIZE), "uint8"),
        }
        self.labels = np.zeros((4, *self.geobox.shape), "uint8")
        self.labels[0] = rng.integers(0, 14, self.geobox.shape)
        self.labels[1] = load_legend("cerradata4mm").derive("l1")[self.labels[0]]
        self.names = ("l2", "l1", "edge_l2", "edge_l1")
        self.lock = small_lock(folder, self.geobox, S2 + S1)
        self.settings = settings_folder(folder / "settings", images=modalities, **changes)
        self.modalities = modalities

    def run(self, **given):
        items = {"sentinel2": S2, "sentinel1": S1}
        stacks = {}
        for name in self.modalities:
            stacks[name] = self.folder / f"{name}.zarr"
            write_stack(
                stacks[name], self.geobox, self.ids, data=self.data[name],
                source=self.source[name], items=[[i.id for i in items[name]]], modality=name,
            )  # fmt: skip
        stacks["label"] = self.folder / "label.zarr"
        self.write_labels(stacks["label"], self.geobox)
        arguments = {
            "slices": [self.lock],
            "unit": "u1",
            "footprints": self.folder / "footprints.parquet",
            "stacks": stacks,
            "settings": self.settings / "patches.json",
            "output": self.folder / "patches.parquet",
            "dates": self.folder / "dates.parquet",
        }
        arguments |= given
        arguments["stacks"] = {"label": stacks["label"]} | arguments["stacks"]
        patches(**arguments)
        return read_geoparquet(self.folder / "patches.parquet")

    def write_labels(self, path, geobox):
        corners = self.footprints[["y_px", "x_px"]].to_numpy().tolist()
        write_labels(path, geobox, self.ids, corners, SIZE, self.labels, self.names)

    def window(self, number):
        row = self.footprints.iloc[number]
        return (slice(row.y_px, row.y_px + SIZE), slice(row.x_px, row.x_px + SIZE))


@pytest.mark.parametrize("stride", [16, 17, 9])
def test_every_column_agrees_with_a_plain_loop(tmp_path, stride):
    world = World(tmp_path, stride)
    world.source["sentinel2"][2, 0, :4] = 0
    world.source["sentinel1"][5, 0, 0, 0] = 0
    world.labels[0, 0:5, 0:7] = NODATA
    world.labels[1][world.labels[0] == NODATA] = NODATA
    table = world.run()
    assert list(table.columns) == COLUMNS
    assert table.crs.to_epsg() == 4326
    names = {1: "late", 2: "early", 3: "same_day"}
    days = {"late": "2022-08-09", "early": "2022-07-01", "same_day": "2022-07-01"}
    for number, row in enumerate(table.itertuples()):
        ys, xs = world.window(number)
        source = world.source["sentinel2"][number]
        assert row.valid_sentinel2 == pytest.approx((source > 0).mean())
        # What is not complete is not published, and has neither scenes nor days nor pixels.
        whole = {m: world.source[m][number].all() for m in ("sentinel2", "sentinel1")}
        used = [names[k] for k in (1, 2, 3) if whole["sentinel2"] and (source == k).any()]
        assert list(row.sources_sentinel2) == used
        assert list(row.dates_sentinel2) == sorted({days[name] for name in used})
        assert list(row.sources_sentinel1) == (["radar"] if whole["sentinel1"] else [])
        for name, published in whole.items():
            digest = hashlib.sha256(world.data[name][number].tobytes()).hexdigest()
            found = getattr(row, f"hash_{name}")
            assert found == digest if published else pd.isna(found)
        pixels = np.ascontiguousarray(world.labels[:, ys, xs])
        assert row.hash_label == hashlib.sha256(pixels.tobytes()).hexdigest()
        assert row.valid_label == pytest.approx((pixels[0] != NODATA).mean())
        assert list(row.counts_label_l2) == [int((pixels[0] == code).sum()) for code in range(14)]
        assert list(row.counts_label_l1) == [int((pixels[1] == code).sum()) for code in range(7)]
        affine = world.geobox.affine * Affine.translation(xs.start, ys.start)
        assert list(row.transform) == list(affine)[:6]
        assert row.crs == "EPSG:32722"
        assert (row.y_px, row.x_px, row.size_px) == (ys.start, xs.start, SIZE)
    places = world.footprints.to_crs("EPSG:4326").geometry
    assert shapely.equals_exact(table.geometry.to_numpy(), places.to_numpy(), 0).all()


def test_drop_reasons_are_all_given_and_rounded_down(tmp_path):
    world = World(tmp_path)
    world.source["sentinel2"][1, 0, 0, 0] = 0  # 255 of 256: 99.6 %
    world.source["sentinel2"][4] = 0
    world.source["sentinel1"][4, 0, :8] = 0
    world.labels[0][world.window(4)] = NODATA
    table = world.run()
    assert table["kept"].tolist() == [n not in (1, 4) for n in range(12)]
    reasons = table["dropped_reason"].tolist()
    assert reasons[1] == "sentinel2: 99.6 % observed < 100 %"
    assert reasons[4] == (
        "sentinel2: 0.0 % observed < 100 %; sentinel1: 50.0 % observed < 100 %; "
        "label: 0.0 % observed < 100 %"
    )
    assert table["dropped_reason"].isna().tolist() == table["kept"].tolist()
    assert list(table["sources_sentinel2"][4]) == []
    assert list(table["dates_sentinel2"][4]) == []


def test_thresholds_of_the_recipe_decide(tmp_path):
    world = World(
        tmp_path,
        patches={"require": {"sentinel2": {"valid": 0.9}, "label": {"valid": 0.0}}},
    )
    world.source["sentinel2"][0, 0].reshape(-1)[:25] = 0  # 90.2 %
    world.source["sentinel2"][1, 0].reshape(-1)[:26] = 0  # 89.8 %
    world.labels[0] = NODATA
    table = world.run()
    assert table["kept"].tolist() == [True, False] + [True] * 10
    assert table["dropped_reason"][1] == "sentinel2: 89.8 % observed < 90.0 %"


def test_drop_reasons_never_round_up_to_complete():
    reasons = drop_reasons({"label": np.array([0.99999, 1.0])}, PatchesSettings())
    assert reasons == ["label: 99.9 % observed < 100 %", None]


def test_layers_of_the_recipe_have_columns_and_no_others(tmp_path):
    table = World(tmp_path, modalities=("sentinel2",)).run()
    for name in ("valid", "dates", "sources", "hash"):
        assert f"{name}_sentinel1" not in table
        assert table[f"{name}_sentinel2"].notna().all()
    assert table["kept"].all()


def test_columns_have_their_types_even_without_values(tmp_path):
    world = World(tmp_path)
    world.source["sentinel1"][:] = 0
    assert world.run()["hash_sentinel1"].isna().all()
    schema = pq.read_schema(tmp_path / "patches.parquet")
    types = {name: str(schema.field(name).type) for name in COLUMNS[:-1]}
    assert types["dropped_reason"] == "string"
    assert types["hash_sentinel1"] == "string"
    assert types["valid_sentinel1"] == "double"
    assert types["dates_sentinel1"] == types["sources_sentinel1"] == "list<element: string>"
    assert types["counts_label_l2"] == "list<element: int64>"
    assert types["transform"] == "list<element: double>"
    assert types["row"] == "int64"
    assert types["kept"] == "bool"


def test_dates_of_a_series_are_judged_one_by_one(tmp_path):
    world = World(tmp_path, modalities=("sentinel2",))
    count = len(world.ids)
    rng = np.random.default_rng(1)
    data = rng.integers(1, 99, (count, 3, 2, SIZE, SIZE)).astype("uint16")
    source = np.ones((count, 3, SIZE, SIZE), "uint8")
    source[3, 1] = 0
    source[4, :, 0] = 0
    source[5, :2, 0, 0] = 0
    passes = [
        {"direction": "ascending", "relative_orbit": 8 + t, "platform": "Sentinel-1A"}
        for t in range(3)
    ]
    write_stack(
        tmp_path / "series.zarr", world.geobox, world.ids, data=data, source=source,
        items=[["late"], ["early"], ["early", "late"]], passes=passes,
        incidence=np.arange(count * 3, dtype="float32").reshape(count, 3),
    )  # fmt: skip
    table = world.run(stacks={"sentinel2": tmp_path / "series.zarr"})
    best = [1.0] * count
    best[4] = 1 - 1 / SIZE
    assert table["valid_sentinel2"].tolist() == best
    assert table["kept"].tolist() == [n != 4 for n in range(count)]
    assert list(table["sources_sentinel2"][0]) == ["late", "early"]
    assert table["hash_sentinel2"][7] == hashlib.sha256(data[7].tobytes()).hexdigest()
    # Of the sixth patch the last date alone is complete, of the fourth the second is not.
    assert table["hash_sentinel2"][5] == hashlib.sha256(data[5, 2].tobytes()).hexdigest()
    assert table["hash_sentinel2"][3] == hashlib.sha256(data[3, ::2].tobytes()).hexdigest()
    assert list(table["sources_sentinel2"][3]) == ["late", "early"]
    assert pd.isna(table["hash_sentinel2"][4])
    assert list(table["dates_sentinel2"][4]) == []
    dates = pd.read_parquet(tmp_path / "dates.parquet")
    assert dates.columns.tolist() == list(DATES)
    assert dates["patch_id"].tolist() == [i for i in world.ids for _ in range(3)]
    assert dates["relative_orbit"].tolist() == [8, 9, 10] * count
    assert dates["incidence_deg"].tolist() == list(range(count * 3))
    np.testing.assert_allclose(dates["valid"], (source > 0).mean(axis=(2, 3)).ravel())
    assert dates["kept"].tolist() == (source > 0).all(axis=(2, 3)).ravel().tolist()
    found = [list(s) for s in dates["scenes"]]
    assert found[9:12] == [["late"], [], ["early"]]
    assert set(dates["direction"]) == {"ascending"}


@pytest.mark.parametrize("tenth", range(1, 10))
def test_a_date_with_exactly_the_wanted_share_is_kept(tmp_path, tenth):
    geobox = utm_geobox((40, 40))
    data = np.ones((1, 1, 1, 40, 40), "uint16")
    source = np.ones((1, 1, 40, 40), "uint8")
    source.reshape(-1)[160 * tenth :] = 0
    write_stack(tmp_path / "one.zarr", geobox, ["a"], data=data, source=source, items=[["late"]])
    found = observe(open_stack(tmp_path / "one.zarr"), tenth / 10)
    assert found.kept.tolist() == [[True]]
    assert found.shares.tolist() == [[tenth / 10]]


def test_a_patch_needs_as_many_complete_dates_as_the_recipe_says():
    shares = {"sentinel1": np.array([[1.0, 1.0, 0.5], [1.0, 0.9, 0.2], [0.4, 0.0, 0.0]])}
    reasons = drop_reasons(shares, PatchesSettings(require={"sentinel1": {"dates": 2}}))
    assert reasons == [
        None,
        "sentinel1: 1 of 3 dates complete < 2",
        "sentinel1: 40.0 % observed < 100 %",
    ]


def test_mosaics_have_a_row_a_patch_and_modality_in_the_table_of_dates(tmp_path):
    world = World(tmp_path)
    world.run()
    dates = pd.read_parquet(tmp_path / "dates.parquet")
    assert dates["layer"].tolist() == ["sentinel2", "sentinel1"] * len(world.ids)
    assert dates["direction"].isna().all()
    assert dates["incidence_deg"].isna().all()


def test_a_unit_without_patches_gives_an_empty_table(tmp_path):
    world = World(tmp_path)
    full = world.run()
    empty = world.footprints.iloc[:0]
    empty.to_parquet(tmp_path / "none.parquet")
    for name, dtype in (("sentinel2", "uint16"), ("sentinel1", "float32")):
        write_stack(
            tmp_path / f"{name}_none.zarr", world.geobox, [],
            data=np.empty((0, 1, 2, SIZE, SIZE), dtype),
            source=np.empty((0, 1, SIZE, SIZE), "uint8"), items=[["late"]],
        )  # fmt: skip
    stacks = {name: tmp_path / f"{name}_none.zarr" for name in world.modalities}
    stacks["label"] = tmp_path / "label_none.zarr"
    write_labels(stacks["label"], world.geobox, [], [], SIZE, world.labels, world.names)
    table = world.run(footprints=tmp_path / "none.parquet", stacks=stacks)
    assert len(table) == 0
    assert list(table.columns) == list(full.columns)
    schema = pq.read_schema(tmp_path / "patches.parquet")
    assert str(schema.field("counts_label_l1").type) == "list<element: int64>"


def test_the_same_input_gives_the_same_bytes(tmp_path):
    world = World(tmp_path)
    world.run()
    first = (tmp_path / "patches.parquet").read_bytes()
    world.run()
    assert (tmp_path / "patches.parquet").read_bytes() == first


def test_a_stack_of_other_patches_is_refused(tmp_path):
    world = World(tmp_path)
    world.ids[3] = "r99999_c99999"
    with pytest.raises(StorageError, match=r"sentinel2\.zarr: holds other patches.*build again"):
        world.run()


def test_a_stack_on_another_grid_is_refused(tmp_path):
    world = World(tmp_path)
    world.run()
    write_stack(
        tmp_path / "moved.zarr", utm_geobox(world.geobox.shape, left=300_010), world.ids,
        data=world.data["sentinel2"], source=world.source["sentinel2"], items=[["late"]],
    )  # fmt: skip
    stacks = {
        "sentinel2": tmp_path / "moved.zarr",
        "sentinel1": tmp_path / "sentinel1.zarr",
    }
    with pytest.raises(StorageError, match="holds another grid or patch size"):
        world.run(stacks=stacks)


@pytest.mark.parametrize(("left", "top", "fits"), [(0, 0, True), (5, 0, False), (0, -10, False)])
def test_a_stack_may_have_pixels_of_its_own_on_the_same_ground(tmp_path, left, top, fits):
    world = World(tmp_path)
    table = world.run()
    fine = utm_geobox(
        tuple(2 * n for n in world.geobox.shape), 300_000 + left, 9_100_000 + top, resolution=5
    )
    data, source = (
        array["sentinel1"].repeat(2, -1).repeat(2, -2) for array in (world.data, world.source)
    )
    stacks = {name: tmp_path / f"{name}.zarr" for name in ("sentinel2", "label")}
    stacks["sentinel1"] = tmp_path / "fine.zarr"
    write_stack(
        stacks["sentinel1"], fine, world.ids, data=data, source=source, items=[["radar"]],
        modality="sentinel1",
    )  # fmt: skip
    if not fits:
        with pytest.raises(StorageError, match="holds another grid or patch size"):
            world.run(stacks=stacks)
        return
    found = world.run(stacks=stacks)
    same = [name for name in COLUMNS if name != "hash_sentinel1"]
    assert found[same].equals(table[same])


def test_labels_on_another_grid_are_refused(tmp_path):
    world = World(tmp_path)
    world.run()
    stacks = {name: tmp_path / f"{name}.zarr" for name in ("sentinel2", "sentinel1", "label")}
    world.write_labels(tmp_path / "other.zarr", utm_geobox(world.geobox.shape, top=9_100_010))
    with pytest.raises(StorageError, match=r"other\.zarr: holds another grid .*build again"):
        world.run(stacks=stacks | {"label": tmp_path / "other.zarr"})


def test_labels_without_the_levels_are_refused(tmp_path):
    world = World(tmp_path)
    world.names = ("a", "b", "c", "d")
    with pytest.raises(StorageError, match=r"legend 'cerradata4mm' has the levels \['l2', 'l1'\]"):
        world.run()


def test_a_truncated_label_stack_is_named(tmp_path):
    world = World(tmp_path)
    world.run()
    stacks = {name: tmp_path / f"{name}.zarr" for name in ("sentinel2", "sentinel1", "label")}
    shutil.copytree(stacks["label"], tmp_path / "cut.zarr")
    shard = next(p for p in sorted((tmp_path / "cut.zarr/data/c").rglob("0")) if p.is_file())
    shard.write_bytes(shard.read_bytes()[:-40])
    with pytest.raises(StorageError, match=r"cut\.zarr/data: damaged"):
        world.run(stacks=stacks | {"label": tmp_path / "cut.zarr"})


def test_a_modality_without_stack_is_incomplete(tmp_path):
    with pytest.raises(IncompleteError, match="no stack of sentinel2, sentinel1"):
        World(tmp_path).run(stacks={})


def test_scenes_that_the_lock_does_not_name_are_refused(tmp_path):
    world = World(tmp_path)
    world.lock = small_lock(tmp_path / "other", world.geobox, S1)
    with pytest.raises(StorageError, match="made from another lock"):
        world.run()


bytes_of_patches = hnp.arrays(
    np.uint8, st.tuples(st.integers(0, 4), st.integers(1, 5), st.integers(1, 5))
)


@given(bytes_of_patches)
def test_histograms_agree_with_numpy(values):
    found = histograms(values)
    assert found.shape == (len(values), 256)
    for patch, counts in zip(values, found, strict=True):
        np.testing.assert_array_equal(counts, np.bincount(patch.reshape(-1), minlength=256))


@given(bytes_of_patches)
def test_class_counts_leave_out_nodata_alone(values):
    labels = np.where(values < 14, values, NODATA).astype(np.uint8)
    counts = class_counts(labels, tuple(range(14)))
    np.testing.assert_array_equal(counts.sum(axis=1), (labels != NODATA).sum(axis=(1, 2)))
