"""A crowd of clients in one process, each as cheap as a client can be, so that what is measured is the server.

Runs in the client's pod, from standard input, with the standard library alone: `python3 - CONNINFO COUNT`. All connect
at once, with TLS (the certificate is verified) and SCRAM-SHA-256. What a client derives from the password and the salt
is derived once: 4,096 rounds each would cost as much time of a processor as the server takes for a session.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import hashlib
import hmac
import json
import os
import secrets
import ssl
import struct
import sys
import time

SSL_REQUEST = struct.pack("!ii", 8, 80877103)
HELD_SECONDS = 1.0
"""How long each keeps its session."""


class ServerError(Exception):
    """What PostgreSQL answered instead of a session."""


@functools.cache
def salted(password: bytes, salt: bytes, rounds: int) -> bytes:
    """SaltedPassword of RFC 5802."""
    return hashlib.pbkdf2_hmac("sha256", password, salt, rounds)


def digest(key: bytes, text: bytes) -> bytes:
    """HMAC of RFC 5802."""
    return hmac.digest(key, text, "sha256")


def message(kind: bytes, body: bytes) -> bytes:
    """A message of the protocol, version 3."""
    return kind + struct.pack("!i", len(body) + 4) + body


class Session:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def begin(self, user: str, database: str, password: bytes) -> None:
        """From the startup packet to the first ReadyForQuery. Raises ServerError."""
        words = b"".join(w.encode() + b"\0" for w in ("user", user, "database", database)) + b"\0"
        self._writer.write(struct.pack("!ii", len(words) + 8, 196608) + words)
        bare = b"n=,r=" + base64.b64encode(secrets.token_bytes(18))
        server_first = b""
        while True:
            kind, body = await self._next()
            if kind == b"Z":
                return
            if kind != b"R":
                continue
            (code,) = struct.unpack_from("!i", body)
            if code == 10:
                first = b"n,," + bare
                self._writer.write(message(b"p", b"SCRAM-SHA-256\0" + struct.pack("!i", len(first)) + first))
            elif code == 11:
                server_first = body[4:]
                self._writer.write(message(b"p", final(bare, server_first, password)))

    async def ask(self, statement: str) -> None:
        """Run a statement. Raises ServerError."""
        self._writer.write(message(b"Q", statement.encode() + b"\0"))
        while (await self._next())[0] != b"Z":
            pass

    async def _next(self) -> tuple[bytes, bytes]:
        head = await self._reader.readexactly(5)
        body = await self._reader.readexactly(struct.unpack("!i", head[1:])[0] - 4)
        if head[:1] == b"E":
            fields = {field[:1]: field[1:].decode() for field in body.split(b"\0") if field}
            raise ServerError(f"{fields[b'C']}: {fields[b'M']}")
        return head[:1], body


def final(bare: bytes, server_first: bytes, password: bytes) -> bytes:
    """The client's proof: `client-final-message` of RFC 5802, without channel binding."""
    told = dict(part.split(b"=", 1) for part in server_first.split(b","))
    key = digest(salted(password, base64.b64decode(told[b"s"]), int(told[b"i"])), b"Client Key")
    without = b"c=biws,r=" + told[b"r"]
    signature = digest(hashlib.sha256(key).digest(), b",".join((bare, server_first, without)))
    proof = bytes(a ^ b for a, b in zip(key, signature, strict=True))
    return without + b",p=" + base64.b64encode(proof)


async def one(target: dict[str, str], tls: ssl.SSLContext, limit: float) -> float | str:
    """Seconds until the answer to a statement, or what went wrong."""
    begun = time.monotonic()
    try:
        async with asyncio.timeout(limit):
            reader, writer = await asyncio.open_connection(target["host"], int(target.get("port", "5432")))
            writer.write(SSL_REQUEST)
            if await reader.readexactly(1) != b"S":
                return "no TLS"
            await writer.start_tls(tls, server_hostname=target["host"])
            session = Session(reader, writer)
            await session.begin(target["user"], target["dbname"], os.environ["PGPASSWORD"].encode())
            await session.ask("SELECT 1")
            took = time.monotonic() - begun
    except (OSError, ServerError, asyncio.IncompleteReadError) as error:
        return f"{type(error).__name__}: {error}"
    await asyncio.sleep(HELD_SECONDS)
    writer.write(message(b"X", b""))
    writer.close()
    return took


async def main() -> None:
    """Connect, and print when it began and what came of each as one JSON document."""
    target = dict(word.split("=", 1) for word in sys.argv[1].split())
    tls = ssl.create_default_context(cafile=target["sslrootcert"])
    begun, limit = time.time(), float(target["connect_timeout"])
    sessions = await asyncio.gather(*(one(target, tls, limit) for _ in range(int(sys.argv[2]))))
    print(json.dumps({"begun": begun, "sessions": sessions}))


if __name__ == "__main__":
    asyncio.run(main())
