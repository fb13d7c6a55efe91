from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from aurora_operator.postgres.config.conf import (
    NOBODY,
    Runtime,
    Source,
    checked_name,
    conninfo,
    follower_name,
    parse_follower,
    quote_value,
    render_conf,
    render_hba,
    render_ident,
    render_runtime_conf,
    render_sync,
    setting,
    slot_name,
)
from aurora_operator.postgres.config.parameters import GIB, Choice, Sizes, compute
from aurora_operator.postgres.layout import Layout

LAYOUT = Layout()
SOURCE = Source("demo-1-0.demo-pods.ns.svc", "10.0.0.1")
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
_TOKEN = re.compile(r"''|\\(.)|([^'\\\n])", re.DOTALL)
_BACK = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}


def unquote(text: str) -> str:
    """What guc-file.l makes of a quoted value (GUC_scanstr)."""
    assert text[0] == text[-1] == "'"
    out, position, body = [], 0, text[1:-1]
    while position < len(body):
        match = _TOKEN.match(body, position)
        assert match is not None, body[position:]
        if match[0] == "''":
            out.append("'")
        elif match[1] is not None:
            out.append(_BACK.get(match[1], match[1]))
        else:
            out.append(match[2])
        position = match.end()
    return "".join(out)


@given(TEXT)
def test_values_survive_quoting(value: str) -> None:
    quoted = quote_value(value)
    assert "\n" not in quoted
    assert unquote(quoted) == value


def test_what_cannot_be_said_is_refused() -> None:
    with pytest.raises(ValueError, match="NUL"):
        quote_value("a\0b")
    for name in ("", "a b", "a=b", "1a", "a\nb", "a.", "é"):
        with pytest.raises(ValueError, match="not a parameter's name"):
            setting(name, "1")
    assert setting("pg_stat_statements.max", "10") == "pg_stat_statements.max = '10'"


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_conf_holds_reasons_and_includes_what_changes_last() -> None:
    text = render_conf((Choice("work_mem", "4MB", "because\nof\nthis"),), LAYOUT, cluster_name="demo-1")
    assert "# because of this\nwork_mem = '4MB'\n" in text
    assert lines(text)[-3:] == [
        "include 'aurora.conf'",
        "include_if_exists 'space.conf'",
        "include_if_exists 'aurora-archive.conf'",
    ]
    assert "listen_addresses = '*'" in text and "unix_socket_directories = '/run/postgresql'" in text


def test_conf_sets_nothing_twice() -> None:
    text = render_conf(compute(Sizes(1000, GIB, GIB, GIB)), LAYOUT, cluster_name="demo-1")
    names = [line.partition(" = ")[0] for line in lines(text)]
    assert len(names) == len(set(names))


@given(TEXT, TEXT)
def test_a_connection_string_survives_libpq(host: str, address: str) -> None:
    made = conninfo_to_dict(conninfo(Source(host, address), LAYOUT, "demo-2/0a0b0c0d", dbname="it's \\ here"))
    assert made["host"] == host and made["hostaddr"] == address and made["dbname"] == "it's \\ here"
    assert made["sslmode"] == "verify-full" and made["application_name"] == "demo-2/0a0b0c0d"


def test_runtime_of_a_follower_a_leader_and_nobody() -> None:
    follower = render_runtime_conf(Runtime(SOURCE, "demo_2_0a"), LAYOUT, copy="demo-2/0a")
    assert unquote(lines(follower)[0].partition(" = ")[2]) == conninfo(SOURCE, LAYOUT, "demo-2/0a")
    assert lines(follower)[1:] == [
        "primary_slot_name = 'demo_2_0a'",
        f"synchronous_standby_names = 'ANY 1 (\"{NOBODY}\")'",
    ]
    compared = render_runtime_conf(Runtime(SOURCE, epoch=34), LAYOUT, copy="demo-2/0a")
    assert unquote(lines(compared)[0].partition(" = ")[2]) == conninfo(SOURCE, LAYOUT, "demo-2/0a@22")
    leader = render_runtime_conf(Runtime(sync=(1, ("demo-2/0a", "demo-3/0b"))), LAYOUT, copy="demo-1/0c")
    assert lines(leader) == [
        "primary_conninfo = ''",
        "primary_slot_name = ''",
        'synchronous_standby_names = \'ANY 1 ("demo-2/0a", "demo-3/0b")\'',
    ]


def test_sync_rules() -> None:
    assert render_sync(0, ()) == "" == render_sync(0, ["a/1"])
    for need, copies in ((1, []), (3, ["a/1", "b/2"]), (-1, ["a/1"]), (1, ['a"b'])):
        with pytest.raises(ValueError, match=r"cannot wait|as it is"):
            render_sync(need, copies)


@given(st.integers(min_value=1, max_value=2**31 - 1))
def test_a_follower_says_whom_it_follows(epoch: int) -> None:
    assert parse_follower(follower_name("demo-2/0a0b0c0d", epoch)) == ("demo-2/0a0b0c0d", epoch)


def test_who_says_it_not_follows_nobody() -> None:
    for name in ("demo-2/0a0b0c0d", "psql", "", "demo-2/0a@", "demo-2/0a@x", "demo-2/0a@-1"):
        assert parse_follower(name)[1] is None


def test_the_longest_names_fit() -> None:
    assert follower_name("x" * 40 + "-log-99/0a0b0c0d", 16**6 - 1)


def test_names_that_postgresql_would_cut_are_refused() -> None:
    assert slot_name("Demo-2/0a0b0c0d") == "demo_2_0a0b0c0d"
    with pytest.raises(ValueError, match="as it is"):
        checked_name("x" * 64)
    with pytest.raises(ValueError, match="as it is"):
        slot_name("x" * 60 + "/0a0b0c0d")


def test_hba_admits_nobody_in_clear_and_strangers_only_when_open() -> None:
    closed, opened = lines(render_hba("closed")), lines(render_hba("open"))
    assert opened[: len(closed)] == closed
    for line in opened:
        kind, _, _, *rest = line.split()
        assert kind in ("local", "hostssl") or rest[-1] == "reject"
        assert "trust" not in line and not line.endswith((" password", " md5"))
    assert not any("scram" in line for line in closed)
    assert lines(render_ident(["postgres"])) == ['aurora "postgres" postgres']


def test_paths_follow_the_volume() -> None:
    layout = Layout(data=Path("/d"), run=Path("/r"), tls=Path("/t"))
    assert layout.wal == Path("/d/pgdata/pg_wal") and layout.server_key == Path("/r/tls/server.key")
