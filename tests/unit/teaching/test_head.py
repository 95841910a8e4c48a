from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax

from binsight.teaching.head import Head, fit_head

CLASSES, WIDTH = 4, 12


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


def clusters(random: np.random.Generator, each: int) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings (N, WIDTH) around one centre a class, which overlap a little."""
    centres = random.normal(size=(CLASSES, WIDTH))
    labels = np.repeat(np.arange(CLASSES), each)
    return (centres[labels] + random.normal(size=(len(labels), WIDTH))).astype(np.float32), labels


def some_head(random: np.random.Generator, temperature: float = 1.0) -> Head:
    return Head(
        random.normal(size=(CLASSES, WIDTH)).astype(np.float32),
        random.normal(size=CLASSES).astype(np.float32),
        temperature,
    )


@pytest.mark.parametrize("pull", [3e-4, 1e-2, 1.0])
def test_the_fit_finds_the_minimum_that_a_general_solver_finds(
    random: np.random.Generator, pull: float
) -> None:
    x, labels = clusters(random, each=20)
    weights = random.uniform(0.5, 10, len(x))
    prior = some_head(random)
    scale = np.sqrt((x.astype(np.float64) ** 2).sum(axis=1).mean())
    columns = np.column_stack([x / scale, np.ones(len(x))])
    start = np.column_stack([prior.weight_cd * scale, prior.bias_c]).astype(np.float64)

    def loss(flat: np.ndarray) -> float:
        head = flat.reshape(start.shape)
        log_probs = log_softmax(columns @ head.T, axis=1)[np.arange(len(x)), labels]
        return -np.average(log_probs, weights=weights) + pull / 2 * ((head - start) ** 2).sum()

    best = minimize(loss, start.ravel(), method="L-BFGS-B", options={"maxiter": 2000})
    found = fit_head(prior, x, labels, weights, pull=pull)
    flat = np.column_stack([found.weight_cd * scale, found.bias_c]).ravel()
    assert loss(flat) == pytest.approx(best.fun, rel=2e-3)
    assert loss(flat) < loss(start.ravel())


def test_a_strong_pull_changes_nothing(random: np.random.Generator) -> None:
    x, labels = clusters(random, each=5)
    prior = some_head(random)
    found = fit_head(prior, x, labels, np.ones(len(x)), pull=1e6)
    np.testing.assert_allclose(found.logits(x), prior.logits(x), atol=1e-3)


def test_the_temperature_of_the_prior_is_divided_out(random: np.random.Generator) -> None:
    x, labels = clusters(random, each=5)
    prior = some_head(random, temperature=2.5)
    found = fit_head(prior, x, labels, np.ones(len(x)), pull=1e6)
    assert found.temperature == 1
    np.testing.assert_allclose(found.probs(x), prior.probs(x), atol=1e-3)


def test_a_photo_of_weight_zero_teaches_nothing(random: np.random.Generator) -> None:
    x, labels = clusters(random, each=5)
    prior = some_head(random)
    weights = np.ones(len(x))
    weights[-1] = 0
    lied = labels.copy()
    lied[-1] = 0
    one = fit_head(prior, x, labels, weights, pull=1e-2)
    other = fit_head(prior, x, lied, weights, pull=1e-2)
    np.testing.assert_array_equal(one.weight_cd, other.weight_cd)


def test_the_size_of_embeddings_does_not_matter(random: np.random.Generator) -> None:
    x, labels = clusters(random, each=10)
    prior = some_head(random)
    larger = Head(prior.weight_cd / 50, prior.bias_c)
    one = fit_head(prior, x, labels, np.ones(len(x)), pull=1e-2)
    other = fit_head(larger, x * 50, labels, np.ones(len(x)), pull=1e-2)
    np.testing.assert_allclose(one.probs(x), other.probs(x * 50), atol=1e-3)


def test_embeddings_of_zeros_are_no_trouble(random: np.random.Generator) -> None:
    found = fit_head(
        some_head(random), np.zeros((2, WIDTH), np.float32), np.array([0, 1]), np.ones(2), pull=1e-2
    )
    assert np.isfinite(found.weight_cd).all()
    assert np.isfinite(found.bias_c).all()
