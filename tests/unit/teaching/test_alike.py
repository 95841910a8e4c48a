from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from binsight.teaching import alike
from binsight.teaching.alike import ALIKE, alike_within, groups_of, pairs_alike


def drawn(rows: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, 3)).astype(np.float32)


def test_pairs_are_those_within_a_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alike, "ROWS", 7)
    one, other = drawn(40, 0), drawn(30, 1) * 2
    expected = np.argwhere(np.linalg.norm(one[:, None] - other, axis=2) <= 0.8)
    assert len(expected) > 20
    assert np.array_equal(np.stack(pairs_alike(one, other, 0.8), axis=1), expected)


def test_equal_ones_are_a_pair_however_long_they_are() -> None:
    # Halves hold the same numbers, and may not be squared as such.
    wide = (drawn(30, 1) * 600).astype(np.float16)
    assert np.array_equal(np.stack(pairs_alike(wide, wide, 0.0)), [range(30)] * 2)


def test_what_is_alike_goes_by_how_far_all_are_spread() -> None:
    some = drawn(50, 0)
    spread = np.sqrt(((some - some.mean(axis=0)) ** 2).sum(axis=1).mean())
    assert alike_within(some) == pytest.approx(ALIKE * spread)
    assert alike_within(some * 3 + 100) == pytest.approx(3 * alike_within(some), rel=1e-4)
    assert alike_within(some[:1]) == 0


def test_nothing_is_like_nothing() -> None:
    empty = np.zeros((0, 3), np.float16)
    for one, other in ((empty, drawn(2, 0)), (drawn(2, 0), empty), (empty, empty)):
        assert [len(places) for places in pairs_alike(one, other, 1.0)] == [0, 0]


@given(st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=20))
def test_groups_are_what_pairs_connect(pairs: list[tuple[int, int]]) -> None:
    found = groups_of(12, pairs)
    ends = np.array(pairs, np.int64).reshape(-1, 2).T
    _, expected = connected_components(coo_array((np.ones(len(pairs)), ends), shape=(12, 12)))
    assert np.array_equal(np.equal.outer(found, found), np.equal.outer(expected, expected))
    assert all(found[group] == group <= place for place, group in enumerate(found))
