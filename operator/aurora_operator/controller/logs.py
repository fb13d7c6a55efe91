"""Logs as JSON, one object a line, on standard output. Nothing that is logged ever holds an object's content."""

from __future__ import annotations

import logging
import sys
from typing import Final

from pythonjsonlogger.json import JsonFormatter

_QUIET: Final = {"httpx": "WARNING", "httpcore": "WARNING", "aiohttp.access": "WARNING", "asyncio": "WARNING"}


def configure(level: str) -> None:
    """Send all loggers there. Kopf's own chatter is shown from WARNING on, unless we debug."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        JsonFormatter(
            ["levelname", "name", "message"],
            rename_fields={"levelname": "level", "name": "logger"},
            timestamp="time",
            exc_info_as_array=False,
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    if level != "DEBUG":
        for name, least in {**_QUIET, "kopf": "WARNING"}.items():
            logging.getLogger(name).setLevel(least)
