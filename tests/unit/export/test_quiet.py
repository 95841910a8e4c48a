"""What converters print is not seen, and how they fail is one line."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings

import pytest

from binsight.errors import ConversionError, MissingExtraError
from binsight.export.quiet import converting


def test_nothing_reaches_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    print("before")
    with converting("a.tflite"):
        print("from Python")
        os.write(1, b"from C\n")
        os.write(2, b"from C\n")
        subprocess.run([sys.executable, "-c", "print('from a child')"], check=True)
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    print("after")
    out, err = capfd.readouterr()
    assert (out.split(), err) == (["before", "after"], "")


def test_a_failure_is_one_line_and_the_terminal_is_back(capfd: pytest.CaptureFixture[str]) -> None:
    with (
        pytest.raises(ConversionError, match=r"^a.tflite: the converter failed \(no such op\)$"),
        converting("a.tflite"),
    ):
        raise RuntimeError("no such op\nand a page of details")
    print("after")
    assert capfd.readouterr().out == "after\n"


@pytest.mark.parametrize("error", [MissingExtraError("torch", "litert"), ModuleNotFoundError("x")])
def test_what_is_said_already_is_not_said_anew(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, converting("a.tflite"):
        raise error
    assert caught.value is error


def test_an_interruption_passes() -> None:
    with pytest.raises(KeyboardInterrupt), converting("a.tflite"):
        raise KeyboardInterrupt
