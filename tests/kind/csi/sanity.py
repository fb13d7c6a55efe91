"""Run csi-sanity, the CSI project's own conformance test, against the driver: ``python -m tests.kind.csi.sanity``.

Needs root (loop devices, mounts), xfsprogs, and Go once to build csi-sanity. Prints how many specs passed,
failed and were skipped, and why those were: a capability that the driver does not offer.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.kind import system
from tests.kind.shell import HarnessError, say, step

from .driver import linux
from .sidecars import sanity_binary

REPO = Path(__file__).resolve().parents[3]
_GIB = 1024**3


@dataclass
class Outcome:
    """What csi-sanity found: counts, the failures' names, and how often each reason to skip was given."""

    passed: int = 0
    failed: list[str] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)


def parse_report(path: Path) -> Outcome:
    """Read ginkgo's JUnit report. Raises FileNotFoundError if csi-sanity died before it wrote one."""
    outcome = Outcome()
    for case in ElementTree.parse(path).iter("testcase"):
        if not case.get("name", "").startswith("[It]"):
            continue  # hooks around the suite
        status = case.get("status", "")
        if status == "passed":
            outcome.passed += 1
        elif status in ("skipped", "pending"):
            why = case.find("skipped")
            message = (why.get("message") or "") if why is not None else ""
            outcome.skipped[message.removeprefix("skipped - ") or status] += 1
        else:
            outcome.failed.append(case.get("name", ""))
    return outcome


def run_sanity(binary: Path, work: Path) -> Outcome:
    """Start the driver on a pool of its own in ``work``, run csi-sanity against it, and stop it again."""
    socket, report = work / "csi.sock", work / "report.xml"
    command = [sys.executable, "-m", "tests.kind.csi.driver", f"--endpoint={socket}", "--node=sanity"]
    log = (work / "driver.log").open("wb")
    driver = subprocess.Popen([*command, f"--root={work}", "--close"], cwd=REPO, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 30
        while not socket.exists():
            if driver.poll() is not None or time.monotonic() > deadline:
                raise HarnessError(f"the driver did not start:\n{(work / 'driver.log').read_text()}")
            time.sleep(0.05)
        mounts = [f"--csi.{kind}dir={work / kind}" for kind in ("staging", "mount")]
        sizes = [f"--csi.testvolumesize={_GIB}", f"--csi.testvolumeexpandsize={2 * _GIB}"]
        subprocess.run(
            [binary, f"--csi.endpoint={socket}", *mounts, *sizes, f"--ginkgo.junit-report={report}"],
            stdout=(work / "sanity.log").open("wb"),
            stderr=subprocess.STDOUT,
            timeout=600,
        )
        if not report.exists():
            raise HarnessError(f"csi-sanity left no report:\n{(work / 'sanity.log').read_text()[-4000:]}")
        outcome = parse_report(report)
    finally:
        driver.terminate()
        driver.wait(30)
        log.close()
        leftover = _unmount_below(work)
    if outcome.failed:
        return outcome  # what a failed test left behind is no news
    if driver.returncode or leftover:
        text = (work / "driver.log").read_text()[-4000:]
        raise HarnessError(f"the driver ended with {driver.returncode}, leaving {leftover}:\n{text}")
    return outcome


def _unmount_below(folder: Path) -> list[Path]:
    """Unmount whatever is left under a folder, innermost first, and return it."""
    points = [mount.point for mount in linux.mounts() if folder in mount.point.parents]
    for point in reversed(points):
        subprocess.run(["umount", "--lazy", point], check=True)
    return points


def main() -> int:
    """Run it and say what came of it; the exit status is that of a test."""
    if os.geteuid() != 0:
        raise HarnessError("csi-sanity mounts volumes: run this as root")
    system.install("xfsprogs", program="mkfs.xfs")
    binary = sanity_binary()
    with tempfile.TemporaryDirectory(prefix="aurora-csi-sanity-") as work:
        with step("csi-sanity"):
            outcome = run_sanity(binary, Path(work))
        if outcome.failed:
            say((Path(work) / "sanity.log").read_text()[-8000:])
    skipped = sum(outcome.skipped.values())
    print(f"csi-sanity: {outcome.passed} passed, {len(outcome.failed)} failed, {skipped} skipped")
    for name in outcome.failed:
        print(f"  failed: {name}")
    for reason, count in sorted(outcome.skipped.items()):
        print(f"  {count} skipped: {reason}")
    return 1 if outcome.failed or not outcome.passed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except HarnessError as error:
        sys.exit(str(error))
