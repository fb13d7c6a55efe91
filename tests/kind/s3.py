"""The S3 server of tests and demo: versitygw, with TLS by an authority of its own."""

from __future__ import annotations

from pathlib import Path

from tests.kind import golang

VERSION = "v1.8.0"


def binary() -> Path:
    """The server's program, compiled once."""
    return golang.installed("github.com/versity/versitygw/cmd/versitygw", VERSION, name="versitygw")
