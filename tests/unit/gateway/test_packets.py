from __future__ import annotations

import ssl
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_operator.gateway.packets import MOST, First, classify, error


def packet(code: int, body: bytes = b"") -> bytes:
    return struct.pack("!II", 8 + len(body), code) + body


STARTUP = packet(196608, b"user\0app\0database\0app\0application_name\0psql\0\0")
SSL = packet(80877103)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (SSL, First.SSL),
        (packet(80877104), First.GSS),
        (STARTUP, First.STARTUP),
        (packet(196610, b"user\0app\0\0"), First.STARTUP),
        (packet(80877102, b"\0\0\0\1\0\0\0\2"), First.CANCEL),
        (packet(131072, b"user\0app\0\0"), First.FOREIGN),
        (packet(196608, b"database\0app\0\0"), First.FOREIGN),
        (packet(196608, b"user\0app"), First.FOREIGN),
        (b"GET / HTTP/1.1\r\n\r\n", First.FOREIGN),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01", First.FOREIGN),
        (b"SSH-2.0-OpenSSH", First.FOREIGN),
        (struct.pack("!II", MOST + 1, 196608), First.FOREIGN),
        (struct.pack("!II", 4, 196608), First.FOREIGN),
        (b"\0" * 8, First.FOREIGN),
    ],
)
def test_first_packets(data: bytes, expected: First) -> None:
    assert classify(data) is expected


@given(st.integers(0, len(STARTUP) - 1))
def test_a_packet_that_comes_in_parts_is_waited_for(length: int) -> None:
    assert classify(STARTUP[:length]) is First.INCOMPLETE


def test_a_plain_tls_hello_is_foreign() -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="demo")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    hello = outgoing.read()
    assert classify(hello) is First.FOREIGN
    assert classify(hello[:2]) is First.FOREIGN


@given(st.binary(max_size=200))
def test_garbage_never_raises_and_hardly_wakes(data: bytes) -> None:
    found = classify(data)
    if found.wakes:
        assert struct.unpack("!I", data[:4])[0] <= len(data)


def test_error() -> None:
    told = error("57P03", "stopped", "start it")
    assert told[:1] == b"E"
    assert struct.unpack("!I", told[1:5])[0] == len(told) - 1
    assert b"C57P03\0" in told and b"Mstopped\0" in told and told.endswith(b"\0\0")
