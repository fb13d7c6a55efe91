from __future__ import annotations

import json

import pytest

from aurora_operator.kube.errors import AlreadyExists, ApiError, Conflict, Forbidden, Invalid, NotFound, from_response


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        (404, "NotFound", NotFound),
        (409, "AlreadyExists", AlreadyExists),
        (409, "Conflict", Conflict),
        (403, "Forbidden", Forbidden),
        (401, "Unauthorized", Forbidden),
        (422, "Invalid", Invalid),
        (500, "InternalError", ApiError),
    ],
)
def test_each_answer_has_its_kind(status: int, reason: str, kind: type[ApiError]) -> None:
    error = from_response(status, json.dumps({"kind": "Status", "reason": reason, "message": "so it is"}))
    assert type(error) is kind
    assert str(error) == f"so it is ({status} {reason})"


def test_a_proxys_page_is_an_error_too() -> None:
    error = from_response(502, b"<html>Bad Gateway</html>")
    assert (error.status, error.reason, error.message) == (502, "Unknown", "<html>Bad Gateway</html>")
