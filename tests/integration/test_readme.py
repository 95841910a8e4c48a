"""What the README says to type can be typed, and what it says is there is there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from binsight.interfaces.cli import app

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROGRAMS = ("scripts/binsight", "binsight", ".venv/bin/binsight")
SHELL = {"|", ">", ">>", "2>", "<", "&&", "||", ";", "&"}


def code_blocks(text: str) -> Iterator[list[str]]:
    """Fenced and indented blocks, without their fences and their common indent."""
    fenced = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
    for block in fenced.findall(text):
        yield block.splitlines()
    indented = re.compile(r"(?:^(?: {4}.*|)\n)+", re.MULTILINE)
    for block in indented.findall(fenced.sub("", text) + "\n"):
        if lines := [line[4:] for line in block.splitlines() if line.strip()]:
            yield lines


def commands(text: str) -> list[str]:
    """Command lines of our own, continued lines joined."""
    lines = [
        line.strip().removeprefix("$ ")
        for block in code_blocks(text)
        for line in "\n".join(block).replace("\\\n", " ").splitlines()
    ]
    return [line for line in lines if re.match(r"scripts/\w", line) or is_ours(line)]


def is_ours(line: str) -> bool:
    return line.partition(" ")[0] in PROGRAMS


def arguments_of(line: str) -> list[str]:
    """Words after the program, up to a comment or what the shell does with the rest."""
    words = shlex.split(line, comments=True)[1:]
    end = next((place for place, word in enumerate(words) if word in SHELL), len(words))
    return words[:end]


def parse(words: list[str]) -> None:
    """Let the command line's own parser read the words, and run nothing."""
    command = typer.main.get_command(app)
    context = command.make_context("binsight", list(words))
    while commands_below := getattr(command, "commands", None):
        name, *words = [*context._protected_args, *context.args]
        assert name in commands_below, f"no command {name}"
        command = commands_below[name]
        context = command.make_context(name, words, parent=context)


def mapped_paths(text: str) -> list[str]:
    """Paths of the file map: first words of an indented tree, each below what it is indented to."""
    section = re.search(r"^## [^\n]*laid out\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert section, "no section that says how it is laid out"
    paths = []
    for block in code_blocks(section[1]):
        above: list[tuple[int, str]] = []
        for line in block:
            indent, name = len(line) - len(line.lstrip()), line.split()[0]
            above = [(depth, folder) for depth, folder in above if depth < indent]
            paths.append("".join(folder for _, folder in above) + name)
            if name.endswith("/"):
                above.append((indent, name))
    return paths


COMMANDS = commands(README)
MAPPED = mapped_paths(README)


def test_the_readme_shows_every_step() -> None:
    shown = {" ".join(arguments_of(line)[:2]) for line in COMMANDS if is_ours(line)}
    first_words = {words.split()[0] for words in shown if words}
    assert {"classify", "info", "train", "evaluate", "export", "data"} <= first_words
    assert {"data check", "data split"} <= shown


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_exists(line: str) -> None:
    if line.startswith("scripts/"):
        script = ROOT / line.partition(" ")[0]
        assert script.is_file()
        assert script.stat().st_mode & 0o100, "not executable"
    if is_ours(line):
        parse(arguments_of(line))


@pytest.mark.parametrize("path", MAPPED)
def test_the_file_map_names_what_is_there(path: str) -> None:
    assert (ROOT / path).is_dir() if path.endswith("/") else (ROOT / path).is_file()


@pytest.mark.parametrize("package", sorted((ROOT / "src/binsight").glob("*/__init__.py")))
def test_the_file_map_leaves_no_package_out(package: Path) -> None:
    name = f"{package.parent.relative_to(ROOT).as_posix()}/"
    assert any(path.startswith(name) for path in MAPPED)


@pytest.mark.parametrize(
    "target", re.findall(r"\]\((?!\w+:|#)([^)#]+)", README), ids=lambda target: target
)
def test_a_link_leads_somewhere(target: str) -> None:
    assert (ROOT / target).exists()


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("explain", "Missing"),
        ("classify a.jpg --modle b", "No such option: --modle"),
        ("clasify a.jpg", "no command clasify"),
        ("data split a --out b --seed x", "valid integer"),
    ],
)
def test_a_command_that_does_not_exist_is_found(wrong: str, reason: str) -> None:
    with pytest.raises(Exception, match=reason):
        parse(wrong.split())


def test_blocks_of_both_kinds_are_read() -> None:
    text = (
        "Say `binsight no`.\n\n    $ binsight info  # why\n    binsight train \\\n      x\n\n"
        "```sh\nscripts/test -k a | head\nls\n```\n"
    )
    assert sorted(commands(text)) == [
        "binsight info  # why",
        "binsight train    x",
        "scripts/test -k a | head",
    ]
    assert arguments_of("binsight info a  # why") == ["info", "a"]
    assert arguments_of("scripts/test -k a | head") == ["-k", "a"]


def test_a_map_is_read_as_a_tree() -> None:
    text = (
        "## How it is laid out\n\n"
        "    src/a/\n      b.py   what\n      c/\n        d.py\n    e/  x\n\n"
        "## Next\n\n    no/\n"
    )
    assert mapped_paths(text) == ["src/a/", "src/a/b.py", "src/a/c/", "src/a/c/d.py", "e/"]
