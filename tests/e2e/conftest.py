"""Fixtures of the end-to-end tests: the cluster must be ours, the operator must run, failures leave a trace."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.e2e import diagnosis, kube, operating, outages
from tests.e2e.aurora import SMALL, AuroraCluster
from tests.e2e.client import Client
from tests.kind import cache, chart, tools
from tests.kind.context import require_own_context
from tests.kind.shell import HarnessError

_measurements: dict[str, Any] = {}
_namespaces: list[str] = []

_SHARED = f"e2e-shared-{os.environ.get('PYTEST_XDIST_WORKER', '')}".rstrip("-")

Measure = Callable[[str, Any], None]

AUTO_PAUSE = "AURORA_AUTO_PAUSE_SECONDS"
PAUSE_SECONDS = 10


@pytest.fixture(scope="session", autouse=True)
def surroundings() -> None:
    """The kind cluster is ours, and up."""
    tools.use("kubectl")
    try:
        require_own_context()
    except HarnessError as error:
        pytest.exit(f"{error}\nRun `make cluster` first, or `make test`, which does.", returncode=2)


@pytest.fixture(scope="session")
def operator(surroundings: None) -> None:
    """One operator runs, of the newest image that was built; its chart is installed if it is not yet. It pauses idle
    clusters after `PAUSE_SECONDS` instead of minutes, until all tests have ended."""
    try:
        with cache.lock(cache.root() / "operator.lock", "it installs the operator"):
            chart.install()
            operating.set_environment(AUTO_PAUSE, str(PAUSE_SECONDS))
            operating.scale(1)
    except (AssertionError, HarnessError) as error:
        pytest.exit(f"The operator does not run: {error}\nRun `make cluster` first, or `make test`.", returncode=2)


@pytest.fixture
def measure(request: pytest.FixtureRequest) -> Measure:
    """Note a figure; all are printed at the end, and kept in build/e2e/measurements.json."""

    def note(name: str, value: Any) -> None:
        request.node.user_properties.append((name, round(value, 3) if isinstance(value, float) else value))

    return note


class Shared:
    """The cluster that most modules share: made when it is first asked for, gone while others have theirs. Each
    process that runs tests has its own."""

    def __init__(self) -> None:
        self._holder = contextlib.ExitStack()
        self._cluster: AuroraCluster | None = None

    def ready(self) -> AuroraCluster:
        """The cluster, as its spec says. One that a test has broken is replaced."""
        if self._cluster is not None:
            try:
                self._cluster.wait_ready(90)
            except kube.NotSo as error:
                folder = diagnosis.dump("shared-cluster-broken", [self._cluster.namespace])
                print(f"{error}\nIt is replaced; what it looked like is in {folder}")
                self.release()
        if self._cluster is None:
            self._cluster = self._holder.enter_context(fresh_cluster("demo", _SHARED))
        return self._cluster

    def release(self) -> None:
        """Delete it, if it is there: two cores carry one cluster beside another process's."""
        self._cluster = None
        self._holder.close()


@contextlib.contextmanager
def fresh_cluster(name: str, namespace: str, spec: Mapping[str, Any] = SMALL) -> Iterator[AuroraCluster]:
    """A cluster in a namespace of its own, Ready."""
    with _namespace(namespace):
        cluster = AuroraCluster(name, namespace)
        begun = time.monotonic()
        cluster.create(spec)
        try:
            cluster.wait_ready(300)
        except kube.NotSo as error:
            raise kube.NotSo(f"{error}\nSee {diagnosis.dump(f'creation-of-{namespace}', [namespace])}") from error
        cluster.seconds_to_ready = time.monotonic() - begun
        yield cluster
        cluster.delete()


@pytest.fixture(scope="session")
def shared(operator: None) -> Iterator[Shared]:
    shared = Shared()
    yield shared
    shared.release()


@pytest.fixture
def cluster(shared: Shared) -> AuroraCluster:
    """The cluster of three instances that modules share: found Ready by each test, and to be left so."""
    return shared.ready()


@pytest.fixture
def healed(surroundings: None) -> Iterator[None]:
    """Faults end with their tests; what an interrupted run left behind ends now."""
    outages.heal()
    yield
    outages.heal()


@pytest.fixture(scope="module")
def namespace(shared: Shared, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the module's own, in which only restricted pods may run, while there is no shared cluster."""
    shared.release()
    with _namespace(
        f"e2e-{request.module.__name__.rpartition('.')[2].removeprefix('test_').replace('_', '-')}"
    ) as name:
        yield name


@pytest.fixture
def client(cluster: AuroraCluster) -> Client:
    """psql in a pod beside the shared cluster."""
    client = Client(cluster)
    client.start()
    return client


@contextlib.contextmanager
def _namespace(name: str) -> Iterator[str]:
    kube.delete_namespace(name)
    kube.make_namespace(name)
    _namespaces.append(name)
    try:
        yield name
    finally:
        _namespaces.remove(name)
        kube.delete_namespace(name)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """First what needs no cluster or the shared one, then what makes its own: the shared one is made once."""
    items.sort(key=lambda item: "namespace" in getattr(item, "fixturenames", ()) and "admission" not in item.nodeid)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep what there is to see of a failed test."""
    report = yield
    if report.failed and _namespaces:
        folder: Path = diagnosis.dump(item.name, _namespaces)
        report.sections.append(("diagnosis", f"pods, events, statuses and logs are in {folder}"))
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Leave an operator that is as patient as its chart says, once no process runs tests any more."""
    if session.testscollected and not session.config.option.collectonly and not hasattr(session.config, "workerinput"):
        with contextlib.suppress(AssertionError, HarnessError):
            operating.set_environment(AUTO_PAUSE, None)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Collect what was measured; in the process that reports, wherever the test ran."""
    if report.when == "teardown":
        _measurements.update(report.user_properties)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was measured."""
    if _measurements:
        terminalreporter.section("measured")
        for name, value in _measurements.items():
            terminalreporter.write_line(f"{name}: {json.dumps(value)}")
        diagnosis.FOLDER.mkdir(parents=True, exist_ok=True)
        file = diagnosis.FOLDER / "measurements.json"
        before = json.loads(file.read_text()) if file.exists() else {}
        file.write_text(json.dumps(before | _measurements, indent=1))
