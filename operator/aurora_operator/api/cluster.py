"""The resource as a whole: `AuroraCluster`."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, ClassVar, Final, Literal

from pydantic import BeforeValidator, Field

from aurora_operator.api.base import names
from aurora_operator.api.base.base import WireModel
from aurora_operator.api.base.rules import Rule, RuledModel
from aurora_operator.api.spec.cluster_spec import AuroraClusterSpec
from aurora_operator.api.status import AuroraClusterStatus

MAX_NAME: Final = 40
"""Leaves room in 63 characters for what objects and pods add to the cluster's name."""
_NAME: Final = re.compile("[a-z]([-a-z0-9]*[a-z0-9])?", re.ASCII)


class ObjectMeta(WireModel):
    """What we use of an object's metadata."""

    name: str
    namespace: str = "default"
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    finalizers: tuple[str, ...] = ()
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None


class AuroraCluster(RuledModel):
    """An Amazon-Aurora-like PostgreSQL cluster: a writer, its readers, and endpoints that follow them."""

    api_version: Literal["aurorapg.io/v1alpha1"] = "aurorapg.io/v1alpha1"
    kind: Literal["AuroraCluster"] = "AuroraCluster"
    metadata: ObjectMeta
    spec: Annotated[AuroraClusterSpec, BeforeValidator(lambda value: {} if value is None else value)] = Field(
        default_factory=AuroraClusterSpec, description="What you ask for; nothing, or null, is a cluster of defaults."
    )
    status: AuroraClusterStatus = Field(
        default=AuroraClusterStatus(), description="What is there. Only the operator writes it."
    )

    RULES: ClassVar = (
        Rule(
            field_path=".metadata",
            cel=f"size(self.metadata.name) <= {MAX_NAME}",
            message=f"metadata.name must have at most {MAX_NAME} characters, because instances, pods and Services add "
            "to it: choose a shorter name.",
            check=lambda c: len(c.metadata.name) <= MAX_NAME,
        ),
        Rule(
            field_path=".metadata",
            cel="self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
            message="metadata.name must be lower-case letters, digits and dashes, begin with a letter and not end "
            "with a dash, because it is the name of a Service: choose one such as demo.",
            check=lambda c: _NAME.fullmatch(c.metadata.name) is not None,
        ),
        Rule(
            field_path=".metadata",
            cel=" && ".join(f"!self.metadata.name.endsWith('{suffix}')" for suffix in names.RESERVED_ENDINGS),
            message=f"metadata.name must not end with {', '.join(names.RESERVED_ENDINGS)}, which the objects of "
            "another cluster may be called: choose another name.",
            check=lambda c: not c.metadata.name.endswith(names.RESERVED_ENDINGS),
        ),
    )
