"""Azure Blob Storage on loopback: Azurite, with TLS and an authority of its own, and a container."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import ssl
import subprocess
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path

from tests.integration.certificates import Authority
from tests.integration.stores import node
from tests.integration.stores.store import BUCKET, PASSPHRASE, end, free_port, wait_until_it_listens, write

from aurora_operator.api.spec.placement import SecretReference
from aurora_operator.api.spec.repository import Azure, Destination

ACCOUNT = "company"
KEY = base64.b64encode(b"the account's own key").decode()


@dataclass
class AzureStore:
    root: Path
    authority: Authority
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        tls = self.root / "tls"
        first = not tls.exists()
        tls.mkdir(parents=True, exist_ok=True)
        self.authority.fill(tls)
        self._process = subprocess.Popen(
            [*node.azurite(), "--blobHost", "127.0.0.1", "--blobPort", str(self.port), "--silent",
             "--disableProductStyleUrl", "--location", self.root / "data", "--cert", tls / "server.crt",
             "--key", tls / "server.key"],
            env={"AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}", "HOME": str(self.root)},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        wait_until_it_listens(self.port, self._process)
        if first:
            self._make_container()

    def stop(self) -> None:
        end(self._process)
        self._process = None

    def destination(self, *, bucket: str = BUCKET) -> Destination:
        azure = Azure(
            account=ACCOUNT,
            container=bucket,
            endpoint=f"localhost:{self.port}",
            uri_style="path",
            credentials=SecretReference(name="azure"),
            ca_secret=SecretReference(name="azure-ca"),
        )
        return Destination(azure=azure, path="/aurora/test")

    def mount(self, folder: Path, *, secret_key: str | None = None) -> None:
        write(
            folder,
            {
                "credentials/account-key": secret_key or KEY,
                "ca/ca.crt": (self.root / "tls" / "ca.crt").read_text(),
                "encryption/passphrase": PASSPHRASE,
            },
        )

    def _make_container(self) -> None:
        """By the protocol's shared key: <https://learn.microsoft.com/rest/api/storageservices/create-container>."""
        headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-12-02"}
        named = "".join(f"{name}:{value}\n" for name, value in headers.items())
        # The account is named twice where it is a part of the path.
        signed = "PUT" + "\n" * 12 + f"{named}/{ACCOUNT}/{ACCOUNT}/{BUCKET}\nrestype:container"
        digest = hmac.digest(base64.b64decode(KEY), signed.encode(), hashlib.sha256)
        headers["Authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}"
        context = ssl.create_default_context(cafile=self.root / "tls" / "ca.crt")
        connection = http.client.HTTPSConnection("localhost", self.port, context=context, timeout=20)
        connection.request("PUT", f"/{ACCOUNT}/{BUCKET}?restype=container", headers={**headers, "Content-Length": "0"})
        answer = connection.getresponse()
        said = answer.read()
        connection.close()
        assert answer.status == 201, said
