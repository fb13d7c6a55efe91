"""What the tests want of a place for backups, whatever kind it is."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from aurora_operator.api.spec.repository import Destination

PASSPHRASE = "correct horse battery staple"
BUCKET = "backups"


class Store(Protocol):
    """A place for backups; `stop` and `start` take it away and bring it back with what it held."""

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def destination(self, *, bucket: str = BUCKET) -> Destination: ...

    def mount(self, folder: Path, *, secret_key: str | None = None) -> None:
        """Fill a folder as a pod has the Secrets, with the right key where none is given."""


def write(folder: Path, files: dict[str, str]) -> None:
    """The Secrets as a pod has them."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until_it_listens(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise AssertionError(f"{process.args!r} does not listen")


def end(process: subprocess.Popen[bytes] | None) -> None:
    if process is not None:
        process.kill()
        process.wait()


@contextmanager
def serving(store: Store) -> Iterator[None]:
    store.start()
    try:
        yield
    finally:
        store.stop()
