"""What a proxy's pod is told by the operator, and what agents tell it.

| call of an agent's API | answer |
|---|---|
| GET /v1/standing?proxy={id} | a `Standing` a line, at each change and every `STANDING_SECONDS`, without end |
| POST /v1/standing/left?proxy={id} | 204; the proxy has no session there any more: nobody who stops waits for it |
"""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from aurora_operator.api.base.base import WireModel
from aurora_operator.api.spec.proxy import Proxy

STANDING_SECONDS: Final = 0.5
"""An agent says at least so often that nothing has changed."""


class Standing(WireModel):
    """An instance, as far as a proxy has to know it."""

    name: str
    role: Literal["writer", "reader", "none"] = Field(description="`none` while clients are not served.")
    epoch: int = Field(default=0, description="Of the leader that it follows, or its own.")
    leaving: bool = Field(
        default=False, description="It is about to stop in order, and waits a moment for its sessions to end."
    )
    lag_seconds: float | None = Field(default=None, description="Of a reader; None while it does not know.")
    proxies: int = Field(default=0, ge=0, description="How many proxies listen here: they share what sessions it has.")


class ProxySettings(WireModel):
    """How a proxy's pod works."""

    cluster: str
    namespace: str
    proxy: Proxy
