"""How strange a photo is: its distance from what a model learned from, as one number.

The relative Mahalanobis distance (Ren et al. 2021, "A Simple Fix to Mahalanobis Distance for
Improving Near-OOD Detection"; the distance itself for this purpose: Lee et al. 2018, "A Simple
Unified Framework for Detecting Out-of-Distribution Samples and Adversarial Attacks") on embeddings
of norm 1 (Mueller and Hein 2025, "Mahalanobis++: Improving OOD Detection via Feature
Normalization"). It needs one pass of the network. docs/not-sure.md puts it beside other scores.

It knows arrays. Computing it inside a bundle's graph is left to `teaching.graph`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import TrainingError, UsageError

__all__ = ["LEAST_NORM", "SCORE", "Formula", "Known", "choose_limit", "fit_known"]

HAIR = 1e-3  # of the photos' deviation: more than last digits are
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

SCORE = "relative-mahalanobis"
# Both are measured in docs/not-sure.md.
SHRINKAGE = 0.7
RANK = 128
LEAST_NORM = 1e-9
LEAST_VARIANCE = 1e-12


@dataclass(frozen=True, eq=False)
class Formula:
    """The score written out, for z = embedding / its norm:

    ``sum_j weight_j * (z @ direction_j)^2 + min_m (offset_m - z @ slope_m)``

    Args:
        directions_dj: (D, J) float16.
        weights_j: (J,).
        slopes_dm: (D, M).
        offsets_m: (M,).
    """

    directions_dj: NDArray[np.float16]
    weights_j: Floats
    slopes_dm: Floats
    offsets_m: Floats

    def score(self, embeddings_nd: NDArray[np.floating[Any]]) -> Doubles:
        """Novelty (N,) of embeddings (N, D); higher is stranger."""
        z_nd = _unit(embeddings_nd)
        squares_nj = (z_nd @ self.directions_dj.astype(np.float64)) ** 2
        nearest_n = (self.offsets_m - z_nd @ self.slopes_dm).min(axis=1)
        novelty_n: Doubles = squares_nj @ self.weights_j + nearest_n
        return novelty_n


@dataclass(frozen=True, eq=False)
class Known:
    """What embeddings of norm 1 of known photos look like: centres, and one spread around them.

    Args:
        basis: (D, K) float16, main directions of the spread within classes; orthonormal.
        variances: (K,) along them.
        rest: (), mean variance along all others.
        centres: (M, D), means; for a class up to two, of learned and of taught photos.
        counts: (M,) photos behind each.
        labels: (M,) int64, their classes.
        taught: (M,) bool.
        scale: (2,), mean and deviation of the raw score over the photos that it was fitted to.
    """

    basis: NDArray[np.float16]
    variances: Floats
    rest: Floats
    centres: Floats
    counts: Floats
    labels: NDArray[np.int64]
    taught: NDArray[np.bool_]
    scale: Floats

    def __post_init__(self) -> None:
        width, rank = self.basis.shape
        assert self.variances.shape == (rank,)
        assert self.centres.shape == (len(self.counts), width)
        assert self.labels.shape == self.taught.shape == self.counts.shape
        assert self.rest.shape == ()
        assert self.scale.shape == (2,)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Everything, by name."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def score(self, embeddings_nd: NDArray[np.floating[Any]]) -> Doubles:
        """Novelty (N,) of embeddings (N, D), in deviations from the mean of the fitted photos."""
        return self.formula.score(embeddings_nd)

    @cached_property
    def formula(self) -> Formula:
        """Distance to the nearest centre, minus the distance to the mean of all learned photos.

        With P the inverse of the covariance within classes and P0 that of all learned photos, the
        squares leave ``z' (P - P0) z``. Both covariances share the basis, so that the difference is
        a matrix of low rank beside a multiple of ``z'z = 1``.
        """
        centres_md, mean_d, between_md = self._centres()
        inner, outer = self._inverses(between_md)
        near_md, far_d = inner.times(centres_md), outer.times(mean_d[None])[0]
        size_m = np.maximum(np.linalg.norm(outer.taken_md, axis=1), LEAST_NORM)
        offsets_m = (near_md * centres_md).sum(axis=1) - far_d @ mean_d + inner.flat - outer.flat
        shift, unit = self.scale.astype(np.float64)
        return Formula(
            np.hstack([self.basis, (outer.taken_md / size_m[:, None]).T]).astype(np.float16),
            (np.append(inner.extra_k - outer.extra_k, size_m**2) / unit).astype(np.float32),
            (2 * (near_md - far_d).T / unit).astype(np.float32),
            ((offsets_m - shift) / unit).astype(np.float32),
        )

    def _centres(self) -> tuple[Doubles, Doubles, Doubles]:
        """All centres; the mean of the learned photos; a root of the spread of their centres."""
        centres_md = self.centres.astype(np.float64)
        learned_md = centres_md[~self.taught]
        share_m = self.counts[~self.taught] / self.counts[~self.taught].sum(dtype=np.float64)
        mean_d = share_m @ learned_md
        return centres_md, mean_d, np.sqrt(share_m)[:, None] * (learned_md - mean_d)

    def _inverses(self, between_md: Doubles) -> tuple[_Inverse, _Inverse]:
        """Of the covariances within classes and of all learned photos, both shrunk."""
        width, rank = self.basis.shape
        trace = float(self.variances.sum()) + float(self.rest) * (width - rank)
        within = self._inverse(max(trace / width, LEAST_VARIANCE))
        total = self._inverse(max((trace + (between_md**2).sum()) / width, LEAST_VARIANCE))
        # Woodbury's identity, for the centres' own spread.
        factor_md = np.sqrt(1 - SHRINKAGE) * between_md
        through_md = total.times(factor_md)
        root_mm = np.linalg.cholesky(np.eye(len(factor_md)) + through_md @ factor_md.T)
        taken_md: Doubles = np.linalg.solve(root_mm, through_md).astype(np.float64)
        return within, replace(total, taken_md=taken_md)

    def _inverse(self, towards: float) -> _Inverse:
        """Of the covariance within classes, shrunk towards a variance that is the same all over."""
        flat = 1 / ((1 - SHRINKAGE) * float(self.rest) + SHRINKAGE * towards)
        along_k = 1 / ((1 - SHRINKAGE) * self.variances.astype(np.float64) + SHRINKAGE * towards)
        basis_dk = self.basis.astype(np.float64)
        return _Inverse(flat, along_k - flat, basis_dk, np.zeros((0, len(basis_dk))))

    def taught_with(
        self, embeddings_nd: NDArray[np.floating[Any]], labels_n: NDArray[np.int64]
    ) -> Known:
        """The same, with a centre for the taught photos of each class, of all lessons together.

        The spread around centres, and the mean of all photos, stay those of the photos which the
        network learned from: a few taught ones say little about them.

        Args:
            embeddings_nd: (N, D).
            labels_n: class numbers.
        """
        z_nd = _unit(embeddings_nd)
        known = self
        for label in np.unique(labels_n):
            known = known._with_centre(int(label), z_nd[labels_n == label])
        return known

    def _with_centre(self, label: int, z_nd: Doubles) -> Known:
        same_m = self.taught & (self.labels == label)
        weights = np.append(self.counts[same_m], np.ones(len(z_nd)))
        centre_d = weights @ np.vstack([self.centres[same_m], z_nd]) / weights.sum()
        return replace(
            self,
            centres=np.vstack([self.centres[~same_m], centre_d]).astype(np.float32),
            counts=np.append(self.counts[~same_m], weights.sum()).astype(np.float32),
            labels=np.append(self.labels[~same_m], label),
            taught=np.append(self.taught[~same_m], True),
        )

    def relabelled(self, place_c: NDArray[np.int64]) -> Known:
        """The same under other class numbers; ``place_c`` (C,) holds the new one of each class."""
        return replace(self, labels=place_c[self.labels])


@dataclass(frozen=True, eq=False)
class _Inverse:
    """The matrix ``flat * I + basis @ diag(extra) @ basis' - taken' @ taken``."""

    flat: float
    extra_k: Doubles
    basis_dk: Doubles
    taken_md: Doubles

    def times(self, rows_md: Doubles) -> Doubles:
        along_mk = (rows_md @ self.basis_dk) * self.extra_k
        taken_mm = rows_md @ self.taken_md.T
        product_md: Doubles = (
            self.flat * rows_md + along_mk @ self.basis_dk.T - taken_mm @ self.taken_md
        )
        return product_md


def fit_known(
    embeddings_nd: NDArray[np.floating[Any]], labels_n: NDArray[np.int64], *, rank: int = RANK
) -> Known:
    """Fit the score to photos that the network learned from, about as many of each class.

    Args:
        embeddings_nd: (N, D), N of at least 1.
        labels_n: class numbers, 0 or more. A class without a photo gets no centre.
        rank: most directions of the spread to keep.
    """
    assert len(embeddings_nd) == len(labels_n) > 0
    z_nd = _unit(embeddings_nd)
    found, row_n, count_m = np.unique(labels_n, return_inverse=True, return_counts=True)
    centres_md = np.stack([z_nd[labels_n == label].mean(axis=0) for label in found])
    spread_nd = z_nd - centres_md[row_n]
    variance_d, axes_dd = np.linalg.eigh(spread_nd.T @ spread_nd / len(z_nd))
    rank = min(rank, len(variance_d))
    rest = variance_d[:-rank].mean() if rank < len(variance_d) else 0.0
    known = Known(
        basis=axes_dd[:, ::-1][:, :rank].astype(np.float16),
        variances=np.maximum(variance_d[::-1][:rank], 0).astype(np.float32),
        rest=np.array(max(rest, 0.0), np.float32),
        centres=centres_md.astype(np.float32),
        counts=count_m.astype(np.float32),
        labels=found.astype(np.int64),
        taught=np.zeros(len(found), np.bool_),
        scale=np.array([0, 1], np.float32),
    )
    raw_n = known.score(embeddings_nd)
    return replace(known, scale=np.array([raw_n.mean(), raw_n.std() or 1.0], np.float32))


def choose_limit(novelty_n: NDArray[np.floating[Any]], *, accepted: float) -> float:
    """Choose the smallest novelty below which at least a share of the photos lies.

    It is `HAIR` above the last of them, or half-way to the next if that is nearer, so that other
    last digits, as another runtime computes, shut none out.

    Args:
        novelty_n: of photos of known classes, that the score was not fitted to.
        accepted: the share, above 0 and at most 1.

    Raises:
        UsageError: ``accepted`` is out of range.
        TrainingError: no photos, or a novelty that is not finite.
    """
    if not 0.0 < accepted <= 1.0:
        raise UsageError(f"accepted is {accepted:g}; give a share above 0 and up to 1, such as 0.9")
    if not len(novelty_n) or not np.isfinite(novelty_n).all():
        raise TrainingError("a limit needs the novelty of at least one photo, all of them finite")
    # A share such as 0.95 of 20 may come out a hair above 19.
    enough = math.ceil(accepted * len(novelty_n) * (1 - 1e-12))
    last = np.sort(novelty_n)[enough - 1]
    beyond_n = novelty_n[novelty_n > last]
    return float(min(last + HAIR, (last + beyond_n.min(initial=np.inf)) / 2))


def _unit(embeddings_nd: NDArray[np.floating[Any]]) -> Doubles:
    wide_nd = embeddings_nd.astype(np.float64)
    z_nd: Doubles = wide_nd / np.maximum(np.linalg.norm(wide_nd, axis=1), LEAST_NORM)[:, None]
    return z_nd
