"""The first bytes of a PostgreSQL client, as far as the gateway reads them. Pure.

https://www.postgresql.org/docs/17/protocol-message-formats.html: a length, then a code, both in network order. Or TLS
from the first byte, since PostgreSQL 17 (`sslnegotiation=direct`), whose hello must name the protocol: `tlshello`.
"""

from __future__ import annotations

import struct
from enum import Enum
from typing import Final

from aurora_operator.gateway.tlshello import names_protocol

HEADER: Final = 8
MOST: Final = 10_000
"""PostgreSQL itself takes no longer startup packet."""
SSL_REQUEST: Final = 80877103
GSSENC_REQUEST: Final = 80877104
CANCEL_REQUEST: Final = 80877102
TLS_HANDSHAKE: Final = b"\x16"
ALPN: Final = b"postgresql"
"""The protocol's name in TLS: https://www.postgresql.org/docs/17/protocol-flow.html#PROTOCOL-FLOW-SSL."""


class First(Enum):
    """What a connection's first packet is."""

    INCOMPLETE = "incomplete"
    """Not yet enough bytes to tell."""
    SSL = "SSLRequest"
    GSS = "GSSENCRequest"
    DIRECT = "TLS ClientHello"
    """TLS without a request for it, for PostgreSQL's protocol."""
    STARTUP = "StartupMessage"
    CANCEL = "CancelRequest"
    FOREIGN = "foreign"
    """No client of PostgreSQL: a scanner, TLS for another protocol, HTTP…"""

    @property
    def wakes(self) -> bool:
        """Whether somebody wants a session."""
        return self in (First.SSL, First.GSS, First.DIRECT, First.STARTUP)


def classify(data: bytes) -> First:
    """What the bytes so far are."""
    if data[:1] == TLS_HANDSHAKE:
        named = names_protocol(data, ALPN, most=MOST)
        return First.INCOMPLETE if named is None else First.DIRECT if named else First.FOREIGN
    if len(data) < HEADER:
        return First.FOREIGN if _cannot_be(data) else First.INCOMPLETE
    length, code = struct.unpack("!II", data[:HEADER])
    if not HEADER <= length <= MOST:
        return First.FOREIGN
    if code in (SSL_REQUEST, GSSENC_REQUEST):
        if length != HEADER:
            return First.FOREIGN
        return First.SSL if code == SSL_REQUEST else First.GSS
    if code == CANCEL_REQUEST:
        return First.CANCEL
    if code >> 16 != 3:
        return First.FOREIGN
    if len(data) < length:
        return First.INCOMPLETE
    return First.STARTUP if _plausible(data[HEADER:length]) else First.FOREIGN


def _cannot_be(data: bytes) -> bool:
    """Whether a length that begins so is longer than any packet: true of text."""
    return data[:2] > b"\0\x27"[: len(data[:2])] and bool(data)


def _plausible(body: bytes) -> bool:
    """Names and values that end in zeros, `user` among the names, and a zero at the end."""
    if not body.endswith(b"\0\0"):
        return False
    parts = body[:-2].split(b"\0")
    return len(parts) % 2 == 0 and b"user" in parts[::2]


def error(sqlstate: str, message: str, hint: str) -> bytes:
    """An ErrorResponse that ends the session."""
    fields = (("S", "FATAL"), ("V", "FATAL"), ("C", sqlstate), ("M", message), ("H", hint))
    body = b"".join(code.encode() + text.encode() + b"\0" for code, text in fields) + b"\0"
    return b"E" + struct.pack("!I", len(body) + 4) + body
