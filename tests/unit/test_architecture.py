"""Imports go one way: each layer knows only those named beside it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "binsight"

CONTRACTS = ["errors", "files", "images", "preprocess", "bundle"]  # each knows those before it
KNOWS = {name: CONTRACTS[:place] for place, name in enumerate(CONTRACTS)}
KNOWS["cpus"] = []
KNOWS["learned"] = []
KNOWS["bins"] = ["errors", "files"]
KNOWS["corrections"] = ["errors", "files", "images"]
KNOWS["calibration"] = ["errors"]
KNOWS["novelty"] = ["errors"]
KNOWS["teaching"] = [*CONTRACTS, "calibration", "learned", "novelty"]
KNOWS["runtime"] = [*CONTRACTS, "cpus", "learned", "teaching"]
KNOWS["board"] = []
KNOWS["drawing"] = ["errors", "files"]  # what every figure shares
KNOWS["data"] = [*CONTRACTS, "cpus"]
KNOWS["model"] = [*CONTRACTS, "runtime"]
KNOWS["training"] = [*KNOWS["model"], "board", "calibration", "cpus", "data", "drawing", "learned"]
KNOWS["training"] += ["model"]
KNOWS["evaluation"] = [*KNOWS["training"], "training"]
KNOWS["export"] = [*KNOWS["evaluation"], "evaluation", "novelty", "teaching"]
KNOWS["explain"] = [*KNOWS["export"]]  # reports show its pictures, handed in by interfaces
KNOWS["__init__"] = [*CONTRACTS, "bins", "runtime"]  # the public API must stay light
KNOWS["interfaces"] = list(KNOWS)


def imported(path: Path, source: Path) -> Iterator[tuple[int, str]]:
    """Yield each import of our own in a file: the line, and a dotted name below the package."""
    here = path.relative_to(source.parent).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = here[: len(here) + 1 - node.level] if node.level else ()
            module = ".".join([*start, node.module] if node.module else start)
            names = [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            package, _, below = name.partition(".")
            if package == source.name:
                yield node.lineno, below


def layer_of(below: str, source: Path) -> str:
    """Return the layer that a dotted name belongs to; a plain name is one of `__init__`."""
    name = below.partition(".")[0]
    is_layer = (source / name).is_dir() or (source / f"{name}.py").is_file()
    return name if name and is_layer else "__init__"


def backward_arrows(source: Path) -> list[str]:
    """Return the imports that `KNOWS` does not name, as ``file:line: importer -> imported``."""
    arrows = []
    for path in sorted(source.rglob("*.py")):
        importer = path.relative_to(source).parts[0].removesuffix(".py")
        for line, below in imported(path, source):
            layer = layer_of(below, source)
            if layer != importer and below != "__version__" and layer not in KNOWS[importer]:
                arrows.append(f"{path.relative_to(source)}:{line}: {importer} -> {layer}")
    return arrows


def test_every_import_goes_the_allowed_way() -> None:
    assert backward_arrows(SOURCE) == []


def test_what_others_import_is_in_all() -> None:
    hidden = []
    for path in sorted(SOURCE.rglob("*.py")):
        for line, below in imported(path, SOURCE):
            module, _, name = below.rpartition(".")
            file = SOURCE.joinpath(*module.split(".")).with_suffix(".py")
            public = names_of(file) if module and file.is_file() else None
            if public is not None and name not in public:
                hidden.append(f"{path.relative_to(SOURCE)}:{line}: {below}")
    assert hidden == []


def names_of(file: Path) -> list[str] | None:
    """What a module says in its ``__all__``; ``None`` if it has none."""
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return None


def test_every_layer_has_its_place_in_the_table() -> None:
    modules = {path.stem for path in SOURCE.glob("*.py")}
    packages = {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    assert modules | packages <= set(KNOWS)


@pytest.mark.parametrize(
    ("importer", "statement", "arrow"),
    [
        ("errors.py", "import binsight.files", "errors -> files"),
        ("images.py", "from .preprocess import apply", "images -> preprocess"),
        ("runtime/answer.py", "from ..data.catalog import scan", "runtime -> data"),
        ("runtime/answer.py", "from .. import training", "runtime -> training"),
        ("data/deep/down.py", "from ...interfaces import cli", "data -> interfaces"),
        ("training/run.py", "from binsight import Classifier", "training -> __init__"),
        ("model/network.py", "def f():\n    from ..training import run", "model -> training"),
    ],
)
def test_the_walk_finds_a_backward_arrow(
    tmp_path: Path, importer: str, statement: str, arrow: str
) -> None:
    source = made_up_tree(tmp_path, importer, statement)
    (found,) = backward_arrows(source)
    assert found.endswith(arrow)
    assert found.startswith(importer)


@pytest.mark.parametrize(
    ("importer", "statement"),
    [
        ("preprocess.py", "from .images import decode"),
        ("evaluation/report.py", "from ..training.run import Run\nfrom . import figures"),
        ("export/onnx.py", "import numpy\nfrom binsight import __version__"),
        ("interfaces/cli.py", "from binsight import Classifier\nimport binsight.export.onnx"),
    ],
)
def test_the_walk_lets_forward_arrows_pass(tmp_path: Path, importer: str, statement: str) -> None:
    assert backward_arrows(made_up_tree(tmp_path, importer, statement)) == []


def made_up_tree(tmp_path: Path, importer: str, statement: str) -> Path:
    """Write a package with every layer empty but for one statement."""
    source = tmp_path / "binsight"
    for layer in KNOWS:
        (source / layer).mkdir(parents=True)
    path = source / importer
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(statement, encoding="utf-8")
    return source
