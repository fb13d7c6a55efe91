"""What the machine itself has to provide, and installing it where we may."""

from __future__ import annotations

import functools
import os
import shutil
from pathlib import Path

from tests.kind.shell import HarnessError, output, run, say, step


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
    """The Debian mirror that this machine's apt uses. Raises HarnessError where there is no apt."""
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
    raise HarnessError(f"no mirror of {archive} is known here: use a Debian machine, or one that reaches a registry")


def capabilities_missing() -> list[int]:
    """Numbers of the capabilities that even root lacks here (a container in a container, usually)."""
    status = Path("/proc/self/status").read_text()
    bounding = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapBnd:"))
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    return [number for number in range(last + 1) if not bounding >> number & 1]


def allow_file_watches() -> None:
    """Raise the limits on inotify: with several nodes on one kernel the defaults are soon used up.

    What then fails says "too many open files" and looks like anything but this: kube-proxy, kubelet, tail.
    """
    for name, wanted in (("max_user_instances", 1024), ("max_user_watches", 524288)):
        limit = Path("/proc/sys/fs/inotify") / name
        if not limit.exists() or int(limit.read_text()) >= wanted:
            continue
        try:
            limit.write_text(str(wanted))
        except OSError:
            say(f"fs.inotify.{name} is low: if pods fail, run `sudo sysctl -w fs.inotify.{name}={wanted}`")
