from __future__ import annotations

from operator import attrgetter
from pathlib import Path

import numpy as np
import pytest
from answering import CLASSES, ByColour
from PIL import Image
from sklearn.metrics import roc_auc_score

from binsight.errors import CatalogError, MappingError
from binsight.evaluation.domains import Domain, measure_domains, plan_domain, score_domain
from binsight.evaluation.mapping import ClassMap
from binsight.evaluation.scored import Scored, Strange

COLOURS = {"red": (200, 40, 40), "blue": (40, 40, 200), "mist": (120, 120, 126)}
MEANS = ClassMap({"rouge": "red", "mist": "none", "shoes": "skip"})


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three red ones in `rouge`, two blue, four grey, two to skip, and a broken file."""
    folders = {"rouge": ("red", 3), "blue": ("blue", 2), "mist": ("mist", 4), "shoes": ("red", 2)}
    for folder, (colour, count) in folders.items():
        (tmp_path / folder).mkdir()
        for number in range(count):
            shade = tuple(value + number for value in COLOURS[colour])
            Image.new("RGB", (40, 40), shade).save(tmp_path / folder / f"{number}.png")
    (tmp_path / "blue" / "broken.png").write_text("no photo")
    return tmp_path


def scored(photos: Path, model: ByColour, sample: int | None = None) -> Domain:
    planned = plan_domain(photos, MEANS, CLASSES, name="here").sampled(sample)
    return score_domain(model, planned)


def test_photos_are_known_strange_left_out_or_broken(photos: Path) -> None:
    domain = scored(photos, ByColour())
    assert domain.known.paths == ("blue/0.png", "blue/1.png", *(f"rouge/{n}.png" for n in range(3)))
    assert domain.known.labels_n.tolist() == [2, 2, 0, 0, 0]
    assert domain.known.correct_n.all()
    assert domain.known.sure_n is not None
    assert domain.known.sure_n.all()
    assert domain.strange is not None
    assert domain.strange.paths == tuple(f"mist/{n}.png" for n in range(4))
    assert domain.strange.sure_n is not None
    assert not domain.strange.sure_n.any()
    assert domain.skipped == 2
    (problem,) = domain.problems
    assert (problem.path, problem.reason) == ("blue/broken.png", "not an image that can be read")


def test_photos_to_skip_are_never_opened(photos: Path) -> None:
    model = ByColour()
    scored(photos, model)
    assert model.asked == 10


def test_a_sample_is_drawn_of_all_that_is_shown(photos: Path) -> None:
    first, again = (scored(photos, ByColour(), sample=4) for _ in range(2))
    assert first.known.paths == again.known.paths
    assert first.strange is not None
    assert len(first.known) + len(first.strange) + len(first.problems) == 4
    assert first.skipped == 2


def test_files_of_equal_bytes_are_copies_of_one_picture(photos: Path) -> None:
    for name in ("7.png", "8.png"):
        (photos / "rouge" / name).write_bytes((photos / "rouge" / "0.png").read_bytes())
    (photos / "mist" / "9.png").write_bytes((photos / "mist" / "3.png").read_bytes())
    domain = scored(photos, ByColour())
    assert domain.known.group_n is not None
    assert len(set(domain.known.group_n[[2, 5, 6]].tolist())) == 1
    (measured,) = measure_domains([domain], threshold=None)
    assert measured.known is not None
    assert (measured.known.photos, measured.known.pictures) == (7, 5)
    assert domain.strange is not None
    assert domain.strange.group_n is not None
    assert len(set(domain.strange.group_n.tolist())) == 4


def test_names_that_mean_nothing_are_refused(photos: Path) -> None:
    with pytest.raises(MappingError, match=r"no class mist, rouge, shoes"):
        plan_domain(photos, ClassMap(), CLASSES, name="here")


def test_a_domain_without_photos_is_refused(photos: Path, tmp_path: Path) -> None:
    everything = ClassMap(dict.fromkeys(("rouge", "blue", "mist", "shoes"), "skip"))
    with pytest.raises(CatalogError, match="the map leaves out 12"):
        plan_domain(photos, everything, CLASSES, name="here")
    with pytest.raises(CatalogError, match="no such folder"):
        plan_domain(tmp_path / "gone", MEANS, CLASSES, name="here")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CatalogError, match="no photos to show; expected one folder per class"):
        plan_domain(tmp_path / "empty", MEANS, CLASSES, name="here")


def test_a_domain_of_broken_photos_is_refused(tmp_path: Path) -> None:
    (tmp_path / "red").mkdir()
    (tmp_path / "red" / "a.jpg").write_text("no photo")
    with pytest.raises(CatalogError, match=r"none of 1 photos can be read; 1 of them: red/a\.jpg"):
        score_domain(ByColour(), plan_domain(tmp_path, MEANS, CLASSES, name="here"))


def test_measures_tell_the_domains_apart(photos: Path) -> None:
    (one,) = measure_domains([scored(photos, ByColour())], threshold=0.5, resamples=50)
    assert one.known is not None
    assert one.known.accuracy.value == 1.0
    assert one.sure is not None
    assert one.sure.coverage.value == 1.0
    assert one.strange is not None
    assert one.strange.accepted is not None
    assert (one.strange.photos, one.strange.accepted.value) == (4, 0.0)
    assert one.strange.auroc is not None
    assert (one.strange.auroc.value, one.strange.against) == (1.0, ("here",))
    assert one.strange.taken_for == {"blue": 1.0}
    assert (one.skipped, one.unreadable) == (2, 1)


def made_up(name: str, known: list[float], strange: list[float], *, novelty: bool) -> Domain:
    """Photos of class 0 with these confidences, and of no class; novelty is the confidence."""

    def probs(values: list[float]) -> np.ndarray:
        return np.array([[one, 1 - one] for one in values], np.float32).reshape(-1, 2)

    def extra(values: list[float]) -> np.ndarray | None:
        return np.array(values, np.float32) if novelty else None

    paths = tuple(f"{n}.jpg" for n in range(len(known)))
    labels = np.zeros(len(known), np.int64)
    first = Scored(paths, labels, probs(known), ("x", "y"), None, extra(known))
    second = None
    if strange:
        paths = tuple(f"s{n}.jpg" for n in range(len(strange)))
        second = Strange(paths, probs(strange), ("x", "y"), None, extra(strange))
    return Domain(name, Path(), first, second)


@pytest.mark.parametrize("novelty", [False, True])
def test_the_score_is_the_models_novelty_or_one_less_confidence(novelty: bool) -> None:
    known, strange = [0.9, 0.8, 0.6, 0.95], [0.7, 0.55, 0.85]
    domain = made_up("a", known, strange, novelty=novelty)
    (one,) = measure_domains([domain], threshold=None, resamples=20)
    assert one.strange is not None
    assert one.strange.auroc is not None
    sign = 1 if novelty else -1
    wanted = roc_auc_score([0] * 4 + [1] * 3, [sign * value for value in known + strange])
    assert one.strange.auroc.value == pytest.approx(wanted)
    assert one.strange.score == ("the model's novelty" if novelty else "1 - confidence")
    assert (one.strange.accepted, one.sure) == (None, None)  # nobody said what is sure


def test_strangers_alone_are_told_from_the_known_of_all_domains() -> None:
    home = made_up("home", [0.9, 0.8], [], novelty=False)
    away = made_up("away", [0.6], [], novelty=False)
    alone = made_up("alone", [], [0.7], novelty=False)
    one, two, three = measure_domains([home, away, alone], threshold=None, resamples=20)
    assert one.strange is None
    assert two.strange is None
    assert three.known is None
    assert three.strange is not None
    assert three.strange.auroc is not None
    assert three.strange.against == ("home", "away")
    assert three.strange.auroc.value == pytest.approx(2 / 3)
    (only,) = measure_domains([alone], threshold=None, resamples=20)
    assert only.strange is not None
    assert (only.strange.auroc, only.strange.against) == (None, ())


PICTURES = 150
COPIES = 4


def copied(times: int, *, grouped: bool) -> Domain:
    """A domain of known and strange pictures, each so many times over."""
    random = np.random.default_rng(11)
    labels = random.integers(0, 2, PICTURES)
    right = random.random(PICTURES) < 0.8
    group_n = np.tile(np.arange(PICTURES), times) if grouped else None

    def also(lift: float) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        sure = np.tile(random.random(PICTURES) < 0.6, times)
        novelty = np.tile(random.normal(lift, 1, PICTURES).astype(np.float32), times)
        return sure, novelty, group_n

    said = np.where(right, labels, 1 - labels)
    probs = np.where(np.arange(2) == said[:, np.newaxis], 0.7, 0.3).astype(np.float32)
    probs = np.tile(probs, (times, 1))
    paths = tuple(f"{number}.jpg" for number in range(PICTURES * times))
    known = Scored(paths, np.tile(labels, times), probs, ("a", "b"), *also(0.0))
    return Domain("bin", Path(), known, Strange(paths, probs, ("a", "b"), *also(1.0)))


def test_copies_narrow_no_interval() -> None:
    domains = [
        copied(1, grouped=False),
        copied(COPIES, grouped=True),
        copied(COPIES, grouped=False),
    ]
    wide, same, narrow = (
        measure_domains([one], threshold=0.5, resamples=600)[0] for one in domains
    )
    for name in (
        *("known.accuracy", "sure.coverage", "sure.accuracy"),
        *("strange.accepted", "strange.auroc", "strange.fpr_at_95_tpr"),
    ):
        once, grouped, loose = (attrgetter(name)(one) for one in (wide, same, narrow))
        assert grouped.value == pytest.approx(once.value, abs=0.01), name
        assert grouped.high - grouped.low == pytest.approx(once.high - once.low, rel=0.2), name
        assert loose.high - loose.low < 0.7 * (once.high - once.low), name
    assert same.strange.mean_confidence == pytest.approx(0.7)
    assert same.known.selective.threshold == 0.5
