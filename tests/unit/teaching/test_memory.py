from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from binsight.learned import NOTHING, Learned
from binsight.teaching.memory import Memory, spread


def test_spread_takes_up_to_so_many_of_each() -> None:
    keys = ["glass"] * 10 + ["metal"] * 3 + ["paper"] * 5
    chosen = spread(keys, 4)
    assert chosen == sorted(set(chosen))
    assert Counter(keys[place] for place in chosen) == {"glass": 4, "metal": 3, "paper": 4}


def test_spread_is_decided_by_the_seed() -> None:
    keys = ["glass"] * 50
    assert spread(keys, 5, seed=1) == spread(keys, 5, seed=1)
    assert spread(keys, 5, seed=1) != spread(keys, 5, seed=2)


def test_spread_of_nothing() -> None:
    assert spread([], 5) == []


def test_parts_of_a_memory() -> None:
    memory = Memory(
        np.arange(6, dtype=np.float16).reshape(3, 2),
        np.array([0, 1, 1]),
        np.array([False, True, False]),
    )
    learned, labels = memory.part(held_out=False)
    assert learned.tolist() == [[0, 1], [4, 5]]
    assert labels.tolist() == [0, 1]
    assert memory.part(held_out=True)[1].tolist() == [1]
    assert learned.dtype == np.float32
    assert len(memory) == 3


def test_a_memory_is_read_back() -> None:
    rows = np.eye(2, dtype=np.float16)
    memory = Memory(rows, np.arange(2), np.ones(2, np.bool_), Learned.of(["a" * 64, "b" * 64]))
    found = Memory.of_arrays(memory.arrays())
    assert np.array_equal(found.embeddings, rows)
    assert found.labels.tolist() == [0, 1]
    assert found.held_out.all()
    assert found.learned == memory.learned
    assert found.taught.tolist() == [False, False]
    taught = replace(memory, taught=np.array([False, True]))
    assert Memory.of_arrays(taught.arrays()).taught.tolist() == [False, True]
    assert Memory.of_arrays(Memory.empty(2).arrays()).learned == NOTHING


def test_a_memory_at_some_places() -> None:
    memory = Memory(
        np.eye(3, dtype=np.float16),
        np.arange(3),
        np.array([True, False, False]),
        Learned.of(["a" * 64]),
        np.array([False, False, True]),
    )
    some = memory.at(np.array([2, 0]))
    assert some.embeddings.tolist() == [[0, 0, 1], [1, 0, 0]]
    assert some.labels.tolist() == [2, 0]
    assert some.held_out.tolist() == [False, True]
    assert some.taught.tolist() == [True, False]
    assert some.learned == memory.learned
    assert len(memory.at(np.array([], np.int64))) == 0
