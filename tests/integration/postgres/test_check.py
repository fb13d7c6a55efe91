"""What PostgreSQL itself says about parameters, asked without a server."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.integration.copies import SIZES

from aurora_operator.postgres.config import parameters
from aurora_operator.postgres.config.conf import setting
from aurora_operator.postgres.config.parameter_check import ALL, check_parameters
from aurora_operator.postgres.tools import Tools

Choices = tuple[parameters.Choice, ...]


@pytest.fixture
def choices(major: int) -> Choices:
    return parameters.compute(replace(SIZES, major=major))


async def test_good_ones_pass(tools: Tools, template: Path, choices: Choices) -> None:
    good = {
        "work_mem": "8MB",
        "Max_Connections": "200",
        "log_min_duration_statement": "1s",
        "search_path": '"$user", public, it\'s',
        "pg_stat_statements.max": "1000",
        "shared_preload_libraries": "pg_stat_statements, auto_explain",
        "auto_explain.log_min_duration": "3s",
        "myapp.tenant": "anything",
        "wal_level": "logical",
    }
    assert await check_parameters(tools, choices, good, pgdata=template, memory=SIZES.memory) == {}
    assert await check_parameters(tools, choices, {}, pgdata=template, memory=SIZES.memory) == {}


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("work_memm", "8MB", "work_memm is not a parameter of this PostgreSQL"),
        ("work_mem", "lots", 'invalid value for parameter "work_mem": "lots"'),
        ("work_mem", "1kB", "outside the valid range"),
        ("jit", "perhaps", "requires a Boolean value"),
        ("default_transaction_isolation", "none", 'invalid value for parameter "default_transaction_isolation"'),
        ("fsync", "off", "cannot be set"),
        ("shared_preload_libraries", "no_such_thing", "has no library no_such_thing"),
        ("auto_explain.log_min_duration", "3s", "needs auto_explain in shared_preload_libraries"),
        ("server_version", "18", "cannot be set"),
        ("bad name", "1", "not a parameter's name"),
        ("work_mem", "1\0", "NUL"),
        ("datestyle", "martian", "martian"),
        ("timezone_abbreviations", "", 'timezone_abbreviations: could not read time zone file "": Is a directory.'),
        ("timezone_abbreviations", "nowhere", "timezone_abbreviations"),
        ("timezone", "Mars/Olympus", '"TimeZone": "Mars/Olympus"'),
    ],
)
async def test_bad_ones_are_named(
    tools: Tools, template: Path, choices: Choices, name: str, value: str, says: str
) -> None:
    wanted = {name: value, "maintenance_work_mem": "64MB"}
    errors = await check_parameters(tools, choices, wanted, pgdata=template, memory=SIZES.memory)
    assert errors.keys() == {name}
    assert says in errors[name]


async def test_each_of_several_is_named(tools: Tools, choices: Choices) -> None:
    wanted = {"work_mem": "lots", "nonsense": "1", "jit": "maybe", "seq_page_cost": "2", "port": "1"}
    errors = await check_parameters(tools, choices, wanted)
    assert errors.keys() == {"work_mem", "nonsense", "jit", "port"}


async def test_what_does_not_fit_together(tools: Tools, template: Path, choices: Choices) -> None:
    tight = {"max_connections": "20", "superuser_reserved_connections": "20"}
    errors = await check_parameters(tools, choices, tight, pgdata=template)
    assert errors.keys() <= tight.keys() and errors
    greedy = await check_parameters(tools, choices, {"shared_buffers": "450MB"}, pgdata=template, memory=SIZES.memory)
    assert "too little of the pod's 512 MiB" in greedy[ALL]


async def test_values_arrive_as_they_were_meant(tools: Tools, root: Path) -> None:
    for value in ("it's", "back\\slash", "tab\tand\nline", "''", "\\'", "ünïcödé", "%s {x} $1 #no comment", ""):
        config = root / "postgresql.conf"
        config.write_text(setting("myapp.value", value) + "\n")
        said = await tools.run("postgres", "-D", root, "-C", "myapp.value", timeout=10)
        assert said.removesuffix("\n") == value
