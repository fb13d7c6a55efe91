"""Labels and annotations of the user's own on the pods: `spec.podMetadata`."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from aurora_operator.api.base.base import Model
from aurora_operator.api.spec.marks import MOST_ANNOTATION, MOST_LABEL, key_rules, map_schema, value_rule

MOST: Final = 32

PodLabels = Annotated[
    dict[str, Annotated[str, Field(max_length=MOST_LABEL)]],
    Field(max_length=MOST),
    map_schema(MOST, MOST_LABEL),
    *key_rules("podMetadata.labels"),
    value_rule("podMetadata.labels"),
]
PodAnnotations = Annotated[
    dict[str, Annotated[str, Field(max_length=MOST_ANNOTATION)]],
    Field(max_length=MOST),
    map_schema(MOST, MOST_ANNOTATION),
    *key_rules("podMetadata.annotations"),
]


class PodMetadata(Model):
    """Marks on the pods for others to go by: service meshes, backup tools, autoscalers, accounting."""

    labels: PodLabels = Field(default_factory=dict, description="Labels of your own.")
    annotations: PodAnnotations = Field(default_factory=dict, description="Annotations of your own.")
