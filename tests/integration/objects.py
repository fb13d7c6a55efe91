"""An S3 server on loopback, with TLS and an authority of its own, and a bucket."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration.certificates import Authority
from tests.kind import s3

from aurora_operator.api.placement import SecretReference
from aurora_operator.api.repository import S3, Destination

ACCESS_KEY = "test-access"
SECRET_KEY = "test-secret-key"
BUCKET = "backups"
PASSPHRASE = "correct horse battery staple"


@dataclass
class ObjectStore:
    """One server; `stop` and `start` take it away and bring it back with what it held."""

    root: Path
    address: str
    authority: Authority
    port: int = 0
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.tls = self.root / "tls"
        self.tls.mkdir(parents=True)
        self.authority.fill(self.tls)
        (self.root / "data" / BUCKET).mkdir(parents=True)
        with socket.socket() as probe:
            probe.bind((self.address, 0))
            self.port = probe.getsockname()[1]

    def start(self) -> None:
        environment = {"ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": SECRET_KEY, "PATH": os.environ["PATH"]}
        certificate, key = self.tls / "server.crt", self.tls / "server.key"
        self._process = subprocess.Popen(
            [s3.binary(), "--port", f"{self.address}:{self.port}", "--cert", certificate, "--key", key, "--quiet",
             "posix", self.root / "data"],
            env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection((self.address, self.port), 1):
                return
            time.sleep(0.05)
        raise AssertionError("the S3 server does not listen")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def destination(self, path: str = "/aurora/test", bucket: str = BUCKET) -> Destination:
        s3_ = S3(
            bucket=bucket,
            endpoint=f"localhost:{self.port}",
            uri_style="path",
            credentials=SecretReference(name="s3"),
            ca_secret=SecretReference(name="s3-ca"),
        )
        return Destination(s3=s3_, path=path)

    def mount(self, folder: Path, *, secret_key: str = SECRET_KEY, passphrase: str = PASSPHRASE) -> Path:
        """The Secrets as a pod has them."""
        files = {
            "credentials/access-key-id": ACCESS_KEY,
            "credentials/secret-access-key": secret_key,
            "ca/ca.crt": (self.tls / "ca.crt").read_text(),
            "encryption/passphrase": passphrase,
        }
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        return folder

    def files(self) -> list[str]:
        """All objects in the bucket."""
        root = self.root / "data" / BUCKET
        return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file() and ".sgwtmp" not in p.parts)


@contextlib.contextmanager
def serving(store: ObjectStore) -> Iterator[ObjectStore]:
    store.start()
    try:
        yield store
    finally:
        store.stop()
