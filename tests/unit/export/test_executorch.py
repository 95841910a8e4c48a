"""A small network as ExecuTorch, for real."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_bundle import squares
from small_network import write_convolving_bundle

pytest.importorskip("executorch")

from binsight import Classifier
from binsight.export.formats import FORMATS, Request, Source, open_exported
from binsight.export.formats import write_exported as write
from binsight.export.shown import Shown
from binsight.preprocess import load


@pytest.mark.slow
def test_it_answers_like_the_bundle(tmp_path: Path) -> None:
    bundle = write_convolving_bundle(tmp_path / "a.onnx")
    squares(1)[0].save(tmp_path / "photo.png")
    request = Request(photos=Shown((tmp_path / "photo.png",), np.array([-1])))
    out = tmp_path / "a.pte"
    described = write(FORMATS["executorch"], Source(Classifier(bundle)), out, request)
    assert described.outputs == ("probs", "embedding")
    images = np.stack([load(one, described.preprocess) for one in squares(5, seed=8)])
    expected = Classifier(bundle).run(images)
    found = open_exported(out).open().run(images)
    assert np.allclose(found.probs_nc, expected.probs_nc, atol=1e-5)
    assert np.allclose(found.embedding_nd, expected.embedding_nd, atol=1e-5)
    assert sorted(one.name for one in tmp_path.iterdir()) == [
        "a.onnx",
        "a.pte",
        "a.pte.json",
        "photo.png",
    ]
