"""Which labels are probably wrong: confident learning on probabilities of photos held out.

Northcutt, Jiang and Chuang 2021, "Confident Learning: Estimating Uncertainty in Dataset Labels",
as cleanlab does it (the extra ``labels``). Showing them to a person is left to `label_page`, what
the person decided to `binsight.data.relabel`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from binsight.data.catalog import Catalog
from binsight.data.relabel import LabelIssue
from binsight.errors import CatalogError, MissingExtraError, TrainingError

from .scored import Scored

__all__ = ["find_label_issues", "with_labels_of"]


def with_labels_of(catalog: Catalog, scored: Scored, *, dropped: frozenset[str]) -> Scored:
    """The same answers beside the labels that the photos have now.

    Args:
        catalog: the photos, perhaps corrected since the model learned from them.
        scored: what a model said about photos that were held out.
        dropped: paths that may be missing in the catalog.

    Raises:
        CatalogError: most photos are missing.
        TrainingError: a photo has a class that the model does not know.
    """
    label_of = {photo.path: photo.label for photo in catalog.photos}
    missing = [path for path in scored.paths if path not in label_of and path not in dropped]
    if len(missing) > len(scored) // 2:
        raise CatalogError(
            f"the probabilities are of other photos: {len(missing)} of {len(scored)} are missing, "
            f"such as {missing[0]}; name the folders that they were made with"
        )
    there = scored.subset(np.array([path in label_of for path in scored.paths]))
    number = {name: index for index, name in enumerate(scored.classes)}
    strange = [path for path in there.paths if label_of[path] not in number]
    if strange:
        raise TrainingError(
            f"{strange[0]} is {label_of[strange[0]]}, which the probabilities do not know; "
            "cross-validate anew"
        )
    labels_n = np.array([number[label_of[path]] for path in there.paths], np.int64)
    return replace(there, labels_n=labels_n)


def find_label_issues(scored: Scored) -> tuple[LabelIssue, ...]:
    """Photos whose label is probably wrong, the most doubtful first.

    The score of a photo is the probability of the label that it has ("self-confidence"). How many
    photos of a class are listed follows from how often the models are confident of another one
    (cleanlab's ``prune_by_class``: counting each pair of classes by itself, its default, rounds
    away mistakes that are rare in small data sets).

    Args:
        scored: what models said about photos that they had not learned from. Answers about
            photos that were learned hide wrong labels.

    Raises:
        MissingExtraError: cleanlab is not installed.
        TrainingError: photos of fewer than two classes.
    """
    if len(np.unique(scored.labels_n)) < 2:
        raise TrainingError("photos of one class alone have no other label; name more of them")
    try:
        from cleanlab.filter import find_label_issues as doubtful
    except ModuleNotFoundError as error:
        raise MissingExtraError((error.name or "cleanlab").partition(".")[0], "labels") from error

    probs_nc = scored.probs_nc.astype(np.float64)
    places = doubtful(
        scored.labels_n,
        probs_nc / probs_nc.sum(axis=1, keepdims=True),
        filter_by="prune_by_class",
        return_indices_ranked_by="self_confidence",
        min_examples_per_class=-1,  # no warning of small classes: our check has its own
        n_jobs=1,  # processes cost more than they bring below a million photos
    )
    return tuple(
        LabelIssue(
            path=scored.paths[place],
            label=scored.classes[scored.labels_n[place]],
            suggested=scored.classes[scored.predicted_n[place]],
            score=float(scored.probs_nc[place, scored.labels_n[place]]),
        )
        for place in places
    )
