from __future__ import annotations

import os
from pathlib import Path

import pytest

from binsight import cpus
from binsight.cpus import available_cpus


@pytest.fixture(autouse=True)
def sixteen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)


class Tree:
    """A cgroup file system and the membership file of one process."""

    def __init__(self, folder: Path) -> None:
        self.mount = folder / "cgroup"
        self.membership = folder / "membership"
        self.mount.mkdir()

    def v2(self, path: str, limit: str) -> None:
        place = self.mount / path
        place.mkdir(parents=True, exist_ok=True)
        (place / "cpu.max").write_text(f"{limit}\n")

    def v1(self, path: str, quota: int, period: int) -> None:
        place = self.mount / "cpu" / path
        place.mkdir(parents=True, exist_ok=True)
        (place / "cpu.cfs_quota_us").write_text(f"{quota}\n")
        (place / "cpu.cfs_period_us").write_text(f"{period}\n")

    def joined(self, *lines: str) -> int:
        self.membership.write_text("".join(f"{line}\n" for line in lines))
        return available_cpus(self.mount, self.membership)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_without_cgroups_the_affinity_counts(tmp_path: Path) -> None:
    assert available_cpus(tmp_path / "none", tmp_path / "none") == 16


def test_affinity_of_fewer_than_the_host_has(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 7, 11})
    assert available_cpus(tmp_path, tmp_path / "none") == 3


@pytest.mark.parametrize(("count", "expected"), [(6, 6), (None, 1)])
def test_systems_without_affinity(tmp_path: Path, monkeypatch, count, expected) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    assert available_cpus(tmp_path, tmp_path / "none") == expected


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("50000 100000", 1),
        ("1000 100000", 1),
        ("6400000 100000", 16),
        ("max 100000", 16),
        ("", 16),
        ("nonsense", 16),
        ("200000", 16),
        ("200000 0", 16),
    ],
)
def test_quota_v2(tree: Tree, limit: str, expected: int) -> None:
    tree.v2(".", limit)
    assert tree.joined("0::/") == expected


@pytest.mark.parametrize(
    ("quota", "period", "expected"), [(300000, 100000, 3), (250000, 100000, 3), (-1, 100000, 16)]
)
def test_quota_v1(tree: Tree, quota: int, period: int, expected: int) -> None:
    tree.v1(".", quota, period)
    assert tree.joined("4:memory:/", "1:cpu,cpuacct:/") == expected


@pytest.mark.parametrize(
    ("inner", "middle", "outer", "expected"),
    [
        ("200000 100000", "max 100000", "max 100000", 2),
        ("800000 100000", "max 100000", "300000 100000", 3),
        ("max 100000", "500000 100000", "600000 100000", 5),
        ("max 100000", "max 100000", "max 100000", 16),
    ],
)
def test_the_tightest_v2_quota_on_the_way_up_counts(
    tree: Tree, inner: str, middle: str, outer: str, expected: int
) -> None:
    tree.v2("user.slice", outer)
    tree.v2("user.slice/user-7.slice", middle)
    tree.v2("user.slice/user-7.slice/a: b.scope", inner)
    tree.v2("other.slice", "100000 100000")
    assert tree.joined("0::/user.slice/user-7.slice/a: b.scope") == expected


def test_the_tightest_v1_quota_on_the_way_up_counts(tree: Tree) -> None:
    tree.v1("docker", 400000, 100000)
    tree.v1("docker/abc", 700000, 100000)
    assert tree.joined("3:cpuacct,cpu:/docker/abc", "0::/docker/abc") == 4
    assert tree.joined("3:cpuset:/docker/abc", "2:cpu:/") == 16


def test_a_path_that_is_not_mounted_here_leaves_the_root(tree: Tree) -> None:
    tree.v2(".", "200000 100000")
    assert tree.joined("0::/system.slice/docker-abc.scope") == 2


def test_nothing_above_the_mount_is_read(tree: Tree) -> None:
    (tree.mount.parent / "cpu.max").write_text("100000 100000\n")
    tree.v2("a", "max 100000")
    assert tree.joined("0::/a") == 16
    assert tree.joined("0::/../a") == 16


def test_a_membership_file_of_another_form_is_left_out(tree: Tree) -> None:
    tree.v2(".", "200000 100000")
    assert tree.joined("nonsense", "", "1:2") == 2


def test_this_process_may_use_some_cpu(monkeypatch) -> None:
    monkeypatch.undo()
    assert 1 <= available_cpus() <= (os.cpu_count() or 1)


def test_only_the_count_is_public() -> None:
    assert cpus.__all__ == ["available_cpus"]
