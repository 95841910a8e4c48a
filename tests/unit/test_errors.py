from __future__ import annotations

import inspect

import pytest

from binsight import errors


def drawn() -> list[tuple[str, int]]:
    """Class names of the drawing with their depth, from top to bottom."""
    found = []
    for line in (errors.__doc__ or "").splitlines():
        name = line.strip("│├└─ ").split(" ")[0]
        if name.endswith("Error"):
            found.append((name, (line.index(name) - 4) // 4))
    return found


def real(root: type = errors.BinsightError, depth: int = 0) -> list[tuple[str, int]]:
    """The same of the classes, in the order in which they were made."""
    below = [cls for cls in root.__subclasses__() if cls.__module__ == errors.__name__]
    return [(root.__name__, depth)] + [one for cls in below for one in real(cls, depth + 1)]


def test_drawing_is_the_tree():
    assert len(drawn()) > 10
    assert drawn() == real()


def test_every_class_is_public():
    classes = [name for name, _ in inspect.getmembers(errors, inspect.isclass)]
    assert sorted(errors.__all__) == sorted(classes)


@pytest.mark.parametrize("name", errors.__all__)
def test_every_class_says_what_it_is(name):
    assert getattr(errors, name).__doc__


def test_missing_extra_says_what_to_run():
    error = errors.MissingExtraError("torch", "train")
    assert str(error) == "torch is not installed; run in binsight's sources: pip install '.[train]'"
    assert (error.package, error.extra) == ("torch", "train")
    assert isinstance(error, ImportError)
