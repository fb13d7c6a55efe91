"""How hypothesis runs in all unit tests, and the certificates that several rooms' tests need."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from tests.unit.certificates import write_certificates

from aurora_operator.agent.peers.tls import Certificates
from aurora_operator.postgres.layout import Layout

# How long an example takes says how busy the machine is. Nothing is kept between runs, since several processes run at a
# time: a failure prints what repeats it.
settings.register_profile(
    "tests", deadline=None, database=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("tests")


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    """A cluster's certificates, for servers on this host."""
    write_certificates(tmp_path / "tls")
    return Certificates(Layout(tmp_path, tmp_path / "run", tmp_path / "tls"))
