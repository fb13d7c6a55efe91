"""pgBackRest's configuration file, as text, and what it needs from mounted Secrets. Pure but for reading those.

Secrets go into a file in memory that only this user can read: never into arguments, the environment or a log.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from aurora_operator.api.base import names
from aurora_operator.api.spec.repository import S3, Azure, Destination, Gcs, Repository
from aurora_operator.postgres.errors import RepositoryError
from aurora_operator.postgres.layout import Layout

_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "access-key-id": ("access-key-id", "AWS_ACCESS_KEY_ID"),
    "secret-access-key": ("secret-access-key", "AWS_SECRET_ACCESS_KEY"),
    "session-token": ("session-token", "AWS_SESSION_TOKEN"),
    "account-key": ("account-key",),
    "sas-token": ("sas-token",),
}
PROGRAM: Final = "/usr/bin/pgbackrest"
"""Not beside PostgreSQL's own programs."""
NETWORK_SECONDS: Final = 15
"""How long pgBackRest waits for an answer from the destination; it tries again by itself."""

PUSH_SECONDS: Final = 5
"""How long the archive command waits for what goes on behind it: a shutdown waits for the command."""


@dataclass(frozen=True, slots=True)
class Peer:
    """The leader, whose PostgreSQL a reader's backup starts and ends on."""

    host: str
    port: int = names.BACKUP_PORT
    layout: Layout | None = None
    """Where things are there; None: as here."""
    config: Path | None = None


@dataclass(frozen=True, slots=True)
class Access:
    """A repository, where its Secrets are mounted, and how it is to be used."""

    repository: Repository
    mount: Path
    layout: Layout
    retention_days: int = 35
    workers: int = 1
    web_identity: bool = False
    """Whether the pod has a token of its own for Amazon (else the node's identity is asked for)."""
    program: str = PROGRAM
    more: Mapping[str, str] = field(default_factory=dict)
    """Options that only tests set."""
    called: str = "pgbackrest"
    """Of its own for each repository that is used beside another one with the same Secrets."""

    @property
    def folder(self) -> Path:
        """Where configuration and locks are: in memory."""
        return self.layout.run / "pgbackrest" / self.mount.name

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.folder / f"{self.called}.conf"

    @property
    def locks(self) -> Path:
        """Where it locks: what is done in another repository does not disturb archiving."""
        return self.folder / f"lock-{self.called}"

    @property
    def spool(self) -> Path:
        """Where asynchronous archiving keeps its accounts."""
        return self.layout.data / "aurora" / "spool"

    @property
    def passphrase(self) -> str | None:
        """The passphrase of an encrypted repository. Raises RepositoryError when it is not there."""
        return self._secret("encryption", "passphrase") if self.repository.encryption is not None else None

    def render(self, peer: Peer | None = None) -> str:
        """The configuration file. Raises RepositoryError when a Secret lacks what is needed."""
        return render(self._options(), self.repository.stanza, self._stanza(peer))

    def _options(self) -> dict[str, str]:
        options = {
            **_destination(self.repository.destination, self._secret, self.mount, self.web_identity),
            "repo1-bundle": "y",
            "repo1-block": "y",
            "repo1-retention-full-type": "time",
            "repo1-retention-full": str(self.retention_days),
            "compress-type": "zst",
            "archive-async": "y",
            "process-max": str(self.workers),
            "spool-path": str(self.spool),
            "lock-path": str(self.locks),
            "log-level-file": "off",
            "log-level-console": "off",
            "log-level-stderr": "warn",
            "log-timestamp": "n",
            "start-fast": "y",
            "delta": "n",
            "io-timeout": str(NETWORK_SECONDS),
            "archive-timeout": "120",
            **self._server(),
        }
        if (passphrase := self.passphrase) is not None:
            options |= {"repo1-cipher-type": "aes-256-cbc", "repo1-cipher-pass": passphrase}
        return options | dict(self.more)

    def _server(self) -> dict[str, str]:
        """For `pgbackrest server`: who may ask this copy, as the leader, on behalf of a backup."""
        return {
            "tls-server-address": "*",
            "tls-server-port": str(names.BACKUP_PORT),
            "tls-server-ca-file": str(self.layout.tls / "ca.crt"),
            "tls-server-cert-file": str(self.layout.server_certificate),
            "tls-server-key-file": str(self.layout.server_key),
            "tls-server-auth": f"{names.AGENT_CN}={self.repository.stanza}",
        }

    def _stanza(self, peer: Peer | None) -> dict[str, str]:
        own = {
            "pg1-path": str(self.layout.pgdata),
            "pg1-socket-path": str(self.layout.run),
            "pg1-port": str(names.POSTGRES_PORT),
            "pg1-user": "postgres",
        }
        if peer is None:
            return own
        tls, there = self.layout.tls, peer.layout or self.layout
        return {
            **own,
            "backup-standby": "y",
            "pg2-host": peer.host,
            "pg2-host-port": str(peer.port),
            "pg2-host-type": "tls",
            "pg2-host-config": str(peer.config or self.config),
            "pg2-host-ca-file": str(tls / "ca.crt"),
            "pg2-host-cert-file": str(tls / "agent.crt"),
            # The mounted one belongs to root, and pgBackRest refuses a key that its group can read.
            "pg2-host-key-file": str(self.folder / "agent.key"),
            "pg2-path": str(there.pgdata),
            "pg2-socket-path": str(there.run),
            "pg2-port": str(names.POSTGRES_PORT),
            "pg2-user": "postgres",
        }

    def _secret(self, folder: str, key: str) -> str:
        for name in _KEYS.get(key, (key,)):
            try:
                text = (self.mount / folder / name).read_text().strip()
            except (OSError, UnicodeDecodeError):
                continue
            if text:
                if "\n" in text or "\r" in text:
                    raise RepositoryError("credentials", f"{name} in the Secret of the {folder} has several lines")
                return text
        what = self.repository.destination.secrets.get(folder, folder)
        raise RepositoryError(
            "credentials", f"the Secret of the {folder} ({what}) does not exist or has no {key}; see spec.backup"
        )


def _destination(
    destination: Destination, secret: Callable[[str, str], str], mount: Path, web_identity: bool
) -> dict[str, str]:
    options = {"repo1-path": destination.path or "/aurora"}
    if destination.secrets.get("ca") is not None:
        options["repo1-storage-ca-file"] = str(mount / "ca" / "ca.crt")
    if destination.s3 is not None:
        return {**options, **_s3(destination.s3, secret, mount, web_identity)}
    if destination.gcs is not None:
        return {**options, **_gcs(destination.gcs, mount)}
    if destination.azure is not None:
        return {**options, **_azure(destination.azure, secret, mount)}
    return {"repo1-type": "posix", "repo1-path": f"{mount / 'volume'}{options['repo1-path']}"}


def _s3(s3: S3, secret: Callable[[str, str], str], mount: Path, web_identity: bool) -> dict[str, str]:
    host, _, port = s3.endpoint.partition(":")
    options = {
        "repo1-type": "s3",
        "repo1-s3-bucket": s3.bucket,
        "repo1-s3-endpoint": host,
        "repo1-storage-port": port or "443",
        "repo1-s3-region": s3.region,
        "repo1-s3-uri-style": s3.uri_style,
    }
    if s3.credentials is None:
        return {**options, "repo1-s3-key-type": "web-id" if web_identity else "auto"}
    options["repo1-s3-key"] = secret("credentials", "access-key-id")
    options["repo1-s3-key-secret"] = secret("credentials", "secret-access-key")
    if _is_there(mount / "credentials", _KEYS["session-token"]):
        options["repo1-s3-token"] = secret("credentials", "session-token")
    return options


def _gcs(gcs: Gcs, mount: Path) -> dict[str, str]:
    # Its port is a part of the endpoint: it does not heed repo1-storage-port.
    options = {"repo1-type": "gcs", "repo1-gcs-bucket": gcs.bucket, "repo1-gcs-endpoint": gcs.endpoint}
    if gcs.credentials is None:
        return {**options, "repo1-gcs-key-type": "auto"}
    key = mount / "credentials" / "service-account.json"
    _check_service_account(key, gcs.credentials.name)
    return {**options, "repo1-gcs-key": str(key)}


def _check_service_account(key: Path, secret: str) -> None:
    """Raise RepositoryError for what pgBackRest would complain about with the file's content in its words."""
    try:
        found = json.loads(key.read_text())
    except OSError as error:
        raise RepositoryError(
            "credentials",
            f"the Secret of the credentials ({secret}) does not exist or has no {key.name}; see spec.backup",
        ) from error
    except ValueError:
        found = None
    wanted = ("client_email", "private_key", "token_uri")
    if not isinstance(found, dict) or not all(isinstance(found.get(name), str) for name in wanted):
        raise RepositoryError(
            "credentials", f"{key.name} in the Secret of the credentials ({secret}) is no key of a service account"
        )


def _azure(azure: Azure, secret: Callable[[str, str], str], mount: Path) -> dict[str, str]:
    host, _, port = azure.endpoint.partition(":")
    options = {
        "repo1-type": "azure",
        "repo1-azure-account": azure.account,
        "repo1-azure-container": azure.container,
        "repo1-azure-endpoint": host,
        "repo1-storage-port": port or "443",
        "repo1-azure-uri-style": azure.uri_style,
    }
    if _is_there(mount / "credentials", _KEYS["sas-token"]):
        return {**options, "repo1-azure-key-type": "sas", "repo1-azure-key": secret("credentials", "sas-token")}
    return {**options, "repo1-azure-key": secret("credentials", "account-key")}


def _is_there(folder: Path, names_: tuple[str, ...]) -> bool:
    return any((folder / name).is_file() for name in names_)


def render(options: Mapping[str, str], stanza: str, of_stanza: Mapping[str, str]) -> str:
    """pgbackrest.conf. Raises ValueError for a value that is no single line, which could say something else."""
    lines = ["# Written by the agent; changes are lost.", "[global]", *_lines(options), "", f"[{stanza}]"]
    push = ["[global:archive-push]", f"archive-timeout={PUSH_SECONDS}", ""]
    return "\n".join([*lines, *_lines(of_stanza), "", *push])


def _lines(options: Mapping[str, str]) -> list[str]:
    for name, value in options.items():
        if not value or not value.isprintable() or value != value.strip():
            raise ValueError(f"pgBackRest cannot be told this value of {name}")
    return [f"{name}={value}" for name, value in options.items()]
