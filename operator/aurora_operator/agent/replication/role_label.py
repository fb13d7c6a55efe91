"""This pod's role label, for the Services' selectors."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from aurora_operator.agent.member.instance import Instance
from aurora_operator.agent.member.kubeapi import KubeError

log = logging.getLogger(__name__)

UNLABEL_SECONDS = 1.5
RETRY_SECONDS = 1.0


class RoleLabel:
    """Keeps it true.

    Not for a role that is about to change again: kube-proxy takes in one change a second, and the change of the
    writer's endpoint would wait behind this one.
    """

    def __init__(self, copy: Instance) -> None:
        self._copy = copy
        self._labelled: str | None = "unknown"

    async def run(self) -> None:
        """Until cancelled."""
        copy = self._copy
        while True:
            copy.role_changed.clear()
            role = copy.role if copy.role != "none" else None
            if role == self._labelled:
                await copy.role_changed.wait()
                continue
            if role is None and await self._changes_within(UNLABEL_SECONDS):
                continue
            try:
                await copy.kube.label_role(role)
                self._labelled = role
            except KubeError as error:
                log.warning("labelling this pod %s: %s", role, error)
                await asyncio.sleep(RETRY_SECONDS)

    async def _changes_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._copy.role_changed.wait()
                return True
        return False
