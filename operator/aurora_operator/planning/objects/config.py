"""The two ConfigMaps: the settings, and the record that is created once."""

from __future__ import annotations

from typing import Any, Final

from aurora_operator.api.agent.record import RECORD_KEY, Record
from aurora_operator.api.agent.settings import Settings
from aurora_operator.api.base import names
from aurora_operator.planning.model.plan_model import Raw
from aurora_operator.planning.objects.common import Identity, canonical

SETTINGS_KEY: Final = "settings.json"
ACCEPTED_KEY: Final = "accepted.json"
"""In the settings' ConfigMap, beside them: the last spec that was accepted, whole. The agents do not read it."""


ZONES_KEY: Final = "zones"
"""Likewise: in how many zones the copies have been spread, so that a zone that vanishes makes no cluster smaller."""


def build_settings(identity: Identity, settings: Settings, accepted: Raw, zones: int) -> dict[str, Any]:
    """The settings' ConfigMap."""
    document = settings.model_dump(mode="json", by_alias=True)
    data = {SETTINGS_KEY: canonical(document), ACCEPTED_KEY: canonical(accepted), ZONES_KEY: str(zones)}
    return identity.object("ConfigMap", names.settings_configmap(identity.name), data=data)


def build_record(identity: Identity, *, volumes: bool) -> dict[str, Any]:
    """The record of a cluster that begins: on empty volumes, or on `volumes` of an earlier life."""
    record = Record(state="initialised" if volumes else "empty")
    document = record.model_dump(mode="json", by_alias=True)
    return identity.object("ConfigMap", names.record_configmap(identity.name), data={RECORD_KEY: canonical(document)})
