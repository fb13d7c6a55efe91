from __future__ import annotations

import asyncio
import socket
import threading
from pathlib import Path

import pytest

from aurora_operator.net import resolver as module
from aurora_operator.net.resolver import Resolver, absolute

POD = "demo-1-0.demo-pods.prod.svc"


@pytest.mark.parametrize(
    ("resolv_conf", "name"),
    [
        ("search prod.svc.cluster.local svc.cluster.local cluster.local example.org\n", f"{POD}.cluster.local."),
        ("nameserver 10.0.0.10\nsearch prod.svc.k8s.example.org. svc.k8s.example.org.\n", f"{POD}.k8s.example.org."),
        ("search example.org\noptions ndots:5\n", POD),
        ("options svc.x\n", POD),
        ("", POD),
    ],
)
def test_a_pods_name_is_not_searched_for(resolv_conf: str, name: str) -> None:
    assert absolute(POD, resolv_conf) == name


def test_other_names_stay_as_they_are() -> None:
    assert absolute("localhost", "search svc.cluster.local") == "localhost"
    assert absolute("db.example.org", "search svc.cluster.local") == "db.example.org"


async def test_the_addresses_of_a_host() -> None:
    assert "127.0.0.1" in await Resolver().addresses("127.0.0.1")


async def test_an_unknown_name_is_said_each_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "RESOLV_CONF", tmp_path / "missing")

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    resolver = Resolver()
    for _ in range(2):
        with pytest.raises(OSError, match="not known"):
            await resolver.addresses(POD)


async def test_no_host_name() -> None:
    with pytest.raises(OSError, match="no host name"):
        await Resolver().addresses("a" * 64 + ".example")


async def test_a_name_server_that_does_not_answer_holds_one_thread_for_a_name_and_none_of_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers, asked = threading.Event(), []

    def slow(name: str, *_: object, **__: object) -> list[object]:
        asked.append(name)
        answers.wait(30)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    resolver = Resolver()
    try:
        for _ in range(50):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.001):
                    await resolver.addresses("gone.example")
        assert asked == ["gone.example"]
        # What persists a promise.
        async with asyncio.timeout(5):
            assert await asyncio.to_thread(lambda: 7) == 7
        late = asyncio.create_task(resolver.addresses("gone.example"))
        await asyncio.sleep(0)
    finally:
        answers.set()
    async with asyncio.timeout(5):
        assert await late == ["192.0.2.1"]
    assert asked == ["gone.example"]
