"""Addresses of other pods, by their names.

The C library may wait half a minute for a name server, in a thread that nothing can interrupt. So each look-up has a
thread of its own, and each name one look-up at a time: the few threads of the default executor persist promises, and
must be free when the DNS is not there.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from functools import partial
from pathlib import Path
from typing import Final

RESOLV_CONF: Final = Path("/etc/resolv.conf")


def absolute(host: str, resolv_conf: str) -> str:
    """The name of a pod or Service (`….svc`) as one that is not searched for, by the cluster's domain in resolv.conf.

    Else the C library tries it in each domain of the search list, for each kind of address, and asks servers outside
    of the cluster in the end: eight questions for a pod that is not there. Pure.
    """
    if host.endswith(".svc"):
        for line in resolv_conf.splitlines():
            keyword, *domains = line.split() or [""]
            cluster = next((d.removeprefix("svc.").rstrip(".") for d in domains if d.startswith("svc.")), "")
            if keyword == "search" and cluster:
                return f"{host}.{cluster}."
    return host


class Resolver:
    """Looks names up. Of one event loop."""

    def __init__(self) -> None:
        self._under_way: dict[str, asyncio.Future[list[str]]] = {}

    async def addresses(self, host: str) -> list[str]:
        """The addresses of a host, at least one. Raises OSError when its name is not known, or not yet.

        Cancelling it leaves the look-up to whoever asks next.
        """
        under_way = self._under_way.get(host)
        if under_way is None:
            under_way = self._under_way[host] = asyncio.get_running_loop().create_future()
            under_way.add_done_callback(partial(self._ended, host))
            threading.Thread(target=_look_up, args=(host, under_way), name=f"resolve {host}", daemon=True).start()
        return await asyncio.shield(under_way)

    def _ended(self, host: str, look_up: asyncio.Future[list[str]]) -> None:
        del self._under_way[host]
        if not look_up.cancelled():
            look_up.exception()  # Who asked may have gone.


def _look_up(host: str, answer: asyncio.Future[list[str]]) -> None:
    outcome: list[str] | OSError
    try:
        name = absolute(host, RESOLV_CONF.read_text() if RESOLV_CONF.exists() else "")
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        outcome = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    except OSError as error:
        outcome = error
    except UnicodeError as error:
        outcome = OSError(f"{host} is no host name: {error}")
    with contextlib.suppress(RuntimeError):  # The loop has been closed.
        answer.get_loop().call_soon_threadsafe(_settle, answer, outcome)


def _settle(answer: asyncio.Future[list[str]], outcome: list[str] | OSError) -> None:
    if answer.done():
        return
    if isinstance(outcome, OSError):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)
