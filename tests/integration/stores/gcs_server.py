"""gcp-storage-emulator as pgBackRest needs it: TLS, kept connections, upload ids in headers, and only for the account.

`python -m tests.integration.stores.gcs_server PORT BUCKET DATA TLS` serves on loopback until it is killed.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import re
import secrets
import ssl
import sys
import threading
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO, Final
from urllib.parse import parse_qs, urlparse

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from gcp_storage_emulator import server as emulator
from gcp_storage_emulator.storage import Storage

TOKEN: Final = secrets.token_hex(16)


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _is_signed(assertion: str, key: rsa.RSAPublicKey) -> bool:
    """Whether it is a JSON web token that the account's key signed (RS256)."""
    claim, _, signature = assertion.rpartition(".")
    try:
        key.verify(_decoded(signature), claim.encode(), padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, binascii.Error):
        return False
    return True


class WellFormed(emulator.Response):  # type: ignore[misc]  # it comes without types
    """An answer whose parts, where it has some, are set off by the lines that the protocol wants."""

    def write(self, content: str) -> None:
        before = "\r\n" if self._content and content.startswith("--") else ""
        super().write(before + content.replace("application/http\r\n", "application/http\r\n\r\n"))


class Handler(emulator.RequestHandler):  # type: ignore[misc]  # it comes without types
    """One request. The storage knows no threads."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    turn: Final = threading.Lock()
    rfile: BinaryIO

    def __init__(self, key: rsa.RSAPublicKey, *args: Any) -> None:
        self.key = key
        super().__init__(*args)

    def send_header(self, keyword: str, value: str) -> None:
        super().send_header(keyword, value)
        if keyword.lower() == "location":
            super().send_header("X-GUploader-UploadID", parse_qs(urlparse(value).query)["upload_id"][0])

    def do_GET(self) -> None:
        self._serve("GET")

    def do_PUT(self) -> None:
        self._serve("PUT")

    def do_DELETE(self) -> None:
        self._serve("DELETE")

    def do_POST(self) -> None:
        self._serve("POST")

    def _serve(self, method: str) -> None:
        url = urlparse(self.path)
        # Whole, whatever comes of it: the next request is behind it.
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if url.path == "/token":
            self._grant(body)
        elif self.headers.get("Authorization") != f"Bearer {TOKEN}" and "upload_id" not in parse_qs(url.query):
            self._answer(401, {"error": {"code": 401, "message": "Invalid Credentials"}})
        elif self._bucket(url.path) not in (None, *self.storage.buckets):
            self._answer(404, {"error": {"code": 404, "message": "The specified bucket does not exist."}})
        else:
            connection, self.rfile = self.rfile, io.BytesIO(body)
            with self.turn:
                emulator.Router(self).handle(method)
            self.rfile = connection

    def _bucket(self, path: str) -> str | None:
        found = re.match("(?:/upload)?/storage/v1/b/([^/]+)", path)
        return None if found is None else found[1]

    def _grant(self, body: bytes) -> None:
        asked = parse_qs(body.decode())
        if _is_signed(asked["assertion"][0], self.key):
            self._answer(200, {"access_token": TOKEN, "token_type": "Bearer", "expires_in": 3600})
        else:
            self._answer(400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."})

    def _answer(self, status: int, content: dict[str, object]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main(port: str, bucket: str, data: str, tls: str) -> None:
    storage = Storage(data_dir=data)
    if bucket not in storage.buckets:
        storage.create_bucket(bucket, {"name": bucket, "kind": "storage#bucket"})
    key = serialization.load_pem_public_key((Path(tls) / "account.pub").read_bytes())
    assert isinstance(key, rsa.RSAPublicKey)
    emulator.Response = WellFormed
    server = ThreadingHTTPServer(("127.0.0.1", int(port)), partial(Handler, key, storage))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(Path(tls) / "server.crt", Path(tls) / "server.key")
    # Each connection's thread does its own handshake.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
