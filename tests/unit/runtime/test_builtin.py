"""Which file a name means, and which a path."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from small_bundle import SmallBundle

import binsight
from binsight import Classifier
from binsight.errors import NotABundleError
from binsight.runtime import BUILTIN, builtin, builtin_model, bundle_path, is_bundle
from binsight.runtime.memory import learned_by

MODELS = Path(binsight.__file__).parent / "models"


@pytest.mark.parametrize("name", BUILTIN)
def test_each_lies_in_the_package_with_its_card(name: str) -> None:
    assert builtin_model(name) == MODELS / f"{name}.onnx"
    card = (MODELS / f"{name}.md").read_text(encoding="utf-8")
    assert f"`{name}.onnx`" in card


@pytest.mark.parametrize("name", BUILTIN)
def test_each_knows_the_six_classes(name: str) -> None:
    classifier = Classifier(name)
    assert classifier.path == builtin_model(name)
    assert classifier.classes == ("cardboard", "glass", "metal", "paper", "plastic", "trash")


@pytest.mark.parametrize("name", BUILTIN)
def test_each_knows_its_photos_again(name: str) -> None:
    photos = Classifier(name).metadata.training.photos
    assert 0 <= photos - len(learned_by(builtin_model(name))) <= 0.01 * photos, "a few are copies"


def test_the_first_answers_where_none_is_named() -> None:
    assert bundle_path(None) == builtin_model() == MODELS / f"{BUILTIN[0]}.onnx"


def test_a_name_wins_over_a_file(
    small_bundle: SmallBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = BUILTIN[-1]
    shutil.copy(small_bundle.path, name)
    assert Classifier(name).path == builtin_model(name)
    for path in (f"./{name}", Path(name), str(tmp_path / name)):
        assert Classifier(path).digest == small_bundle.digest


def test_a_file_needs_no_suffix(
    small_bundle: SmallBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(small_bundle.path, "mine")
    assert Classifier("mine").digest == small_bundle.digest


def test_an_unknown_name_says_which_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = ", ".join(BUILTIN)
    with pytest.raises(NotABundleError, match=f"smal: no such file, .* built in: {names}$"):
        Classifier("smal")
    with pytest.raises(NotABundleError, match=f"no built-in model 'smal'; there are: {names}$"):
        builtin_model("smal")
    with pytest.raises(NotABundleError, match=r"smal\.onnx: No such file"):
        Classifier("smal.onnx")


def test_a_missing_file_of_a_name_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtin, "BUILTIN", ("gone", *BUILTIN))
    for ask in (lambda: Classifier("gone"), lambda: builtin_model("gone"), Classifier):
        with pytest.raises(NotABundleError, match=r"gone\.onnx\); install binsight again"):
            ask()


def test_runs_are_folders_and_bundles_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("accurate", "mine"):
        (tmp_path / folder).mkdir()
    named = ("accurate", "./accurate", "mine", "mine.onnx")
    assert [is_bundle(one) for one in named] == [True, False, False, True]
