"""Labels and annotations of the user's own, for objects that the operator makes: how they are checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from pydantic import WithJsonSchema

from aurora_operator.api.base import names
from aurora_operator.api.base.rules import Rule

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
"""What the operator sets on its objects, or the controllers of Kubernetes do, besides names of our own group."""


def _matches(pattern: str, text: str) -> bool:
    return re.fullmatch(pattern, text, re.ASCII) is not None


def key_form(where: str) -> Rule:
    """The rule of how keys are written; `where` is the map's path in the spec."""
    return Rule(
        cel=f"self.all(k, size(k) <= {_MOST_KEY} && k.matches('^{_KEY}$'))",
        message=f"A key in {where} must be as Kubernetes writes it: a name of at most 63 letters, "
        "digits, dots, dashes and underscores, with a domain and a slash before it if you like, such as "
        "example.com/team.",
        check=lambda metadata: all(len(key) <= _MOST_KEY and _matches(_KEY, key) for key in metadata),
    )


def key_rules(where: str) -> tuple[Rule, ...]:
    """Rules of a map of labels or annotations; `where` is its path in the spec, such as podMetadata.labels."""
    taken = ", ".join(f"'{key}'" for key in TAKEN)

    def free(metadata: Mapping[str, str]) -> bool:
        return not any(_matches(_OURS, key) or key in TAKEN for key in metadata)

    return (
        key_form(where),
        Rule(
            cel=f"!self.exists(k, k.matches('^{_OURS}$') || k in [{taken}])",
            message=f"{where} has a key that the operator or Kubernetes sets itself (aurorapg.io/…, "
            f"{TAKEN[0]} and the like): choose another.",
            check=free,
        ),
    )


def value_rule(where: str) -> Rule:
    """The rule of the values of labels."""
    return Rule(
        cel=f"self.all(k, self[k].matches('^{_VALUE}$'))",
        message=f"A value in {where} must be at most 63 letters, digits, dots, dashes and underscores, and "
        "begin and end with a letter or a digit.",
        check=lambda labels: all(_matches(_VALUE, value) for value in labels.values()),
    )


def map_schema(most: int, most_value: int) -> Any:
    """The schema of at most `most` entries, none longer than `most_value` characters."""
    return WithJsonSchema(
        {"type": "object", "maxProperties": most, "additionalProperties": {"type": "string", "maxLength": most_value}}
    )
