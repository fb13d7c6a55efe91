"""`python -m tests.integration.agents.proxy_process FILE`: a proxy's process, where `proxy.Proxy` puts it."""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import os
import pwd
import sys
from pathlib import Path
from typing import Any

from tests.integration.agents.proxy import settings_of

from aurora_operator.proxy.program import run


async def _run(surroundings: dict[str, Any]) -> None:
    settings, places = settings_of(surroundings)
    _become(surroundings["user"])

    async def find() -> dict[str, str]:
        return dict(surroundings["copies"])

    await run(settings, places, find, me=surroundings["me"], wake_host=surroundings["gateway"])


def _become(user: str | None) -> None:
    """PgBouncer does not run as root, and its console is for its own user. What is imported later must be by now."""
    if user is not None:
        for name in ("concurrent.futures.thread", "encodings.ascii", "encodings.idna", "stringprep"):
            importlib.import_module(name)
        found = pwd.getpwnam(user)
        os.setgroups([])
        os.setgid(found.pw_gid)
        os.setuid(found.pw_uid)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    asyncio.run(_run(json.loads(Path(sys.argv[1]).read_text())))
