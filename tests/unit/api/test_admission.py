"""The models refuse what cannot work with the sentences that the API server gives (tests/e2e/test_admission.py)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError
from tests.unit.api.case import Bad, manifest
from tests.unit.api.cases import BAD_SPECS, GOOD_SPECS
from tests.unit.api.changes import BAD_CHANGES, GOOD_CHANGES

from aurora_operator.api.base.rules import sentences
from aurora_operator.api.cluster import AuroraCluster
from aurora_operator.api.spec.parameters import ALLOWED_VALUES, MINIMUMS, OWNED, owner_reason

DEMO = Path(__file__).parents[3] / "examples" / "demo.yaml"


@pytest.mark.parametrize("bad", BAD_SPECS, ids=lambda bad: bad.id)
def test_refused_with_its_sentence(bad: Bad) -> None:
    with pytest.raises(ValidationError) as caught:
        AuroraCluster.model_validate(bad.manifest())
    found = sentences(caught.value)
    assert len(found) == 1
    assert bad.sentence in found[0]


@pytest.mark.parametrize("bad", BAD_CHANGES, ids=lambda bad: bad.id)
def test_bad_changes_are_between_good_specs(bad: Bad) -> None:
    assert bad.before is not None
    AuroraCluster.model_validate(manifest(bad.before))
    AuroraCluster.model_validate(manifest(bad.spec))


@pytest.mark.parametrize("spec", [*GOOD_SPECS, *(spec for pair in GOOD_CHANGES for spec in pair)], ids=str)
def test_accepted_and_written_back_the_same(spec: dict[str, Any]) -> None:
    cluster = AuroraCluster.model_validate(manifest(spec))
    written = cluster.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert AuroraCluster.model_validate(written) == cluster


def test_the_demo_is_what_others_count_on() -> None:
    demo = AuroraCluster.model_validate(yaml.safe_load(DEMO.read_text()))
    assert demo.metadata.name == "demo"
    assert demo.spec.ordinals == (1, 2, 3)
    assert demo.spec.voting_copies(3) == 6 and demo.spec.write_quorum(6) == 4
    assert demo.spec.resources_of(1).to_kubernetes() == {
        "requests": {"cpu": "100m", "memory": "256Mi"},
        "limits": {"cpu": "1", "memory": "512Mi"},
    }


def test_unknown_fields_are_named() -> None:
    with pytest.raises(ValidationError) as caught:
        AuroraCluster.model_validate(manifest({"storage": {"sise": "1Gi"}}))
    assert sentences(caught.value) == ["spec.storage.sise: Extra inputs are not permitted"]


def test_sentences_name_items_of_lists() -> None:
    with pytest.raises(ValidationError) as caught:
        AuroraCluster.model_validate(manifest({"instanceSettings": [{"instance": 1}, {"instance": 99}]}))
    assert sentences(caught.value)[0].startswith("spec.instanceSettings[1].instance: instance must be 1 to 31")


def test_each_parameter_is_ruled_on_once() -> None:
    owned = [name for group in OWNED for name in group.names]
    names = [*owned, *ALLOWED_VALUES, *MINIMUMS]
    assert len(names) == len(set(names))
    assert all(name == name.lower() for name in names)


def test_owner_reason_knows_no_case() -> None:
    assert owner_reason("Port") == OWNED[0].reason
    assert owner_reason("work_mem") is None
