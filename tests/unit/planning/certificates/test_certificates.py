"""Ten years of certificates: nobody ever meets one whose authority it has not heard of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from aurora_operator.api.base import names
from aurora_operator.planning.certificates import entropy, pki
from aurora_operator.planning.certificates.certificates import OVERLAP, Certificates, plan_certificates, server_hosts

START = datetime(2026, 3, 1, tzinfo=UTC)
HOSTS = server_hosts("demo", "default", "cluster.local")
LEAVES = ("server", "agent", "replication")


def plan_at(now: datetime, before: Certificates | None = None) -> Certificates:
    ca, tls = (before.ca, before.tls) if before is not None else ({}, {})
    return plan_certificates("demo", HOSTS, ca, tls, entropy.fresh().private_keys, now)


def leaf_certificates(made: Certificates) -> list[str]:
    return [*(made.tls[f"{leaf}.crt"] for leaf in LEAVES), made.ca["operator.crt"]]


def test_first_certificates() -> None:
    made = plan_at(START)
    server = x509.load_pem_x509_certificate(made.tls["server.crt"].encode())
    assert {"demo", "demo.default.svc", "demo-ro.default", "localhost"} <= pki.hosts_of(made.tls["server.crt"])
    assert "*.demo-pods.default.svc" in pki.hosts_of(made.tls["server.crt"])
    usage = server.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]
    agent = x509.load_pem_x509_certificate(made.tls["agent.crt"].encode())
    usage = agent.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    found = [pki.common_name(certificate) for certificate in leaf_certificates(made)]
    assert found == ["demo", names.AGENT_CN, names.REPLICATION_USER, names.OPERATOR_CN]
    assert all(pki.signed_by(certificate, made.ca["ca.crt"]) for certificate in leaf_certificates(made))
    assert "ca.key" not in made.tls
    assert pki.not_after(made.ca["ca.crt"]) - START == pki.CA_LIFE


def test_equal_arguments_give_equal_certificates() -> None:
    keys = entropy.fresh().private_keys
    assert plan_certificates("demo", HOSTS, {}, {}, keys, START) == plan_certificates(
        "demo", HOSTS, {}, {}, keys, START
    )


def test_nothing_is_renewed_early_and_all_in_time() -> None:
    first = plan_at(START)
    early = plan_at(START + timedelta(days=59), first)
    assert (early.ca, early.tls, early.why) == (first.ca, first.tls, ())
    late = plan_at(START + timedelta(days=61), first)
    assert len(late.why) == 4 and late.ca["ca.crt"] == first.ca["ca.crt"]
    assert all(late.tls[f"{leaf}.key"] != first.tls[f"{leaf}.key"] for leaf in LEAVES)


def test_new_hosts_make_a_new_server_certificate_only() -> None:
    first = plan_at(START)
    made = plan_certificates("demo", (*HOSTS, "db.example"), first.ca, first.tls, entropy.fresh().private_keys, START)
    assert made.why == ("issue the server certificate: its host names changed",)
    assert made.tls["agent.crt"] == first.tls["agent.crt"]


def test_damaged_secrets_are_repaired() -> None:
    first = plan_at(START)
    broken = Certificates(first.ca, {**first.tls, "agent.key": first.tls["server.key"]}, ())
    made = plan_at(START, broken)
    assert made.why == ("issue the agent certificate: the one there is damaged",)
    gone = plan_at(START, Certificates({**first.ca, "ca.key": "nonsense"}, first.tls, ()))
    assert gone.ca["ca.crt"] != first.ca["ca.crt"]


def test_a_lost_authority_is_replaced_without_cutting_anyone_off() -> None:
    first = plan_at(START)
    now = START + timedelta(days=1)
    made = plan_at(now, Certificates({}, first.tls, ()))
    assert pki.split_bundle(made.tls["ca.crt"]) == (made.ca["ca.crt"], first.ca["ca.crt"])
    assert all(made.tls[f"{leaf}.crt"] == first.tls[f"{leaf}.crt"] for leaf in LEAVES)
    later = plan_at(now + OVERLAP, made)
    assert all(pki.signed_by(certificate, made.ca["ca.crt"]) for certificate in leaf_certificates(later))
    assert len(pki.split_bundle(plan_at(now + 2 * OVERLAP, later).tls["ca.crt"])) == 1


def test_authority_rotates_over_twenty_years() -> None:
    """Look every ten days. A certificate of any time is trusted by whoever read the bundle up to 20 days before or
    after; and by whoever copied it when the authority in use was first published."""
    made, bundles = plan_at(START), []
    authorities: list[str] = []
    for day in range(0, 20 * 365, 10):
        now = START + timedelta(days=day)
        made = plan_at(now, made)
        bundles.append(pki.split_bundle(made.tls["ca.crt"]))
        if made.ca["ca.crt"] not in authorities:
            authorities.append(made.ca["ca.crt"])
        for certificate in leaf_certificates(made):
            # Whose clock is 30 days wrong, in either direction, accepts it.
            assert pki.not_before(certificate) <= now - timedelta(days=30)
            assert now + timedelta(days=30) < pki.not_after(certificate)
            for known in bundles[-3:]:
                assert any(pki.signed_by(certificate, authority) for authority in known), now
        assert all(pki.not_after(authority) > now for authority in bundles[-1])
        again = plan_at(now, made)
        assert (again.ca, again.tls, again.why) == (made.ca, made.tls, ())
    assert len(authorities) == 3
    assert max(len(bundle) for bundle in bundles) == 2


def test_bundle_with_rubbish_in_it() -> None:
    first = plan_at(START)
    text = "-----BEGIN CERTIFICATE-----\nrubbish\n-----END CERTIFICATE-----\n" + first.ca["ca.crt"] * 2
    assert pki.split_bundle(text) == (first.ca["ca.crt"],)
