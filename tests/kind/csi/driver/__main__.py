"""Run the driver: ``python -m driver --help``."""

from __future__ import annotations

import argparse
import logging
import os
import re
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc

from . import DRIVER, csi_pb2, registration_pb2
from .cluster import driver_address, node_labels, topology_of
from .controller import Controller
from .identity import Identity, Registration
from .node import Node
from .peers import PORT, Client, Server
from .pool import Pool, Settings
from .rpc import handler

log = logging.getLogger(__name__)
# Calls take milliseconds; a few threads are for those that wait for a lock or a flush.
_THREADS = 8
_UNITS = {"": 1, "Ki": 1024, "Mi": 1024**2, "Gi": 1024**3, "Ti": 1024**4}


class Advertised:
    """The capabilities alone, for csi-resizer: it runs apart from any node and only asks what is possible."""

    ControllerGetCapabilities = staticmethod(Controller.ControllerGetCapabilities)
    NodeGetCapabilities = staticmethod(Node.NodeGetCapabilities)


def parse_size(text: str) -> int:
    """Return the bytes that a Kubernetes-like size (``40Gi``) stands for. Raises ValueError."""
    match = re.fullmatch(r"(\d+)(Ki|Mi|Gi|Ti)?", text)
    if not match:
        raise ValueError(f"not a size: {text!r}")
    return int(match[1]) * _UNITS[match[2] or ""]


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="driver", description=__doc__)
    parser.add_argument("--endpoint", type=Path, required=True, help="path of the CSI socket")
    parser.add_argument("--node", help="name of this node; without it, only capabilities are served")
    parser.add_argument("--root", type=Path, default=Path("/var/lib/aurora-csi"), help="where the pool is")
    parser.add_argument("--pool-size", type=parse_size, default="40Gi", help="how large it may become")
    parser.add_argument("--registration", type=Path, help="path of the socket that the kubelet looks for")
    parser.add_argument("--kubelet-endpoint", help="path of the CSI socket as the kubelet sees it")
    parser.add_argument("--close", action="store_true", help="unmount the pool at the end")
    return parser.parse_args()


def serve(options: argparse.Namespace, pool: Pool | None, peers: Client | None = None) -> None:
    """Answer calls until SIGTERM or SIGINT; calls under way get five seconds to finish."""
    server = grpc.server(ThreadPoolExecutor(_THREADS), options=[("grpc.so_reuseport", 0)])
    services = {
        "Identity": Identity(),
        "Controller": Controller(pool, peers) if pool else Advertised(),
        "Node": Node(pool) if pool else Advertised(),
    }
    server.add_generic_rpc_handlers([handler(csi_pb2, name, what) for name, what in services.items()])
    sockets = [options.endpoint]
    if options.registration:
        registration = Registration(options.kubelet_endpoint or str(options.endpoint))
        server.add_generic_rpc_handlers([handler(registration_pb2, "Registration", registration)])
        sockets.append(options.registration)
    for path in sockets:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # of a driver that was killed; the kubelet notices the new one
        server.add_insecure_port(f"unix://{path.absolute()}")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    server.start()
    log.info("%s serves %s on %s", DRIVER, options.node or "capabilities", options.endpoint)
    stop.wait()
    server.stop(5).wait()
    for path in sockets:
        path.unlink(missing_ok=True)


def _find_peer(node: str) -> str:
    address = driver_address(node)
    if not address:
        return ""
    return f"[{address}]:{PORT}" if ":" in address else f"{address}:{PORT}"


def main() -> None:
    """Open the pool, if this is a node's driver, and serve."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    options = arguments()
    if not options.node:
        serve(options, None)
        return
    topology = topology_of(node_labels(options.node), options.node)
    pool = Pool(Settings(options.node, options.root, options.pool_size, topology))
    pool.open()
    token = os.environ.get("AURORA_CSI_TOKEN")
    if token:
        sender = Server(pool, token)
        sender.start(f"[::]:{PORT}")
        serve(options, pool, Client(token, _find_peer))
        sender.stop()
    else:
        serve(options, pool)
    if options.close:
        pool.close()


if __name__ == "__main__":
    main()
