"""Make confidence mean something: temperature scaling, its error, and when to say "not sure".

It knows arrays of logits and confidences. Where they come from is left to the caller, and
both numbers should come from validation photos, never from the test part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import TrainingError, UsageError

__all__ = [
    "Reliability",
    "choose_threshold",
    "expected_calibration_error",
    "fit_temperature",
    "reliability",
    "softmax",
]

TEMPERATURE_RANGE = (0.1, 10.0)
BINS = 15
MAJORITY = 0.5  # an answer that the other classes together outweigh is not sure
HALVINGS = 50
HAIR = 1e-4  # of a confidence: more than last digits are


def fit_temperature(logits_nc: NDArray[np.floating[Any]], labels_n: NDArray[np.int64]) -> float:
    """Find the temperature T for which softmax(logits / T) has the least negative log-likelihood.

    Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2. Of N photos, a share
    of 1 / (N + 2) counts as of another class: few photos without a mistake do not show that there
    are none (Platt 1999, "Probabilistic Outputs for Support Vector Machines", section 2.2). The
    loss is convex in 1/T, so halving the range by the sign of its slope finds the one minimum.

    Args:
        logits_nc: logits, or log-probabilities (the same up to a constant for each row).
        labels_n: true class indices, 0 to C-1.

    Returns:
        T in [0.1, 10].

    Raises:
        TrainingError: no photos, shapes that do not fit, or values that are not finite.
    """
    _check_logits(logits_nc, labels_n)
    logits64_nc = logits_nc.astype(np.float64)
    logits64_nc -= logits64_nc.max(axis=1, keepdims=True)
    photos, classes = logits64_nc.shape
    true_n = logits64_nc[np.arange(photos), labels_n]
    others_n = (logits64_nc.sum(axis=1) - true_n) / max(classes - 1, 1)
    doubt = 1 / (photos + 2)
    wanted = float(((1 - doubt) * true_n + doubt * others_n).mean())

    def slope(scale: float) -> float:
        """Of the loss, by 1/T: mean expected logit less the wanted one."""
        powers_nc = np.exp(logits64_nc * scale)
        expected_n = (powers_nc * logits64_nc).sum(axis=1) / powers_nc.sum(axis=1)
        return float(expected_n.mean()) - wanted

    low, high = 1 / TEMPERATURE_RANGE[1], 1 / TEMPERATURE_RANGE[0]
    for _ in range(HALVINGS):
        middle = (low * high) ** 0.5
        low, high = (low, middle) if slope(middle) > 0 else (middle, high)
    return float(np.clip(1 / (low * high) ** 0.5, *TEMPERATURE_RANGE))


def _check_logits(logits_nc: NDArray[np.floating[Any]], labels_n: NDArray[np.int64]) -> None:
    if logits_nc.ndim != 2 or labels_n.shape != logits_nc.shape[:1] or not logits_nc.size:
        raise TrainingError(
            f"logits of shape {logits_nc.shape} and labels of shape {labels_n.shape}; "
            "give (photos, classes) and (photos,), with at least one photo"
        )
    if not np.isfinite(logits_nc).all():
        raise TrainingError("logits hold values that are not finite; did training diverge?")
    if ((labels_n < 0) | (labels_n >= logits_nc.shape[1])).any():
        raise TrainingError(f"a label is outside 0 to {logits_nc.shape[1] - 1}")


def softmax(logits_nc: NDArray[np.float32], temperature: float = 1.0) -> NDArray[np.float32]:
    """Probabilities (N, C) of logits divided by a temperature."""
    scaled = logits_nc.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    probs: NDArray[np.float32] = powers / powers.sum(axis=1, keepdims=True)
    return probs.astype(np.float32)


def choose_threshold(
    confidence_n: NDArray[np.floating[Any]],
    correct_n: NDArray[np.bool_],
    *,
    risk: float = 0.02,
    least: float = MAJORITY,
) -> float:
    """Choose the smallest threshold at which at most ``risk`` of the accepted photos are wrong.

    A photo is accepted when its confidence is at least the threshold. This is the plain
    empirical form of selective classification (Geifman and El-Yaniv 2017, "Selective
    Classification for Deep Neural Networks"), without their confidence bound: on new photos the
    risk may be somewhat higher. Risk is not monotonic in the threshold; of all that satisfy it,
    the one that accepts most photos wins.

    Args:
        confidence_n: probability of the predicted class, 0 to 1.
        correct_n: whether the prediction is right.
        risk: allowed share of wrong answers among the accepted, 0 to 1.
        least: the threshold is never below this, however good the answers are.

    Returns:
        ``least`` when every photo that reaches it may be accepted; otherwise `HAIR`, or half-way to
        the next if that is nearer, below the last that is accepted, so that other last digits, as
        another runtime computes, reject none; 1.0 when no threshold satisfies the risk. 1.0 rejects
        all but a confidence of exactly 1, which float32 can reach.

    Raises:
        UsageError: ``risk`` is outside 0 to 1.
        TrainingError: no photos, or arrays that do not fit.
    """
    if not 0.0 <= risk <= 1.0:
        raise UsageError(f"risk is {risk:g}; give a share from 0 to 1, such as 0.02")
    _check_confidence(confidence_n, correct_n)
    order_n = np.argsort(-confidence_n, kind="stable")
    falling_n = confidence_n[order_n]
    risk_n = np.cumsum(~correct_n[order_n]) / np.arange(1, len(order_n) + 1)
    # Equal confidences are accepted together, so only the last of them can be the border.
    border_n = np.append(falling_n[:-1] != falling_n[1:], True)
    enough = int((falling_n >= least).sum())
    possible = np.flatnonzero((border_n & (risk_n <= risk))[:enough])
    if not len(possible):
        return 1.0
    if possible[-1] == enough - 1:
        return least
    last, following = map(float, falling_n[possible[-1] :][:2])
    return max(last - HAIR, (last + following) / 2)


def _check_confidence(confidence_n: NDArray[Any], correct_n: NDArray[np.bool_]) -> None:
    if confidence_n.ndim != 1 or confidence_n.shape != correct_n.shape or not len(confidence_n):
        raise TrainingError(
            f"confidences of shape {confidence_n.shape} and answers of shape {correct_n.shape}; "
            "give one of each for every photo, with at least one photo"
        )
    if correct_n.dtype != np.bool_:
        raise TrainingError(f"correct must be booleans, not {correct_n.dtype}")
    if not ((confidence_n >= 0) & (confidence_n <= 1)).all():
        raise TrainingError("a confidence is outside 0 to 1")


@dataclass(frozen=True, eq=False)
class Reliability:
    """Photos sorted into B equal-width bins of confidence; empty bins hold zeros.

    Args:
        counts_b: photos in the bin.
        confidence_b: their mean confidence.
        accuracy_b: share of them that is right.
    """

    counts_b: NDArray[np.int64]
    confidence_b: NDArray[np.float64]
    accuracy_b: NDArray[np.float64]


def reliability(
    confidence_n: NDArray[np.floating[Any]], correct_n: NDArray[np.bool_], *, bins: int = BINS
) -> Reliability:
    """Sort photos into bins ((b-1)/B, b/B] of confidence; exactly 0 goes to the first.

    Guo et al. 2017, section 2.
    """
    _check_confidence(confidence_n, correct_n)
    inner = np.linspace(0.0, 1.0, bins + 1)[1:-1]
    bin_n = np.digitize(confidence_n.astype(np.float64), inner, right=True)
    counts_b = np.bincount(bin_n, minlength=bins)
    divisor_b = np.maximum(counts_b, 1)
    return Reliability(
        counts_b=counts_b.astype(np.int64),
        confidence_b=np.bincount(bin_n, weights=confidence_n, minlength=bins) / divisor_b,
        accuracy_b=np.bincount(bin_n, weights=correct_n, minlength=bins) / divisor_b,
    )


def expected_calibration_error(
    confidence_n: NDArray[np.floating[Any]], correct_n: NDArray[np.bool_], *, bins: int = BINS
) -> float:
    """Mean gap between confidence and accuracy over the bins, weighted by photos, 0 to 1.

    Naeini et al. 2015, as used by Guo et al. 2017, equation 3.
    """
    table = reliability(confidence_n, correct_n, bins=bins)
    gap_b = np.abs(table.accuracy_b - table.confidence_b)
    return float(np.sum(table.counts_b * gap_b) / len(confidence_n))
