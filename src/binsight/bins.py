"""Which bin: from the probabilities of materials to the choice that costs least.

A ``bins.toml`` says which classes a bin takes, and what a mistake costs. It is read here and knows
nothing of models or photos. Asking a person is one of the choices, with a cost like any other.
"""

from __future__ import annotations

import math
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from .errors import BinsError
from .files import read_toml

__all__ = ["ASK", "Bin", "Bins", "Decision", "built_in_schemes", "load_bins", "load_fitting_bins"]

ASK = "ask a person"
WRONG = 1.0  # what a thing in a wrong bin costs if nothing else is said
SAME = 1e-6  # costs that differ by less are equal: probabilities are float32

Strict = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, str_strip_whitespace=True)
Name = Annotated[str, Field(min_length=1, max_length=60)]
Cost = Annotated[float, Field(ge=0)]


class Bin(BaseModel):
    """One bin.

    Args:
        name: what people call it.
        colour: of the bin, ``#rrggbb`` or ``#rgb``.
        advice: what to do before throwing something in.
        takes: classes that belong into it.
    """

    model_config = Strict

    name: Name
    colour: Annotated[str, Field(pattern="^#([0-9A-Fa-f]{3}|[0-9A-Fa-f]{6})$")]
    advice: str = ""
    takes: Annotated[tuple[Name, ...], Field(min_length=1)]


@dataclass(frozen=True)
class Decision:
    """What to do with one thing.

    Args:
        bin: where it goes; ``None`` to ask a person.
        expected_cost: of that choice, in the unit of the bins' costs.
        costs: expected cost of every choice: each bin's name, and `ASK`.
    """

    bin: Bin | None
    expected_cost: float
    costs: Mapping[str, float]

    @property
    def name(self) -> str:
        """The bin's name, or `ASK`."""
        return self.bin.name if self.bin else ASK

    @property
    def advice(self) -> str:
        """What to do before throwing it in; empty if a person is asked."""
        return self.bin.advice if self.bin else ""

    def to_dict(self) -> dict[str, object]:
        """Name (``None`` to ask a person), colour, advice and costs, ready for JSON."""
        return {
            "name": self.bin.name if self.bin else None,
            "colour": self.bin.colour if self.bin else None,
            "expected_cost": round(self.expected_cost, 6),
            "advice": self.advice,
            "costs": {name: round(cost, 6) for name, cost in self.costs.items()},
        }


class Bins(BaseModel):
    """The bins of a place, as a ``bins.toml`` holds them.

    Args:
        bins: in the order in which ties are broken.
        costs: class to bin name to the cost of that mistake; 1 where nothing is said. The right
            bin costs nothing.
        cost_of_asking: what it costs to ask a person; ``None`` takes 1 - the model's threshold,
            so that with the costs left alone a thing is asked about when its bin is not sure.
    """

    model_config = Strict

    bins: Annotated[tuple[Bin, ...], Field(min_length=1)]
    costs: dict[str, dict[str, Cost]] = {}
    cost_of_asking: Cost | None = None

    @model_validator(mode="after")
    def _agree(self) -> Bins:
        if wrong := [*_repeated(self.bins), *_misplaced(self.bins, self.costs)]:
            raise ValueError("; ".join(wrong))
        return self

    def require(self, classes: Iterable[str]) -> None:
        """Make sure that every class has a bin. Bins may take classes that are not among them.

        Raises:
            BinsError: naming those without one.
        """
        known = {name for one in self.bins for name in one.takes}
        if missing := [name for name in classes if name not in known]:
            raise BinsError(
                f"no bin takes {', '.join(missing)}; add {_quoted(missing)} to the `takes` of a bin"
            )

    def decide(
        self, probs: Mapping[str, float], *, threshold: float, strange: bool = False
    ) -> Decision:
        """Choose what costs least on average, if the probabilities are calibrated.

        The expected cost of a bin is the sum over classes of probability times the cost of that
        class in that bin (minimum-risk decision with a reject option: Chow 1970). A tie goes to
        the earlier bin, and to a bin before a person.

        Args:
            probs: class to calibrated probability, adding up to 1.
            threshold: the model's, 0 to 1; it sets the cost of asking where the file does not.
            strange: the thing is like nothing that the model learned: its probabilities mean
                nothing, so a person is asked.

        Raises:
            BinsError: a class has no bin, or a probability is no number.
        """
        self.require(probs)
        if not all(map(math.isfinite, probs.values())):
            raise BinsError("a probability is no number; the model is broken")
        costs = {
            one.name: sum(share * self._cost(name, one) for name, share in probs.items())
            for one in self.bins
        }
        best = self.bins[0]
        for one in self.bins[1:]:
            if costs[one.name] < costs[best.name] - SAME:
                best = one
        asking = 1 - threshold if self.cost_of_asking is None else self.cost_of_asking
        ask = strange or asking < costs[best.name] - SAME
        costs[ASK] = asking
        return Decision(None if ask else best, costs[ASK if ask else best.name], costs)

    def _cost(self, name: str, where: Bin) -> float:
        if name in where.takes:
            return 0.0
        return self.costs.get(name, {}).get(where.name, WRONG)


def built_in_schemes() -> tuple[str, ...]:
    """Names of the schemes that come along."""
    folder = resources.files(__package__) / "schemes"
    names = (Path(item.name) for item in folder.iterdir())
    return tuple(sorted(name.stem for name in names if name.suffix == ".toml"))


def load_fitting_bins(path_or_scheme_name: str, classes: Iterable[str]) -> Bins:
    """Read bins that take all of these classes.

    Raises:
        BinsError: see `load_bins`, or a class has no bin; the message names the file or scheme.
    """
    bins = load_bins(path_or_scheme_name)
    try:
        bins.require(classes)
    except BinsError as error:
        what = f"{path_or_scheme_name}: {error}"
        if path_or_scheme_name in built_in_schemes():
            what += f" in a copy of {_scheme(path_or_scheme_name)}, and give that"
        raise BinsError(what) from error
    return bins


def load_bins(path_or_scheme_name: str | os.PathLike[str]) -> Bins:
    """Read bins from a TOML file, or take a scheme that comes along, such as ``"berlin"``.

    Raises:
        BinsError: no such file or scheme, or every mistake in it.
    """
    name = os.fspath(path_or_scheme_name)
    try:
        return Bins.model_validate(_values(name))
    except ValidationError as error:
        wrong = "; ".join(_explain(one["loc"], one["msg"], one["type"]) for one in error.errors())
        raise BinsError(f"{name}: {wrong}") from error


def _values(name: str) -> dict[str, Any]:
    if name in built_in_schemes():
        return tomllib.loads(_scheme(name).read_text(encoding="utf-8"))
    if not Path(name).is_file():
        known = ", ".join(built_in_schemes())
        raise BinsError(f"no bins {name!r}; give a TOML file, or one of {known}")
    return read_toml(Path(name), BinsError)


def _scheme(name: str) -> Traversable:
    return resources.files(__package__) / "schemes" / f"{name}.toml"


def _repeated(bins: Iterable[Bin]) -> Iterable[str]:
    """Say which bin's name or which class is there twice."""
    names: set[str] = set()
    taker: dict[str, str] = {}
    for one in bins:
        if one.name == ASK:
            yield f"no bin can be called {ASK!r}"
        if one.name in names:
            yield f"two bins are called {one.name!r}"
        names.add(one.name)
        for name in one.takes:
            if name in taker:
                yield f"{name!r} is in two bins, {taker[name]!r} and {one.name!r}; leave one"
            taker[name] = one.name


def _misplaced(bins: Iterable[Bin], costs: Mapping[str, Mapping[str, float]]) -> Iterable[str]:
    """Say which costs are of no class or bin, or of a thing in its right bin."""
    taker = {name: one.name for one in bins for name in one.takes}
    names = {one.name for one in bins}
    for name, row in costs.items():
        if name not in taker:
            yield f"costs.{name}: no bin takes {name!r}"
        for where in row:
            if where not in names:
                yield f"costs.{name}: there is no bin {where!r}"
            elif taker.get(name) == where:
                yield f"costs.{name}: {where!r} is its right bin, which costs nothing"


def _explain(location: tuple[int | str, ...], message: str, kind: str) -> str:
    """Say where in the file, counting bins from 1, and what is wrong there."""
    where = [str(one + 1) if isinstance(one, int) else one for one in location]
    if where[:1] == ["bins"] and len(where) > 1:
        where[:2] = [f"bin {where[1]}"]
    if kind == "extra_forbidden":
        message = "unknown key"
    elif where[-1:] == ["colour"] and kind == "string_pattern_mismatch":
        message = "give a colour such as #1f77b4"
    return ": ".join([*where, message.removeprefix("Value error, ")])


def _quoted(names: Iterable[str]) -> str:
    return " and ".join(f'"{name}"' for name in names)
