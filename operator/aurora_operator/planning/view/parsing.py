"""A spec as somebody wrote it, as a value or as what is wrong with it."""

from __future__ import annotations

from pydantic import ValidationError

from aurora_operator.api.base.rules import sentences
from aurora_operator.api.cluster import AuroraCluster
from aurora_operator.api.spec.cluster_spec import AuroraClusterSpec
from aurora_operator.planning.model.plan_model import Raw
from aurora_operator.planning.view.facts import Facts


def parse_spec(facts: Facts, raw: Raw) -> AuroraClusterSpec | tuple[str, ...]:
    """The spec, or what is wrong with it, a sentence each."""
    metadata = {"name": facts.name, "namespace": facts.identity.namespace}
    try:
        return AuroraCluster.model_validate({"metadata": metadata, "spec": dict(raw)}).spec
    except ValidationError as error:
        return tuple(sentences(error))
