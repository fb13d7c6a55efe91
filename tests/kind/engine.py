"""Seeing to it that a Docker engine answers: the one that is there, or one that we install and start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.kind import cache
from tests.kind.docker import engine_answers
from tests.kind.shell import HarnessError, say, step, succeeds
from tests.kind.system import capabilities_missing, install, may_install

_RUNTIME_SOURCE = Path(__file__).parent / "node" / "capped_runc.py"


def ensure() -> None:
    """Return once a Docker engine answers; take only the steps that turn out to be needed."""
    if engine_answers():
        return
    if os.environ.get("DOCKER_HOST"):
        raise HarnessError(f"no Docker engine answers at DOCKER_HOST={os.environ['DOCKER_HOST']}")
    if not may_install():
        raise HarnessError("no Docker engine answers: start Docker (or install it) and try again")
    with step("start a Docker engine (none answers)"):
        install("docker.io", "iptables", program="dockerd")
        if Path("/run/systemd/system").is_dir():
            succeeds(["systemctl", "start", "docker"])
        if not engine_answers():
            _start()


def stop_own() -> None:
    """Stop the engine if it is one that we started; images and containers stay on disk."""
    pid = _own_pid()
    if pid is None:
        return
    with step("stop our Docker engine"):
        os.kill(pid, signal.SIGTERM)
        for _ in range(300):
            if _own_pid() is None:
                break
            time.sleep(0.1)
    _pid_file().unlink(missing_ok=True)


def _start() -> None:
    log = cache.root() / "dockerd.log"
    with log.open("ab") as handle:
        process = subprocess.Popen(
            ["dockerd", *_runtime_options()],
            stdin=subprocess.DEVNULL,
            stdout=handle,
            stderr=handle,
            start_new_session=True,  # it outlives us and the terminal
        )
    _pid_file().write_text(str(process.pid))
    for _ in range(120):
        if engine_answers():
            return
        if process.poll() is not None:
            break
        time.sleep(0.5)
    raise HarnessError(f"dockerd does not come up; see {log}")


def _runtime_options() -> list[str]:
    """A runtime that does not ask for what root lacks here, where root lacks something."""
    missing = capabilities_missing()
    if not missing:
        return []
    say(f"root lacks capabilities {missing} here: containers will be started without them")
    runtime = cache.root() / "capped-runc"
    interpreter = Path(sys.executable).resolve()
    runtime.write_text(f"#!{interpreter} -IS\n{_RUNTIME_SOURCE.read_text()}")
    runtime.chmod(0o755)
    return ["--add-runtime", f"capped={runtime}", "--default-runtime", "capped"]


def _pid_file() -> Path:
    return cache.root() / "dockerd.pid"


def _own_pid() -> int | None:
    """The process ID of the engine that we started, if that still runs."""
    try:
        pid = int(_pid_file().read_text())
        return pid if Path(f"/proc/{pid}/comm").read_text().strip() == "dockerd" else None
    except (OSError, ValueError):
        return None
