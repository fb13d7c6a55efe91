"""Remembers how each cluster's last pass left it, and asks `planning.rollout.turns` whose turn it is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from aurora_operator.planning.model.plan_model import Raw
from aurora_operator.planning.rollout.turns import Key, Standing, standing_of, waits_for


class Turns:
    """The fleet's budget of restarts. `known` are all clusters that the operator looks after."""

    def __init__(self, at_most: int, known: Callable[[], Collection[Key]]) -> None:
        self._at_most = at_most
        self._known = known
        self._standings: dict[Key, Standing] = {}
        self._left: dict[Key, tuple[Raw, Mapping[str, Any]]] = {}

    def waits_for(self, key: Key) -> str | None:
        """What the cluster's restarts wait for; None: it is its turn. The answer is the same until a pass has ended."""
        return waits_for(key, self._known(), self._standings, at_most=self._at_most)

    def passed(self, key: Key, cluster: Raw, status: Mapping[str, Any]) -> None:
        """A pass has ended, and has left this status. To read the same ones again would cost more than such a pass."""
        left = self._left.get(key)
        if left is None or left[0] is not cluster or left[1] is not status:
            self._left[key] = (cluster, status)
            self._standings[key] = standing_of(cluster, status)

    def forget(self, key: Key) -> None:
        """The cluster is gone."""
        self._standings.pop(key, None)
        self._left.pop(key, None)
