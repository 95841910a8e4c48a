"""Fixtures that several test files share; being here lets these import this folder's modules."""

from __future__ import annotations

import os

import pytest
from small_bundle import SmallBundle, write_small_bundle

if "PYTEST_XDIST_WORKER" in os.environ:
    # Files of tests share the cores already, also those that start processes.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def small_bundle(tmp_path_factory: pytest.TempPathFactory) -> SmallBundle:
    """A sealed bundle of a few kilobytes whose answers numpy can work out. Do not change it."""
    return write_small_bundle(tmp_path_factory.mktemp("bundle") / "small.onnx")
