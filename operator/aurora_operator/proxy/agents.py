"""What the agents say: one stream from each, over mutual TLS. Nothing is asked of the operator or of Kubernetes."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from aurora_operator.api.agent.proxy import STANDING_SECONDS, Standing
from aurora_operator.api.base import names
from aurora_operator.net.http_client import Client, ClientError
from aurora_operator.proxy.routing import Address

log = logging.getLogger(__name__)

SILENT_SECONDS: Final = 4 * STANDING_SECONDS
"""An agent that says nothing for so long is gone."""
RETRY_SECONDS: Final = 0.5
MOST_BYTES: Final = 65_536
"""Of a line that has not ended."""

Find = Callable[[], Awaitable[dict[Address, str]]]
"""Where the copies are, and a name that each one's certificate covers. Raises OSError."""


class Identity:
    """This pod's TLS to instances and agents, renewed in place."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError, ssl.SSLError."""
        self._folder = folder
        self._seen: tuple[bytes, ...] = ()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_3
        self.refresh()

    def refresh(self) -> bool:
        """Load what has changed; says whether anything had. Raises OSError, ssl.SSLError."""
        files = ("ca.crt", "server.crt", "server.key", "proxy.crt", "proxy.key")
        now = tuple((self._folder / name).read_bytes() for name in files)
        if now == self._seen:
            return False
        self.context.load_cert_chain(self._folder / "proxy.crt", self._folder / "proxy.key")
        self.context.load_verify_locations(self._folder / "ca.crt")
        self._seen = now
        return True


class Agent:
    """One copy's, at one address."""

    def __init__(
        self, address: Address, name: str, tls: ssl.SSLContext, proxy: str, say: Callable[[Standing | None], None]
    ) -> None:
        """`say` is called with each line, and with None when the agent is lost."""
        self._client = Client(address, names.API_PORT, tls, timeout=SILENT_SECONDS, server_name=name)
        self._address = address
        self._proxy = proxy
        self._say = say
        self._rest = b""

    async def listen(self) -> None:
        """Until cancelled."""
        try:
            while True:
                self._rest = b""
                try:
                    path = f"/v1/standing?proxy={self._proxy}"
                    answer = await self._client.request("GET", path, sink=self._take)
                    why = "it ended" if answer.ok else f"it answered {answer.status}"
                except (ClientError, ValidationError, ValueError) as error:
                    why = str(error)
                log.debug("%s: %s", self._address, why)
                self._say(None)
                await asyncio.sleep(RETRY_SECONDS)
        finally:
            await self._client.close()

    async def left(self) -> None:
        """Tell it that no session is there any more. Raises ClientError."""
        answer = await self._client.request("POST", f"/v1/standing/left?proxy={self._proxy}")
        if not answer.ok:
            raise ClientError(f"it answered {answer.status} {answer.text[:200]}")

    def _take(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MOST_BYTES:
            raise ValueError("a line has no end")
        for line in lines:
            self._say(Standing.model_validate_json(line))
