from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from binsight.errors import ImageError, UnreadableImageError, UsageError
from binsight.interfaces.cli import sorting
from binsight.interfaces.cli.sorting import Sorter, folder_names


def sorter(folder: Path, *answers: str, sources: tuple[Path, ...] = ()) -> Sorter:
    return Sorter(folder, answers or ("glass", "metal"), undecided="not-sure", sources=sources)


def photo(folder: Path, name: str, content: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(content)
    return folder / name


def files(folder: Path) -> dict[str, str]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text() for path in found}


def test_a_copy_lies_in_the_folder_of_its_answer(tmp_path: Path) -> None:
    a, b = photo(tmp_path, "a.jpg", "A"), photo(tmp_path, "b.jpg", "B")
    os.utime(a, (1, 1))
    into = sorter(tmp_path / "out")
    assert into.copy(a, "glass") == tmp_path / "out" / "glass" / "a.jpg"
    assert into.copy(b, None) == tmp_path / "out" / "not-sure" / "b.jpg"
    assert files(tmp_path / "out") == {"glass/a.jpg": "A", "not-sure/b.jpg": "B"}
    assert (tmp_path / "out" / "glass" / "a.jpg").stat().st_mtime == 1
    assert files(tmp_path).items() >= {("a.jpg", "A"), ("b.jpg", "B")}


def test_nothing_is_overwritten_and_nothing_is_there_twice(tmp_path: Path) -> None:
    into = sorter(tmp_path / "out")
    for _ in range(2):
        for folder, content in (("x", "one"), ("y", "two"), ("z", "three"), ("w", "two")):
            into.copy(photo(tmp_path / folder, "a.jpg", content), "glass")
    assert files(tmp_path / "out" / "glass") == {
        "a.jpg": "one",
        "a-2.jpg": "two",
        "a-3.jpg": "three",
    }


def test_of_many_photos_of_one_name_each_looks_at_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[Path] = []
    is_copy = sorting.filecmp.cmp

    def noted(photo: Path, place: Path, *, shallow: bool) -> bool:
        looked_at.append(place)
        return is_copy(photo, place, shallow=shallow)

    monkeypatch.setattr(sorting.filecmp, "cmp", noted)
    photos = [photo(tmp_path / str(n), "a.jpg", "x" * (n + 1)) for n in range(40)]
    into = sorter(tmp_path / "out")
    copies = [into.copy(one, "glass") for one in photos]
    assert [copy.name for copy in copies[:3]] == ["a.jpg", "a-2.jpg", "a-3.jpg"]
    again = sorter(tmp_path / "out")
    assert [again.copy(one, "glass") for one in reversed(photos)] == copies[::-1]
    assert [into.copy(one, "glass") for one in photos] == copies
    assert len(files(tmp_path / "out")) == 40
    assert len(looked_at) < 40 * 8


def test_long_names_leave_room_for_their_number(tmp_path: Path) -> None:
    name = "\u00e9" * 125 + "a.jpg"  # 255 bytes
    into = sorter(tmp_path / "out")
    copies = [into.copy(photo(tmp_path / one, name, one), "glass") for one in ("x", "y", "z")]
    assert len(set(copies)) == 3
    assert copies[2].name.endswith("\u00e9-3.jpg")
    assert sorted(files(tmp_path / "out").values()) == ["x", "y", "z"]


def test_an_endless_suffix_leaves_room_for_no_stem(tmp_path: Path) -> None:
    name = "a." + "b" * 252
    into = sorter(tmp_path / "out")
    copies = [into.copy(photo(tmp_path / one, name, one), "glass") for one in ("x", "y")]
    assert [copy.read_text() for copy in copies] == ["x", "y"]
    assert len({*copies}) == 2


def test_a_photo_that_is_gone_is_an_error_of_that_photo(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImageError, match=r"gone\.jpg: gone before it was copied"):
        sorter(tmp_path / "out").copy(tmp_path / "gone.jpg", "glass")


def test_a_name_that_a_disk_refuses_is_an_error_of_that_photo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")  # a colon, on a memory card

    monkeypatch.setattr("binsight.interfaces.cli.sorting.shutil.copy2", refused)
    a = photo(tmp_path, "a.jpg", "A")
    with pytest.raises(ImageError, match=r"a\.jpg: cannot be copied to .*glass: Invalid argument"):
        sorter(tmp_path / "out").copy(a, "glass")


def test_photos_of_one_name_and_size_are_not_compared_with_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = 0
    is_copy = sorting.filecmp.cmp

    def counted(*files: Path, shallow: bool) -> bool:
        nonlocal compared
        compared += 1
        return is_copy(*files, shallow=shallow)

    monkeypatch.setattr(sorting.filecmp, "cmp", counted)
    photos = [photo(tmp_path / str(n), "a.jpg", f"{n:04}") for n in range(60)]
    into = sorter(tmp_path / "out")
    copies = [into.copy(one, "glass") for one in photos]
    assert len(set(copies)) == 60
    assert [sorter(tmp_path / "out").copy(one, "glass") for one in photos[:5]] == copies[:5]
    assert [into.copy(one, "glass") for one in photos] == copies
    assert compared < 60 * 4


def test_a_copy_that_somebody_changed_is_made_anew(tmp_path: Path) -> None:
    photos = [photo(tmp_path / str(n), "a.jpg", f"{n}") for n in range(3)]
    into = sorter(tmp_path / "out")
    copies = [into.copy(one, "glass") for one in photos]
    copies[2].write_text("another")
    again = into.copy(photos[2], "glass")
    assert again.read_text() == "2"
    assert again not in copies


def test_a_dangling_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "out" / "glass").mkdir(parents=True)
    (tmp_path / "out" / "glass" / "a.jpg").symlink_to(tmp_path / "elsewhere")
    copied = sorter(tmp_path / "out").copy(photo(tmp_path, "a.jpg", "A"), "glass")
    assert copied.name == "a-2.jpg"
    assert not (tmp_path / "elsewhere").exists()


def test_a_copy_cut_short_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: object, target: Path) -> None:
        target.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("binsight.interfaces.cli.sorting.shutil.copy2", full)
    a = photo(tmp_path, "a.jpg", "A")
    with pytest.raises(UsageError, match=r"cannot copy .*a\.jpg to .*glass: No space left"):
        sorter(tmp_path / "out").copy(a, "glass")
    assert files(tmp_path / "out") == {}


@pytest.mark.parametrize(
    ("target", "source", "reason"),
    [
        ("photos", "photos", "would be classified too"),
        ("photos/a/b", "photos", "would be classified too"),
        ("link/out", "photos", "would be classified too"),
        ("out", "out/glass", "lies among the copies"),
    ],
)
def test_copies_and_photos_must_not_meet(
    tmp_path: Path, target: str, source: str, reason: str
) -> None:
    (tmp_path / source).mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / source)
    with pytest.raises(UsageError, match=reason):
        sorter(tmp_path / target, sources=(tmp_path / source,))


def test_beside_the_photos_is_fine(tmp_path: Path) -> None:
    a = photo(tmp_path / "photos", "a.jpg", "A")
    sorter(tmp_path / "photos2", sources=(tmp_path / "photos", a)).copy(a, "glass")
    assert files(tmp_path / "photos2") == {"glass/a.jpg": "A"}


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a folder"):
        sorter(photo(tmp_path, "out", ""))


def test_names_of_folders_are_safe_and_apart() -> None:
    answers = ["glass", "Glass", "a/b", "a:b", "..", ".git", "", "x\ny", "metal, glass, plastic"]
    assert folder_names(answers) == [
        *("glass", "Glass-2", "a_b", "a_b-2", "_", "git", "_-2", "x_y", "metal, glass, plastic"),
    ]


@given(st.lists(st.text(max_size=80), max_size=6))
def test_any_answer_becomes_a_plain_folder(answers: list[str]) -> None:
    names = folder_names(answers)
    assert len({name.casefold() for name in names}) == len(answers)
    for name in names:
        assert Path(name).name == name
        assert not name.startswith(".")
        assert len(name.encode()) <= 255
