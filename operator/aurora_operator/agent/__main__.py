"""`python -m aurora_operator.agent`: the first process of a database container."""

from __future__ import annotations

import asyncio
import logging
import sys

from pythonjsonlogger.json import JsonFormatter

from aurora_operator.agent.agent import read_settings, wait_for_volume
from aurora_operator.agent.environment import from_environ


def _log_to_stdout() -> None:
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    # One line per request of the probes and of the operator would drown the rest.
    for name in ("httpx", "uvicorn", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)


async def _run() -> None:
    environment = from_environ()
    agent = await wait_for_volume(environment, read_settings(environment))
    await agent.run()


def main() -> None:
    """Run until SIGTERM."""
    _log_to_stdout()
    asyncio.run(_run())


if __name__ == "__main__":
    main()
