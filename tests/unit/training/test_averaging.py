from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch.optim.swa_utils import AveragedModel  # noqa: E402

from binsight.training.averaging import moving_average  # noqa: E402


def averaged(decay: float, weights: list[float]) -> float:
    """As Lightning calls it, after each step."""
    model = torch.nn.Linear(1, 1, bias=False)
    average = AveragedModel(model, multi_avg_fn=moving_average(decay))
    for weight in weights:
        torch.nn.init.constant_(model.weight, weight)
        average.update_parameters(model)
    return average.module.weight.item()


def test_few_steps_do_not_keep_the_first_weights() -> None:
    assert averaged(0.99, [0.0] + [1.0] * 10) > 0.99
    assert averaged(0.99, [1.0] * 5) == pytest.approx(1.0)


def test_many_steps_are_averaged_as_the_recipe_says() -> None:
    settled = averaged(0.9, [0.0] * 300 + [1.0])
    assert settled == pytest.approx(0.1)
    assert averaged(0.9, [0.0] * 300 + [1.0] * 5) == pytest.approx(1 - 0.9**5)


def test_a_small_decay_holds_from_the_start() -> None:
    assert averaged(0.1, [0.0, 1.0]) == pytest.approx(0.9)
