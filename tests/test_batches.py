# SPDX-License-Identifier: Apache-2.0
"""Reading patches of a manifest in batches gives the pixels that were written, each once."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers_results import LAYERS, make_tree
from terrapatch.batches import batches, read_labels, read_patches
from terrapatch.errors import StorageError
from terrapatch.stacks import open_stack


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
        labels = read_labels(Path(tree.results.label(batch.unit)), batch, LAYERS[::-1])
        for row, codes in zip(batch.rows, labels, strict=True):
            truth = tree.pixels["label"][table["patch_id"][row]]
            np.testing.assert_array_equal(truth[::-1], codes)
        stack = open_stack(tree.results.stack(batch.unit, "sentinel1"))
        for piece in batch.pieces(most):
            pixels = read_patches(stack, piece.numbers)
            seen |= {table["patch_id"][r]: p for r, p in zip(piece.rows, pixels, strict=True)}
    assert set(seen) == set(table["patch_id"])
    for patch_id, pixels in seen.items():
        np.testing.assert_array_equal(tree.pixels["sentinel1"][patch_id], pixels[0])


def test_patches_far_apart_in_a_stack_are_read_too(tree):
    stack = open_stack(tree.results.stack("b000_000", "sentinel2"))
    numbers = np.array([0, 1, 3, 11])
    np.testing.assert_array_equal(stack.read(slice(0, 12))[numbers], read_patches(stack, numbers))


def test_a_layer_that_is_not_there_is_named(tree):
    (batch, *_) = batches(tree.kept, Path(tree.results.stacks), "sentinel2")
    with pytest.raises(StorageError, match="has no layer l3, only l2, l1"):
        read_labels(Path(tree.results.label(batch.unit)), batch, ["l2", "l3"])
