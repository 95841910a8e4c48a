"""What teaching does with embeddings: a joint fit, its honest test, and its calibration.

The new head is fitted to the taught photos together with what the bundle remembers of its own, and
is pulled towards the head that it replaces: few photos help, and none hurt. How good it is comes
from folds that were not fitted, never from the photos that it was taught with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from binsight.calibration import choose_threshold, fit_temperature, softmax
from binsight.errors import TeachingError
from binsight.learned import Learned

from .alike import alike_within, groups_of, pairs_alike
from .familiar import Familiar
from .head import Head, fit_head
from .memory import Memory, spread

__all__ = ["Example", "Lesson", "Pupil", "learn"]

Floats = NDArray[np.float32]

# Chosen on web photos taught to a model of TrashNet; see docs/teach.md.
EMPHASIS = 10.0  # what a taught photo weighs, against 1 of a remembered one
# Nothing in head or memory speaks for a new class; its few photos have to.
EMPHASIS_OF_NEW = 60.0
MOST_FOR_NEW = 600.0  # what all photos of one new class weigh together
PULL = 3e-4
FOLDS = 5
FEW = 5  # photos of a class below which its figures mean little
REMEMBERED = 60  # photos of a class that the new bundle remembers of a lesson ...
MOST_REMEMBERED = 240  # ... and of all lessons together
MIXED = 0.4  # share of two classes' photos taken for each other that deserves a warning
MOST_FORGOTTEN = 0.02  # what accuracy on remembered photos may lose
FEWEST_FOR_CALIBRATION = 20
NO_MEMORY = "this bundle remembers no photos; it may forget some of what it knew"


@dataclass(frozen=True, eq=False)
class Pupil:
    """The model that is taught.

    Args:
        classes: in the order of the head's rows.
        head: to start from.
        memory: of what it learned from; may be empty.
        threshold: confidence from which an answer is sure.
        risk: share of wrong answers among the sure ones to aim at.
        familiar: what is strange to it; ``None`` for a bundle that does not tell.
    """

    classes: tuple[str, ...]
    head: Head
    memory: Memory
    threshold: float
    risk: float
    familiar: Familiar | None = None


@dataclass(frozen=True, eq=False)
class Example:
    """One taught photo.

    Args:
        name: for reports.
        label: class name.
        digest: of its bytes.
        embedding_d: (D,).
    """

    name: str
    label: str
    digest: str
    embedding_d: Floats


@dataclass(frozen=True, eq=False)
class Lesson:
    """What came of it. Accuracies are 0 to 1.

    Args:
        classes: of the new head.
        head: with its temperature.
        threshold: confidence from which an answer is sure.
        memory: what the new bundle remembers.
        familiar: what is strange to it; ``None`` if its parent could not tell.
        calibrated_on: photos that temperature, threshold and limit were chosen on; 0 if they were
            too few, and the parent's were kept.
        photos: taught photos of each class.
        folds: that accuracy was measured by; 0 of one photo alone, of which nothing can be said.
        before: accuracy of the parent on the taught photos.
        after: accuracy on the taught photos, each by a head that was not taught with it; says
            nothing without folds.
        before_of: accuracy of the parent, class by class.
        after_of: likewise, afterwards.
        again: photos that the parent learned from, in training or in a lesson. It knows them, so
            that no figure of theirs is held out, and nothing is decided or calibrated by them.
        new_before: accuracy of the parent on the others; ``None`` if there are none.
        new_after: likewise, afterwards.
        wrong: photos that it still gets wrong: name, label, answer; none without folds.
        remembered_before: accuracy on photos of the parent's own data; ``None`` without memory.
        remembered_after: likewise, afterwards.
        warnings: lines for a person.
    """

    classes: tuple[str, ...]
    head: Head
    threshold: float
    memory: Memory
    familiar: Familiar | None
    calibrated_on: int
    photos: Mapping[str, int]
    folds: int
    before: float
    after: float
    before_of: Mapping[str, float]
    after_of: Mapping[str, float]
    again: int
    new_before: float | None
    new_after: float | None
    wrong: tuple[tuple[str, str, str], ...]
    remembered_before: float | None
    remembered_after: float | None
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, object]:
        """All figures and names as plain values, ready for JSON."""
        return {
            "classes": list(self.classes),
            "photos": dict(self.photos),
            "folds": self.folds,
            "accuracy": {"before": self.before, "after": self.after if self.folds else None},
            "accuracy_of": {
                name: {
                    "before": self.before_of[name],
                    "after": self.after_of[name] if self.folds else None,
                }
                for name in self.before_of
            },
            "learned_before": self.again,
            "remembered": {"before": self.remembered_before, "after": self.remembered_after},
            "temperature": self.head.temperature,
            "threshold": self.threshold,
            "limit": self.familiar.novelty.limit if self.familiar else None,
            "worse": self.worse,
            "wrong": [
                {"photo": name, "label": label, "answer": answer}
                for name, label, answer in self.wrong
            ],
            "warnings": list(self.warnings),
        }

    @property
    def worse(self) -> str | None:
        """Why the new model is worse than its parent; ``None`` if it is not."""
        now, then = self.new_after, self.new_before
        if now is not None and then is not None and now < then:
            return f"right on {now:.1%} of the photos, {then:.1%} before"
        old, new = self.remembered_before, self.remembered_after
        if old is not None and new is not None and new < old - MOST_FORGOTTEN:
            return f"right on {new:.1%} of photos like those it learned from, {old:.1%} before"
        return None


def learn(
    pupil: Pupil, examples: Sequence[Example], *, rename: Mapping[str, str] | None = None
) -> Lesson:
    """Fit a new head.

    Args:
        pupil: the parent.
        examples: taught photos, of its classes and of new ones.
        rename: old class name to new, of the pupil and of the examples; two of the same new name
            become one class.

    Raises:
        TeachingError: no photos, or a renamed class that does not exist.
    """
    if not examples:
        raise TeachingError("no photos to learn from; put some into a folder for each class")
    rename = rename or {}
    old = _renamed(pupil, rename)
    examples = [replace(one, label=rename.get(one.label, one.label)) for one in examples]
    class_names = (*old.classes, *sorted({one.label for one in examples} - set(old.classes)))
    number = {name: place for place, name in enumerate(class_names)}
    x_nd = np.stack([one.embedding_d for one in examples]).astype(np.float32)
    labels_n = np.array([number[one.label] for one in examples], np.int64)
    digests = [one.digest for one in examples]
    within = alike_within(np.concatenate([old.memory.embeddings, x_nd]))
    again_n, memory = _without(old.memory, x_nd, digests, within)
    old = replace(old, memory=memory)
    new_n = ~again_n
    prior = _with_rows(old.head, len(class_names))

    def fitted(chosen_n: NDArray[np.bool_]) -> Head:
        known_nd, known_n = old.memory.part(held_out=False)
        weights_n = np.append(np.ones(len(known_n)), _weights(labels_n[chosen_n], len(old.classes)))
        return fit_head(
            prior,
            np.concatenate([known_nd, x_nd[chosen_n]]),
            np.concatenate([known_n, labels_n[chosen_n]]),
            weights_n,
            pull=PULL,
        )

    alike = zip(*pairs_alike(x_nd, x_nd, within), strict=True)
    groups = groups_of(len(examples), alike)
    fold_n = _folds(examples, groups)
    folds = int(fold_n.max()) + 1 if fold_n.any() else 0
    tested_nc = _out_of_fold(fitted, x_nd, fold_n, fallback=prior)
    head = fitted(np.ones(len(examples), np.bool_))
    names = [rename.get(name, name) for name in pupil.classes]
    before_n = np.array([number[name] for name in _answers(pupil.head, names, x_nd)]) == labels_n
    after_n = tested_nc.argmax(axis=1) == labels_n
    familiar = old.familiar
    strange_n = np.zeros(len(x_nd))
    if familiar and new_n.any():  # the others are known already, and would count twice
        familiar, strange_n[new_n] = familiar.taught(x_nd[new_n], labels_n[new_n], fold_n[new_n])
    calibrated = _calibrated(
        old, head, familiar, tested_nc[new_n], strange_n[new_n], labels_n[new_n]
    )
    head = calibrated.head
    remembered = _remembered(names, pupil, head, class_names, old.memory)
    return Lesson(
        classes=class_names,
        head=head,
        threshold=calibrated.threshold,
        familiar=calibrated.familiar,
        calibrated_on=calibrated.photos,
        memory=_longer(old.memory, x_nd, labels_n, digests),
        photos={name: int((labels_n == number[name]).sum()) for name in class_names},
        folds=folds,
        before=float(before_n.mean()),
        after=float(after_n.mean()),
        before_of=_by_class(before_n, labels_n, class_names),
        after_of=_by_class(after_n, labels_n, class_names),
        again=int(again_n.sum()),
        new_before=float(before_n[new_n].mean()) if new_n.any() else None,
        new_after=float(after_n[new_n].mean()) if new_n.any() else None,
        wrong=_wrong(examples, tested_nc, class_names) if folds else (),
        remembered_before=remembered[0],
        remembered_after=remembered[1],
        warnings=(
            *([] if len(old.memory) else [NO_MEMORY]),
            *_learned_before(int(again_n.sum()), len(examples)),
            *_contradictions(examples),
            *_warnings(tested_nc, labels_n, np.array(groups), class_names),
        ),
    )


def _renamed(pupil: Pupil, rename: Mapping[str, str]) -> Pupil:
    """The same pupil with other names; rows of classes that become one are averaged."""
    unknown = sorted(set(rename) - set(pupil.classes))
    if unknown:
        raise TeachingError(f"no class {unknown[0]!r} to rename; it has {', '.join(pupil.classes)}")
    if not rename:
        return pupil
    names = [rename.get(name, name) for name in pupil.classes]
    classes = tuple(dict.fromkeys(names))
    if len(classes) < 2:
        raise TeachingError("renaming leaves one class; a model needs two or more")
    place_c = np.array([classes.index(name) for name in names])
    share = np.eye(len(classes), dtype=np.float32)[place_c]
    share /= share.sum(axis=0)
    head = Head(share.T @ pupil.head.weight_cd, share.T @ pupil.head.bias_c, pupil.head.temperature)
    memory = replace(pupil.memory, labels=place_c[pupil.memory.labels])
    familiar = pupil.familiar.relabelled(place_c) if pupil.familiar else None
    return Pupil(classes, head, memory, pupil.threshold, pupil.risk, familiar)


def _with_rows(head: Head, classes: int) -> Head:
    """New classes begin where the average class stands."""
    new = classes - len(head.bias_c)
    return Head(
        np.vstack([head.weight_cd, np.tile(head.weight_cd.mean(axis=0), (new, 1))]),
        np.append(head.bias_c, np.full(new, head.bias_c.mean(), np.float32)),
        head.temperature,
    )


def _weights(labels_n: NDArray[np.int64], known: int) -> NDArray[np.float64]:
    """What each taught photo weighs; class numbers from ``known`` on are new."""
    count_n = np.bincount(labels_n)[labels_n]
    of_new_n = np.minimum(EMPHASIS_OF_NEW, MOST_FOR_NEW / count_n)
    return np.where(labels_n < known, EMPHASIS, np.maximum(EMPHASIS, of_new_n))


def _folds(examples: Sequence[Example], groups: Sequence[int]) -> NDArray[np.int64]:
    """The fold of each photo: classes are dealt out evenly, nearly equal photos together."""
    seen: dict[int, int] = {}
    # The order of digests is as good as a shuffle.
    for *_, group in sorted((e.label, e.digest, g) for e, g in zip(examples, groups, strict=True)):
        seen.setdefault(group, len(seen))
    folds = min(FOLDS, len(seen))
    return np.array([seen[group] % folds for group in groups], np.int64)


def _out_of_fold(
    fitted: Callable[[NDArray[np.bool_]], Head],
    x_nd: Floats,
    fold_n: NDArray[np.int64],
    *,
    fallback: Head,
) -> Floats:
    """Logits (N, C) of each photo by a head that was not taught with it."""
    logits_nc = fallback.logits(x_nd) / np.float32(fallback.temperature)
    if fold_n.max() == 0:
        return logits_nc
    for fold in range(int(fold_n.max()) + 1):
        held_n = fold_n == fold
        logits_nc[held_n] = fitted(~held_n).logits(x_nd[held_n])
    return logits_nc


@dataclass(frozen=True, eq=False)
class _Calibrated:
    head: Head
    familiar: Familiar | None
    threshold: float
    photos: int


def _calibrated(
    pupil: Pupil,
    head: Head,
    familiar: Familiar | None,
    tested_nc: Floats,
    strange_n: NDArray[np.float64],
    labels_n: NDArray[np.int64],
) -> _Calibrated:
    """Temperature, limit and threshold from photos that head and novelty were not fitted to.

    Args:
        pupil: with its classes as they are called now.
        head: the new one.
        familiar: likewise.
        tested_nc: logits of the taught photos, each by a head that was not taught with it.
        strange_n: likewise their novelty.
        labels_n: their class numbers.
    """
    held_nd, held_n = pupil.memory.part(held_out=True)
    logits_nc = np.concatenate([tested_nc, head.logits(held_nd)])
    truth_n = np.concatenate([labels_n, held_n])
    if len(truth_n) < FEWEST_FOR_CALIBRATION:
        return _Calibrated(head, familiar, pupil.threshold, 0)
    temperature = fit_temperature(logits_nc, truth_n)
    probs_nc = softmax(logits_nc, temperature)
    right_n = probs_nc.argmax(axis=1) == truth_n
    passed_n = np.ones(len(truth_n), np.bool_)
    if familiar:
        novelty_n = np.append(strange_n, familiar.known.score(held_nd))
        familiar = familiar.limited(novelty_n)
        passed_n = novelty_n <= familiar.novelty.limit
    return _Calibrated(
        Head(head.weight_cd, head.bias_c, temperature),
        familiar,
        choose_threshold(probs_nc.max(axis=1)[passed_n], right_n[passed_n], risk=pupil.risk),
        len(truth_n),
    )


def _answers(head: Head, names: Sequence[str], x_nd: Floats) -> list[str]:
    return [names[place] for place in head.logits(x_nd).argmax(axis=1)]


def _remembered(
    names: Sequence[str], pupil: Pupil, head: Head, classes: Sequence[str], old: Memory
) -> tuple[float | None, float | None]:
    """Accuracy on the parent's own photos before and after.

    Args:
        names: what the parent's classes are called now.
        pupil: the parent.
        head: the new one.
        classes: its names.
        old: the parent's memory, numbered by the new names.
    """
    known_nd, known_n = old.part(held_out=True)
    if not len(known_n):
        return None, None
    truth = [classes[place] for place in known_n]
    before = np.array(_answers(pupil.head, names, known_nd)) == truth
    after = np.array(_answers(head, classes, known_nd)) == truth
    return float(before.mean()), float(after.mean())


def _without(
    memory: Memory, x_nd: Floats, digests: Sequence[str], within: float
) -> tuple[NDArray[np.bool_], Memory]:
    """Which photos (N,) were learned from before, and the memory without any of the photos.

    They are taught anew, perhaps by another name; a fold that leaves them out must not find them
    there, and what was held out is so no more. A photo is one that is remembered if their
    embeddings are nearly equal: who exported the bundle may have computed them in another way.
    """
    taught, found = pairs_alike(x_nd, memory.embeddings, within)
    learned_n = np.array([one in memory.learned for one in digests])
    learned_n[taught[~memory.held_out[found]]] = True
    kept = np.setdiff1d(np.arange(len(memory)), found)
    return learned_n, memory.at(kept)


def _longer(
    memory: Memory, x_nd: Floats, labels_n: NDArray[np.int64], digests: Sequence[str]
) -> Memory:
    """The old memory and some of the taught photos; of those of all lessons not ever more."""
    chosen = spread(labels_n.tolist(), REMEMBERED)
    new_n = np.ones(len(chosen), np.bool_)
    longer = Memory(
        np.concatenate([memory.embeddings, x_nd[chosen].astype(np.float16)]),
        np.concatenate([memory.labels, labels_n[chosen]]),
        np.concatenate([memory.held_out, ~new_n]),
        memory.learned | Learned.of(digests),
        np.concatenate([memory.taught, new_n]),
    )
    taught = np.flatnonzero(longer.taught)
    kept = taught[spread(longer.labels[taught].tolist(), MOST_REMEMBERED)]
    return longer.at(np.sort(np.append(np.flatnonzero(~longer.taught), kept)))


def _by_class(
    right_n: NDArray[np.bool_], labels_n: NDArray[np.int64], classes: Sequence[str]
) -> dict[str, float]:
    return {
        name: float(right_n[labels_n == place].mean())
        for place, name in enumerate(classes)
        if (labels_n == place).any()
    }


def _wrong(
    examples: Sequence[Example], tested_nc: Floats, classes: Sequence[str]
) -> tuple[tuple[str, str, str], ...]:
    answers_n = tested_nc.argmax(axis=1).tolist()
    return tuple(
        (one.name, one.label, classes[answer])
        for one, answer in zip(examples, answers_n, strict=True)
        if classes[answer] != one.label
    )


def _learned_before(again: int, photos: int) -> Iterator[str]:
    if again:
        yield (
            f"it has learned from {again} of the {photos} photos before, so their figures flatter; "
            "only the others decide whether it got worse"
        )


def _contradictions(examples: Sequence[Example]) -> Iterator[str]:
    """Say which photos were given two classes."""
    first: dict[str, Example] = {}
    for one in examples:
        other = first.setdefault(one.digest, one)
        if other.label != one.label:
            yield (
                f"{other.name} and {one.name} are the same photo, as {other.label} and as "
                f"{one.label}; keep one"
            )


def _warnings(
    tested_nc: Floats,
    labels_n: NDArray[np.int64],
    group_n: NDArray[np.int64],
    classes: Sequence[str],
) -> tuple[str, ...]:
    lines = []
    answers_n = tested_nc.argmax(axis=1)
    count_c = np.bincount(labels_n, minlength=len(classes))
    for place, name in enumerate(classes):
        if 0 < count_c[place] < FEW:
            photos = "1 photo" if count_c[place] == 1 else f"{count_c[place]} photos"
            lines.append(f"{name}: only {photos}; its figures mean little below {FEW}")
        if count_c[place] > 1 and len(np.unique(group_n[labels_n == place])) == 1:
            lines.append(
                f"{name}: its {count_c[place]} photos are nearly one picture, so that none can be "
                "tested on the others; add photos of other things"
            )
    for one in range(len(classes)):
        for other in range(one + 1, len(classes)):
            pair_n = np.isin(labels_n, (one, other))
            mixed_n = pair_n & np.isin(answers_n, (one, other)) & (answers_n != labels_n)
            if min(count_c[one], count_c[other]) >= FEW and mixed_n.sum() >= MIXED * pair_n.sum():
                lines.append(
                    f"{classes[one]} and {classes[other]} look the same to it: {mixed_n.sum()} of "
                    f"{pair_n.sum()} photos taken for the other"
                )
    return tuple(lines)
