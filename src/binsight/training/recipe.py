"""The recipe: every number that decides how a network is trained, in one small TOML file.

Unknown keys and values out of range are refused, all at once. Defaults live in this class alone;
the recipes that come along are files beside this one.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError, model_validator

from binsight.bundle import Metadata, Strict
from binsight.errors import RecipeError
from binsight.files import read_toml
from binsight.preprocess import PreprocessSpec

__all__ = [
    "Augmentation",
    "Distillation",
    "Recipe",
    "built_in_recipes",
    "load_recipe",
    "onward",
    "to_toml",
    "validated",
]

Probability = Annotated[float, Field(ge=0, le=1)]
NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
SMALLER = 7 / 8  # in training than at evaluation: Touvron et al. 2019
STEP = 32  # pixels that become one in the last feature map


class Augmentation(BaseModel):
    """Random changes to training photos.

    Args:
        min_scale: smallest share of the photo's area that a random crop keeps.
        background: probability of another surface, behind an object on a plain board, or around a
            photo that is seen from farther away.
        zoom_out: probability that the view is larger than the photo.
        horizontal_flip: probability.
        vertical_flip: probability.
        quarter_turn: probability of a turn by 90, 180 or 270 degrees.
        rotation_degrees: largest small turn, either way.
        perspective: probability of a view from one side.
        light: probability of another lamp: colour, exposure, gamma, and a slope, spot or shadow.
        brightness: largest relative change; likewise contrast and saturation.
        contrast: see brightness.
        saturation: see brightness.
        hue: largest shift, as a share of the colour circle.
        grayscale: probability of losing all colour.
        trivial: probability of one random change (TrivialAugment, Mueller and Hutter 2021).
        pixelate: probability of fewer pixels.
        motion: probability of a blur along a line.
        blur: probability of a Gaussian blur.
        noise: probability of a sensor's noise.
        jpeg: probability of a re-compression.
        jpeg_lowest: quality of the strongest one; the weakest has 90.
        erasing: probability of one grey rectangle.
        mix: probability that a batch is mixed, half by MixUp (Zhang et al. 2018), half by CutMix
            (Yun et al. 2019).
        mixup_alpha: of the Beta distribution that MixUp draws its weights from.
    """

    model_config = Strict

    min_scale: Annotated[float, Field(gt=0, le=1)] = 1.0
    background: Probability = 0.0
    zoom_out: Probability = 0.0
    horizontal_flip: Probability = 0.5
    vertical_flip: Probability = 0.0
    quarter_turn: Probability = 0.0
    rotation_degrees: Annotated[float, Field(ge=0, le=180)] = 0.0
    perspective: Probability = 0.0
    light: Probability = 0.0
    brightness: Probability = 0.0
    contrast: Probability = 0.0
    saturation: Probability = 0.0
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    grayscale: Probability = 0.0
    trivial: Probability = 0.0
    pixelate: Probability = 0.0
    motion: Probability = 0.0
    blur: Probability = 0.0
    noise: Probability = 0.0
    jpeg: Probability = 0.0
    jpeg_lowest: Annotated[int, Field(ge=1, le=90)] = 30
    erasing: Probability = 0.0
    mix: Probability = 0.0
    mixup_alpha: Positive = 0.3


class Distillation(BaseModel):
    """How a student learns from a teacher that is shown the same random crops.

    "Knowledge distillation: a good teacher is patient and consistent", Beyer et al. 2022, after
    Hinton et al. 2015.

    Args:
        weight: of the teacher's probabilities in the loss; the labels have the rest.
        temperature: that both sides' logits are divided by.
        embedding: weight of the squared distance between the teacher's embedding, of norm 1, and
            a linear map of the student's; 0 for none.
    """

    model_config = Strict

    weight: Probability = 0.8
    temperature: Positive = 2.0
    embedding: NonNegative = 0.0


class Recipe(BaseModel):
    """How to train.

    Args:
        architecture: torchvision's name.
        size: side of a training crop, in pixels.
        eval_size: side of the square that the trained model is shown, in pixels.
        eval_resize_to: shorter side before its centre is cropped, in pixels.
        epochs: passes over the training part, the warm-up included.
        batch: photos a step; BatchNorm needs two, unless it is frozen.
        seed: of every random choice.
        warmup_epochs: first epochs in which only the head learns.
        warmup_learning_rate: of the head in these epochs.
        learning_rate: of the backbone.
        head_learning_rate: of the head after the warm-up.
        weight_decay: of AdamW (Loshchilov and Hutter 2019).
        schedule: ``plateau`` is ReduceLROnPlateau on validation accuracy; ``cosine`` falls to
            zero at the last step.
        plateau_factor: learning rates are multiplied by this.
        plateau_patience: epochs without improvement that are waited for.
        gradient_clip: largest norm of the gradient; 0 leaves it.
        class_weights: of the loss: ``balanced`` is inverse to a class's count, ``sqrt`` to its
            root.
        label_smoothing: share of a label that is spread over all classes.
        dropout: before the head.
        frozen_batchnorm: keep BatchNorm's statistics as they were in the first weights.
        frozen_stages: so many of the first stages of the backbone keep their first weights. With
            all frozen, the head alone learns: a linear probe.
        views: the random changes to a photo come from so many fixed draws, epoch after epoch; what
            frozen stages or a teacher make of these can be kept. 0 draws anew in each epoch, and
            frozen stages and teachers have to look every time.
        layer_decay: each stage of the backbone learns at this share of the rate of the one above
            it (Howard and Ruder 2018; Clark et al. 2020).
        interpolation: share of the fine-tuned weights in the result; the rest is the network after
            the warm-up, which still has its first backbone (WiSE-FT, Wortsman et al. 2022).
            Without a warm-up, it is the first weights, whose head has to know the classes.
        ema_decay: of the exponential moving average of the weights, a step, at most: the first
            steps count more, see `averaging`. 0 for none.
        refit: after the last epoch, fit the head of the best one once more, on whole photos
            (Touvron et al. 2019); see `binsight.training.refit`.
        distillation: how a student learns from a teacher; without one, it has no say.
        precision: Lightning's name, or ``auto``: ``16-mixed`` on CUDA, ``32-true`` elsewhere.
        augmentation: random changes to training photos.
    """

    model_config = Strict

    architecture: str = "efficientnet_v2_s"
    size: Annotated[int, Field(ge=32, le=1024)] = 224
    eval_size: Annotated[int, Field(ge=32, le=1024)] = 224
    eval_resize_to: Annotated[int, Field(ge=32, le=2048)] = 224
    epochs: Annotated[int, Field(ge=1)] = 15
    batch: Annotated[int, Field(ge=1)] = 32
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    warmup_epochs: Annotated[int, Field(ge=0)] = 0
    warmup_learning_rate: Positive = 1e-3
    learning_rate: Positive = 1e-5
    head_learning_rate: Positive = 1e-5
    weight_decay: NonNegative = 0.01
    schedule: Literal["plateau", "cosine"] = "plateau"
    plateau_factor: Annotated[float, Field(gt=0, lt=1)] = 0.5
    plateau_patience: Annotated[int, Field(ge=0)] = 2
    gradient_clip: NonNegative = 1.0
    class_weights: Literal["balanced", "sqrt", "none"] = "balanced"
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    frozen_batchnorm: bool = False
    frozen_stages: Annotated[int, Field(ge=0)] = 0
    views: Annotated[int, Field(ge=0, le=1000)] = 0
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    interpolation: Annotated[float, Field(gt=0, le=1)] = 1.0
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    refit: bool = False
    precision: Literal["auto", "32-true", "16-mixed", "bf16-mixed"] = "auto"
    augmentation: Augmentation = Augmentation()
    distillation: Distillation = Distillation()

    @model_validator(mode="after")
    def _sizes_agree(self) -> Recipe:
        if self.eval_resize_to < self.eval_size:
            raise ValueError("eval_resize_to must not be smaller than eval_size")
        if self.warmup_epochs >= self.epochs:
            raise ValueError(
                "warmup_epochs must be fewer than epochs; give both, or warmup_epochs=0"
            )
        return self

    @property
    def preprocess(self) -> PreprocessSpec:
        """How the trained model is shown a photo."""
        return PreprocessSpec(size=self.eval_size, resize_to=self.eval_resize_to)


def built_in_recipes() -> tuple[str, ...]:
    """Names of the recipes that come along."""
    folder = resources.files(__package__) / "recipes"
    return tuple(sorted(Path(item.name).stem for item in folder.iterdir()))


def load_recipe(name_or_file: str, changes: Sequence[str] = ()) -> Recipe:
    """Read a recipe.

    Args:
        name_or_file: one of `built_in_recipes`, or a TOML file.
        changes: single values, such as ``"epochs=3"`` or ``"augmentation.blur=0.2"``.

    Raises:
        RecipeError: no such recipe, or every mistake in it.
    """
    values = _read(name_or_file)
    for change in changes:
        _set(values, change)
    return validated(values, source=f"{name_or_file} with --set" if changes else name_or_file)


def onward(bundle: Metadata, changes: Sequence[str] = (), name: str = "onward") -> Recipe:
    """Recipe for the network of a bundle, which is shown photos as in the bundle.

    Args:
        bundle: whose weights are the first ones.
        changes: as for `load_recipe`.
        name: of the recipe, or a TOML file.

    Raises:
        RecipeError: no such recipe, or a wrong change.
    """
    spec = bundle.preprocess
    size = round(spec.size * SMALLER / STEP) * STEP
    its = {
        "architecture": bundle.architecture,
        "size": max(STEP, size),
        "eval_size": spec.size,
        "eval_resize_to": max(spec.size, spec.resize_to),
        "frozen_batchnorm": "true",  # a bundle keeps no statistics to go on from
    }
    return load_recipe(name, [*(f"{key}={value}" for key, value in its.items()), *changes])


def validated(values: Mapping[str, Any], *, source: str) -> Recipe:
    """Build a recipe from plain values.

    Raises:
        RecipeError: naming every wrong key and value.
    """
    try:
        return Recipe.model_validate(dict(values))
    except ValidationError as error:
        wrong = "; ".join(_explain(one["loc"], one["msg"], one["type"]) for one in error.errors())
        raise RecipeError(f"recipe {source}: {wrong}") from error


def _explain(location: tuple[int | str, ...], message: str, kind: str) -> str:
    name = ".".join(map(str, location))
    if kind == "extra_forbidden":
        return f"unknown key {name}{_meant(name)}"
    message = message.removeprefix("Value error, ")
    return f"{name}: {message}" if name else message


def _meant(key: str) -> str:
    """A hint at the key that is nearly called so, or is called so in a table."""
    keys = list(_keys(Recipe))
    same = [one for one in keys if one.rpartition(".")[2] == key.rpartition(".")[2]]
    meant = same or get_close_matches(key, keys, n=1)
    return f" (did you mean {meant[0]}?)" if meant else ""


def _keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """All keys of a recipe, those of tables with the table's name and a dot before them."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _keys(kind, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _read(name_or_file: str) -> dict[str, Any]:
    if name_or_file in built_in_recipes():
        file = resources.files(__package__) / "recipes" / f"{name_or_file}.toml"
        return tomllib.loads(file.read_text(encoding="utf-8"))
    path = Path(name_or_file)
    if not path.is_file():
        known = ", ".join(built_in_recipes())
        raise RecipeError(f"no recipe {name_or_file!r}; give one of {known}, or a TOML file")
    return read_toml(path, RecipeError)


def _set(values: dict[str, Any], change: str) -> None:
    key, equals, text = change.partition("=")
    if not equals:
        raise RecipeError(f"--set {change}: give KEY=VALUE")
    *tables, name = key.strip().split(".")
    for table in tables:
        values = values.setdefault(table, {})
        if not isinstance(values, dict):
            raise RecipeError(f"--set {change}: {table} is not a table")
    values[name] = _value(text.strip())


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text  # a bare word is a string: architecture=mobilenet_v2


def to_toml(recipe: Recipe) -> str:
    """The whole recipe as TOML, every default written out."""
    values = recipe.model_dump()
    tables = {name: value for name, value in values.items() if isinstance(value, dict)}
    lines = [f"{k} = {_literal(value)}" for k, value in values.items() if k not in tables]
    for name, table in tables.items():
        lines += ["", f"[{name}]", *(f"{k} = {_literal(value)}" for k, value in table.items())]
    return "\n".join([*lines, ""])


def _literal(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
