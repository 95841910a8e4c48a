"""The command line as a user meets it: in a process of its own, piped or on a terminal."""

from __future__ import annotations

import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from fcntl import ioctl
from pathlib import Path
from typing import IO

SOURCE = Path(__file__).parents[1] / "src"
RUN = "from binsight.interfaces.cli import main; main()"
HIDE = """
from importlib.machinery import PathFinder
find = PathFinder.find_spec
PathFinder.find_spec = lambda name, *where: None if name == {!r} else find(name, *where)
"""


def program(without: str = "") -> list[str]:
    """The command line in a fresh Python; ``without`` names a package that it shall not find."""
    return [sys.executable, "-c", (HIDE.format(without) if without else "") + RUN]


def surroundings(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "TERM"}}
    paths = os.pathsep.join(filter(None, [str(SOURCE), os.environ.get("PYTHONPATH", "")]))
    return kept | {"PYTHONPATH": paths, "TERM": "xterm"} | more


def binsight(
    *arguments: object, cwd: Path | None = None, without: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*program(without), *map(os.fspath, map(as_argument, arguments))],
        cwd=cwd,
        env=surroundings(**environment),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def as_argument(value: object) -> str | bytes:
    return value if isinstance(value, bytes) else str(value)


def output(*arguments: object, cwd: Path | None = None, **environment: str) -> str:
    """What a command prints that does all it was asked."""
    done = binsight(*arguments, cwd=cwd, **environment)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def refusal(*arguments: object, cwd: Path | None = None, without: str = "") -> str:
    """The one line with which a command says that it did nothing."""
    done = binsight(*arguments, cwd=cwd, without=without)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("binsight: ")
    return line


def on_terminal(
    *arguments: object, columns: int, stdout: IO[bytes] | None = None, **environment: str
) -> str:
    """What a command writes to a terminal of that width.

    With ``stdout``, that goes to a file, and only stderr to the terminal.
    """
    ours, its = pty.openpty()
    ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    command = [*program(), *map(str, arguments)]
    streams = {"stdout": its} if stdout is None else {"stdout": stdout, "stderr": its}
    with subprocess.Popen(command, env=surroundings(**environment), **streams):
        os.close(its)
        written = b"".join(read_until_closed(ours))
    os.close(ours)
    return written.decode()


def read_until_closed(descriptor: int) -> Iterator[bytes]:
    try:
        while block := os.read(descriptor, 65536):
            yield block
    except OSError:  # Linux's way to say that a terminal has no writer left
        return
