from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from binsight import Bins, load_bins
from binsight.bins import ASK, built_in_schemes
from binsight.errors import BinsError
from binsight.runtime import Classifier

MINE = """
[[bins]]
name = "recycling"
colour = "#0a0"
advice = "Rinse it."
takes = ["glass", "metal"]

[[bins]]
name = "paper"
colour = "#1F6fb5"
takes = ["paper", "battery"]
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "bins.toml"
    path.write_text(MINE)
    return path


def bins_of(text: str, tmp_path: Path) -> Bins:
    path = tmp_path / "bins.toml"
    path.write_text(text)
    return load_bins(path)


def one_each(*names: str, **more: object) -> Bins:
    bins = [{"name": f"{name} bin", "colour": "#fff", "takes": [name]} for name in names]
    return Bins.model_validate({"bins": bins, **more})


def test_probabilities_of_one_bin_add_up(mine: Path) -> None:
    probs = {"glass": 0.5, "metal": 0.45, "paper": 0.05}
    decision = load_bins(mine).decide(probs, threshold=0.9)
    assert decision.name == "recycling"
    assert decision.advice == "Rinse it."
    assert decision.expected_cost == pytest.approx(0.05)
    assert decision.costs == pytest.approx({"recycling": 0.05, "paper": 0.95, ASK: 0.1})


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "bins.toml"
    path.write_text(MINE, encoding="utf-8-sig")
    assert [one.name for one in load_bins(path).bins][-1] == "paper"


def test_nobody_is_sure_so_a_person_is_asked(mine: Path) -> None:
    probs = {"glass": 0.3, "metal": 0.25, "paper": 0.45}
    decision = load_bins(mine).decide(probs, threshold=0.9)
    assert decision.bin is None
    assert (decision.name, decision.advice) == ("ask a person", "")
    assert decision.expected_cost == pytest.approx(0.1)
    assert json.loads(json.dumps(decision.to_dict()))["name"] is None


def test_a_person_is_asked_about_what_is_strange() -> None:
    probs = {"glass": 0.99, "metal": 0.01, "paper": 0.0}
    bins = one_each("glass", "metal", "paper")
    assert bins.decide(probs, threshold=0.5).bin is not None
    strange = bins.decide(probs, threshold=0.5, strange=True)
    assert (strange.bin, strange.expected_cost) == (None, 0.5)


def test_what_is_no_number_chooses_no_bin(mine: Path) -> None:
    bins = load_bins(mine)
    probs = dict.fromkeys(bins.bins[0].takes, float("nan"))
    with pytest.raises(BinsError, match="a probability is no number"):
        bins.decide(probs, threshold=0.7)


def test_costs_outweigh_probability() -> None:
    costs = {"glass": {"paper bin": 10.0}, "paper": {"glass bin": 0.5}}
    probs = {"glass": 0.2, "paper": 0.8}
    plain = one_each("glass", "paper", cost_of_asking=5.0)
    assert plain.decide(probs, threshold=0.9).name == "paper bin"
    decision = one_each("glass", "paper", cost_of_asking=5.0, costs=costs)
    decision = decision.decide(probs, threshold=0.9)
    assert decision.costs == pytest.approx({"glass bin": 0.4, "paper bin": 2.0, ASK: 5.0})
    assert decision.name == "glass bin"


def test_a_bin_for_what_is_dear_to_mistake_needs_to_be_surer() -> None:
    costs = {"glass": {"paper bin": 10.0}}
    dear = one_each("glass", "paper", costs=costs)
    probs = {"glass": 0.04, "paper": 0.96}
    assert one_each("glass", "paper").decide(probs, threshold=0.9).name == "paper bin"
    assert dear.decide(probs, threshold=0.9).bin is None


def test_a_person_who_costs_nothing_is_always_asked() -> None:
    free = one_each("glass", "paper", cost_of_asking=0.0)
    assert free.decide({"glass": 0.99, "paper": 0.01}, threshold=0.5).bin is None


def test_ties_go_to_a_bin_and_to_the_earlier_one() -> None:
    bins = one_each("glass", "paper")
    assert bins.decide({"paper": 0.5, "glass": 0.5}, threshold=0.5).name == "glass bin"
    assert bins.decide({"paper": 0.5, "glass": 0.5}, threshold=0.6).bin is None


shares = st.lists(st.floats(0, 1), min_size=3, max_size=3).filter(lambda row: sum(row) > 0.01)


@given(shares, st.floats(0, 1))
def test_without_costs_asking_is_the_model_being_not_sure(
    row: list[float], threshold: float
) -> None:
    probs = {name: share / sum(row) for name, share in zip("abc", row, strict=True)}
    confidence = max(probs.values())
    assume(abs(confidence - threshold) > 1e-5)
    decision = one_each("a", "b", "c").decide(probs, threshold=threshold)
    assert (decision.bin is not None) == (confidence > threshold)
    if decision.bin:
        assert probs[decision.bin.takes[0]] > confidence - 1e-5


@given(
    st.lists(st.floats(0, 1), min_size=4, max_size=4).filter(lambda row: sum(row) > 0.01),
    st.lists(st.lists(st.floats(0.1, 9), min_size=4, max_size=4), min_size=4, max_size=4),
    st.floats(0, 9),
)
def test_the_choice_costs_least_of_all(
    row: list[float], matrix: list[list[float]], asking: float
) -> None:
    """Against numpy's product of the whole matrix."""
    p = np.array(row) / np.sum(row)
    cost = np.array(matrix) * (1 - np.eye(4))
    costs = {
        name: {f"{other} bin": cost[i, j] for j, other in enumerate("abcd") if i != j}
        for i, name in enumerate("abcd")
    }
    bins = one_each(*"abcd", costs=costs, cost_of_asking=asking)
    decision = bins.decide(dict(zip("abcd", p.tolist(), strict=True)), threshold=0.5)
    expected = np.append(p @ cost, asking)
    np.testing.assert_allclose(list(decision.costs.values()), expected, rtol=1e-9)
    assert decision.expected_cost <= expected.min() + 1e-5


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('advice = "Rinse it."', 'tip = "Rinse it."', "bin 1: tip: unknown key"),
        ("[[bins]]", 'city = "X"\n[[bins]]', "city: unknown key"),
        ('"#0a0"', '"green"', "bin 1: colour: give a colour such as #1f77b4"),
        ('"#0a0"', '"#12345"', "bin 1: colour: give a colour such as #1f77b4"),
        ('"battery"', '"glass"', "'glass' is in two bins, 'recycling' and 'paper'; leave one"),
        ('name = "paper"', 'name = "recycling"', "two bins are called 'recycling'"),
        ('name = "paper"', 'name = "ask a person"', "no bin can be called 'ask a person'"),
        ('["glass", "metal"]', "[]", "bin 1: takes: "),
        ('name = "paper"', 'name = ""', "bin 2: name: "),
        ("", "cost_of_asking = -1\n", "cost_of_asking: "),
        ("", "cost_of_asking = inf\n", "cost_of_asking: "),
        ("", "[costs.glass]\nblue = 2\n", "costs.glass: there is no bin 'blue'"),
        ("", "[costs.wood]\npaper = 2\n", "costs.wood: no bin takes 'wood'"),
        ("", "[costs.glass]\nrecycling = 2\n", "'recycling' is its right bin"),
        ("", "[costs.glass]\npaper = -2\n", "costs: glass: paper: "),
    ],
)
def test_a_wrong_file_says_what_is_wrong(tmp_path: Path, old: str, new: str, reason: str) -> None:
    with pytest.raises(BinsError) as caught:
        bins_of(MINE.replace(old, new, 1) if old else new + MINE, tmp_path)
    assert reason in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path / 'bins.toml'}: ")
    assert "\n" not in str(caught.value)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    text = MINE.replace('"#0a0"', '"green"').replace('"#1F6fb5"', '"blue"')
    with pytest.raises(BinsError, match=r"bin 1: colour.*bin 2: colour"):
        bins_of(text, tmp_path)


def test_a_file_without_bins(tmp_path: Path) -> None:
    with pytest.raises(BinsError, match="bins: Field required"):
        bins_of("", tmp_path)


def test_no_toml(tmp_path: Path) -> None:
    with pytest.raises(BinsError, match="not a TOML file"):
        bins_of("[[bins", tmp_path)


def test_neither_file_nor_scheme() -> None:
    with pytest.raises(BinsError, match="give a TOML file, or one of berlin, new-york, paris"):
        load_bins("berln")


def test_a_class_without_a_bin_says_what_to_add(mine: Path) -> None:
    bins = load_bins(mine)
    bins.require(["glass", "paper"])  # "battery" and "metal" are not asked for
    with pytest.raises(
        BinsError, match=r'takes trash, wood; add "trash" and "wood" to the `takes`'
    ):
        bins.require(["glass", "trash", "wood"])
    with pytest.raises(BinsError, match='add "wood"'):
        bins.decide({"glass": 0.5, "wood": 0.5}, threshold=0.5)


@pytest.mark.parametrize("name", built_in_schemes())
def test_a_scheme_fits_the_built_in_model_and_cites_its_rules(name: str) -> None:
    scheme = load_bins(name)
    scheme.require(Classifier().classes)
    assert all(one.advice for one in scheme.bins)
    source = Path(__file__).parents[2] / "src" / "binsight" / "schemes" / f"{name}.toml"
    comment = source.read_text().partition("[[bins]]")[0]
    assert "Looked up on " in comment
    assert comment.count("http") >= 3


def test_cities_differ() -> None:
    """A bottle of glass has a bin of its own in Berlin and Paris, and none in New York."""
    shares = {"glass": 1.0, "metal": 0.0, "paper": 0.0}
    names = {
        name: load_bins(name).decide(shares, threshold=0.9).name for name in built_in_schemes()
    }
    assert names == {
        "berlin": "Glastonne",
        "new-york": "metal, glass, plastic",
        "paris": "bac blanc",
    }
