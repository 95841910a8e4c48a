from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from binsight.errors import RecipeError
from binsight.model.network import architectures
from binsight.training.recipe import (
    Augmentation,
    Recipe,
    built_in_recipes,
    load_recipe,
    to_toml,
    validated,
)


def test_the_recipes_that_come_along() -> None:
    assert built_in_recipes() == ("accurate", "default", "onward", "seed", "student", "thaw")
    for name in built_in_recipes():
        recipe = load_recipe(name)
        assert recipe.architecture in architectures()
        assert recipe.precision == "auto"


def test_seed_is_what_it_promises() -> None:
    recipe = load_recipe("seed")
    assert recipe.learning_rate == recipe.head_learning_rate == 1e-5
    assert recipe.schedule == "plateau"
    assert recipe.class_weights == "balanced"
    assert recipe.gradient_clip > 0
    assert recipe.precision == "auto"
    assert recipe.label_smoothing == recipe.ema_decay == recipe.augmentation.mix == 0


def test_default_uses_what_it_was_made_for() -> None:
    recipe = load_recipe("default")
    assert recipe.schedule == "cosine"
    assert recipe.eval_size > recipe.size
    assert recipe.ema_decay > 0
    assert recipe.augmentation.mix > 0


def test_a_recipe_says_how_photos_are_shown() -> None:
    spec = Recipe(eval_size=96, eval_resize_to=112).preprocess
    assert (spec.size, spec.resize_to, spec.resize) == (96, 112, "shorter")


def test_every_mistake_is_reported_at_once() -> None:
    values = {"epochs": 0, "learnin_rate": 1, "augmentation": {"blurr": 0.1, "hue": 0.7}}
    with pytest.raises(RecipeError) as caught:
        validated(values, source="mine.toml")
    message = str(caught.value)
    assert message.startswith("recipe mine.toml: ")
    for part in (
        "unknown key learnin_rate",
        "unknown key augmentation.blurr",
        "augmentation.hue: ",
        "epochs: ",
    ):
        assert part in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"eval_resize_to": 100, "eval_size": 128}, "eval_resize_to must not be smaller"),
        ({"epochs": 2, "warmup_epochs": 2}, "warmup_epochs must be fewer"),
        ({"learning_rate": float("inf")}, "learning_rate"),
        ({"weight_decay": float("nan")}, "weight_decay"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**32}, "seed"),
        ({"schedule": "step"}, "schedule"),
        ({"precision": "16"}, "precision"),
        ({"augmentation": 3}, "augmentation"),
        ({"augmentation": {"min_scale": 0}}, r"augmentation\.min_scale"),
        ({"size": 31}, "size"),
    ],
)
def test_values_out_of_range(values: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        validated(values, source="mine.toml")


def test_zero_is_a_seed() -> None:
    assert load_recipe("default", ["seed=0"]).seed == 0


@pytest.mark.parametrize(
    ("change", "key", "value"),
    [
        ("epochs=3", "epochs", 3),
        (" epochs = 3 ", "epochs", 3),
        ("learning_rate=1e-4", "learning_rate", 1e-4),
        ("learning_rate=1", "learning_rate", 1.0),
        ("architecture=resnet18", "architecture", "resnet18"),
        ('architecture="resnet18"', "architecture", "resnet18"),
        ("precision=32-true", "precision", "32-true"),
        ("schedule=plateau", "schedule", "plateau"),
    ],
)
def test_single_changes(change: str, key: str, value: object) -> None:
    found = getattr(load_recipe("default", [change]), key)
    assert found == value
    assert type(found) is type(value)


def test_changes_of_the_augmentation_leave_the_rest() -> None:
    before = load_recipe("default")
    after = load_recipe("default", ["augmentation.blur=0.9", "epochs=7"])
    assert after.augmentation == before.augmentation.model_copy(update={"blur": 0.9})
    assert after == before.model_copy(update={"augmentation": after.augmentation, "epochs": 7})
    assert load_recipe("default") == before


def test_the_last_change_wins() -> None:
    assert load_recipe("seed", ["epochs=3", "epochs=4"]).epochs == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("epochs", "give KEY=VALUE"),
        ("epoch=3", r"unknown key epoch \(did you mean epochs\?\)"),
        ("noise=0.1", r"unknown key noise \(did you mean augmentation\.noise\?\)"),
        ("blurred=1", "unknown key blurred$"),
        ("epochs=three", "epochs: "),
        ("epochs=", "epochs: "),
        ("=3", "unknown key"),
        ("epochs.more=3", "epochs is not a table"),
        (
            "augmentation.blurr=0.1",
            r"augmentation\.blurr \(did you mean augmentation\.blur\?\)",
        ),
        ("a.b.c=1", "unknown key a"),
        ("schedule=cosine # now", "schedule"),
    ],
)
def test_changes_that_are_wrong(change: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        load_recipe("default", [change])
    assert "\n" not in str(caught.value)


def test_a_recipe_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('architecture = "resnet18"\n[augmentation]\nblur = 0.5\n', encoding="utf-8")
    expected = Recipe(architecture="resnet18", augmentation=Augmentation(blur=0.5))
    assert load_recipe(str(path)) == expected


@pytest.mark.parametrize("content", [b"epochs = ", b"\xff\xfe", b"epochs = 1\nepochs = 2\n"])
def test_a_file_that_is_no_toml(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match=r"mine\.toml: not a TOML file"):
        load_recipe(str(path))


def test_no_such_recipe(tmp_path: Path) -> None:
    names = "accurate, default, onward, seed, student, thaw"
    for name in ("defualt", str(tmp_path)):
        with pytest.raises(RecipeError, match=f"give one of {names}"):
            load_recipe(name)


def test_a_recipe_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Recipe().epochs = 3  # type: ignore[misc]


@pytest.mark.parametrize("name", ["default", "seed"])
def test_written_out_and_read_again(name: str) -> None:
    recipe = load_recipe(name)
    assert validated(tomllib.loads(to_toml(recipe)), source="again") == recipe


def test_every_value_is_written_out() -> None:
    written = tomllib.loads(to_toml(Recipe()))
    assert written.keys() == Recipe.model_fields.keys()
    assert written["augmentation"].keys() == Augmentation.model_fields.keys()


SHARES = st.floats(0, 1)
AUGMENTATIONS = st.builds(
    Augmentation,
    **{
        name: SHARES
        for name in Augmentation.model_fields
        if name not in {"min_scale", "rotation_degrees", "hue", "jpeg_lowest", "mixup_alpha"}
    },
    min_scale=st.floats(0, 1, exclude_min=True),
    rotation_degrees=st.floats(0, 180),
    hue=st.floats(0, 0.5),
    jpeg_lowest=st.integers(1, 90),
    mixup_alpha=st.floats(0, 1e9, exclude_min=True),
)


@given(
    st.builds(
        Recipe,
        architecture=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x7f")),
        seed=st.integers(0, 2**32 - 1),
        epochs=st.integers(9, 99),
        warmup_epochs=st.integers(0, 8),
        learning_rate=st.floats(0, 1e30, exclude_min=True),
        schedule=st.sampled_from(["plateau", "cosine"]),
        frozen_batchnorm=st.booleans(),
        ema_decay=st.floats(0, 1, exclude_max=True),
        precision=st.sampled_from(["auto", "32-true", "16-mixed", "bf16-mixed"]),
        augmentation=AUGMENTATIONS,
    )
)
def test_any_recipe_survives_toml(recipe: Recipe) -> None:
    assert validated(tomllib.loads(to_toml(recipe)), source="again") == recipe


def test_tables_follow_the_plain_values() -> None:
    text = to_toml(Recipe())
    head, *tables = text.split("\n\n")
    assert [table.splitlines()[0] for table in tables] == ["[augmentation]", "[distillation]"]
    assert "frozen_stages = 0" in head.splitlines()
