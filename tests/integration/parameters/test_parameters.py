"""Parameters that reach each session, with values that would break ours."""

from __future__ import annotations

import pytest
from tests.integration.parameters.conftest import Databases
from tests.integration.parameters.life import lives
from tests.integration.parameters.values import Value, refusal

TIMES = {
    "transaction_timeout": "500ms",
    "statement_timeout": "1",
    "lock_timeout": "1",
    "idle_session_timeout": "1",
    "idle_in_transaction_session_timeout": "1",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "max_standby_streaming_delay": "-1",
    "wal_sender_timeout": "0",
    "wal_receiver_timeout": "0",
    "hot_standby_feedback": "off",
    "temp_file_limit": "100000",
    "track_activities": "off",
    "track_counts": "off",
    "update_process_title": "off",
    "log_min_messages": "panic",
}
WORDS = {
    "search_path": "evil",
    "client_encoding": "SQL_ASCII",
    "client_min_messages": "debug5",
    "datestyle": "German",
    "intervalstyle": "iso_8601",
    "timezone": "America/St_Johns",
    "lc_messages": "C.UTF-8",
    "lc_monetary": "C.UTF-8",
    "bytea_output": "escape",
    "extra_float_digits": "-15",
    "standard_conforming_strings": "off",
    "backslash_quote": "off",
    "escape_string_warning": "on",
    "quote_all_identifiers": "on",
    "transform_null_equals": "on",
    "array_nulls": "off",
    "row_security": "off",
    "session_preload_libraries": "auto_explain",
    "default_tablespace": "nowhere",
    "temp_tablespaces": "nowhere",
    "default_table_access_method": "heap",
    "default_transaction_isolation": "repeatable read",
    "restrict_nonsystem_relation_kind": "view, foreign-table",
    "debug_parallel_query": "regress",
    "event_triggers": "off",
    "check_function_bodies": "off",
    "createrole_self_grant": "set, inherit",
    "plpgsql.extra_errors": "all",
}


@pytest.mark.parametrize("user", [TIMES, WORDS], ids=["times", "words"])
async def test_what_reaches_each_session_breaks_none_of_ours(databases: Databases, user: dict[str, str]) -> None:
    assert {name: why for name, value in user.items() if (why := refusal(Value(name, value))) is not None} == {}
    async with databases() as database:
        await lives(database, user)


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("role", "app", "bind the agents' own sessions"),
        ("session_replication_role", "replica", "bind the agents' own sessions"),
        ("default_transaction_read_only", "on", "bind the agents' own sessions"),
        ("synchronous_commit", "remote_apply", "they would wait for ever"),
        ("transaction_timeout", "99", "at least 100ms"),
        ("wal_sender_timeout", "1s", "copies would lose their connections"),
        ("temp_file_limit", "0", "at least 100MB"),
    ],
)
def test_what_cannot_work_is_refused_with_its_reason(name: str, value: str, why: str) -> None:
    assert why in (refusal(Value(name, value)) or "")
