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
