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
        (b"\x16\x03\x01\x02\x00\x01\x00\x01", First.INCOMPLETE),
        (b"\x16\x03\x01\xff\xff\x01\x00\x01", First.FOREIGN),
        (b"\x16\x03\x01\x00\x04\x02\x00\x00\x00", First.FOREIGN),
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


def hello(*protocols: str) -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    if protocols:
        context.set_alpn_protocols(protocols)
    tls = context.wrap_bio(incoming, outgoing, server_hostname="demo")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("protocols", [("postgresql",), ("h2", "postgresql")])
def test_tls_from_the_first_byte_wakes_where_it_is_for_postgresql(protocols: tuple[str, ...]) -> None:
    whole = hello(*protocols)
    assert classify(whole) is First.DIRECT and First.DIRECT.wakes
    for length in range(1, len(whole)):
        assert classify(whole[:length]) is First.INCOMPLETE
    assert classify(whole + b"more") is First.DIRECT


@pytest.mark.parametrize("protocols", [(), ("h2", "http/1.1"), ("postgresql2",)])
def test_tls_for_another_protocol_is_foreign(protocols: tuple[str, ...]) -> None:
    assert classify(hello(*protocols)) is First.FOREIGN


@given(st.data())
def test_a_damaged_hello_never_raises(data: st.DataObject) -> None:
    whole = bytearray(hello("postgresql"))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    classify(bytes(whole[: data.draw(st.integers(0, len(whole)))]))


@given(st.binary(max_size=200))
def test_garbage_never_raises_and_hardly_wakes(data: bytes) -> None:
    found = classify(data)
    if found.wakes:  # a TLS hello of so few bytes names no protocol
        assert struct.unpack("!I", data[:4])[0] <= len(data)


def test_error() -> None:
    told = error("57P03", "stopped", "start it")
    assert told[:1] == b"E"
    assert struct.unpack("!I", told[1:5])[0] == len(told) - 1
    assert b"C57P03\0" in told and b"Mstopped\0" in told and told.endswith(b"\0\0")
