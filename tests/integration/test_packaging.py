"""What is shipped and what is pinned, and how little an import costs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from binsight.runtime import BUILTIN

ROOT = Path(__file__).parents[2]
REQUIREMENTS = sorted((ROOT / "requirements").glob("*.txt"))


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Build the wheel from a copy, so that no build output lands in the checkout."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in ["pyproject.toml", ".gitignore", "README.md", "LICENSE"]:
        shutil.copy(ROOT / name, copy)
    for name in ["src", "tests"]:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    build = "from hatchling.build import build_wheel; print(build_wheel('.'))"
    built = run_python(build, cwd=copy)
    with zipfile.ZipFile(copy / built.splitlines()[-1]) as wheel:
        return wheel.namelist()


@pytest.mark.parametrize(
    "pattern",
    [
        *(rf"binsight/models/{name}\.onnx" for name in BUILTIN),
        *(rf"binsight/models/{name}\.md" for name in BUILTIN),
        r"binsight/schemes/berlin\.toml",
        r"binsight/interfaces/app/parts\.css",
        r"binsight/interfaces/app/examples/glass\.jpg",
        r"binsight/training/recipes/default\.toml",
        r"binsight/evaluation/report\.html\.j2",
        r"binsight/interfaces/web/site/index\.html",
        r"binsight/interfaces/web/site/worker\.js",
        r"binsight/py\.typed",
        r"binsight-[^/]+\.dist-info/licenses/LICENSE",
    ],
)
def test_the_wheel_carries(wheel_names: list[str], pattern: str) -> None:
    assert any(re.fullmatch(pattern, name) for name in wheel_names), wheel_names


def test_every_model_in_the_wheel_has_a_name(wheel_names: list[str]) -> None:
    models = {Path(name).stem for name in wheel_names if name.startswith("binsight/models/")}
    assert models == set(BUILTIN)


def test_the_wheel_carries_the_package_and_nothing_else(wheel_names: list[str]) -> None:
    assert {re.sub(r"-.*", "", name.split("/")[0]) for name in wheel_names} == {"binsight"}
    assert not [name for name in wheel_names if re.search(r"(^|/)(tests?|test_[^/]*)(/|$)", name)]


def test_the_requirement_files_are_all_there() -> None:
    names = {"base", "bootstrap", "build", "dev", "serve", "train"}
    assert {path.stem for path in REQUIREMENTS} == names


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.stem)
def test_every_requirement_is_one_version_with_hashes(path: Path) -> None:
    for requirement in requirements_in(path):
        pin, *hashes = requirement.split(" --hash=")
        assert re.fullmatch(r"[a-z0-9.-]+==[^ ]+( ; .+)?", pin.strip()), requirement
        assert hashes, requirement
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", digest.strip()) for digest in hashes)


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.stem)
def test_no_requirement_names_a_host_or_a_folder(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.findall(r"://|@|file:|index-url|find-links|^-|(?:^|\s)/", text, re.MULTILINE)


def test_the_smaller_requirement_files_agree_with_the_largest() -> None:
    everything = pins_in("dev")
    for name in ["base", "build", "serve", "train"]:
        assert pins_in(name) <= everything, name


@pytest.mark.parametrize("module", ["binsight", "binsight.runtime", "binsight.interfaces.cli"])
def test_an_import_is_light_and_silent(module: str) -> None:
    script = f"""
import json, sys
events = []
sys.addaudithook(lambda event, _: events.append(event) if event.startswith("socket.") else None)
import {module}
print(json.dumps([list(sys.modules), events]))
"""
    loaded, sockets = json.loads(run_python(script))
    heavy = {"torch", "torchvision", "lightning", "matplotlib", "sklearn", "scipy", "onnx", "httpx"}
    assert module in loaded
    assert heavy.isdisjoint(loaded)
    assert sockets == []


def requirements_in(path: Path) -> list[str]:
    """Return the requirements of a file, each on one line, comments dropped."""
    text = re.sub(r"^ *#.*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return re.sub(r" \\\n *", " ", text).splitlines()


def pins_in(name: str) -> set[str]:
    """Return ``name==version`` for each requirement of one file."""
    path = ROOT / "requirements" / f"{name}.txt"
    return {requirement.split()[0] for requirement in requirements_in(path)}


def run_python(script: str, cwd: Path | None = None) -> str:
    """Run a script in a fresh process and return what it printed."""
    command = [sys.executable, "-W", "error", "-c", script]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
