"""How many CPUs this process may use: affinity and cgroup, not the host's count."""

from __future__ import annotations

import math
import os
from pathlib import Path

__all__ = ["available_cpus"]


def available_cpus(cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """CPUs of the affinity mask, or fewer if a cgroup quota (v1 or v2) says so; at least 1.

    Args:
        cgroups: where the cgroup file systems are mounted.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota = _quota_v2(cgroups) or _quota_v1(cgroups)
    return max(1, min(allowed or 1, math.ceil(quota) if quota else allowed or 1))


def _quota_v2(cgroups: Path) -> float | None:
    """CPUs from ``cpu.max``: "QUOTA PERIOD", or "max PERIOD" for no limit."""
    quota, _, period = _read(cgroups / "cpu.max").partition(" ")
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() else None


def _quota_v1(cgroups: Path) -> float | None:
    quota = _read(cgroups / "cpu" / "cpu.cfs_quota_us")
    period = _read(cgroups / "cpu" / "cpu.cfs_period_us")
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() else None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
