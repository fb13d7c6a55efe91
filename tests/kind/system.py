"""What the machine itself has to provide, and installing it where we may."""

from __future__ import annotations

import functools
import os
import shutil
from pathlib import Path

from tests.kind.shell import HarnessError, output, run, step


def may_install() -> bool:
    """Whether we are root on a Debian-like machine."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def install(*packages: str, program: str) -> None:
    """Install Debian packages that provide a program, or say what the person has to install."""
    if shutil.which(program):
        return
    wanted = " ".join(packages)
    if not may_install():
        raise HarnessError(f"`{program}` is missing: install it (Debian: `apt-get install {wanted}`) and try again")
    with step(f"install {wanted} (no `{program}` here)"):
        environment = {"DEBIAN_FRONTEND": "noninteractive"}
        run(["apt-get", "update"], env=environment)
        run(["apt-get", "install", "--yes", "--no-install-recommends", *packages], env=environment)


def debian_mirror() -> str:
    """The Debian mirror that this machine's apt uses, or Debian's own."""
    return _mirror("debian")


def debian_security_mirror() -> str:
    """The same for security updates."""
    return _mirror("debian-security")


@functools.cache
def _mirror(archive: str) -> str:
    if shutil.which("apt-get"):
        for site in output(["apt-get", "indextargets", "--format", "$(SITE)"]).split():
            if site.rstrip("/").endswith(f"/{archive}"):
                return site
    return f"http://deb.debian.org/{archive}"


def capabilities_missing() -> list[int]:
    """Numbers of the capabilities that even root lacks here (a container in a container, usually)."""
    status = Path("/proc/self/status").read_text()
    bounding = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapBnd:"))
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    return [number for number in range(last + 1) if not bounding >> number & 1]
