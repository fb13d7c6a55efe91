from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509

from aurora_operator.agent.peers.tls import not_after
from aurora_operator.planning.certificates import pki


@pytest.mark.parametrize("year", [2024, 2026, 2049, 2050, 2068, 2069])
def test_the_end_of_a_certificate(year: int) -> None:
    now = datetime(year, 12, 30, 1, 2, 3, tzinfo=UTC)
    authority = pki.make_authority("ca", pki.new_private_key(), now - timedelta(days=1))
    pair = pki.make_server("demo", ("localhost",), pki.new_private_key(), authority, now)
    expected = x509.load_pem_x509_certificate(pair.certificate.encode()).not_valid_after_utc
    assert not_after(pair.certificate + authority.certificate) == expected


def test_what_is_no_certificate() -> None:
    with pytest.raises(ValueError):
        not_after("nothing")
