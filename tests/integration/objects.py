"""An S3 server on loopback, with TLS and an authority of its own, and a bucket."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration.certificates import Authority
from tests.integration.stores.store import BUCKET, PASSPHRASE, end, free_port, wait_until_it_listens, write
from tests.kind import s3

from aurora_operator.api.spec.placement import SecretReference
from aurora_operator.api.spec.repository import S3, Destination

ACCESS_KEY = "test-access"
SECRET_KEY = "test-secret-key"


@dataclass
class ObjectStore:
    """One server; `stop` and `start` take it away and bring it back with what it held."""

    root: Path
    authority: Authority
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.tls = self.root / "tls"
        self.tls.mkdir(parents=True)
        self.authority.fill(self.tls)
        (self.root / "data" / BUCKET).mkdir(parents=True)

    def start(self) -> None:
        environment = {"ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": SECRET_KEY, "PATH": os.environ["PATH"]}
        certificate, key = self.tls / "server.crt", self.tls / "server.key"
        self._process = subprocess.Popen(
            [s3.binary(), "--port", f"127.0.0.1:{self.port}", "--cert", certificate, "--key", key, "--quiet",
             "posix", self.root / "data"],
            env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait_until_it_listens(self.port, self._process)

    def stop(self) -> None:
        end(self._process)
        self._process = None

    def destination(self, *, path: str = "/aurora/test", bucket: str = BUCKET) -> Destination:
        s3_ = S3(
            bucket=bucket,
            endpoint=f"localhost:{self.port}",
            uri_style="path",
            credentials=SecretReference(name="s3"),
            ca_secret=SecretReference(name="s3-ca"),
        )
        return Destination(s3=s3_, path=path)

    def mount(self, folder: Path, *, secret_key: str | None = None) -> None:
        write(
            folder,
            {
                "credentials/access-key-id": ACCESS_KEY,
                "credentials/secret-access-key": secret_key or SECRET_KEY,
                "ca/ca.crt": (self.tls / "ca.crt").read_text(),
                "encryption/passphrase": PASSPHRASE,
            },
        )

    def files(self) -> list[str]:
        """All objects in the bucket."""
        root = self.root / "data" / BUCKET
        return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file() and ".sgwtmp" not in p.parts)
