"""What the pods run, and where: `spec.image` and `spec.scheduling`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema

from aurora_operator.api.base.base import Model


class SecretReference(Model):
    """A Secret in the cluster's namespace."""

    name: str = Field(min_length=1, max_length=253, description="Its name.")


class Image(Model):
    """The image of the instances."""

    name: str | None = Field(
        default=None,
        min_length=1,
        max_length=512,
        description="The image, such as registry.example/aurora-instance:17.12. Default: the operator's own.",
    )
    pull_policy: Literal["Always", "IfNotPresent", "Never"] = Field(
        default="IfNotPresent", description="When to pull it: Always, IfNotPresent or Never."
    )
    pull_secrets: tuple[SecretReference, ...] = Field(
        default=(),
        max_length=16,
        description="Secrets to pull it with.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )


class Toleration(Model):
    """A taint that the pods tolerate, as in a pod."""

    key: str | None = Field(default=None, description="The taint's key; without it, every taint.")
    operator: Literal["Exists", "Equal"] | None = Field(default=None, description="Exists or Equal (the default).")
    value: str | None = Field(default=None, description="The taint's value, with Equal.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="The taint's effect; without it, every effect."
    )
    toleration_seconds: int | None = Field(
        default=None, description="With NoExecute: how many seconds the pod stays once the taint is there."
    )


class Scheduling(Model):
    """Which nodes the pods may run on. Zones are in durability and instanceSettings."""

    node_selector: dict[str, str] = Field(default_factory=dict, description="Labels that a node must have.")
    tolerations: tuple[Toleration, ...] = Field(
        default=(),
        description="Taints that the pods tolerate.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    affinity: Annotated[
        dict[str, Any],
        WithJsonSchema({"type": "object", "x-kubernetes-preserve-unknown-fields": True}),
    ] = Field(
        default_factory=dict,
        description="The pods' affinity, as in a pod. The operator adds its own: an instance a node where it can.",
    )
    priority_class_name: str | None = Field(default=None, max_length=253, description="The pods' PriorityClass.")
