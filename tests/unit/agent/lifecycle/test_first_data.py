"""Bringing a cluster's first data: what the status says while that fails again and again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from aurora_operator.agent.lifecycle import bootstrap as module
from aurora_operator.agent.lifecycle.bootstrap import RESTORE_RETRY_SECONDS, Bootstrap
from aurora_operator.agent.member.configuration import Configuration
from aurora_operator.agent.member.instance import Instance
from aurora_operator.api.agent.origin import CloneOrigin, Origin, RestoreOrigin
from aurora_operator.api.spec.repository import Repository
from aurora_operator.api.spec.restore import RestoreTarget
from aurora_operator.postgres.errors import PostgresError, RepositoryError, ServerError, Unavailable

BACKUPS = RestoreOrigin(
    source="backups of shop",
    repository=Repository.model_validate({"destination": {"volume": {"claimName": "c"}}, "stanza": "shop"}),
    target=RestoreTarget(),
)
CLUSTER = CloneOrigin(source="shop", host="shop-1.shop", running=True)


@pytest.mark.parametrize(
    ("origin", "error", "raised", "sentence"),
    [
        (BACKUPS, RepositoryError("other", "WAL is missing"), False, "cannot restore backups of shop: WAL is missing"),
        (BACKUPS, ServerError("it ended"), True, "cannot restore backups of shop: it ended"),
        (CLUSTER, Unavailable("no address"), True, "cannot clone shop: no address"),
    ],
    ids=["the repository", "PostgreSQL", "a clone"],
)
async def test_a_new_attempt_does_not_hide_that_the_last_one_failed(
    monkeypatch: pytest.MonkeyPatch, origin: Origin, error: PostgresError, raised: bool, sentence: str
) -> None:
    said: list[tuple[str, str]] = []
    pauses: list[float] = []
    outcomes: list[PostgresError | None] = [error, error, None]

    async def attempt(*_: object, **__: object) -> None:
        outcome = outcomes.pop(0)
        if outcome is not None:
            raise outcome

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    async def resolve(host: str) -> str:
        return "10.0.0.9"

    monkeypatch.setattr(module, "restore", attempt)
    monkeypatch.setattr(module, "copy_over", attempt)
    monkeypatch.setattr(module, "resolve", resolve)
    copy: Any = SimpleNamespace(
        say=lambda phase, message="": said.append((phase, message)), settings=SimpleNamespace(cluster="new")
    )
    bootstrap = Bootstrap(cast(Instance, copy), cast(Configuration, None), pause)
    for _ in range(2):
        if raised:
            with pytest.raises(type(error)):
                await bootstrap._take_origin(origin)
        else:
            await bootstrap._take_origin(origin)
        assert bootstrap.failure == sentence
    assert [phase for phase, _ in said] == ["Cloning" if origin is CLUSTER else "Restoring", "Failed", "Failed"]
    assert said[-1][1] == sentence and pauses == [RESTORE_RETRY_SECONDS] * 2
    await bootstrap._take_origin(origin)
    assert bootstrap.failure is None
