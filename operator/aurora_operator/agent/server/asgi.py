"""Uvicorn's server without its command line, which its package imports, and click and multiprocessing with it.

Nobody calls that here, and it takes 3 MiB in every pod.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Final

_MAIN: Final = "uvicorn.main"

if _MAIN not in sys.modules:
    empty = ModuleType(_MAIN)
    empty.__dict__.update(Server=None, main=None, run=None)
    sys.modules[_MAIN] = empty
    try:
        import uvicorn  # noqa: F401
    finally:
        # Whoever wants it all the same gets it.
        del sys.modules[_MAIN]

from uvicorn.config import Config  # noqa: E402
from uvicorn.protocols.http.h11_impl import H11Protocol  # noqa: E402
from uvicorn.server import Server  # noqa: E402

__all__ = ["Config", "H11Protocol", "Server"]
