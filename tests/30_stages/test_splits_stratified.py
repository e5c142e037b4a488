# SPDX-License-Identifier: Apache-2.0
"""Splits within each value of a column: exact counts, any order, no chance of the machine."""

from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terrapatch.paths import SPLITS
from terrapatch.splits.stratified import stratified_split

SHARES = (0.7, 0.15, 0.15)


@given(
    st.dictionaries(st.text("abc12", min_size=1), st.sampled_from(["FR", "DE", ""])), st.randoms()
)
def test_counts_of_each_value_are_the_floors_and_the_order_does_not_matter(values, order):
    found = stratified_split(values, SHARES, 42)
    keys = list(values)
    order.shuffle(keys)
    assert stratified_split({key: values[key] for key in keys}, SHARES, 42) == found
    assert set(found) == set(values)
    for value, n in Counter(values.values()).items():
        sizes = Counter(found[key] for key in values if values[key] == value)
        train, val = n * 7 // 10, n * 15 // 100
        assert [sizes[s] for s in SPLITS] == [train, val, n - train - val]


@pytest.mark.parametrize(("shares", "empty"), [((0.8, 0.2, 0), "test"), ((0.9, 0, 0.1), "val")])
def test_a_split_that_is_not_wanted_stays_empty(shares, empty):
    found = stratified_split({str(n): "x" for n in range(101)}, shares, 1)
    sizes = Counter(found.values())
    assert sizes[empty] == 0
    assert sizes["train"] == int(Fraction(str(shares[0])) * 101)


def test_a_value_keeps_its_split_when_others_come_and_seeds_differ():
    some = {f"a{n}": "FR" for n in range(50)}
    first = stratified_split(some, SHARES, 42)
    more = stratified_split(some | {f"b{n}": "DE" for n in range(9)}, SHARES, 42)
    assert {key: more[key] for key in some} == first
    assert stratified_split(some, SHARES, 43) != first


def test_the_shuffle_is_that_of_the_seed_and_value_whatever_the_machine():
    found = stratified_split({str(n): "FR" for n in range(10)}, SHARES, 42)
    assert "".join(found[str(n)][1] for n in range(10)) == "rrrrerrrae"
