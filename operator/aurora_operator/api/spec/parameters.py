"""PostgreSQL parameters that `spec.parameters` may not hold, or only with some values; each with its reason.

Everything else is the user's; PostgreSQL itself is asked about it before it is applied. Sources: PostgreSQL's
"Server Configuration" chapter and `postgres --describe-config`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, WithJsonSchema

from aurora_operator.api.base.rules import Rule

MAX_PARAMETERS: Final = 256
MAX_VALUE_LENGTH: Final = 4096
_NAME: Final = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_$]*)*", re.ASCII)


@dataclass(frozen=True)
class OwnedGroup:
    """Parameters that are refused together, for one reason."""

    names: tuple[str, ...]
    reason: str


def _group(reason: str, names: str) -> OwnedGroup:
    return OwnedGroup(tuple(names.split()), reason)


OWNED: Final = (
    _group(
        "clients reach the cluster at port 5432 of its Services, whose addresses and sockets the operator sets up",
        "port listen_addresses unix_socket_directories unix_socket_group unix_socket_permissions bonjour bonjour_name",
    ),
    _group(
        "the agent keeps PostgreSQL's files where the volume and the other copies need them",
        "data_directory config_file hba_file ident_file external_pid_file include include_dir include_if_exists",
    ),
    _group(
        "the operator issues and renews the certificates, and passwords are SCRAM; "
        "ssl_min_protocol_version is yours to set",
        "ssl ssl_ca_file ssl_cert_file ssl_key_file ssl_crl_file ssl_crl_dir ssl_ciphers ssl_ecdh_curve "
        "ssl_dh_params_file ssl_max_protocol_version ssl_prefer_server_ciphers ssl_passphrase_command "
        "ssl_passphrase_command_supports_reload password_encryption krb_server_keyfile db_user_namespace",
    ),
    _group(
        "the agents run replication and recovery; who commits with whom is set in durability",
        "primary_conninfo primary_slot_name synchronous_standby_names hot_standby restore_command "
        "archive_cleanup_command recovery_end_command recovery_target recovery_target_action "
        "recovery_target_inclusive recovery_target_lsn recovery_target_name recovery_target_time "
        "recovery_target_timeline recovery_target_xid recovery_min_apply_delay recovery_init_sync_method "
        "promote_trigger_file wal_receiver_create_temp_slot wal_receiver_status_interval "
        "wal_retrieve_retry_interval sync_replication_slots synchronized_standby_slots cluster_name",
    ),
    _group(
        "it protects acknowledged writes and always has its safe value here",
        "fsync full_page_writes wal_sync_method wal_log_hints data_sync_retry zero_damaged_pages "
        "ignore_checksum_failure ignore_invalid_pages ignore_system_indexes",
    ),
    _group(
        "the agent starts, stops and restarts PostgreSQL, and the parameters belong in the resource",
        "restart_after_crash exit_on_error allow_alter_system shared_memory_type dynamic_shared_memory_type",
    ),
    _group(
        "WAL archiving belongs to the operator's backups",
        "archive_mode archive_command archive_library archive_timeout",
    ),
    _group(
        "PostgreSQL logs to the container's standard error, where `kubectl logs` finds it; "
        "what is logged is yours to set",
        "log_destination logging_collector log_directory log_filename log_file_mode log_line_prefix "
        "log_rotation_age log_rotation_size log_truncate_on_rotation syslog_facility syslog_ident "
        "syslog_sequence_numbers syslog_split_messages event_source",
    ),
    _group(
        "it would bind the agents' own sessions too; set it where you need it with ALTER ROLE or ALTER DATABASE",
        "default_transaction_read_only session_replication_role role session_authorization",
    ),
    _group(
        "it is for PostgreSQL's developers, and delays or breaks every session",
        "pre_auth_delay post_auth_delay debug_io_direct debug_discard_caches allow_in_place_tablespaces",
    ),
    _group(
        "it is fixed when PostgreSQL is built or the cluster is created",
        "block_size data_checksums data_directory_mode debug_assertions huge_pages_status in_hot_standby "
        "integer_datetimes is_superuser lc_collate lc_ctype max_function_args max_identifier_length max_index_keys "
        "num_os_semaphores segment_size server_encoding server_version server_version_num shared_memory_size "
        "shared_memory_size_in_huge_pages ssl_library wal_block_size wal_segment_size",
    ),
)
"""Parameters that the agent sets, or that nobody can."""

ALLOWED_VALUES: Final[dict[str, tuple[tuple[str, ...], str]]] = {
    "wal_level": (("replica", "logical"), "the other copies and the backups need the WAL"),
    "synchronous_commit": (
        ("on",),
        "commits wait for the write quorum, and log copies, which vote in it, never apply what they receive: with "
        "remote_apply they would wait for ever. For work that you can afford to lose, set another value in the session "
        "or with ALTER ROLE",
    ),
    "ssl_min_protocol_version": (("TLSv1.2", "TLSv1.3"), "older protocols are not safe"),
    "huge_pages": (("try", "off"), "PostgreSQL would not start on a node without huge pages"),
}
"""Parameters that take only some of PostgreSQL's values, and why."""

MINIMUMS: Final[dict[str, tuple[int, str]]] = {
    "max_connections": (20, "the agents and the operator need some of them"),
    "max_wal_senders": (40, "15 readers stream, and others are copied, at the same time"),
    "max_replication_slots": (40, "each of 15 readers has one, also while it is replaced"),
    "superuser_reserved_connections": (3, "the agent must get in when clients hold all the others"),
}
"""Parameters with a least value, and why."""


_HUNDRED_MILLISECONDS: Final = "0|[1-9][0-9]{2,8}( ?ms)?|[1-9][0-9]{0,6} ?(s|min|h|d)"
_FIVE_SECONDS: Final = (
    "0|[5-9][0-9]{3}( ?ms)?|[1-9][0-9]{4,8}( ?ms)?|([5-9]|[1-9][0-9]{1,6}) ?s|[1-9][0-9]{0,5} ?(min|h|d)"
)
_HUNDRED_MEGABYTES: Final = "-1|[1-9][0-9]{5,8}( ?kB)?|[1-9][0-9]{2,5} ?MB|[1-9][0-9]{0,2} ?GB|[1-9] ?TB"
LEAST_AMOUNTS: Final[dict[str, tuple[str, str, str]]] = {
    "temp_file_limit": (
        _HUNDRED_MEGABYTES,
        "-1 or a size of at least 100MB",
        "whoever copies the data keeps the list of its files in a temporary one. Set a lower limit with ALTER ROLE",
    ),
    "transaction_timeout": (
        _HUNDRED_MILLISECONDS,
        "0 or a time of at least 100ms",
        "PostgreSQL counts the beginning of a session as a transaction, so that nobody would get in",
    ),
    "wal_sender_timeout": (_FIVE_SECONDS, "0 or a time of at least 5s", "copies would lose their connections"),
    "wal_receiver_timeout": (_FIVE_SECONDS, "0 or a time of at least 5s", "copies would lose their connections"),
}
"""Parameters with a least time or size: what their values look like, in words too, and why."""


def owner_reason(name: str) -> str | None:
    """Why the parameter `name` may not be set, or None if it may."""
    return next((group.reason for group in OWNED if name.lower() in group.names), None)


def _cel_list(names: tuple[str, ...]) -> str:
    return "[" + ", ".join(f"'{name}'" for name in names) + "]"


def _owned_rule(group: OwnedGroup) -> Rule:
    names = _cel_list(group.names)
    advice = f"cannot be set: {group.reason}. Remove it from parameters."
    # Not filter and join: the API server could not tell how long their text may become, and would refuse the rule.
    found = " + ".join(f"('{name}' in self ? '{name} ' : '')" for name in group.names)
    return Rule(
        cel=f"{names}.all(p, !(p in self))",
        message=f"One of these parameters {advice}"[:2048],
        message_cel=f'{found} + "{advice}"',
        check=lambda parameters: not any(name in parameters for name in group.names),
        explain=lambda parameters: f"{' '.join(name for name in group.names if name in parameters)} {advice}",
    )


def _values_rule(name: str, values: tuple[str, ...], reason: str) -> Rule:
    return Rule(
        cel=f"!('{name}' in self) || string(self['{name}']) in {_cel_list(values)}",
        message=f"{name} must be {' or '.join(values)}: {reason}.",
        check=lambda parameters: parameters.get(name, values[0]) in values,
    )


def _minimum_rule(name: str, least: int, reason: str) -> Rule:
    return Rule(
        cel=(
            f"!('{name}' in self) || (string(self['{name}']).matches('^[0-9]{{1,9}}$') "
            f"&& int(string(self['{name}'])) >= {least})"
        ),
        message=f"{name} must be a number of at least {least}: {reason}.",
        check=lambda parameters: _at_least(parameters.get(name), least),
    )


def _amount_rule(name: str, pattern: str, words: str, reason: str) -> Rule:
    return Rule(
        cel=f"!('{name}' in self) || string(self['{name}']).matches('^({pattern})$')",
        message=f"{name} must be {words}: {reason}.",
        check=lambda parameters: (
            name not in parameters or re.fullmatch(pattern, parameters[name], re.ASCII) is not None
        ),
    )


def _at_least(text: str | None, least: int) -> bool:
    return text is None or (text.isascii() and text.isdigit() and len(text) <= 9 and int(text) >= least)


def parameter_rules() -> tuple[Rule, ...]:
    """The rules about the whole map, for the API server and for us."""
    return (
        *(_owned_rule(group) for group in OWNED),
        *(_values_rule(name, values, reason) for name, (values, reason) in ALLOWED_VALUES.items()),
        *(_minimum_rule(name, least, reason) for name, (least, reason) in MINIMUMS.items()),
        *(_amount_rule(name, pattern, words, reason) for name, (pattern, words, reason) in LEAST_AMOUNTS.items()),
    )


def _to_text(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: str(v) if isinstance(v, int) and not isinstance(v, bool) else v for k, v in value.items()}
    return value


Parameters = Annotated[
    dict[str, str],
    BeforeValidator(_to_text),
    Field(max_length=MAX_PARAMETERS),
    WithJsonSchema(
        {
            "type": "object",
            "maxProperties": MAX_PARAMETERS,
            "additionalProperties": {"x-kubernetes-int-or-string": True, "maxLength": MAX_VALUE_LENGTH},
        }
    ),
    Rule(
        cel="self.all(p, p.matches('^[a-z_][a-z0-9_]*([.][a-z_][a-z0-9_$]*)*$'))",
        message="A parameter's name must be as PostgreSQL writes it, in lower case, such as work_mem.",
        check=lambda parameters: all(_NAME.fullmatch(name) for name in parameters),
    ),
    Rule(
        cel="self.all(p, !string(self[p]).matches('[[:cntrl:]]'))",
        message="A parameter's value must be one line of text, without control characters.",
        check=lambda parameters: not any(re.search("[\0-\x1f\x7f]", value) for value in parameters.values()),
    ),
    *parameter_rules(),
]
"""The user's PostgreSQL parameters; values are text, as in postgresql.conf without quotes."""
