"""The linear head on top of an embedding, and the convex fit that learns it anew.

It knows arrays. Photos and files are left to the callers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from binsight.calibration import softmax

__all__ = ["Head", "fit_head"]

Floats = NDArray[np.float32]
ITERATIONS = 500
TOLERANCE = 1e-4


@dataclass(frozen=True, eq=False)
class Head:
    """Logits = embedding @ weight + bias; probabilities are softmax(logits / temperature).

    Args:
        weight_cd: (C, D).
        bias_c: (C,).
        temperature: above 0.
    """

    weight_cd: Floats
    bias_c: Floats
    temperature: float = 1.0

    def __post_init__(self) -> None:
        assert self.weight_cd.ndim == 2
        assert self.bias_c.shape == self.weight_cd.shape[:1]
        assert self.temperature > 0

    def logits(self, embeddings_nd: Floats) -> Floats:
        """(N, D) to logits (N, C), not yet divided by the temperature."""
        logits_nc: Floats = embeddings_nd.astype(np.float32) @ self.weight_cd.T + self.bias_c
        return logits_nc

    def probs(self, embeddings_nd: Floats) -> Floats:
        """(N, D) to calibrated probabilities (N, C)."""
        return softmax(self.logits(embeddings_nd), self.temperature)


def fit_head(
    prior: Head,
    embeddings_nd: Floats,
    labels_n: NDArray[np.int64],
    weights_n: NDArray[np.floating[Any]],
    *,
    pull: float,
) -> Head:
    """Logistic regression that is pulled towards a head it starts from.

    Minimises the weighted mean of the cross-entropy plus ``pull / 2`` times the squared distance
    from the prior, measured on embeddings of norm 1 on average. Each step minimises a quadratic
    upper bound of the loss (Böhning 1992, "Multinomial logistic regression algorithm"), whose
    matrix has to be inverted only once, with Nesterov's momentum, begun anew where it points
    uphill (O'Donoghue and Candès 2015).

    Args:
        prior: where to start, with one row a class; its temperature is divided out.
        embeddings_nd: (N, D), N of at least 1.
        labels_n: class numbers, 0 to C-1.
        weights_n: of each row, 0 or more, at least one above 0.
        pull: above 0; the larger, the closer the result stays to the prior.

    Returns:
        A head of temperature 1.
    """
    assert pull > 0, pull
    assert len(embeddings_nd) == len(labels_n) == len(weights_n) > 0
    scale = float(np.sqrt(np.mean(np.square(embeddings_nd, dtype=np.float32).sum(axis=1)))) or 1.0
    x_nd = np.column_stack([embeddings_nd / scale, np.ones(len(embeddings_nd))]).astype(np.float32)
    share_n1 = (weights_n / weights_n.sum()).astype(np.float32)[:, None]
    start_cd = np.column_stack([prior.weight_cd * scale, prior.bias_c]).astype(np.float32)
    start_cd /= np.float32(prior.temperature)
    wanted_nc = np.eye(len(start_cd), dtype=np.float32)[labels_n]
    # Slopes never leave the space that the rows span, which is small where photos are few.
    basis_dk = _basis(x_nd)
    z_nk: Floats = x_nd @ basis_dk
    begin_ck: Floats = start_cd @ basis_dk
    step_kk = _inverse_bound(z_nk, share_n1, pull)

    def downhill(at_ck: Floats) -> Floats:
        error_nc = (_softmax(z_nk @ at_ck.T) - wanted_nc) * share_n1
        slope_ck = error_nc.T @ z_nk + pull * (at_ck - begin_ck)
        result_ck: Floats = at_ck - slope_ck @ step_kk
        return result_ck

    moved_ck: Floats = _accelerated(begin_ck, downhill) - begin_ck
    found_cd: Floats = start_cd + moved_ck @ basis_dk.T
    return Head(found_cd[:, :-1] / scale, found_cd[:, -1])


def _basis(x_nd: Floats) -> Floats:
    """Orthonormal columns (D, K) that span the rows, K the smaller of N and D."""
    if len(x_nd) >= x_nd.shape[1]:
        return np.eye(x_nd.shape[1], dtype=np.float32)
    basis_dk: Floats = np.linalg.qr(x_nd.T.astype(np.float64))[0].astype(np.float32)
    return basis_dk


def _softmax(logits_nc: Floats) -> Floats:
    """Softmax in single precision, for the fit's many steps."""
    powers_nc = np.exp(logits_nc - logits_nc.max(axis=1, keepdims=True))
    probs_nc: Floats = powers_nc / powers_nc.sum(axis=1, keepdims=True)
    return probs_nc


def _inverse_bound(x_nd: Floats, share_n1: Floats, pull: float) -> Floats:
    """Inverse of the bound's matrix; the same for all classes, as slopes add up to 0 over them."""
    bound_dd = 0.5 * (x_nd * share_n1).T @ x_nd
    bound_dd[np.diag_indices_from(bound_dd)] += pull
    inverse_dd: Floats = np.linalg.inv(bound_dd.astype(np.float64)).astype(np.float32)
    return inverse_dd


def _accelerated(start_cd: Floats, downhill: Callable[[Floats], Floats]) -> Floats:
    found_cd = ahead_cd = start_cd
    pace = 1.0
    for _ in range(ITERATIONS):
        next_cd = downhill(ahead_cd)
        move_cd = next_cd - found_cd
        uphill = float(np.sum((ahead_cd - next_cd) * move_cd)) > 0
        next_pace = 1.0 if uphill else (1 + np.sqrt(1 + 4 * pace**2)) / 2
        ahead_cd = next_cd if uphill else next_cd + np.float32((pace - 1) / next_pace) * move_cd
        found_cd, pace = next_cd, next_pace
        if np.abs(move_cd).max() <= TOLERANCE * np.abs(found_cd).max():
            break
    return found_cd
