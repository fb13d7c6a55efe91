"""Where clients connect, and which Secret says how."""

from __future__ import annotations

from aurora_operator.api.base import names
from aurora_operator.api.status import Endpoints
from aurora_operator.planning.view.facts import Facts


def endpoints_of(view: Facts, secret: str | None = None) -> Endpoints:
    """As the status has it; without `secret`, it is the one that was said before."""
    end, before = f".{view.identity.namespace}.svc", view.before.endpoints
    known = before.secret if before is not None else None
    return Endpoints(
        writer=names.writer_service(view.name) + end,
        reader=names.reader_service(view.name) + end,
        any=names.any_service(view.name) + end,
        port=names.POSTGRES_PORT,
        secret=secret or known or names.app_secret(view.name),
    )
