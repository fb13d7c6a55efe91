from __future__ import annotations

from configparser import ConfigParser
from pathlib import Path

from aurora_operator.api.spec.proxy import Proxy
from aurora_operator.proxy.pgbouncer import Door, render
from aurora_operator.proxy.places import Places


def test_the_file_says_what_the_spec_asks_for() -> None:
    proxy = Proxy(
        pool_mode="session", connection_borrow_timeout=7, max_client_connections=11, max_prepared_statements=3
    )
    parser = ConfigParser(interpolation=None)
    parser.read_string(render(proxy, Door("rw", 5432, 6432), Places(), 17))
    said = parser["pgbouncer"]
    assert parser["databases"]["*"] == "host=127.0.0.1 port=6432"
    assert said["pool_mode"] == "session"
    assert said["query_wait_timeout"] == said["client_login_timeout"] == "7"
    assert int(said["server_connect_timeout"]) > 7, "who waits gives up before the log-in does"
    assert said["max_client_conn"] == "11"
    assert said["max_prepared_statements"] == "3"
    assert said["default_pool_size"] == said["max_db_connections"] == "17"


def test_nobody_is_let_in_without_tls_or_by_a_list() -> None:
    parser = ConfigParser(interpolation=None)
    parser.read_string(render(Proxy(), Door("ro", 5433, 6433), Places(run=Path("/run/x")), 1))
    said = parser["pgbouncer"]
    assert said["client_tls_sslmode"] == "require"
    assert said["server_tls_sslmode"] == "verify-ca"
    assert said["auth_type"] == "scram-sha-256"
    assert "auth_file" not in said
    assert "admin_users" not in said
    assert said["unix_socket_mode"] == "0700"
