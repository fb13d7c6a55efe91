"""What is kept of a test that failed: the objects, events, agents' statuses and logs, in build/e2e/<test>/."""

from __future__ import annotations

import functools
import re
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.e2e import kube, operating
from tests.e2e.aurora import RESOURCE
from tests.kind.cache import REPO
from tests.kind.context import kubectl
from tests.kind.shell import CommandFailed

from aurora_operator.api.base import names

FOLDER = REPO / "build" / "e2e"

# Asks the pod's own agent, with the certificate that agents have; httpx is not needed for that.
_STATUS = """
import json, ssl, urllib.request
tls = "/etc/aurora/tls"
context = ssl.create_default_context(cafile=f"{tls}/ca.crt")
context.load_cert_chain(f"{tls}/agent.crt", f"{tls}/agent.key")
with urllib.request.urlopen("https://localhost:8433/v1/status", context=context, timeout=5) as answer:
    print(json.dumps(json.load(answer), indent=1))
"""


def agent_status(namespace: str, pod: str) -> str:
    """An agent's own account, as JSON. Raises CommandFailed."""
    return kube.execute(namespace, pod, names.CONTAINER, "python3", "-c", _STATUS, timeout=20)


def dump(test: str, namespaces: Iterable[str]) -> Path:
    """Write down what there is to see, and return where."""
    folder = FOLDER / re.sub(r"[^\w.-]+", "_", test)
    folder.mkdir(parents=True, exist_ok=True)
    _keep(folder / "operator.log", lambda: _logs(operating.NAMESPACE, operating.SELECTOR))
    _keep(folder / "nodes.txt", lambda: kubectl("get", "nodes,pv", "--output", "wide", timeout=30))
    for namespace in namespaces:
        _dump_namespace(folder, namespace)
    return folder


def _dump_namespace(folder: Path, namespace: str) -> None:
    inside = ["--namespace", namespace]
    kinds = f"{RESOURCE},statefulsets,pods,pvc,services,endpointslices,configmaps,pdb"
    _keep(folder / f"{namespace}.objects.txt", lambda: kubectl(*inside, "get", kinds, "--output", "wide", timeout=30))
    _keep(folder / f"{namespace}.objects.yaml", lambda: kubectl(*inside, "get", kinds, "--output", "yaml", timeout=30))
    _keep(
        folder / f"{namespace}.events.txt",
        lambda: kubectl(*inside, "get", "events", "--sort-by=.lastTimestamp", timeout=30),
    )
    try:
        pods = [pod["metadata"]["name"] for pod in kube.items("pods", namespace)]
    except (CommandFailed, subprocess.TimeoutExpired) as error:
        (folder / f"{namespace}.pods.txt").write_text(str(error))
        return
    for pod in pods:
        keep = functools.partial(_keep_pod, folder, namespace, pod)
        keep("log", lambda name: kubectl(*inside, "logs", name, timeout=30))
        keep("previous.log", lambda name: kubectl(*inside, "logs", "--previous", name, timeout=30))
        if re.search(r"-\d+-0$", pod):
            keep("status.json", lambda name: agent_status(namespace, name))


def _keep_pod(folder: Path, namespace: str, pod: str, what: str, look: Callable[[str], str]) -> None:
    _keep(folder / f"{namespace}.{pod}.{what}", lambda: look(pod))


def _logs(namespace: str, selector: str) -> str:
    words = ["--namespace", namespace, "logs", "--selector", selector, "--prefix", "--tail=4000"]
    return kubectl(*words, timeout=30)


def _keep(file: Path, look: Callable[[], str]) -> None:
    """Write what `look` finds; what cannot be had does not keep the rest from being written."""
    try:
        file.write_text(look())
    except (CommandFailed, subprocess.TimeoutExpired) as error:
        if not file.name.endswith(".previous.log"):  # most pods were never restarted
            file.write_text(f"could not be had: {error}\n")
