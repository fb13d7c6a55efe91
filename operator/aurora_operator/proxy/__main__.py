"""`python -m aurora_operator.proxy`: a proxy's pod."""

from __future__ import annotations

import asyncio
import logging
import os
import sys

from pythonjsonlogger.json import JsonFormatter

from aurora_operator.api.agent.proxy import ProxySettings
from aurora_operator.api.base import names
from aurora_operator.net.resolver import Resolver
from aurora_operator.proxy.places import Places
from aurora_operator.proxy.program import run
from aurora_operator.proxy.routing import Address


def main() -> None:
    """Run."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    settings = ProxySettings.model_validate_json(os.environ["AURORA_PROXY"])
    pods = f"{names.pods_service(settings.cluster)}.{settings.namespace}.svc"
    name = f"proxied.{pods}"  # Any name below the headless Service is in the certificate that all copies have.
    writer = f"{names.writer_service(settings.cluster)}.{settings.namespace}.svc"

    async def serve() -> None:
        resolver = Resolver()

        async def find() -> dict[Address, str]:
            return dict.fromkeys(await resolver.addresses(pods), name)

        await run(settings, Places(), find, me=os.environ["POD_NAME"], wake_host=writer)

    asyncio.run(serve())


if __name__ == "__main__":
    main()
