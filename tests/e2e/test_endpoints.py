"""Applications connect: each endpoint leads where it says, with TLS and a password, and no other way."""

from __future__ import annotations

import pytest
from tests.e2e import kube
from tests.e2e.aurora import AuroraCluster
from tests.e2e.client import Client, Refused
from tests.e2e.kube import until

IN_RECOVERY = "SELECT pg_is_in_recovery()"


def test_the_writer_writes_and_readers_read(cluster: AuroraCluster, client: Client) -> None:
    writer, reader = client.conninfo("demo"), client.conninfo("demo-ro")
    client.psql(writer, "CREATE TABLE IF NOT EXISTS greetings (text text)")
    client.psql(writer, "INSERT INTO greetings VALUES ('hello')")
    assert client.psql(writer, IN_RECOVERY) == "f"
    assert client.psql(reader, IN_RECOVERY) == "t"
    count = "SELECT count(*) FROM greetings"
    until("the reader has the row", lambda: client.psql(reader, count) == client.psql(writer, count), timeout=10)
    with pytest.raises(Refused, match="read-only transaction"):
        client.psql(reader, "INSERT INTO greetings VALUES ('not here')")


def test_any_leads_to_all(cluster: AuroraCluster, client: Client) -> None:
    endpoints = kube.items("endpointslices", cluster.namespace, "kubernetes.io/service-name=demo-any")
    addresses = {a for slice in endpoints for e in slice["endpoints"] or [] for a in e["addresses"]}
    assert addresses == {pod["status"]["podIP"] for pod in cluster.pods()}
    assert client.psql(client.conninfo("demo-any"), "SELECT 1") == "1"


def test_a_custom_endpoint_leads_to_its_members_and_a_node_port_to_the_writer(
    cluster: AuroraCluster, client: Client
) -> None:
    member = cluster.readers()[0]
    number = int(member.rpartition("-")[2])
    outside = {"writer": {"type": "NodePort"}}
    cluster.change({"endpoints": [{"name": "reports", "staticMembers": [number]}], "services": outside})
    try:
        # By another name the certificate is known to clients once the kubelet has brought it, in a minute or two.
        reports = client.conninfo("demo-reports", sslmode="require")
        address = cluster.pod(member)["status"]["podIP"]
        until("the endpoint leads there", lambda: _server(client, reports) == f"{address}|t", timeout=30)
        host = cluster.pod(member)["status"]["hostIP"]
        there = until("there is a port", lambda: _node_port(cluster), timeout=20)
        writer = client.conninfo("demo", hostaddr=host, port=str(there))
        until("any node leads to the writer", lambda: client.psql(writer, IN_RECOVERY) == "f", timeout=20)
        kube.patch("service", "demo", cluster.namespace, {"spec": {"type": "ClusterIP"}})
        until("it is put back", lambda: _node_port(cluster), timeout=20)
        (event,) = until("it is said", lambda: cluster.events("EditPutBack"), timeout=20)
        assert "set spec.services.writer.type of this AuroraCluster instead" in event["message"]
    finally:
        cluster.change({"endpoints": None, "services": None})
    until("it is gone", lambda: kube.get("service", "demo-reports", cluster.namespace) is None, timeout=20)
    until("no mark is left", lambda: not any(map(_marked, cluster.pods())), timeout=20)
    until("nor is the port", lambda: not _node_port(cluster), timeout=20)


def _server(client: Client, conninfo: str) -> str | None:
    try:
        return client.psql(conninfo, "SELECT host(inet_server_addr()), pg_is_in_recovery()")
    except Refused:
        return None


def _node_port(cluster: AuroraCluster) -> int | None:
    port: int | None = kube.need("service", "demo", cluster.namespace)["spec"]["ports"][0].get("nodePort")
    return port


def _marked(pod: kube.Object) -> bool:
    return any(key.startswith("endpoint.aurorapg.io/") for key in pod["metadata"]["labels"])


def test_connections_are_encrypted_and_passwords_scram(cluster: AuroraCluster, client: Client) -> None:
    own = "SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    assert client.psql(client.conninfo("demo"), own) == "t|TLSv1.3"
    stored = cluster.sql(cluster.leadership().instance, "SELECT rolpassword FROM pg_authid WHERE rolname = 'app'")
    assert stored.startswith("SCRAM-SHA-256$")


def test_the_secret_is_all_that_an_application_needs(cluster: AuroraCluster, client: Client) -> None:
    secret = cluster.secret()
    assert client.psql(secret["uri"], IN_RECOVERY) == "f"
    assert client.psql(secret["ro-uri"], IN_RECOVERY) == "t"
    assert client.psql(secret["multi-host-uri"], IN_RECOVERY) == "f"
    assert secret["host"] == f"demo.{cluster.namespace}.svc"
    assert secret["jdbc-uri"].startswith(f"jdbc:postgresql://{secret['host']}:5432/app?")
    host, port, database, user, password = secret["pgpass"].strip().split(":")
    assert (host, port, database, user) == (secret["host"], secret["port"], secret["dbname"], secret["username"])
    assert password.replace("\\:", ":").replace("\\\\", "\\") == secret["password"]
    assert secret["ca.crt"].startswith("-----BEGIN CERTIFICATE-----")


def test_the_image_has_the_library_that_says_why_a_copy_is_closed(cluster: AuroraCluster) -> None:
    """What it says is shown where the tests build it (`integration/postgres/test_door.py`)."""
    for instance in cluster.instances():
        assert cluster.sql(instance, "SHOW shared_preload_libraries").endswith("/aurora_door")


def test_a_wrong_password_is_refused(cluster: AuroraCluster, client: Client) -> None:
    with pytest.raises(Refused, match="password authentication failed"):
        client.psql(client.conninfo("demo"), "SELECT 1", password="wrong")


def test_plain_text_is_refused(cluster: AuroraCluster, client: Client) -> None:
    with pytest.raises(Refused, match="no encryption"):
        client.psql(client.conninfo("demo", sslmode="disable"), "SELECT 1")


def test_nobody_is_superuser_from_outside(cluster: AuroraCluster, client: Client) -> None:
    with pytest.raises(Refused):
        client.psql(client.conninfo("demo", user="postgres"), "SELECT 1")
    with pytest.raises(Refused):
        client.psql(client.conninfo("demo", user="aurora_replication", dbname="postgres"), "SELECT 1")
