"""A pool in an ordinary folder: the kernel's part (loop devices, reflinks, mounts) is replaced by plain files."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.kind.csi.driver import linux
from tests.kind.csi.driver.controller import Controller
from tests.kind.csi.driver.pool import Pool, Settings

NODE = "worker-1"
GIB = 1024**3


@dataclass
class Kernel:
    """What the driver asked of the kernel, and what the test lets it believe is mounted."""

    frozen: list[Path | None] = field(default_factory=list)
    mounted: dict[str, Path] = field(default_factory=dict)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    """Stand-ins for the calls that need root; sizes stay real, as sparse files."""
    state = Kernel()
    real_frozen = linux.frozen

    def make_filesystem(image: Path, size: int) -> None:
        with image.open("xb") as file:
            file.write(b"filesystem")
            file.truncate(size)

    def clone_file(source: Path, target: Path) -> None:
        assert not target.exists()
        subprocess.run(["cp", "--sparse=always", source, target], check=True)

    def frozen(point: Path | None) -> object:
        state.frozen.append(point)
        return real_frozen(None)

    monkeypatch.setattr(linux, "make_filesystem", make_filesystem)
    monkeypatch.setattr(linux, "clone_file", clone_file)
    monkeypatch.setattr(linux, "frozen", frozen)
    monkeypatch.setattr(Pool, "mounted_at", lambda _self, volume: state.mounted.get(volume.id))
    return state


@pytest.fixture
def pool(tmp_path: Path, kernel: Kernel) -> Pool:
    """A prepared pool of 10 GiB on a node in zone a."""
    topology = {"kubernetes.io/hostname": NODE, "topology.kubernetes.io/zone": "a"}
    made = Pool(Settings(NODE, tmp_path, 10 * GIB, topology))
    made.volumes.prepare()
    made.snapshots.prepare()
    return made


@pytest.fixture
def controller(pool: Pool) -> Controller:
    """The controller service on that pool."""
    return Controller(pool)
