"""Taking newer settings: what every kind of copy does with them."""

from __future__ import annotations

import asyncio

from aurora_operator.agent.errors import Refused
from aurora_operator.agent.member.member import Member
from aurora_operator.api.agent.settings import Settings


async def keep_newer(copy: Member, settings: Settings) -> bool:
    """Keep settings on the volume if they are newer than those in use; False where they are those in use.

    Raises Refused for older or foreign ones, OSError.
    """
    if settings.cluster != copy.environment.cluster or settings.namespace != copy.environment.namespace:
        raise Refused(f"these settings are for {settings.namespace}/{settings.cluster}")
    if settings.revision <= copy.settings.revision:
        if settings == copy.settings:
            return False
        raise Refused(f"revision {copy.settings.revision} is in use already")
    await asyncio.to_thread(copy.store.save_settings, settings)
    return True
