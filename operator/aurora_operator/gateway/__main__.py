"""`python -m aurora_operator.gateway`: stands in for a cluster whose instances are not there."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import ssl
import sys
from functools import cache
from pathlib import Path
from typing import Final

from pythonjsonlogger.json import JsonFormatter

from aurora_operator.api.base import names
from aurora_operator.gateway.gateway import Gateway, Refusal
from aurora_operator.gateway.kube import Kube, Where

log = logging.getLogger(__name__)

DRAIN_SECONDS: Final = 20.0
"""How long clients that are held when the pod is told to end may still get their session."""


@cache
def _tls() -> ssl.SSLContext:
    folder = Path(names.TLS_MOUNT)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(folder / "server.crt", folder / "server.key")
    return context


async def run() -> None:
    """Until SIGTERM, and until nobody is held any more."""
    where = Where(
        cluster=os.environ["AURORA_CLUSTER"],
        namespace=os.environ["AURORA_NAMESPACE"],
        pod_name=os.environ["POD_NAME"],
        pod_ip=os.environ["POD_IP"],
    )
    refusal = None
    if os.environ.get("AURORA_STOPPED") == "true":
        message = f"the database cluster {where.namespace}/{where.cluster} is stopped"
        refusal = Refusal(message, "Set spec.stopped of the AuroraCluster to false to start it.", _tls)
    kube = Kube(where)
    late = Refusal("the database cluster did not wake up in time", "Try again.", _tls)
    gateway = Gateway(kube.writer, kube.tell, late=late, refusal=refusal)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    serving = asyncio.create_task(gateway.serve("", names.POSTGRES_PORT))
    ending = asyncio.create_task(ended.wait())
    await asyncio.wait((serving, ending), return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        serving.result()
    gateway.close()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS):
            await gateway.drained()
    serving.cancel()


def main() -> None:
    """Run."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    asyncio.run(run())


if __name__ == "__main__":
    main()
