"""These tests mount volumes. Where they cannot, that is an error with what to do, never a skip."""

from __future__ import annotations

import os

import pytest
from tests.kind import system


@pytest.fixture(scope="session", autouse=True)
def kernel_is_ours() -> None:
    if os.geteuid() != 0:
        pytest.fail("these tests make loop devices and mount them: run them as root (make csi does)")
    system.install("xfsprogs", program="mkfs.xfs")
