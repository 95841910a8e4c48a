from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from binsight.bundle import Novelty
from binsight.errors import TeachingError
from binsight.novelty import SCORE, fit_known
from binsight.teaching import lesson as module
from binsight.teaching.familiar import Familiar
from binsight.teaching.head import Head, fit_head
from binsight.teaching.lesson import FEW, PULL, REMEMBERED, Example, Lesson, Pupil, learn
from binsight.teaching.memory import Memory

CLASSES = ("glass", "metal", "paper")
WIDTH = 16
CENTRES = np.random.default_rng(1).normal(size=(5, WIDTH)).astype(np.float32) * 2
SHIFT = np.random.default_rng(2).normal(size=WIDTH).astype(np.float32) * 3  # another camera
KNOWN = dict(zip((*CLASSES, "battery", "organic"), CENTRES, strict=True))


def seen(label: str, count: int, *, seed: int, shift: float = 0.0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(count, WIDTH))
    return (KNOWN[label] + shift * SHIFT + noise).astype(np.float32)


def examples(
    each: int, *, labels: tuple[str, ...] = CLASSES, seed: int = 5, shift: float = 1.0
) -> list[Example]:
    found = []
    for number, label in enumerate(labels):
        rows = seen(label, each, seed=seed + number, shift=shift)
        found += [
            Example(f"{label}/{place}.jpg", label, f"{label}{place:03d}", row)
            for place, row in enumerate(rows)
        ]
    return found


def memory(each: int = 40) -> Memory:
    rows = np.concatenate([seen(name, each, seed=number) for number, name in enumerate(CLASSES)])
    labels = np.repeat(np.arange(3), each)
    return Memory(rows.astype(np.float16), labels, np.arange(len(rows)) % 2 == 0)


@pytest.fixture
def pupil() -> Pupil:
    """Knows its own camera well, and the other one badly."""
    head = Head(CENTRES[:3], -0.5 * (CENTRES[:3] ** 2).sum(axis=1))
    return Pupil(CLASSES, head, memory(), threshold=0.8, risk=0.02)


def blank(classes: tuple[str, ...] = CLASSES) -> Memory:
    del classes
    return Memory(np.zeros((0, WIDTH), np.float16), np.zeros(0, np.int64), np.zeros(0, np.bool_))


def accuracy(lesson: Lesson, label: str, *, shift: float, seed: int = 99) -> float:
    answers = lesson.head.logits(seen(label, 200, seed=seed, shift=shift)).argmax(axis=1)
    return float((answers == lesson.classes.index(label)).mean())


def test_photos_of_another_camera_help_there_and_cost_nothing_here(pupil: Pupil) -> None:
    lesson = learn(pupil, examples(each=10))
    assert lesson.before < 0.75
    assert lesson.after > lesson.before + 0.15
    assert lesson.remembered_before is not None
    assert lesson.remembered_after is not None
    assert lesson.remembered_after >= lesson.remembered_before - 0.02
    assert lesson.worse is None
    others = np.mean([accuracy(lesson, name, shift=1.0) for name in CLASSES])
    assert others > 0.85
    assert np.mean([accuracy(lesson, name, shift=0.0) for name in CLASSES]) > 0.9


def test_accuracy_after_is_of_photos_that_were_not_taught(pupil: Pupil) -> None:
    """Labels without sense can be learned by heart; folds do not fall for it."""
    random = np.random.default_rng(0)
    nonsense = [
        Example(f"{place}", CLASSES[place % 3], f"{place:03d}", row)
        for place, row in enumerate(random.normal(size=(60, WIDTH)).astype(np.float32) * 3)
    ]
    lesson = learn(pupil, nonsense)
    fitted = lesson.head.logits(np.stack([one.embedding_d for one in nonsense])).argmax(axis=1)
    by_heart = np.mean(
        [CLASSES[place] == one.label for place, one in zip(fitted, nonsense, strict=True)]
    )
    assert by_heart > lesson.after + 0.2
    assert lesson.after < 0.6


def test_copies_of_a_photo_are_not_on_both_sides_of_a_fold(pupil: Pupil) -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(12, WIDTH)).astype(np.float32) * 4
    copies = [
        Example(f"{place}-{copy}", CLASSES[place % 3], f"{place:03d}", rows[place])
        for place in range(12)
        for copy in range(5)
    ]
    assert learn(pupil, copies).after < 0.8


def test_a_new_class_is_learned_and_the_old_ones_stay(pupil: Pupil) -> None:
    lesson = learn(pupil, examples(each=10, labels=("organic", "battery"), shift=0.0))
    assert lesson.classes == (*CLASSES, "battery", "organic")
    assert lesson.before == 0
    assert lesson.after > 0.85
    for name in lesson.classes:
        assert accuracy(lesson, name, shift=0.0) > 0.8, name
    assert lesson.photos == {"glass": 0, "metal": 0, "paper": 0, "battery": 10, "organic": 10}


def test_classes_are_renamed_and_merged(pupil: Pupil) -> None:
    rename = {"metal": "tin", "glass": "dry", "paper": "dry"}
    lesson = learn(pupil, examples(each=6, labels=("metal",)), rename={"metal": "tin"})
    assert lesson.classes == ("glass", "tin", "paper")
    assert lesson.photos == {"glass": 0, "tin": 6, "paper": 0}
    taught = examples(each=6)
    merged = learn(pupil, taught, rename=rename)
    assert merged.classes == ("dry", "tin")
    assert merged.head.weight_cd.shape == (2, WIDTH)
    assert set(merged.memory.labels.tolist()) == {0, 1}
    old = [("dry", "glass"), ("dry", "paper"), ("tin", "metal")]
    for new, name in old:
        answers = merged.head.logits(seen(name, 200, seed=99)).argmax(axis=1)
        assert (answers == merged.classes.index(new)).mean() > 0.85
    assert merged.remembered_before is not None
    assert merged.remembered_before > 0.9


@pytest.mark.parametrize(
    ("rename", "reason"),
    [
        ({"wood": "timber"}, "no class 'wood' to rename; it has glass, metal, paper"),
        (dict.fromkeys(CLASSES, "waste"), "renaming leaves one class"),
    ],
)
def test_renaming_that_makes_no_sense(pupil: Pupil, rename: dict[str, str], reason: str) -> None:
    with pytest.raises(TeachingError, match=reason):
        learn(pupil, examples(each=3), rename=rename)


def test_nothing_to_learn_from(pupil: Pupil) -> None:
    with pytest.raises(TeachingError, match="no photos to learn from"):
        learn(pupil, [])


def test_one_photo_is_enough_to_try(pupil: Pupil) -> None:
    lesson = learn(pupil, examples(each=1, labels=("glass",)))
    assert lesson.folds == 0
    assert lesson.before == lesson.after
    assert lesson.warnings == (f"glass: only 1 photo; its figures mean little below {FEW}",)


def test_a_lesson_of_wrong_labels_counts_as_worse(pupil: Pupil) -> None:
    turned = {"glass": "metal", "metal": "paper", "paper": "glass"}
    rows = {name: seen(name, 40, seed=50) for name in CLASSES}
    lies = [
        Example(f"{name}{place}", name if place % 4 else turned[name], f"{name}{place:03d}", row)
        for name in CLASSES
        for place, row in enumerate(rows[name])
    ]
    half = [
        Example(
            one.name, turned[one.label] if place % 2 else one.label, one.digest, one.embedding_d
        )
        for place, one in enumerate(lies)
    ]
    lesson = learn(pupil, half)
    assert lesson.worse is not None
    assert "before" in lesson.worse


def test_forgetting_counts_as_worse(pupil: Pupil) -> None:
    """Photos of glass on the other camera, all called paper."""
    lies = [
        Example(one.name, "paper", one.digest, one.embedding_d)
        for one in examples(each=200, labels=("glass",), shift=0.0)
    ]
    lesson = learn(pupil, lies)
    assert lesson.after > lesson.before
    assert lesson.worse is not None
    assert "of photos like those it learned from" in lesson.worse


@pytest.mark.parametrize(("after", "worse"), [(0.881, False), (0.879, True)])
def test_two_points_may_be_forgotten(pupil: Pupil, after: float, worse: bool) -> None:
    lesson = replace(learn(pupil, examples(5)), remembered_before=0.9, remembered_after=after)
    assert bool(lesson.worse) == worse


def test_what_is_familiar_is_renumbered_with_its_classes(pupil: Pupil) -> None:
    rows, labels = pupil.memory.part(held_out=False)
    familiar = Familiar(fit_known(rows, labels), Novelty(score=SCORE, limit=9.0, accepted=0.75))
    taught = examples(5, labels=("paper",))
    rename = {"glass": "dry", "metal": "dry"}
    lesson = learn(replace(pupil, familiar=familiar), taught, rename=rename)
    assert lesson.classes == ("dry", "paper")
    assert lesson.familiar is not None
    known = lesson.familiar.known
    assert known.labels.tolist() == [0, 0, 1, 1]
    assert known.taught.tolist() == [False, False, False, True]


def test_classes_that_look_the_same_are_named(pupil: Pupil) -> None:
    random = np.random.default_rng(4)
    same = random.normal(size=(40, WIDTH)).astype(np.float32)
    taught = [
        Example(str(place), ("battery", "organic")[place % 2], f"{place:03d}", row)
        for place, row in enumerate(same + 4 * SHIFT)
    ]
    lesson = learn(pupil, taught)
    (line,) = lesson.warnings
    assert line.startswith("battery and organic look the same to it: ")


def test_a_photo_of_two_classes_is_named(pupil: Pupil) -> None:
    taught = examples(each=5)
    copy = replace(taught[0], name="copy.jpg", label="paper")
    lesson = learn(pupil, [*taught, copy])
    assert lesson.warnings == (
        "glass/0.jpg and copy.jpg are the same photo, as glass and as paper; keep one",
    )


def again(lesson: Lesson) -> Pupil:
    return Pupil(lesson.classes, lesson.head, lesson.memory, lesson.threshold, risk=0.02)


def test_photos_that_were_taught_before_are_counted_and_decide_nothing(pupil: Pupil) -> None:
    first = learn(pupil, examples(12))
    assert first.again == 0
    fresh = [replace(one, digest=f"new{one.digest}") for one in examples(4, seed=70)]
    second = learn(again(first), [*examples(12), *fresh])
    alone = learn(again(first), fresh)
    assert second.again == 36
    assert second.new_before == alone.before
    assert any("learned from 36 of the 48 photos before" in line for line in second.warnings)
    assert second.calibrated_on == alone.calibrated_on
    assert not any("photos before" in line for line in alone.warnings)
    nothing_new = learn(again(first), examples(12))
    assert (nothing_new.new_before, nothing_new.new_after) == (None, None)
    assert nothing_new.calibrated_on == int(pupil.memory.held_out.sum())


def test_of_many_taught_photos_each_is_known_again(pupil: Pupil) -> None:
    many = examples(REMEMBERED + 50)
    first = learn(pupil, many)
    second = learn(again(first), many)
    assert second.again == len(many)
    assert (second.new_before, second.new_after) == (None, None)
    third = learn(again(second), [*many, *examples(8, labels=("battery",), seed=50)])
    assert third.again == len(many)


def test_a_held_out_photo_that_is_taught_is_held_out_no_more(pupil: Pupil) -> None:
    held_nd, held_n = pupil.memory.part(held_out=True)
    taught = [
        Example(f"{place}.jpg", CLASSES[label], f"held{place}", embedding_d)
        for place, (embedding_d, label) in enumerate(zip(held_nd, held_n, strict=True))
    ]
    lesson = learn(pupil, taught)
    assert lesson.again == 0, "the network never learned from them"
    assert (lesson.remembered_before, lesson.remembered_after) == (None, None)
    assert lesson.calibrated_on == len(taught), "each by a head without it, and only once"
    assert not lesson.memory.held_out.any()


def slightly_other(one: Example) -> Example:
    """The same photo by another engine, or saved once more."""
    noise_d = np.random.default_rng(3).normal(size=WIDTH).astype(np.float32)
    step_d = 0.05 * np.linalg.norm(one.embedding_d) / np.linalg.norm(noise_d) * noise_d
    return replace(one, digest=f"also{one.digest}", embedding_d=one.embedding_d + step_d)


def test_a_photo_is_known_again_by_nearly_the_same_embedding(pupil: Pupil) -> None:
    held_nd, held_n = pupil.memory.part(held_out=True)
    held = [
        slightly_other(Example(f"{place}.jpg", CLASSES[label], f"held{place}", embedding_d))
        for place, (embedding_d, label) in enumerate(zip(held_nd, held_n, strict=True))
    ]
    assert not learn(pupil, held).memory.held_out.any()
    first = learn(pupil, examples(12))
    second = learn(again(first), [slightly_other(one) for one in examples(12)])
    assert second.again == 36
    assert len(second.memory) == len(first.memory)


def test_many_lessons_make_no_endless_memory(pupil: Pupil, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_REMEMBERED", 20)
    old = memory()
    for number in range(4):
        taught = [replace(one, digest=f"{number}{one.digest}") for one in examples(8, seed=number)]
        lesson = learn(pupil, taught)
        pupil = again(lesson)
    kept = lesson.memory
    assert np.array_equal(kept.embeddings[: len(old)], old.embeddings)
    assert kept.taught.tolist() == [False] * len(old) + [True] * 60
    assert np.bincount(kept.labels[kept.taught]).tolist() == [20] * 3
    assert len(kept.learned) == 4 * 24


def test_frames_that_hardly_differ_are_not_on_both_sides_of_a_fold(pupil: Pupil) -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(12, WIDTH)).astype(np.float32) * 4
    burst = [
        Example(f"{place}-{frame}", CLASSES[place % 3], f"{place:03d}-{frame}", row)
        for place in range(12)
        for frame, row in enumerate(rows[place] + random.normal(size=(5, WIDTH)) * 0.1)
    ]
    lesson = learn(pupil, burst)
    assert lesson.after < 0.8
    assert not any("nearly one picture" in line for line in lesson.warnings)
    of_one = [one for one in burst if int(one.name.split("-")[0]) in {0, 1, 2, 4}]
    (glass, paper) = (line for line in learn(pupil, of_one).warnings if "one picture" in line)
    assert glass.startswith("glass: its 5 photos are nearly one picture")
    assert paper.startswith("paper: its 5 photos ")


def test_a_photo_is_remembered_by_the_name_that_it_was_given_last(pupil: Pupil) -> None:
    taught = examples(6)
    wrong = [replace(one, label="battery") for one in taught]
    lesson = learn(again(learn(pupil, wrong)), taught)
    remembered = lesson.memory.labels[len(pupil.memory) :]
    assert len(remembered) == len(taught)
    assert {lesson.classes[label] for label in remembered} == set(CLASSES)


def test_temperature_and_threshold_come_from_photos_that_were_not_fitted(pupil: Pupil) -> None:
    lesson = learn(pupil, examples(each=25))
    rows = np.concatenate(
        [seen(name, 400, seed=77, shift=shift) for shift in (0.0, 1.0) for name in CLASSES]
    )
    truth = np.tile(np.repeat(np.arange(3), 400), 2)
    probs = lesson.head.probs(rows)
    confidence, right = probs.max(axis=1), probs.argmax(axis=1) == truth
    assert abs(confidence.mean() - right.mean()) < 0.04
    accepted = confidence >= lesson.threshold
    assert accepted.mean() > 0.5
    assert (~right[accepted]).mean() < 0.05


def test_without_memory_it_warns_and_keeps_the_threshold_when_photos_are_few(pupil: Pupil) -> None:
    bare = Pupil(pupil.classes, pupil.head, blank(), pupil.threshold, pupil.risk)
    lesson = learn(bare, examples(each=5))
    assert lesson.remembered_before is lesson.remembered_after is None
    assert lesson.warnings[0].startswith("this bundle remembers no photos")
    assert lesson.threshold == pupil.threshold
    assert lesson.head.temperature == 1


def test_the_new_memory_holds_the_old_and_some_of_the_taught(pupil: Pupil) -> None:
    taught = examples(each=REMEMBERED + 10)
    lesson = learn(pupil, taught)
    assert len(lesson.memory) == len(pupil.memory) + 3 * REMEMBERED
    assert lesson.memory.held_out.sum() == pupil.memory.held_out.sum()
    np.testing.assert_array_equal(
        lesson.memory.embeddings[: len(pupil.memory)], pupil.memory.embeddings
    )


def test_the_same_photos_teach_the_same(pupil: Pupil) -> None:
    one, other = learn(pupil, examples(each=5)), learn(pupil, examples(each=5)[::-1])
    np.testing.assert_allclose(one.head.weight_cd, other.head.weight_cd, atol=1e-4)
    assert one.after == other.after


def test_a_lesson_as_plain_values(pupil: Pupil) -> None:
    lesson = learn(pupil, examples(each=5))
    values = json.loads(json.dumps(lesson.to_dict()))
    assert values["accuracy"] == {"before": lesson.before, "after": lesson.after}
    assert len(values["wrong"]) == round((1 - lesson.after) * 15)
    assert set(values["accuracy_of"]) == set(CLASSES)


@pytest.mark.parametrize(("each", "weight"), [(3, 60.0), (10, 60.0), (25, 24.0), (100, 10.0)])
def test_photos_of_a_new_class_weigh_more(pupil: Pupil, each: int, weight: float) -> None:
    taught = [*examples(each, labels=("battery",)), *examples(4, labels=("glass",), seed=9)]
    known_nd, known_n = pupil.memory.part(held_out=False)
    prior = Head(
        np.vstack([pupil.head.weight_cd, pupil.head.weight_cd.mean(axis=0)]),
        np.append(pupil.head.bias_c, pupil.head.bias_c.mean()).astype(np.float32),
    )
    expected = fit_head(
        prior,
        np.concatenate([known_nd, [one.embedding_d for one in taught]]).astype(np.float32),
        np.concatenate([known_n, np.repeat([3, 0], [each, 4])]),
        np.repeat([1.0, weight, 10.0], [len(known_n), each, 4]),
        pull=PULL,
    )
    found = learn(pupil, taught).head
    np.testing.assert_allclose(found.weight_cd, expected.weight_cd, atol=1e-5)


class CaughtError(Exception):
    """What a part of the lesson was given."""


def test_a_class_of_two_begins_as_their_mean(pupil: Pupil, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "fit_head", lambda prior, *_, **__: prior)
    lesson = learn(pupil, examples(2), rename={"glass": "dry", "paper": "dry"})
    assert lesson.classes == ("dry", "metal")
    glass, metal, paper = pupil.head.weight_cd
    assert lesson.head.weight_cd == pytest.approx(np.stack([(glass + paper) / 2, metal]))
    glass, metal, paper = pupil.head.bias_c
    assert lesson.head.bias_c == pytest.approx(np.array([(glass + paper) / 2, metal]))


def test_a_photo_that_no_fold_can_test_is_asked_of_the_head_before(
    pupil: Pupil, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the temperature that it had: the other logits are of heads that begin at 1."""
    (one,) = examples(1, labels=("glass",))
    warm = replace(pupil, head=replace(pupil.head, temperature=4.0))

    def caught(logits_nc: np.ndarray, _: np.ndarray) -> float:
        raise CaughtError(logits_nc[0])

    monkeypatch.setattr(module, "fit_temperature", caught)
    with pytest.raises(CaughtError) as given:
        learn(warm, [one])
    expected = pupil.head.logits(one.embedding_d[np.newaxis])[0] / 4
    assert given.value.args[0] == pytest.approx(expected, rel=1e-5)


def test_photos_that_are_strange_have_no_say_in_the_threshold(
    pupil: Pupil, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are not sure already; for the others it keeps the pupil's risk."""
    rows, labels = pupil.memory.part(held_out=False)
    known = Familiar(fit_known(rows, labels), Novelty(score=SCORE, limit=9.0, accepted=0.75))

    def caught(confidence_n: np.ndarray, right_n: np.ndarray, *, risk: float) -> float:
        assert (confidence_n.shape, risk) == (right_n.shape, 0.07)
        raise CaughtError(len(confidence_n))

    monkeypatch.setattr(module, "choose_threshold", caught)
    with pytest.raises(CaughtError) as given:
        learn(replace(pupil, familiar=known, risk=0.07), examples(each=10))
    photos = 30 + int(pupil.memory.held_out.sum())
    assert given.value.args[0] == np.ceil(0.75 * photos)


def test_what_is_remembered_is_told_as_it_was_and_as_it_is(pupil: Pupil) -> None:
    lesson = learn(pupil, examples(10, labels=("battery",), seed=3))
    lesson = replace(lesson, remembered_before=0.75, remembered_after=0.5)
    assert lesson.to_dict()["remembered"] == {"before": 0.75, "after": 0.5}
