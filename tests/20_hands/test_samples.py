# SPDX-License-Identifier: Apache-2.0
"""Reading patches of a manifest in batches gives the pixels that were written, each once."""

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from made.results import LAYERS, make_tree
from terrapatch.acquisitions import DATES, write_dates
from terrapatch.errors import StorageError
from terrapatch.samples import (
    Batch,
    batches,
    check_series,
    read_labels,
    read_patches,
)
from terrapatch.stacks import create_stack, open_stack


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return make_tree(tmp_path_factory.mktemp("tree"), size_px=16)


def test_batches_follow_units_and_shards_and_hold_each_patch_once(tree):
    parts = batches(tree.kept, Path(tree.results.stacks), "sentinel2")
    rows = np.concatenate([part.rows for part in parts])
    assert sorted(rows) == list(range(len(tree.kept)))
    for part in parts:
        assert len(set((part.numbers // 4).tolist())) == 1
        assert set(tree.kept["unit"].iloc[part.rows]) == {part.unit}


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(wanted=st.sets(st.integers(0, 22), min_size=1), most=st.integers(1, 5))
def test_any_choice_of_patches_is_read_as_it_was_written(tree, wanted, most):
    table = tree.kept.iloc[sorted(wanted)].reset_index(drop=True)
    seen = {}
    for batch in batches(table, Path(tree.results.stacks), "sentinel1"):
        labels = read_labels(
            open_stack(tree.results.stack(batch.unit, "label")), batch, LAYERS[::-1]
        )
        for row, codes in zip(batch.rows, labels, strict=True):
            truth = tree.pixels["label"][table["patch_id"][row]]
            np.testing.assert_array_equal(truth[::-1], codes)
        stack = open_stack(tree.results.stack(batch.unit, "sentinel1"))
        for piece in batch.pieces(most):
            pixels = read_patches(stack, piece)
            seen |= {table["patch_id"][r]: p for r, p in zip(piece.rows, pixels, strict=True)}
    assert set(seen) == set(table["patch_id"])
    for patch_id, pixels in seen.items():
        np.testing.assert_array_equal(tree.pixels["sentinel1"][patch_id], pixels[0])


def test_patches_far_apart_in_a_stack_are_read_too(tree):
    stack = open_stack(tree.results.stack("b000_000", "sentinel2"))
    numbers = np.array([0, 1, 3, 11])
    batch = Batch("b000_000", numbers, numbers, 16)
    np.testing.assert_array_equal(stack.read(slice(0, 12))[numbers], read_patches(stack, batch))


def test_a_layer_that_is_not_there_is_named(tree):
    (batch, *_) = batches(tree.kept, Path(tree.results.stacks), "sentinel2")
    with pytest.raises(StorageError, match="has no band l3, only l2, l1"):
        read_labels(open_stack(tree.results.stack(batch.unit, "label")), batch, ["l2", "l3"])


# --- damage is seen ------------------------------------------------------------------------------


@pytest.fixture
def hurt(tmp_path):
    """A tree of one's own, to be damaged."""
    return make_tree(tmp_path / "my results", size_px=16)


def read_all(tree, name="data"):
    for modality in ("sentinel2", "sentinel1"):
        for batch in batches(tree.kept, Path(tree.results.stacks), modality):
            read_patches(open_stack(tree.results.stack(batch.unit, modality)), batch, name)


def shard_of(tree, name="data"):
    folder = Path(tree.results.stack("b000_000", "sentinel1"), name, "c")
    return next(path for path in sorted(folder.rglob("*")) if path.is_file())


@pytest.mark.parametrize("name", ["data", "source"])
@pytest.mark.parametrize("how", ["deleted", "emptied", "cut", "flipped"])
def test_a_damaged_shard_is_an_error_that_names_it_and_the_command(hurt, name, how):
    path = shard_of(hurt, name)
    content = path.read_bytes()
    if how == "deleted":
        path.unlink()
    else:
        at = (len(content) - 68) // 2  # in the middle of the chunks, before the index
        flipped = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        path.write_bytes({"emptied": b"", "cut": content[:-30], "flipped": flipped}[how])
    with pytest.raises(StorageError) as caught:
        read_all(hurt, name)
    text = str(caught.value)
    assert (
        str(path) if how in ("deleted", "emptied") else f"sentinel1.zarr/{name}: damaged"
    ) in text
    assert f"run `terrapatch stack '{hurt.results.root}' b000_000 sentinel1`" in text


def test_a_stack_of_other_pixels_than_the_manifest_describes_is_refused(hurt):
    path = Path(hurt.results.stack("b000_000", "sentinel2"))
    stack = open_stack(path)
    data, source = stack.read(slice(None)), stack.read(slice(None), "source")
    data[3, 0, 0, 0, 0] += 1
    with create_stack(path, stack.info) as writer:
        for number, part in enumerate(stack.info.shards):
            where = slice(part.start, part.stop)
            writer.write(number, 0, data[where, 0], source[where, 0])
    with pytest.raises(
        StorageError, match=rf"patch {stack.info.patch_ids[3]} are not those.*sentinel2"
    ):
        read_all(hurt)


def test_a_series_is_held_against_the_manifest_date_by_date(hurt):
    path = Path(hurt.results.stack("b000_000", "sentinel1"))
    info = replace(open_stack(path).info, times=("a", "b"), items=(("s",), ("s",)))
    data = np.random.default_rng(1).random((len(info.patch_ids), 2, 2, 16, 16), np.float32)
    with create_stack(path, info) as writer:
        for number, part in enumerate(info.shards):
            for time in range(2):
                piece = data[part.start : part.stop, time]
                writer.write(number, time, piece, np.ones_like(piece[:, 0], np.uint8))
    here = hurt.kept[hurt.kept["unit"] == "b000_000"].reset_index(drop=True)
    # The first date of every other patch is not complete enough.
    kept = np.stack([np.arange(len(info.patch_ids)) % 2 > 0, np.ones(len(info.patch_ids), bool)], 1)
    sums = {
        name: hashlib.sha256(pixels[which].tobytes()).hexdigest()
        for name, pixels, which in zip(info.patch_ids, data, kept, strict=True)
    }
    dates = write_dates_of(hurt, info, kept)
    stacks = Path(hurt.results.stacks)
    right = here.assign(hash_sentinel1=here["patch_id"].map(sums))
    check_series(right, stacks, "sentinel1", dates)
    for wrong in (here, right.assign(hash_sentinel1=right["hash_sentinel1"][::-1].to_numpy())):
        with pytest.raises(StorageError, match="are not those that the manifest describes"):
            check_series(wrong, stacks, "sentinel1", dates, threads=2)


def write_dates_of(tree, info, kept):
    """The table of dates of a series."""
    patch, step = (k.ravel() for k in np.indices(kept.shape))
    count = patch.size
    columns = {
        "patch_id": np.array(info.patch_ids, object)[patch], "unit": np.full(count, info.unit, object),
        "layer": np.full(count, info.layer, object),
        "time": np.array(info.times, object)[step], "kept": kept.ravel(),
    }  # fmt: skip
    path = Path(tree.results.dates)
    write_dates({name: np.full(count, None, object) for name in DATES} | columns, path)
    return path


def test_labels_with_one_other_code_are_refused(hurt):
    path = Path(hurt.results.stack("b000_000", "label"))
    (batch, *_) = batches(hurt.kept, Path(hurt.results.stacks), "sentinel2")
    old = open_stack(path)
    data, source = old.read(slice(None), time=0), old.read(slice(None), "source", 0)
    data[batch.numbers[0], 2, 1, 1] ^= 1
    shutil.rmtree(path)
    with create_stack(path, old.info) as writer:
        for number, part in enumerate(old.info.shards):
            writer.write(number, 0, data[part.start : part.stop], source[part.start : part.stop])
    with pytest.raises(
        StorageError, match=r"label\.zarr: the pixels of .* `terrapatch stack"
    ):  # fmt: skip
        read_labels(open_stack(path), batch, ["l2"])


def test_labels_that_are_not_there_name_the_command(hurt):
    path = Path(hurt.results.stack("b000_000", "label"))
    shutil.rmtree(path)
    with pytest.raises(StorageError) as caught:
        open_stack(path)
    assert f"{path}: no readable stack" in str(caught.value)
    assert f"run `terrapatch stack '{hurt.results.root}' b000_000 label`" in str(caught.value)
