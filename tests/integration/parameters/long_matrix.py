"""The whole matrix: a value of each class of each setting that PostgreSQL has. `make parameters` runs it.

What our rules and PostgreSQL's check let through must live (`life.lives`). Many at a time, since nearly all do; where a
group does not, its halves are tried, until the culprits are found.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from tests.integration.copies import SIZES
from tests.integration.parameters.conftest import Databases
from tests.integration.parameters.life import lives
from tests.integration.parameters.values import Value, all_values, halves, in_groups, refusal

from aurora_operator.postgres.config import parameters
from aurora_operator.postgres.config.parameter_check import check_parameters
from aurora_operator.postgres.tools import Tools

SIZE = int(os.environ.get("AURORA_PARAMETERS_GROUP", "400"))


@dataclass
class Matrix:
    databases: Databases
    tools: Tools
    template: Path
    choices: tuple[parameters.Choice, ...]
    started: float = field(default_factory=time.monotonic)
    lives: int = 0
    failed: dict[str, str] = field(default_factory=dict)

    async def check(self, group: dict[str, str]) -> dict[str, str]:
        """As the operator asks before it applies anything."""
        return await check_parameters(
            self.tools, self.choices, group, pgdata=self.template, memory=SIZES.memory, scratch=self.template.parent
        )

    async def try_out(self, group: dict[str, str]) -> None:
        if not group:
            return
        named = group.keys() & (await self.check(group)).keys() if len(group) > 1 else set()
        if named and len(named) < len(group):
            # Each was taken by itself: they exclude each other.
            await self.try_out({name: value for name, value in group.items() if name not in named})
            for name in sorted(named):
                await self.try_out({name: group[name]})
            return
        error = await self._lives(group)
        print(f"{len(group)} at once: {(error or 'live')[:1500]} ({time.monotonic() - self.started:.0f} s)", flush=True)
        if error is None:
            return
        if len(group) == 1:
            self.failed[json.dumps(group)] = error
            print("FAILED", group, error, flush=True)
            return
        known = len(self.failed)
        for half in halves(group):
            await self.try_out(half)
        if len(self.failed) == known:
            self.failed[json.dumps(group)] = f"only together: {error}"
            print("FAILED TOGETHER", group, error, flush=True)

    async def _lives(self, group: dict[str, str]) -> str | None:
        self.lives += 1
        said = ""
        try:
            async with self.databases() as database:
                try:
                    await lives(database, group)
                except BaseException:
                    said = "".join(copy.said[-400:] for copy in database.cluster.copies)
                    raise
        except Exception as error:
            return f"{type(error).__name__}: {error} | {said}"
        return None


@pytest.mark.timeout(4 * 3600)
async def test_what_is_accepted_lives(databases: Databases, tools: Tools, template: Path, major: int) -> None:
    matrix = Matrix(databases, tools, template, parameters.compute(replace(SIZES, major=major)))
    async with databases() as database:
        first = database.cluster.first()
        await first.start()
        values = await all_values(first.session)
    reasons = {value: refusal(value) for value in values}
    allowed = [value for value, why in reasons.items() if why is None]
    checked: list[Value] = []
    for value in allowed:
        why = await matrix.check({value.name: value.value})
        if why:
            reasons[value] = next(iter(why.values()))
            assert all(why.values()), value
        else:
            checked.append(value)
    print(f"\n{len(values)} values of {len({v.name for v in values})} settings:", end=" ")
    print(f"{len(values) - len(allowed)} refused by the rules, {len(allowed) - len(checked)} by the check;", end=" ")
    print(f"{len(checked)} are accepted ({time.monotonic() - matrix.started:.0f} s)", flush=True)
    for value in allowed:
        if reasons[value] is not None:
            print("  ", value.name, repr(value.value), reasons[value])
    for group in in_groups(checked, SIZE):
        await matrix.try_out(group)
    print(f"{matrix.lives} lives, {len(matrix.failed)} failures, {time.monotonic() - matrix.started:.0f} s in all")
    assert matrix.failed == {}
