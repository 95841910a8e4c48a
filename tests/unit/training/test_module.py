from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import lightning.pytorch as pl  # noqa: E402
from sklearn.utils.class_weight import compute_class_weight  # noqa: E402
from torch import nn  # noqa: E402
from torch.utils.data import DataLoader, TensorDataset  # noqa: E402

from binsight.model.network import Network, Outputs  # noqa: E402
from binsight.training.module import Classification, class_weights  # noqa: E402
from binsight.training.recipe import Recipe, load_recipe  # noqa: E402


def small_network(classes: int = 3) -> Network:
    """A network with BatchNorm that a step costs nothing."""
    torch.manual_seed(0)
    features = nn.Sequential(nn.Conv2d(3, 4, 3, stride=8), nn.BatchNorm2d(4), nn.ReLU())
    neck = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(1))
    return Network(features, neck, classes=classes, dropout=0.2)


def photos(count: int, batch: int = 4) -> DataLoader[Any]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(count, 3, 32, 32, generator=generator)
    return DataLoader(TensorDataset(images, torch.arange(count) % 3), batch_size=batch)


class Diary(pl.Callback):
    """Notes what every epoch left behind, and the rates of every step."""

    def __init__(self) -> None:
        self.epochs: list[dict[str, torch.Tensor]] = []
        self.rates: list[tuple[float, ...]] = []

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
        self.rates.append(tuple(group["lr"] for group in trainer.optimizers[0].param_groups))

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        state = module.network.state_dict()
        self.epochs.append({name: value.clone() for name, value in state.items()})


def fitted(recipe: Recipe, *, count: int = 8) -> tuple[Diary, Classification]:
    diary = Diary()
    module = Classification(small_network(), recipe, [3, 3, 2])
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=recipe.epochs,
        callbacks=[diary],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(module, photos(count), photos(4))
    return diary, module


COUNTS = [[10, 20, 70], [5, 5], [1, 1000, 30, 2]]


@pytest.mark.parametrize("counts", COUNTS)
def test_balanced_weights_are_those_of_scikit_learn(counts: list[int]) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    expected = compute_class_weight("balanced", classes=np.arange(len(counts)), y=labels)
    assert class_weights(counts, "balanced").numpy() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("counts", COUNTS)
@pytest.mark.parametrize("kind", ["balanced", "sqrt", "none"])
def test_the_mean_weight_over_photos_is_one(counts: list[int], kind: str) -> None:
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    assert float(class_weights(counts, kind)[labels].mean()) == pytest.approx(1, rel=1e-5)


def test_root_weights_lie_between() -> None:
    balanced, root, none = (class_weights([4, 16], kind) for kind in ("balanced", "sqrt", "none"))
    assert none.tolist() == [1, 1]
    assert float(root[0] / root[1]) == pytest.approx(2)
    assert float(balanced[0] / balanced[1]) == pytest.approx(4)


def test_the_warm_up_moves_only_the_head() -> None:
    diary, _ = fitted(Recipe(epochs=2, warmup_epochs=1, learning_rate=0.1))
    first = small_network().state_dict()
    warm, after = diary.epochs
    for name, value in first.items():
        assert torch.equal(warm[name], value) == (not name.startswith("head.")), name
        assert not torch.equal(after[name], warm[name]), name


def test_without_a_warm_up_all_moves_at_once() -> None:
    diary, _ = fitted(Recipe(epochs=1, learning_rate=0.1))
    first = small_network().state_dict()
    assert all(not torch.equal(diary.epochs[0][name], value) for name, value in first.items())


def test_frozen_statistics_stay_in_every_epoch() -> None:
    recipe = Recipe(epochs=2, warmup_epochs=1, learning_rate=0.1, frozen_batchnorm=True)
    diary, _ = fitted(recipe)
    first = small_network().state_dict()
    for name in ("features.1.running_mean", "features.1.running_var"):
        assert torch.equal(diary.epochs[1][name], first[name])
    assert not torch.equal(diary.epochs[1]["features.0.weight"], first["features.0.weight"])


def test_plateau_rates() -> None:
    recipe = Recipe(
        epochs=3,
        warmup_epochs=1,
        warmup_learning_rate=0.5,
        learning_rate=0.01,
        head_learning_rate=0.02,
        plateau_patience=9,
    )
    diary, _ = fitted(recipe)
    assert [head for _, head in diary.rates] == [0.5] * 2 + [0.02] * 4
    assert [backbone for backbone, _ in diary.rates][2:] == [0.01] * 4


def test_the_rate_falls_when_accuracy_stands_still(monkeypatch) -> None:
    def standing(self: Classification, images: torch.Tensor) -> Outputs:
        outputs = self.network(images)
        return outputs._replace(logits_nc=outputs.logits_nc * 0)  # every answer is class 0

    monkeypatch.setattr(Classification, "forward", standing)
    recipe = Recipe(
        epochs=7,
        warmup_epochs=1,
        learning_rate=0.01,
        head_learning_rate=0.02,
        plateau_factor=0.1,
        plateau_patience=2,
    )
    diary, _ = fitted(recipe, count=4)
    # Epoch 1 is the best; 2, 3 and 4 do not beat it; the third of these is one too many.
    backbone = [rate for rate, _ in diary.rates]
    assert backbone[1:5] == [0.01] * 4
    assert backbone[5:] == pytest.approx([0.001] * 2)
    assert diary.rates[-1][1] == pytest.approx(0.002)


def test_cosine_rates() -> None:
    recipe = Recipe(
        epochs=4,
        warmup_epochs=1,
        schedule="cosine",
        warmup_learning_rate=0.5,
        learning_rate=0.01,
        head_learning_rate=0.02,
    )
    diary, _ = fitted(recipe, count=80)
    backbone, head = (np.array(rates) for rates in zip(*diary.rates, strict=True))
    assert len(backbone) == 80
    assert backbone[:20] == pytest.approx(np.zeros(20))
    assert head[:20] == pytest.approx(np.full(20, 0.5))
    # Three steps (a twentieth of the other sixty) up, the rest down along half a cosine.
    assert backbone[20:23] == pytest.approx([0.01 / 3, 0.02 / 3, 0.01])
    assert head[20:23] == pytest.approx(2 * backbone[20:23])
    falling = backbone[23:]
    assert falling[0] == pytest.approx(0.01)
    assert falling[len(falling) // 2] == pytest.approx(
        0.01 * (1 + math.cos(math.pi * (len(falling) // 2) / len(falling))) / 2
    )
    assert 0 < falling[-1] < 0.01 / 100
    assert bool((np.diff(falling) < 0).all())


def test_groups_and_decay() -> None:
    _, module = fitted(Recipe(epochs=1, weight_decay=0.3))
    optimizer = module.trainer.optimizers[0]
    assert isinstance(optimizer, torch.optim.AdamW)
    backbone, head = optimizer.param_groups
    assert backbone["weight_decay"] == head["weight_decay"] == 0.3
    assert {id(one) for one in head["params"]} == {
        id(one) for one in module.network.head.parameters()
    }
    assert len(backbone["params"]) + len(head["params"]) == len(list(module.network.parameters()))


def test_the_loss_weighs_and_smooths() -> None:
    recipe = Recipe(label_smoothing=0.2, class_weights="balanced")
    module = Classification(small_network(2), recipe, [1, 3])
    logits = torch.tensor([[2.0, 0.0], [0.5, 1.0]])
    labels = torch.tensor([0, 1])
    weights = np.array([2, 2 / 3])
    logs = logits.double().log_softmax(dim=1).numpy()
    targets = np.array([[0.9, 0.1], [0.1, 0.9]])
    expected = -(targets * logs * weights).sum() / weights.sum()
    assert float(module.loss(logits, labels)) == pytest.approx(expected, rel=1e-5)
    assert module.plain_loss.label_smoothing == 0
    assert module.plain_loss.weight is None


@pytest.mark.parametrize("width", [0, 4])
def test_teachers_are_listened_to_whether_or_not_they_give_embeddings(width: int) -> None:
    recipe = load_recipe("seed", ["distillation.weight=1", "distillation.temperature=1"])
    module = Classification(small_network(), recipe, [3, 3, 2], teacher_width=width).eval()
    module.log = lambda *_, **__: None  # type: ignore[method-assign,assignment]
    images, labels = torch.randn(4, 3, 32, 32), torch.zeros(4, dtype=torch.long)
    probs = torch.tensor([[0.1, 0.2, 0.7]] * 4)
    answers = torch.cat([probs, torch.rand(4, width)], dim=1)
    loss = module.training_step([images, labels, answers])
    guessed = module(images).logits_nc.log_softmax(dim=1)
    expected = (probs * (probs.log() - guessed)).sum(dim=1).mean()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)

    def ask(images_nchw: torch.Tensor, digests: Sequence[str]) -> torch.Tensor:
        assert images_nchw is images
        return answers[[int(digest) for digest in digests]]

    module.ask_teacher = ask
    assert module.training_step([images, labels, ["0", "1", "2", "3"]]) == loss


@pytest.mark.parametrize("frozen", [True, False])
def test_frozen_batchnorm_keeps_its_statistics_while_its_weights_learn(frozen: bool) -> None:
    diary, _ = fitted(Recipe(epochs=2, warmup_epochs=1, frozen_batchnorm=frozen))
    warmed, trained = diary.epochs
    assert (
        torch.equal(warmed["features.1.running_mean"], trained["features.1.running_mean"]) is frozen
    )
    assert not torch.equal(warmed["features.1.weight"], trained["features.1.weight"])


def test_each_stage_learns_slower_than_the_one_above() -> None:
    diary, module = fitted(Recipe(epochs=1, learning_rate=0.01, layer_decay=0.5, batch=4))
    *backbone, head = module.trainer.optimizers[0].param_groups
    stages = module.network.stages()
    assert [len(group["params"]) for group in backbone] == [len(stage) for stage in stages]
    rates = diary.rates[0]
    assert rates[:-1] == pytest.approx([0.01 * 0.5**n for n in reversed(range(len(stages)))])
    assert rates[-1] == head["lr"]


def test_frozen_stages_keep_weights_and_statistics() -> None:
    recipe = Recipe(epochs=2, learning_rate=0.1, head_learning_rate=0.1, frozen_stages=2)
    before = {name: value.clone() for name, value in small_network().state_dict().items()}
    diary, _ = fitted(recipe)
    after = diary.epochs[-1]
    frozen = [name for name in after if name.startswith(("features.0.", "features.1."))]
    learning = [name for name in after if name.startswith("head.")]
    assert frozen
    assert all(torch.equal(before[name], after[name]) for name in frozen)
    assert not any(torch.equal(before[name], after[name]) for name in learning)
