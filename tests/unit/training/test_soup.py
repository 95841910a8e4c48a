from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import output, refusal
from tiny_training import draw_photos, make_run, write_weights

torch = pytest.importorskip("torch")

from sklearn.linear_model import LogisticRegression  # noqa: E402

from binsight.data.relabel import LabelIssue  # noqa: E402
from binsight.data.split import split_by_ratios  # noqa: E402
from binsight.errors import RunError, UsageError  # noqa: E402
from binsight.model.network import Network  # noqa: E402
from binsight.model.weights import build_with_weights, write_state  # noqa: E402
from binsight.training.checkpoints import best_network  # noqa: E402
from binsight.training.outputs import outputs_of  # noqa: E402
from binsight.training.parts import labelled  # noqa: E402
from binsight.training.run import Run, create_twin, open_run  # noqa: E402
from binsight.training.soup import Soup, Tasted, make_soup  # noqa: E402

CALM: dict[str, Any] = {"workers": 0, "accelerator": "cpu"}


class Kitchen:
    """Runs without a training: one network, and heads that know the drawn photos more or less."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.photos = draw_photos(folder / "photos")
        weights = write_weights(folder / "first.safetensors")
        run: Run = make_run(self.photos, folder / "first", "default", weights=weights)
        classes = run.facts.classes
        shown = labelled(run, run.photos(), "val")
        self.network: Network = build_with_weights(
            run.recipe.architecture, str(weights), classes=classes, dropout=0
        ).eval()
        _, embeddings_nd = outputs_of(self.network, shown, run.recipe.preprocess)
        fitted = LogisticRegression().fit(embeddings_nd, np.array(shown.labels))
        self.network.head.weight.data.copy_(torch.from_numpy(fitted.coef_))
        self.network.head.bias.data.copy_(torch.from_numpy(fitted.intercept_))

    def run(self, name: str, *, times: float = 1, glass: float = 0, **changes: Any) -> Run:
        """A run whose head is so many times as large, and says glass so much more readily."""
        run: Run = make_run(self.photos, self.folder / name, "default", **changes)
        state = dict(self.network.state_dict())
        state["head.weight"] = state["head.weight"] * times
        state["head.bias"] = state["head.bias"] * times + torch.tensor([glass, 0, 0])
        write_state(run.best, state, classes=run.facts.classes, epoch=0)
        return run

    def soup(self, *runs: Run, **options: Any) -> Soup:
        return make_soup(self.folder / "soup", runs, runs[0].photos(), **CALM, **options)


@pytest.fixture
def kitchen(tmp_path: Path) -> Kitchen:
    return Kitchen(tmp_path)


def head_of(run: Run) -> torch.Tensor:
    head = best_network(open_run(run.folder)).head
    return torch.cat([head.weight, head.bias[:, None]], dim=1).detach()


def names(tasted: Iterable[Tasted]) -> list[tuple[str, bool]]:
    return [(one.run.folder.name, one.taken) for one in tasted]


def test_a_soup_can_be_right_where_none_of_its_runs_is(kitchen: Kitchen) -> None:
    always, never = kitchen.run("always", glass=40), kitchen.run("never", glass=-40)
    made = kitchen.soup(always, never)
    assert names(made.tasted) == [("never", True), ("always", True)]
    alone = [one.alone.val_accuracy for one in made.tasted]
    assert alone == pytest.approx([2 / 3, 1 / 3], abs=1e-4)
    assert made.score.val_accuracy == 1
    assert made.tasted[1].together == made.score
    assert made.photos == 9
    torch.testing.assert_close(head_of(made.run), (head_of(always) + head_of(never)) / 2)


def test_a_run_that_does_harm_is_left_out(kitchen: Kitchen) -> None:
    always, never = kitchen.run("always", glass=40), kitchen.run("never", glass=-40)
    wrong = kitchen.run("wrong", times=-9)
    seen: list[Tasted] = []
    counted: list[tuple[int, int | None]] = []
    made = kitchen.soup(
        *(wrong, always, never),
        tell=seen.append,
        report=lambda done, total: counted.append((done, total)),
    )
    assert counted == [(9 * done, 45) for done in range(1, 6)]
    assert names(seen) == [("never", True), ("always", True), ("wrong", False)]
    assert tuple(seen) == made.tasted
    torch.testing.assert_close(head_of(made.run), (head_of(always) + head_of(never)) / 2)
    assert made.run.facts.soup == (str(never.folder), str(always.folder))


def test_uniform_takes_them_all(kitchen: Kitchen) -> None:
    good, wrong = kitchen.run("good"), kitchen.run("wrong", times=-2)
    made = kitchen.soup(good, wrong, uniform=True)
    assert names(made.tasted) == [("good", True), ("wrong", True)]
    torch.testing.assert_close(head_of(made.run), -0.5 * head_of(good))
    assert made.score.val_accuracy < made.tasted[0].alone.val_accuracy


def test_three_runs_count_the_same(kitchen: Kitchen) -> None:
    runs = [kitchen.run(f"run{times}", times=times) for times in (1, 2, 6)]
    made = kitchen.soup(*runs, uniform=True)
    torch.testing.assert_close(head_of(made.run), 3 * head_of(runs[0]))


def test_a_mean_that_is_no_worse_is_taken(kitchen: Kitchen) -> None:
    made = kitchen.soup(kitchen.run("one"), kitchen.run("same"))
    assert names(made.tasted) == [("one", True), ("same", True)]


def test_a_run_has_to_be_no_worse_than_the_mean_that_was_reached(kitchen: Kitchen) -> None:
    """It makes the mean less sure, which is still better than the first run alone."""
    always, never = kitchen.run("always", glass=40), kitchen.run("never", glass=-40)
    made = kitchen.soup(always, never, kitchen.run("opposite", times=-1))
    assert names(made.tasted) == [("never", True), ("always", True), ("opposite", False)]
    first, best, last = made.tasted
    assert last.together
    assert best.together == made.score
    assert best.together.rank > last.together.rank > first.alone.rank


def test_where_no_mean_is_better_nothing_is_written(kitchen: Kitchen) -> None:
    with pytest.raises(RunError, match=r"no mean is better than .*good alone.*--uniform"):
        kitchen.soup(kitchen.run("good"), kitchen.run("wrong", times=-9))
    assert not {"soup", ".soup.draft"} & {one.name for one in kitchen.folder.iterdir()}


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"eval_size": 64, "eval_resize_to": 64}, "picture size"),
        ({"architecture": "mobilenet_v3_small"}, "architecture"),
    ],
)
def test_runs_that_do_not_go_together_are_refused(
    kitchen: Kitchen, changes: dict[str, Any], what: str
) -> None:
    with pytest.raises(UsageError, match=f"other and .*good differ in their {what}"):
        kitchen.soup(kitchen.run("good"), kitchen.run("other", **changes))


def test_runs_that_are_validated_on_other_photos_are_refused(kitchen: Kitchen) -> None:
    good = kitchen.run("good")
    again = split_by_ratios(good.photos(), {"train": 0.7, "val": 0.3}, seed=1)
    other = open_run(create_twin(good, kitchen.folder / "other", again).folder)
    with pytest.raises(UsageError, match="may have learned what another is validated on"):
        kitchen.soup(good, other)


def test_runs_with_other_labels_are_refused(kitchen: Kitchen) -> None:
    good = kitchen.run("good")
    path = good.split.paths("train")[0]
    decisions = (LabelIssue(path=path, decision="keep"),)
    other = replace(kitchen.run("other"), decisions=decisions)
    with pytest.raises(UsageError, match="differ in their corrections"):
        kitchen.soup(good, other)


def test_one_run_is_no_soup(kitchen: Kitchen) -> None:
    good = kitchen.run("good")
    for runs in ([good], [good, open_run(good.folder)]):
        with pytest.raises(UsageError, match="two or more different runs"):
            kitchen.soup(*runs)


def test_the_command(kitchen: Kitchen) -> None:
    folders = [kitchen.run("always", glass=40).folder, kitchen.run("never", glass=-40).folder]
    out = kitchen.folder / "soup"
    asked = ["soup", *folders, "--out", out, "--workers", "0", "--accelerator", "cpu"]
    alone, together, wrote = output(*asked).splitlines()
    assert alone.startswith(f"{folders[1]} alone: 66.67% right, loss ")
    assert together.startswith(f"{folders[0]} alone: 33.33% right, loss ")
    assert together.endswith(": taken")
    assert wrote.startswith(f"wrote {out}: the mean of 2 of 2 runs; of 9 validation photos 100.00%")
    said = json.loads((out / "metrics.json").read_text())
    assert said["best"]["val_accuracy"] == 1
    assert [one["taken"] for one in said["soup"]] == [True, True]
    output("evaluate", out, "--part", "val", "--out", kitchen.folder / "report")
    assert "holds a run" in refusal(*asked)
    resumed = ["train", kitchen.photos, "--split", out / "split.csv", "--out", out, "--resume"]
    assert f"--weights {out}" in refusal(*resumed)
