"""Google Cloud Storage on loopback: an emulator, with TLS and an authority of its own, and a bucket."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.integration.certificates import Authority
from tests.integration.stores.store import BUCKET, PASSPHRASE, end, free_port, wait_until_it_listens, write
from tests.kind.cache import REPO

from aurora_operator.api.spec.placement import SecretReference
from aurora_operator.api.spec.repository import Destination, Gcs

SERVER = "tests.integration.stores.gcs_server"


def _new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass
class GcsStore:
    root: Path
    authority: Authority
    port: int = field(default_factory=free_port)
    key: rsa.RSAPrivateKey = field(default_factory=_new_key)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        tls = self.root / "tls"
        tls.mkdir(parents=True, exist_ok=True)
        self.authority.fill(tls)
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        public = self.key.public_key().public_bytes(serialization.Encoding.PEM, form)
        (tls / "account.pub").write_bytes(public)
        self._process = subprocess.Popen(
            [sys.executable, "-m", SERVER, str(self.port), BUCKET, self.root / "data", tls],
            cwd=REPO,
            stdout=subprocess.DEVNULL,
        )
        wait_until_it_listens(self.port, self._process)

    def stop(self) -> None:
        end(self._process)
        self._process = None

    def destination(self, *, bucket: str = BUCKET) -> Destination:
        gcs = Gcs(
            bucket=bucket,
            endpoint=f"localhost:{self.port}",
            credentials=SecretReference(name="gcs"),
            ca_secret=SecretReference(name="gcs-ca"),
        )
        return Destination(gcs=gcs, path="/aurora/test")

    def mount(self, folder: Path, *, secret_key: str | None = None) -> None:
        """A wrong key is any key that the account does not have."""
        key = self.key if secret_key is None else _new_key()
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        account = {
            "type": "service_account",
            "client_email": "backups@company.iam.gserviceaccount.com",
            "private_key": pem.decode(),
            "token_uri": f"https://localhost:{self.port}/token",
        }
        write(
            folder,
            {
                "credentials/service-account.json": json.dumps(account),
                "ca/ca.crt": (self.root / "tls" / "ca.crt").read_text(),
                "encryption/passphrase": PASSPHRASE,
            },
        )
