"""Names in the database, and parameters of PostgreSQL, that must be refused."""

from __future__ import annotations

from typing import Final

from tests.unit.api.case import Bad


def _parameter(name: str, value: str | int, sentence: str) -> Bad:
    return Bad(f"parameter-{name}", {"parameters": {name: value}}, sentence)


BAD_TEXTS: Final = (
    Bad(
        "database-form",
        {"databaseName": "My-App"},
        "databaseName must be 1 to 63 lower-case letters, digits and underscores, and begin with a letter.",
    ),
    *(
        Bad(
            f"database-{name}",
            {"databaseName": name},
            "This databaseName is reserved for PostgreSQL or for the operator: choose another, such as app.",
        )
        for name in ("postgres", "template0", "template1", "rdsadmin", "replication", "pg_stuff", "aurora_db")
    ),
    Bad(
        "user-form",
        {"masterUsername": "1st"},
        "masterUsername must be 1 to 63 lower-case letters, digits and underscores, and begin with a letter.",
    ),
    *(
        Bad(
            f"user-{name}",
            {"masterUsername": name},
            "This masterUsername is reserved for PostgreSQL or for the operator: choose another, such as app.",
        )
        for name in ("postgres", "rdsadmin", "public", "none", "current_user", "pg_monitor", "aurora_replication")
    ),
    *(
        Bad(
            f"maintenance-window-{name}",
            {"preferredMaintenanceWindow": window},
            "preferredMaintenanceWindow must be ddd:hh24:mi-ddd:hh24:mi in UTC, such as sun:03:00-sun:04:00.",
        )
        for name, window in (("form", "03:00-04:00"), ("day", "son:03:00-son:04:00"), ("hour", "sun:24:00-mon:01:00"))
    ),
    *(
        Bad(
            f"maintenance-window-{name}",
            {"preferredMaintenanceWindow": window},
            "preferredMaintenanceWindow must be at least 30 minutes long.",
        )
        for name, window in (("short", "sun:03:00-sun:03:29"), ("over-midnight", "Sun:23:50-Mon:00:19"))
    ),
    _parameter(
        "port",
        5433,
        "port cannot be set: clients reach the cluster at port 5432 of its Services, "
        "whose addresses and sockets the operator sets up. Remove it from parameters.",
    ),
    _parameter("data_directory", "/tmp", "data_directory cannot be set: the agent keeps PostgreSQL's files"),
    _parameter("include_dir", "/tmp", "include_dir cannot be set: the agent keeps PostgreSQL's files"),
    _parameter("ssl", "off", "ssl cannot be set: the operator issues and renews the certificates"),
    _parameter("synchronous_standby_names", "*", "synchronous_standby_names cannot be set: the agents run replication"),
    _parameter("fsync", "off", "fsync cannot be set: it protects acknowledged writes"),
    _parameter("restart_after_crash", "on", "restart_after_crash cannot be set: the agent starts, stops and restarts"),
    _parameter("archive_command", "true", "archive_command cannot be set: WAL archiving belongs to"),
    _parameter("log_destination", "csvlog", "log_destination cannot be set: PostgreSQL logs to the container's"),
    _parameter("default_transaction_read_only", "on", "default_transaction_read_only cannot be set: it would bind"),
    _parameter("data_checksums", "off", "data_checksums cannot be set: it is fixed when PostgreSQL is built"),
    _parameter(
        "wal_level", "minimal", "wal_level must be replica or logical: the other copies and the backups need the WAL."
    ),
    _parameter("synchronous_commit", "off", "synchronous_commit must be on: commits wait for"),
    _parameter("synchronous_commit", "remote_apply", "synchronous_commit must be on: commits wait for"),
    _parameter("transaction_timeout", "99ms", "transaction_timeout must be 0 or a time of at least 100ms: PostgreSQL"),
    _parameter("temp_file_limit", "99MB", "temp_file_limit must be -1 or a size of at least 100MB: whoever copies the"),
    _parameter("wal_sender_timeout", 1, "wal_sender_timeout must be 0 or a time of at least 5s: copies would"),
    _parameter("wal_receiver_timeout", "4999ms", "wal_receiver_timeout must be 0 or a time of at least 5s: copies"),
    _parameter("post_auth_delay", 60, "post_auth_delay cannot be set: it is for PostgreSQL's developers"),
    _parameter("huge_pages", "on", "huge_pages must be try or off:"),
    _parameter("max_wal_senders", 5, "max_wal_senders must be a number of at least 40:"),
    _parameter("max_connections", "many", "max_connections must be a number of at least 20:"),
    Bad(
        "two-parameters",
        {"parameters": {"fsync": "off", "full_page_writes": "off"}},
        "fsync full_page_writes cannot be set: it protects acknowledged writes and always has its safe value here. "
        "Remove it from parameters.",
    ),
    Bad(
        "parameter-in-capitals",
        {"parameters": {"Work_Mem": "4MB"}},
        "A parameter's name must be as PostgreSQL writes it, in lower case, such as work_mem.",
    ),
    Bad(
        "parameter-with-a-line-break",
        {"parameters": {"work_mem": "4MB'\nport = 1"}},
        "A parameter's value must be one line of text, without control characters.",
    ),
)
