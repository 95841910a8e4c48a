"""How many CPUs this process may use: affinity and cgroup, not the host's count."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["available_cpus"]


def available_cpus(
    cgroups: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")
) -> int:
    """CPUs of the affinity mask, or fewer if a cgroup quota (v1 or v2) says so; at least 1.

    A process is bound by its own cgroup and by all above it, so the smallest quota counts. A part
    of a CPU counts as one.

    Args:
        cgroups: where the cgroup file systems are mounted.
        membership: names the cgroups of this process, as ``/proc/self/cgroup`` does.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quotas = [math.ceil(quota) for quota in _quotas(cgroups, membership)]
    return max(1, min([allowed or 1, *quotas]))


def _quotas(cgroups: Path, membership: Path) -> Iterator[float]:
    """CPUs that each cgroup on the way up allows; those without a limit are left out."""
    for mount, folder in _own_cgroups(cgroups, membership):
        # A path of ".." leads out of what a container can see.
        inner = mount if ".." in folder else mount / folder.lstrip("/")
        for place in (inner, *inner.parents):
            quota = _quota_v2(place) or _quota_v1(place)
            if quota:
                yield quota
            if place == mount:
                break


def _own_cgroups(cgroups: Path, membership: Path) -> Iterator[tuple[Path, str]]:
    """Mount point and path of the v2 cgroup, and of the v1 cgroup that limits CPUs.

    Each line of ``membership`` is "NUMBER:CONTROLLERS:PATH"; v2 has no controllers.
    """
    lines = [line.split(":", 2) for line in _read(membership).splitlines()]
    paths = {name: parts[2] for parts in lines if len(parts) == 3 for name in parts[1].split(",")}
    yield cgroups, paths.get("", "/")
    yield cgroups / "cpu", paths.get("cpu", "/")


def _quota_v2(cgroup: Path) -> float | None:
    """CPUs from ``cpu.max``: "QUOTA PERIOD", or "max PERIOD" for no limit."""
    quota, _, period = _read(cgroup / "cpu.max").partition(" ")
    return _ratio(quota, period)


def _quota_v1(cgroup: Path) -> float | None:
    return _ratio(_read(cgroup / "cpu.cfs_quota_us"), _read(cgroup / "cpu.cfs_period_us"))


def _ratio(quota: str, period: str) -> float | None:
    """CPUs, or nothing if there is no limit ("max", -1) or no such file."""
    known = quota.isdecimal() and period.isdecimal() and int(period) > 0
    return int(quota) / int(period) if known else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""
