"""Which protocols a TLS ClientHello names (RFC 8446, 4.1.2; ALPN: RFC 7301). Pure; trusts nothing."""

from __future__ import annotations

from typing import Final

RECORD: Final = 5
"""Bytes before a record's content: its type, version and length."""
CLIENT_HELLO: Final = 1
ALPN_EXTENSION: Final = 16


def names_protocol(data: bytes, protocol: bytes, *, most: int) -> bool | None:
    """Whether the hello that `data` begins with names the protocol; None while it is not complete.

    A hello of more than `most` bytes, or of more than one record, names nothing.
    """
    if len(data) < RECORD:
        return None
    end = RECORD + int.from_bytes(data[3:RECORD])
    if data[1] != 3 or end > most:
        return False
    if len(data) < end:
        return None
    try:
        return protocol in _protocols(data[RECORD:end])
    except (IndexError, ValueError):
        return False


def _protocols(handshake: bytes) -> tuple[bytes, ...]:
    """Raises ValueError, IndexError."""
    if handshake[0] != CLIENT_HELLO:
        return ()
    hello, _ = _vector(handshake[1:], 3)
    rest = hello[2 + 32 :]  # the version and the client's random number
    for size in (1, 2, 1):  # the session, the ciphers, the compressions
        _, rest = _vector(rest, size)
    extensions, _ = _vector(rest, 2)
    while extensions:
        kind = int.from_bytes(extensions[:2])
        content, extensions = _vector(extensions[2:], 2)
        if kind == ALPN_EXTENSION:
            return _names(_vector(content, 2)[0])
    return ()


def _names(listed: bytes) -> tuple[bytes, ...]:
    found = []
    while listed:
        name, listed = _vector(listed, 1)
        found.append(name)
    return tuple(found)


def _vector(data: bytes, size: int) -> tuple[bytes, bytes]:
    """A vector whose length takes `size` bytes, and what follows it. Raises ValueError where it is not whole."""
    end = size + int.from_bytes(data[:size])
    if len(data) < max(end, size):
        raise ValueError("it ends too early")
    return data[size:end], data[end:]
