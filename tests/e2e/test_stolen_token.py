"""What the token of a database pod may do, tried with the token of a reader from within its pod."""

from __future__ import annotations

import json
from typing import Any

from tests.e2e import kube
from tests.e2e.aurora import AuroraCluster

_CALL = """
import json, os, ssl, sys, urllib.error, urllib.request
account = "/var/run/secrets/kubernetes.io/serviceaccount/"
method, path, kind, body = sys.argv[1:]
request = urllib.request.Request(
    f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}{path}",
    method=method,
    data=body.encode() or None,
    headers={"Authorization": "Bearer " + open(account + "token").read(), "Content-Type": kind},
)
try:
    trust = ssl.create_default_context(cafile=account + "ca.crt")
    with urllib.request.urlopen(request, context=trust, timeout=20) as answer:
        print(json.dumps({"status": answer.status, "body": json.load(answer)}))
except urllib.error.HTTPError as error:
    print(json.dumps({"status": error.code, "body": json.load(error)}))
"""

MERGE = "application/merge-patch+json"
JSON = "application/json"


class Thief:
    """Whoever got hold of one reader's token."""

    def __init__(self, cluster: AuroraCluster) -> None:
        self.cluster = cluster
        self.instance = cluster.readers()[0]

    def call(self, method: str, path: str, body: Any = None, kind: str = JSON) -> tuple[int, dict[str, Any]]:
        text = "" if body is None else json.dumps(body)
        answer = json.loads(self.cluster.execute(self.instance, "python3", "-c", _CALL, method, path, kind, text))
        return answer["status"], answer["body"]

    def refused(self, method: str, path: str, body: Any, kind: str = JSON) -> str:
        status, answer = self.call(method, path, body, kind)
        assert status in (403, 422), (method, path, body, status, answer)
        return str(answer["message"])

    def pod(self, instance: str) -> str:
        return f"/api/v1/namespaces/{self.cluster.namespace}/pods/{instance}-0"


def test_it_changes_no_pod_but_its_own_and_there_its_role_alone(cluster: AuroraCluster) -> None:
    thief = Thief(cluster)
    sibling = next(name for name in cluster.instances() if name != thief.instance)
    role = {"metadata": {"labels": {"aurorapg.io/role": "reader"}}}
    image = {"spec": {"containers": [{"name": "postgres", "image": "example.org/other:1"}]}}
    strategic = "application/strategic-merge-patch+json"
    assert "no pod but itself" in thief.refused("PATCH", thief.pod(sibling), role, MERGE)
    thief.refused("PATCH", thief.pod(sibling), image, strategic)
    assert "what pods run" in thief.refused("PATCH", thief.pod(thief.instance), image, strategic)
    for labels in ({"aurorapg.io/cluster": "other"}, {"aurorapg.io/instance": "other-1"}, {"more": "1"}):
        said = thief.refused("PATCH", thief.pod(thief.instance), {"metadata": {"labels": labels}}, MERGE)
        assert "no label but its own" in said
    said = thief.refused("PATCH", thief.pod(thief.instance), {"metadata": {"ownerReferences": None}}, MERGE)
    assert "owners" in said
    status, _ = thief.call("PATCH", thief.pod(thief.instance), role, MERGE)
    assert status == 200, "its own role is its own to say"


def test_it_leads_the_writer_to_itself_only(cluster: AuroraCluster) -> None:
    thief = Thief(cluster)
    name = f"{cluster.name}-writer"
    path = f"/apis/discovery.k8s.io/v1/namespaces/{cluster.namespace}/endpointslices/{name}"
    before = kube.need("endpointslice", name, cluster.namespace)
    status, live = thief.call("GET", path)
    assert status == 200
    stranger = {**live, "endpoints": [{"addresses": ["203.0.113.7"], "conditions": {"ready": True}}]}
    assert "to itself only" in thief.refused("PUT", path, stranger)
    # The writer's reference with another address: the token is not of that pod.
    posing = {**live, "endpoints": [{**live["endpoints"][0], "addresses": ["203.0.113.7"]}]}
    assert "to itself only" in thief.refused("PUT", path, posing)
    elsewhere = {"metadata": {"labels": {"kubernetes.io/service-name": "another-service"}}}
    assert "no label" in thief.refused("PATCH", path, elsewhere, MERGE)
    port = {**live, "ports": [{"name": "postgres", "port": 22, "protocol": "TCP"}]}
    thief.refused("PUT", path, port)
    now = kube.need("endpointslice", name, cluster.namespace)
    assert (now["endpoints"], now["ports"]) == (before["endpoints"], before["ports"])


def test_the_record_stays_the_clusters(cluster: AuroraCluster) -> None:
    thief = Thief(cluster)
    path = f"/api/v1/namespaces/{cluster.namespace}/configmaps/{cluster.name}-record"
    status, live = thief.call("GET", path)
    assert status == 200
    orphan = {**live, "metadata": {**live["metadata"], "ownerReferences": []}}
    assert "owners" in thief.refused("PUT", path, orphan)
    more = {**live, "data": {**live["data"], "more": "1"}}
    assert "record.json" in thief.refused("PUT", path, more)
