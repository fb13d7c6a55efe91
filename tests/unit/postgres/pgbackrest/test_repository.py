"""The configuration file for each kind of destination."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aurora_operator.api.spec.repository import Destination, Repository
from aurora_operator.postgres.errors import RepositoryError
from aurora_operator.postgres.layout import Layout
from aurora_operator.postgres.pgbackrest.repository import Access

ACCOUNT = {"client_email": "a@b", "private_key": "secret", "token_uri": "https://oauth2.googleapis.com/token"}


def lines(destination: dict[str, object], folder: Path, secrets: dict[str, str]) -> set[str]:
    """The options of the repository."""
    for name, text in secrets.items():
        (folder / "credentials").mkdir(exist_ok=True)
        (folder / "credentials" / name).write_text(text)
    repository = Repository(destination=Destination.model_validate(destination), stanza="demo-1")
    text = Access(repository, folder, Layout(data=folder, run=folder)).render()
    wanted = ("repo1-type", "repo1-path", "repo1-gcs", "repo1-azure", "repo1-storage")
    return {line for line in text.splitlines() if line.startswith(wanted)}


def test_google_s_own_and_another_server(tmp_path: Path) -> None:
    secrets = {"service-account.json": json.dumps(ACCOUNT)}
    key = f"repo1-gcs-key={tmp_path}/credentials/service-account.json"
    common = {"repo1-type=gcs", "repo1-path=/aurora", "repo1-gcs-bucket=backups"}
    google: dict[str, object] = {"bucket": "backups", "credentials": {"name": "x"}}
    assert lines({"gcs": google}, tmp_path, secrets) == {*common, key, "repo1-gcs-endpoint=storage.googleapis.com"}
    other = {**google, "endpoint": "gcs.storage.svc:4443", "caSecret": {"name": "ca"}}
    assert lines({"gcs": other}, tmp_path, secrets) == {
        *common,
        key,
        "repo1-gcs-endpoint=gcs.storage.svc:4443",
        f"repo1-storage-ca-file={tmp_path}/ca/ca.crt",
    }
    assert "repo1-gcs-key-type=auto" in lines({"gcs": {"bucket": "backups"}}, tmp_path, {})


@pytest.mark.parametrize("content", ["{", "[]", '{"client_email": "hunter2"}'])
def test_what_is_no_key_of_an_account_is_refused_and_not_quoted(tmp_path: Path, content: str) -> None:
    destination: dict[str, object] = {"gcs": {"bucket": "backups", "credentials": {"name": "mine"}}}
    with pytest.raises(RepositoryError, match=r"service-account\.json in the Secret .*mine.* is no key") as refused:
        lines(destination, tmp_path, {"service-account.json": content})
    assert refused.value.cause == "credentials" and "hunter2" not in str(refused.value)


def test_without_the_secret_it_says_so(tmp_path: Path) -> None:
    for destination in (
        {"gcs": {"bucket": "backups", "credentials": {"name": "mine"}}},
        {"azure": {"account": "company", "container": "backups", "credentials": {"name": "mine"}}},
    ):
        with pytest.raises(RepositoryError, match=r"mine.* does not exist or has no"):
            lines(dict(destination), tmp_path, {})


def test_azure_s_own_and_another_server(tmp_path: Path) -> None:
    common = {"repo1-type=azure", "repo1-path=/aurora", "repo1-azure-account=company", "repo1-azure-container=backups"}
    azure: dict[str, object] = {"account": "company", "container": "backups", "credentials": {"name": "x"}}
    assert lines({"azure": azure}, tmp_path, {"account-key": "a2V5"}) == {
        *common,
        "repo1-azure-key=a2V5",
        "repo1-azure-endpoint=blob.core.windows.net",
        "repo1-azure-uri-style=host",
        "repo1-storage-port=443",
    }
    other = {**azure, "endpoint": "azurite.storage.svc:10000", "uriStyle": "path", "caSecret": {"name": "ca"}}
    assert lines({"azure": other}, tmp_path, {"sas-token": "sv=1"}) == {
        *common,
        "repo1-azure-key-type=sas",
        "repo1-azure-key=sv=1",
        "repo1-azure-endpoint=azurite.storage.svc",
        "repo1-azure-uri-style=path",
        "repo1-storage-port=10000",
        f"repo1-storage-ca-file={tmp_path}/ca/ca.crt",
    }


def test_a_volume_is_where_it_is_mounted(tmp_path: Path) -> None:
    found = lines({"volume": {"claimName": "x"}, "path": "/a/b"}, tmp_path, {})
    assert found == {"repo1-type=posix", f"repo1-path={tmp_path}/volume/a/b"}
