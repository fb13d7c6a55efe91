"""No name that we make for one cluster is made for another, or can be anybody's AuroraSnapshot."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st

from aurora_operator.api.base import names
from aurora_operator.api.cluster import AuroraCluster

_PARTS = st.sampled_from(
    ["a", "ro", "any", "pods", "log", "gateway", "rehearsal", "origin", "seed", "1", "12", "final"]
)
CLUSTERS = st.lists(_PARTS, min_size=1, max_size=4).map("-".join)
_PLACES = {
    "cluster": "(?P<cluster>[a-z](?:[-a-z0-9]*[a-z0-9])?)",
    "snapshot": "(?P<snapshot>[a-z0-9](?:[-.a-z0-9]*[a-z0-9])?)",
    "number": "[1-9][0-9]*",
    "uid": "[0-9a-f]{8}",
}


def is_allowed(cluster: str) -> bool:
    try:
        AuroraCluster.model_validate({"metadata": {"name": cluster}, "spec": {}})
    except ValueError:
        return False
    return True


def pattern_of(text: str) -> re.Pattern[str]:
    escaped = re.escape(text).replace(r"\{", "{").replace(r"\}", "}")
    return re.compile(escaped.format(**_PLACES))


def owners(kind: str, name: str) -> set[str]:
    """The clusters that may be that have an object of this kind and name; a snapshot counts as one."""
    found = set()
    for other, text in names.GENERATED:
        match = pattern_of(text).fullmatch(name) if other == kind else None
        if match is None:
            continue
        groups = match.groupdict()
        if "cluster" in groups and is_allowed(groups["cluster"]):
            found.add(groups["cluster"])
        if "snapshot" in groups and not groups["snapshot"].endswith(names.RESERVED_SNAPSHOT_ENDINGS):
            found.add(f"snapshot {groups['snapshot']}")
    return found


@given(CLUSTERS.filter(is_allowed), st.integers(1, 99))
@example("d", 1)
@example("d-rehearsal", 1)
@example("c-origin", 1)
@example("a-1", 2)
def test_no_two_clusters_share_a_name(cluster: str, number: int) -> None:
    for kind, text in names.GENERATED:
        if "{cluster}" in text:
            name = text.format(cluster=cluster, number=number, uid="0a1b2c3d")
            assert owners(kind, name) == {cluster}, f"{kind} {name}"


def test_the_table_has_all_that_is_made() -> None:
    made = {
        names.writer_service("c"),
        names.reader_service("c"),
        names.any_service("c"),
        names.pods_service("c"),
        names.writer_endpointslice("c"),
        names.any_endpointslice("c"),
        names.gateway("c"),
        names.app_secret("c"),
        names.connection_secret("c"),
        names.ca_secret("c"),
        names.tls_secret("c"),
        names.origin_secret("c"),
        names.origin_snapshot("c"),
        names.seed_snapshot(names.instance_name("c", 7)),
        names.rehearsal_policy("c"),
        names.rehearsal_job("c", 7),
        names.settings_configmap("c"),
        names.record_configmap("c"),
        names.instance_name("c", 7),
        names.log_name("c", 7),
        names.pod_name(names.log_name("c", 7)),
    }
    assert made <= {text.format(cluster="c", number=7, uid="u", snapshot="s") for _, text in names.GENERATED}
