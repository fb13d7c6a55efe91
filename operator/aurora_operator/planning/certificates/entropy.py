"""Randomness for one plan: the only part of `planning` that is not a function of values. Only the shell calls it."""

from __future__ import annotations

import secrets

from aurora_operator.planning.certificates import pki
from aurora_operator.planning.model.plan_model import Supplies

_PASSWORD_BYTES = 24


def fresh() -> Supplies:
    """New supplies: a password of 192 random bits, in letters, digits, `-` and `_`, and new private keys."""
    return Supplies(
        password=secrets.token_urlsafe(_PASSWORD_BYTES),
        private_keys=tuple(pki.new_private_key() for _ in range(pki.KEYS_NEEDED)),
    )
