from __future__ import annotations

import pytest

from binsight.interfaces.cli import progress


def test_a_log_gets_a_plain_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 1.0, 9.0, 10.5, 10.5, 12.0, 21.0, 21.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with progress.reporting("classifying") as report:
        for done in (1, 2, 1003, 1004):
            report(done, None)
        report(2000, 4000)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "classifying: 1,003 photos\nclassifying: 2,000 of 4,000 photos\n"
