"""Keeps the resident memory of an agent at rest small."""

from __future__ import annotations

import asyncio
from asyncio.sslproto import SSLProtocol
from typing import Final

PERIOD_SECONDS: Final = 60.0
TLS_BUFFER_BYTES: Final = 32 * 1024
"""Two records. asyncio holds 256 KiB for each connection, and each peer has two with us."""


def use_small_tls_buffers() -> None:
    """For the connections made from now on."""
    SSLProtocol.max_size = TLS_BUFFER_BYTES


async def give_back() -> None:
    """Until cancelled: hand unused memory to the system.

    Cloning, recovering and leading begin with work that leaves several MiB free, and malloc keeps what is not at its
    heap's end.
    """
    import ctypes

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # the GNU C library's
    while True:
        await asyncio.sleep(PERIOD_SECONDS)
        if trim is not None:
            trim(0)
