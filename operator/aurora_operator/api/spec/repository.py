"""Where backups are kept: a repository of pgBackRest's. The same shape wherever one is named."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from aurora_operator.api.base.base import Model, WireModel
from aurora_operator.api.base.rules import Rule, RuledModel
from aurora_operator.api.spec.placement import SecretReference

_PATH: Final = re.compile(r"(/[A-Za-z0-9][A-Za-z0-9._-]*)+", re.ASCII)
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
_ENDPOINT: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?", re.ASCII)

RepositoryPath = Annotated[
    str,
    Field(max_length=200),
    Rule(
        cel="self.matches('^(/[A-Za-z0-9][A-Za-z0-9._-]*)+$')",
        message="destination.path must begin with a slash and hold only letters, digits, dots, dashes and "
        "underscores, such as /backups/production.",
        check=lambda path: _PATH.fullmatch(path) is not None,
    ),
]
BucketName = Annotated[
    str,
    Field(max_length=63),
    Rule(
        cel="self.matches('^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$')",
        message="A bucket's name has 3 to 63 lower-case letters, digits, dots and dashes.",
        check=lambda name: _BUCKET.fullmatch(name) is not None,
    ),
]


def _endpoint(kind: str, example: str) -> Rule:
    return Rule(
        cel="self.matches('^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?$')",
        message=f"{kind}.endpoint is a host name, with a port if it is not 443, and without https://, such as "
        f"{example}. It is reached by TLS.",
        check=lambda text: _ENDPOINT.fullmatch(text) is not None,
    )


UriStyle = Literal["host", "path"]
_CA: Final = "Secret with ca.crt, the authorities that the server's certificate comes from"


class S3(Model):
    """A bucket of Amazon S3, or of a server that speaks its protocol."""

    bucket: BucketName = Field(description="The bucket. It must exist.")
    endpoint: Annotated[
        str,
        Field(max_length=253),
        _endpoint("s3", "s3.eu-central-1.amazonaws.com or minio.storage.svc:9000"),
    ] = Field(description="Host of the server, such as s3.eu-central-1.amazonaws.com, with :PORT if it is not 443.")
    region: str = Field(default="us-east-1", min_length=1, max_length=63, description="The bucket's region.")
    uri_style: UriStyle = Field(
        default="host",
        description="Whether the bucket is part of the host name (Amazon) or of the path (most other servers).",
    )
    credentials: SecretReference | None = Field(
        default=None,
        description="Secret with access-key-id and secret-access-key (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY will "
        "do), and session-token if there is one. Without it, the pods' identity is used.",
    )
    ca_secret: SecretReference | None = Field(default=None, description=f"{_CA}.")


class Gcs(Model):
    """A bucket of Google Cloud Storage, or of a server that speaks its JSON API."""

    bucket: BucketName = Field(description="The bucket. It must exist.")
    endpoint: Annotated[
        str, Field(max_length=253), _endpoint("gcs", "storage.googleapis.com or gcs.storage.svc:4443")
    ] = Field(default="storage.googleapis.com", description="Host of the server, with :PORT if it is not 443.")
    credentials: SecretReference | None = Field(
        default=None,
        description="Secret with service-account.json, the key of a service account. Without it, the pods' identity "
        "is used.",
    )
    ca_secret: SecretReference | None = Field(
        default=None,
        description=f"{_CA}, and that of the key's token_uri. Those known to everybody are not trusted then.",
    )


class Azure(Model):
    """A container of Azure Blob Storage, or of a server that speaks its protocol."""

    account: str = Field(min_length=3, max_length=63, description="The storage account.")
    container: BucketName = Field(description="The container. It must exist.")
    endpoint: Annotated[
        str, Field(max_length=253), _endpoint("azure", "blob.core.usgovcloudapi.net or azurite.storage.svc:10000")
    ] = Field(
        default="blob.core.windows.net",
        description="Host of the server, without the account, with :PORT if it is not 443.",
    )
    uri_style: UriStyle = Field(
        default="host",
        description="Whether the account is part of the host name (Azure) or of the path (most other servers).",
    )
    # pgBackRest knows no identity of pods here before its version 2.58.
    credentials: SecretReference = Field(description="Secret with account-key, or with sas-token.")
    ca_secret: SecretReference | None = Field(default=None, description=f"{_CA}.")


class VolumeDestination(Model):
    """A volume that all instances mount."""

    claim_name: str = Field(
        min_length=1,
        max_length=253,
        description="A PersistentVolumeClaim of the cluster's namespace, with access mode ReadWriteMany unless all "
        "instances run on one node.",
    )


_KINDS: Final = ("s3", "gcs", "azure", "volume")


class Destination(RuledModel):
    """Exactly one kind of storage, and the path in it."""

    s3: S3 | None = Field(default=None, description="Amazon S3, or a server that speaks its protocol.")
    gcs: Gcs | None = Field(default=None, description="Google Cloud Storage.")
    azure: Azure | None = Field(default=None, description="Azure Blob Storage.")
    volume: VolumeDestination | None = Field(default=None, description="A volume that all instances mount.")
    path: RepositoryPath | None = Field(
        default=None, description="Folder in the bucket, container or volume. Default: /aurora/NAMESPACE."
    )

    RULES: ClassVar = (
        Rule(
            cel="[" + ", ".join(f"has(self.{kind})" for kind in _KINDS) + "].filter(x, x).size() == 1",
            message="destination needs exactly one of s3, gcs, azure and volume.",
            check=lambda d: sum(getattr(d, kind) is not None for kind in _KINDS) == 1,
        ),
    )

    @property
    def secrets(self) -> dict[str, str]:
        """The Secrets that it needs: name by what it is for (`credentials`, `ca`)."""
        found: dict[str, str] = {}
        for kind in (self.s3, self.gcs, self.azure):
            if kind is not None and kind.credentials is not None:
                found["credentials"] = kind.credentials.name
            if kind is not None and kind.ca_secret is not None:
                found["ca"] = kind.ca_secret.name
        return found

    def resolved(self, namespace: str) -> Destination:
        """With the path that is meant where none is named."""
        return self if self.path is not None else self.model_copy(update={"path": f"/aurora/{namespace}"})


class Encryption(Model):
    """Encryption of all that is stored, before it leaves the pod: AES-256 with a key from a passphrase."""

    secret: SecretReference = Field(
        description="Secret with passphrase. Whoever loses it loses the backups: keep it elsewhere too. It cannot "
        "change for a destination that holds backups."
    )


def rules_of_encryption() -> tuple[Rule, ...]:
    """For a model that has `destination` and `encryption` and lives on: what is stored stays readable."""
    return (
        Rule(
            field_path=".encryption",
            cel="self.destination != oldSelf.destination || has(self.encryption) == has(oldSelf.encryption)",
            message="encryption cannot be switched on or off for a destination that holds backups: change "
            "destination.path along with it, which begins anew there.",
        ),
    )


class Repository(WireModel):
    """A repository as agents are told of it: the destination with its path, and whose backups there."""

    destination: Destination = Field(description="Where, with the path.")
    stanza: str = Field(description="Whose backups there.")
    encryption: Encryption | None = Field(default=None, description="How they are encrypted, if they are.")
