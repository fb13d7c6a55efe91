"""Labels and annotations of the user's own on the pods: `spec.podMetadata`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import Field, WithJsonSchema

from aurora_operator.api.base import names
from aurora_operator.api.base.base import Model
from aurora_operator.api.base.rules import Rule

MOST: Final = 32
MOST_LABEL: Final = 63
MOST_ANNOTATION: Final = 4096
_MOST_KEY: Final = 317
"""A prefix of 253, a slash, and a name of 63."""

_KEY: Final = (
    "([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
)
_VALUE: Final = "([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?"
_OURS: Final = r"([a-z0-9.-]+[.])?aurorapg[.]io/.*"
TAKEN: Final = (
    "app.kubernetes.io/name",
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/instance",
    names.LABEL_ZONE,
    "statefulset.kubernetes.io/pod-name",
    "apps.kubernetes.io/pod-index",
    "controller-revision-hash",
    "kubectl.kubernetes.io/default-container",
)
"""What the operator sets on pods, or the controllers of Kubernetes do, besides names of our own group."""


def _matches(pattern: str, text: str) -> bool:
    return re.fullmatch(pattern, text, re.ASCII) is not None


def _rules(what: str) -> tuple[Rule, ...]:
    taken = ", ".join(f"'{key}'" for key in TAKEN)

    def free(metadata: Mapping[str, str]) -> bool:
        return not any(_matches(_OURS, key) or key in TAKEN for key in metadata)

    return (
        Rule(
            cel=f"self.all(k, size(k) <= {_MOST_KEY} && k.matches('^{_KEY}$'))",
            message=f"A key in podMetadata.{what} must be as Kubernetes writes it: a name of at most 63 letters, "
            "digits, dots, dashes and underscores, with a domain and a slash before it if you like, such as "
            "example.com/team.",
            check=lambda metadata: all(len(key) <= _MOST_KEY and _matches(_KEY, key) for key in metadata),
        ),
        Rule(
            cel=f"!self.exists(k, k.matches('^{_OURS}$') || k in [{taken}])",
            message=f"podMetadata.{what} has a key that the operator or Kubernetes sets itself (aurorapg.io/…, "
            f"{TAKEN[0]} and the like): choose another.",
            check=free,
        ),
    )


def _schema(most: int) -> WithJsonSchema:
    return WithJsonSchema(
        {"type": "object", "maxProperties": MOST, "additionalProperties": {"type": "string", "maxLength": most}}
    )


PodLabels = Annotated[
    dict[str, Annotated[str, Field(max_length=MOST_LABEL)]],
    Field(max_length=MOST),
    _schema(MOST_LABEL),
    *_rules("labels"),
    Rule(
        cel=f"self.all(k, self[k].matches('^{_VALUE}$'))",
        message="A value in podMetadata.labels must be at most 63 letters, digits, dots, dashes and underscores, and "
        "begin and end with a letter or a digit.",
        check=lambda labels: all(_matches(_VALUE, value) for value in labels.values()),
    ),
]
PodAnnotations = Annotated[
    dict[str, Annotated[str, Field(max_length=MOST_ANNOTATION)]],
    Field(max_length=MOST),
    _schema(MOST_ANNOTATION),
    *_rules("annotations"),
]


class PodMetadata(Model):
    """Marks on the pods for others to go by: service meshes, backup tools, autoscalers, accounting."""

    labels: PodLabels = Field(default_factory=dict, description="Labels of your own.")
    annotations: PodAnnotations = Field(default_factory=dict, description="Annotations of your own.")
