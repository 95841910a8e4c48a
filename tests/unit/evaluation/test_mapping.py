from __future__ import annotations

from pathlib import Path

import pytest

from binsight.errors import MappingError
from binsight.evaluation.mapping import ClassMap, Special, read_map

CLASSES = ("glass", "metal")


def written(folder: Path, text: str) -> Path:
    path = folder / "mapping.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_names_become_classes_none_or_skip(tmp_path: Path) -> None:
    text = '[classes]\n"tin" = "metal"\nshoes = "none"\n"old clothes" = "skip"\nmetal = "skip"\n'
    means = read_map(written(tmp_path, text), CLASSES)
    assert means.resolved(["tin", "shoes", "old clothes", "metal", "glass", "tin"], CLASSES) == {
        "tin": "metal",
        "shoes": Special.NONE,
        "old clothes": Special.SKIP,
        "metal": Special.SKIP,  # a line goes before an equal name
        "glass": "glass",
    }


def test_names_are_one_however_their_accents_are_written(tmp_path: Path) -> None:
    means = read_map(written(tmp_path, '[classes]\n"Me\u0301tal" = "metal"\n'), CLASSES)
    assert means.resolved(["M\xe9tal"], CLASSES) == {"M\xe9tal": "metal"}


def test_a_class_that_is_called_none_is_a_class(tmp_path: Path) -> None:
    means = read_map(written(tmp_path, '[classes]\nshoes = "none"\n'), (*CLASSES, "none"))
    found = means.resolved(["shoes", "none"], (*CLASSES, "none"))
    assert found == {"shoes": "none", "none": "none"}


def test_every_mistake_is_named_at_once(tmp_path: Path) -> None:
    text = 'other = 1\n[classes]\na = "glas"\nb = "metal"\nc = 3\n[more]\nd = "none"\n'
    with pytest.raises(MappingError) as caught:
        read_map(written(tmp_path, text), CLASSES)
    message = str(caught.value)
    assert "unknown key other" in message
    assert "unknown key more" in message
    assert 'no such class: "a" = "glas", "c" = 3 (give glass, metal, "none" or "skip")' in message
    assert '"b"' not in message


@pytest.mark.parametrize("text", ["", "classes = 4\n", '["classes"\n', b"\xff\xfe"])
def test_what_is_no_map_is_refused(tmp_path: Path, text: str | bytes) -> None:
    path = tmp_path / "mapping.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(MappingError, match=r"mapping\.toml: (no table \[classes\]|not a TOML)"):
        read_map(path, CLASSES)


def test_a_map_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MappingError, match="No such file"):
        read_map(tmp_path / "mapping.toml", CLASSES)


def test_names_without_a_line_are_named_with_the_lines_to_add(tmp_path: Path) -> None:
    means = read_map(written(tmp_path, '[classes]\ntin = "metal"\n'), CLASSES)
    with pytest.raises(MappingError) as caught:
        means.resolved(["tin", "glass", 'a "quoted" name', "shoes"], CLASSES)
    message = str(caught.value)
    assert f"add to [classes] of {means.source}" in message
    assert message.count('= "..."') == 2
    for name in (r'"a \"quoted\" name" = "..."', '"shoes" = "..."', "glass, metal", '"skip"'):
        assert name in message


def test_the_lines_to_add_are_lines_of_a_map(tmp_path: Path) -> None:
    with pytest.raises(MappingError, match="--map") as caught:
        ClassMap().resolved(['a "quoted" \\ name'], CLASSES)
    line = str(caught.value).partition(" and ")[2].partition(' = "..."')[0]
    means = read_map(written(tmp_path, f'[classes]\n{line} = "glass"\n'), CLASSES)
    assert means.resolved(['a "quoted" \\ name'], CLASSES) == {'a "quoted" \\ name': "glass"}
