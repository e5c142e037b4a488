# SPDX-License-Identifier: Apache-2.0
"""Tables on disk: the lock, atomic writing, GeoParquet."""

import errno
import json
import os

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import shapely
from pydantic import ValidationError

from made.patches import map_item, scene_item, small_lock, utm_geobox, write_map
from terrapatch.errors import IncompleteError, StorageError
from terrapatch.files import atomic, storage_error, write_json, write_text
from terrapatch.lock import read_lock, unit_geobox, write_lock
from terrapatch.records import Lock, LockedAsset
from terrapatch.tables import read_geoparquet, read_table_metadata, write_geoparquet

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def lock_path(tmp_path):
    write_map(tmp_path / "map.tif", np.zeros((4, 4), "uint8"), utm_geobox((4, 4)), nodata=9)
    items = [
        scene_item("b", "sentinel2", "2022-07-01"),
        scene_item("a", "sentinel2", "2022-08-01"),
        map_item(tmp_path / "map.tif", add_offset=-1000.0, nodata_nan=True),
    ]
    return small_lock(tmp_path, utm_geobox((4, 4)), items)


# The lock ---------------------------------------------------------------------------------------


def test_a_lock_reads_back_as_it_was(lock_path, tmp_path):
    lock = read_lock(lock_path)
    write_lock(lock, tmp_path / "again.json")
    assert read_lock(tmp_path / "again.json") == lock
    assert (tmp_path / "again.json").read_bytes() == lock_path.read_bytes()
    asset = lock.items[2].assets["map"]
    assert asset.add_offset == -1000.0
    assert asset.nodata == 9
    assert asset.nodata_nan


def test_scenes_of_a_unit_come_best_first_and_by_sensor(lock_path):
    lock = read_lock(lock_path)
    assert [item.id for item in lock.items_of("u1", "sentinel2")] == ["b", "a"]
    assert [item.id for item in lock.items_of("u1", "reference")] == ["map"]
    assert lock.items_of("u1", "sentinel1") == []


def test_the_geobox_of_a_unit_is_the_one_that_was_recorded(lock_path):
    assert unit_geobox(read_lock(lock_path).unit("u1")) == utm_geobox((4, 4))


def test_an_unknown_unit_is_refused_with_those_there_are(lock_path):
    with pytest.raises(IncompleteError, match=r"no unit 'u9'; it has \['u1'\]"):
        read_lock(lock_path).unit("u9")


@pytest.mark.parametrize(
    "damage", [lambda text: text[:-20], lambda text: text.replace('"units"', '"unit"')]
)
def test_damaged_locks_are_refused_with_the_remedy(lock_path, damage):
    lock_path.write_text(damage(lock_path.read_text()))
    with pytest.raises(
        StorageError, match=r"lock\.json: no readable lock; run `terrapatch plan --results"
    ):
        read_lock(lock_path)


def test_a_missing_lock_is_refused(tmp_path):
    with pytest.raises(StorageError, match="terrapatch plan"):
        read_lock(tmp_path / "lock.json")


def test_records_are_frozen_and_know_no_other_keys():
    asset = {"href": "x", "crs": "EPSG:4326", "transform": (1, 0, 0, 0, -1, 0), "shape": (1, 1)}
    record = LockedAsset(**asset, dtype="uint8")
    with pytest.raises(ValidationError):
        record.href = "y"
    with pytest.raises(ValidationError, match="colour"):
        LockedAsset(**asset, dtype="uint8", colour="red")


def test_an_unchanged_lock_keeps_its_time(lock_path):
    os.utime(lock_path, (1, 1))
    lock = read_lock(lock_path)
    write_lock(lock, lock_path)
    assert lock_path.stat().st_mtime == 1
    write_lock(Lock(**(lock.model_dump() | {"name": "other"})), lock_path)
    assert lock_path.stat().st_mtime > 1


# Atomic writing ---------------------------------------------------------------------------------


def only(folder):
    return sorted(path.name for path in folder.iterdir())


def fail_half_way(target, error, *, folder=False):
    """Write something under a temporary name, then run into an error."""
    with atomic(target) as temporary:
        if folder:
            temporary.mkdir()
        (temporary / "part" if folder else temporary).write_text("half")
        raise error


def test_a_file_takes_its_name_at_the_end(tmp_path):
    target = tmp_path / "deep" / "file.txt"
    with atomic(target) as temporary:
        temporary.write_text("new")
        assert not target.exists()
        assert temporary.parent == target.parent  # a rename on one file system
    assert target.read_text() == "new"
    assert only(target.parent) == ["file.txt"]


def test_an_old_file_stays_until_the_new_one_is_whole(tmp_path):
    target = tmp_path / "file.txt"
    target.write_text("old")
    with pytest.raises(ValueError, match="half"):
        fail_half_way(target, ValueError("half way"))
    assert target.read_text() == "old"
    assert only(tmp_path) == ["file.txt"]


def test_folders_are_replaced_whole(tmp_path):
    target = tmp_path / "stack"
    for name in ("first", "second"):
        with atomic(target, ours=lambda _: lambda _: True) as temporary:
            temporary.mkdir()
            (temporary / name).write_text(name)
    assert only(target) == ["second"]
    assert only(tmp_path) == ["stack"]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_interrupted_job_leaves_nothing(tmp_path, kind):
    with pytest.raises(kind):
        fail_half_way(tmp_path / "stack", kind(), folder=True)
    assert only(tmp_path) == []


def test_remains_of_a_killed_job_with_the_same_number_are_swept(tmp_path):
    remains = tmp_path / f".stack.{os.getpid()}.part"
    remains.mkdir()
    (remains / "old").write_text("x")
    with atomic(tmp_path / "stack") as temporary:
        temporary.mkdir()
    assert only(tmp_path / "stack") == []


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path):
    with pytest.raises(StorageError, match=r"file\.txt: the disk is full.*--output"):
        fail_half_way(tmp_path / "file.txt", FULL)
    assert only(tmp_path) == []


@pytest.mark.parametrize(
    ("number", "text"),
    [(errno.ENOSPC, "disk is full"), (errno.EDQUOT, "disk is full"), (errno.EACCES, "cannot be")],
)
def test_errors_of_the_file_system_are_told_apart(tmp_path, number, text):
    assert text in str(storage_error(tmp_path, OSError(number, os.strerror(number))))


def test_a_folder_that_is_a_file_is_an_error_of_storage(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises((StorageError, FileExistsError, NotADirectoryError)):
        write_text(tmp_path / "file" / "below.txt", "y")


def test_text_with_the_same_content_keeps_its_time(tmp_path):
    path = tmp_path / "text"
    write_text(path, "same\n")
    os.utime(path, (1, 1))
    write_text(path, "same\n")
    assert path.stat().st_mtime == 1
    write_text(path, "other\n")
    assert path.stat().st_mtime > 1


def test_json_has_sorted_keys_and_keeps_letters(tmp_path):
    write_json(tmp_path / "a.json", {"b": 1, "a": "São"})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert text.index('"a"') < text.index('"b"')
    assert "São" in text
    assert json.loads(text) == {"a": "São", "b": 1}


# GeoParquet -------------------------------------------------------------------------------------


def small_table():
    return gpd.GeoDataFrame(
        {
            "patch_id": ["p1", "p2"],
            "row": np.array([1, 2], np.int32),
            "split": ["train", None],
            "split_reason": [None, None],
            "valid_label": [1.0, None],
            "counts_label_l2": [[1, 2], [3, 4]],
            "dates_sentinel2": [["2022-07-01"], []],
            "dates_sentinel1": [None, None],
            "other": [1.5, 2.5],
        },
        geometry=[shapely.box(0, 0, 1, 1), shapely.box(1, 0, 2, 1)],
        crs="EPSG:4326",
    )


def test_columns_of_the_house_have_fixed_types(tmp_path):
    write_geoparquet(small_table(), tmp_path / "t.parquet")
    schema = pq.read_schema(tmp_path / "t.parquet")
    types = {field.name: str(field.type) for field in schema}
    assert types == {
        "patch_id": "string",
        "row": "int64",
        "split": "string",
        "split_reason": "string",
        "valid_label": "double",
        "counts_label_l2": "list<element: int64>",
        "dates_sentinel2": "list<element: string>",
        "dates_sentinel1": "list<element: string>",
        "other": "double",
        "geometry": "binary",
    }


def test_tables_read_back_with_values_nulls_and_geometry(tmp_path):
    table = small_table()
    write_geoparquet(table, tmp_path / "t.parquet")
    found = read_geoparquet(tmp_path / "t.parquet")
    assert found.crs == table.crs
    assert shapely.equals_exact(found.geometry.to_numpy(), table.geometry.to_numpy(), 0).all()
    assert [list(counts) for counts in found["counts_label_l2"]] == [[1, 2], [3, 4]]
    assert found["split"].isna().tolist() == [False, True]
    assert found["split_reason"].isna().all()
    assert found["dates_sentinel1"].isna().all()
    assert found["valid_label"].isna().tolist() == [False, True]
    plain = pd.read_parquet(tmp_path / "t.parquet")  # a reader that knows nothing of geometry
    assert plain["patch_id"].tolist() == ["p1", "p2"]


def test_order_stays_and_no_index_is_written(tmp_path):
    write_geoparquet(small_table().iloc[::-1], tmp_path / "t.parquet")
    found = read_geoparquet(tmp_path / "t.parquet")
    assert found["patch_id"].tolist() == ["p2", "p1"]
    assert found.index.tolist() == [0, 1]
    assert "__index_level_0__" not in pq.read_schema(tmp_path / "t.parquet").names


def test_tables_have_the_same_bytes_each_time(tmp_path):
    for name in ("a", "b"):
        write_geoparquet(small_table(), tmp_path / name, {"z": 1, "a": [2]})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    write_geoparquet(small_table(), tmp_path / "c", {"a": [2], "z": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "c").read_bytes()


def test_metadata_is_added_beside_that_of_geoparquet(tmp_path):
    write_geoparquet(small_table(), tmp_path / "t.parquet", {"leak": {"test": 0.5}})
    assert read_table_metadata(tmp_path / "t.parquet") == {"leak": {"test": 0.5}}
    geo = json.loads(pq.read_schema(tmp_path / "t.parquet").metadata[b"geo"])
    assert geo["primary_column"] == "geometry"
    write_geoparquet(small_table(), tmp_path / "plain.parquet")
    assert read_table_metadata(tmp_path / "plain.parquet") == {}


def test_damaged_tables_are_refused(tmp_path):
    path = tmp_path / "t.parquet"
    write_geoparquet(small_table(), path)
    path.write_bytes(path.read_bytes()[:-30])
    for read in (read_geoparquet, read_table_metadata):
        with pytest.raises(StorageError, match=r"t\.parquet: no readable GeoParquet"):
            read(path)
        with pytest.raises(StorageError, match=r"none\.parquet"):
            read(tmp_path / "none.parquet")


def test_a_full_disk_while_writing_a_table_leaves_nothing(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise FULL

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(StorageError, match="disk is full"):
        write_geoparquet(small_table(), tmp_path / "t.parquet")
    assert only(tmp_path) == []
