"""The small parts: sizes, mount tables, locks, topology, the gRPC plumbing."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.kind.csi.driver import csi_pb2 as csi
from tests.kind.csi.driver.__main__ import parse_size
from tests.kind.csi.driver.cluster import topology_of
from tests.kind.csi.driver.errors import CsiError, out_of_range
from tests.kind.csi.driver.linux import parse_mounts
from tests.kind.csi.driver.locks import Locks
from tests.kind.csi.driver.rpc import handler
from tests.kind.csi.driver.wishes import choose_size, fits, page

SIZES = st.integers(min_value=0, max_value=1 << 50)


@dataclass
class Range:
    required_bytes: int = 0
    limit_bytes: int = 0


@given(required=SIZES, limit=SIZES, floor=SIZES, ceiling=SIZES)
def test_a_chosen_size_satisfies_every_bound(required: int, limit: int, floor: int, ceiling: int) -> None:
    assume(not limit or limit >= required)
    wish = Range(required, limit)
    try:
        size = choose_size(wish, floor, ceiling)
    except CsiError as error:
        # Only if indeed no multiple of the block size lies between the bounds.
        lowest = -(-max(required, floor) // 4096) * 4096
        assert error.code is grpc.StatusCode.OUT_OF_RANGE
        assert lowest > ceiling or (limit and lowest > limit)
    else:
        assert size % 4096 == 0
        assert max(required, floor) <= size <= ceiling
        assert fits(size, wish)


@given(items=st.lists(st.integers(), max_size=30), most=st.integers(0, 8))
def test_pages_add_up(items: list[int], most: int) -> None:
    seen: list[int] = []
    token = ""
    for _ in range(len(items) + 1):
        part, token = page(items, token, most)
        assert not most or len(part) <= most
        seen += part
        if not token:
            break
    assert seen == items


@pytest.mark.parametrize("token", ["x", "-1", "99"])
def test_a_stale_page_token_is_refused(token: str) -> None:
    with pytest.raises(CsiError) as error:
        page([1, 2], token, 1)
    assert error.value.code is grpc.StatusCode.ABORTED


def test_mountinfo_is_read_with_its_escapes_and_optional_fields() -> None:
    text = (
        "36 35 7:3 / /var/lib/kubelet/plugins/a\\040b/globalmount rw shared:1 master:2 - xfs /dev/loop3 rw\n"
        "37 35 7:3 /sub\\134dir /mnt rw,noatime - xfs /dev/loop3 rw\n"
    )
    first, second = parse_mounts(text)
    assert (first.device, first.root) == (os.makedev(7, 3), "/")
    assert first.point == Path("/var/lib/kubelet/plugins/a b/globalmount")
    assert (second.root, second.point) == ("/sub\\dir", Path("/mnt"))


def test_a_call_waits_for_another_on_the_same_volume_but_not_on_others() -> None:
    locks = Locks(patience=5)
    order: list[str] = []
    inside, leave = threading.Event(), threading.Event()

    def first() -> None:
        with locks.hold("a", "b"):
            inside.set()
            leave.wait(5)
            order.append("first")

    def second() -> None:
        with locks.hold("b"):
            order.append("second")

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    assert inside.wait(5)
    threads[1].start()
    with locks.hold("c", ""):
        leave.set()
    for thread in threads:
        thread.join(5)
    assert order == ["first", "second"]


def test_a_call_that_waits_too_long_is_aborted_and_leaves_the_locks_usable() -> None:
    locks = Locks(patience=0.01)
    with locks.hold("a"), pytest.raises(CsiError) as error, locks.hold("b", "a"):
        pass
    assert error.value.code is grpc.StatusCode.ABORTED
    with locks.hold("a", "b"):
        pass


def test_topology_is_the_hostname_and_the_zone_if_there_is_one() -> None:
    labels = {"kubernetes.io/hostname": "host-1", "topology.kubernetes.io/zone": "a", "other": "x"}
    assert topology_of(labels, "node-1") == {
        "kubernetes.io/hostname": "host-1",
        "topology.kubernetes.io/zone": "a",
    }
    assert topology_of({}, "node-1") == {"kubernetes.io/hostname": "node-1"}


@pytest.mark.parametrize(("text", "size"), [("40Gi", 40 << 30), ("512", 512), ("1Ti", 1 << 40)])
def test_sizes_are_read_as_kubernetes_writes_them(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "1.5Gi", "40GB", "-1"])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a size"):
        parse_size(text)


class Service:
    """Fails in both ways that a call can fail."""

    def GetPluginInfo(self, _request: csi.GetPluginInfoRequest) -> csi.GetPluginInfoResponse:
        raise out_of_range("too large")

    def Probe(self, _request: csi.ProbeRequest) -> csi.ProbeResponse:
        raise RuntimeError("a bug")


def test_failures_reach_the_caller_with_their_codes(tmp_path: Path) -> None:
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers([handler(csi, "Identity", Service())])
    address = f"unix://{tmp_path}/s"
    server.add_insecure_port(address)
    server.start()
    seen = {}
    try:
        with grpc.insecure_channel(address) as channel:
            for method in ("GetPluginInfo", "Probe", "GetPluginCapabilities"):
                call = channel.unary_unary(f"/csi.v1.Identity/{method}", bytes, bytes)
                with pytest.raises(grpc.RpcError) as error:
                    call(b"", timeout=5)
                seen[method] = (error.value.code().name, error.value.details())
    finally:
        server.stop(None).wait()
    assert seen["GetPluginInfo"] == ("OUT_OF_RANGE", "too large")
    assert seen["Probe"] == ("INTERNAL", "a bug")
    assert seen["GetPluginCapabilities"][0] == "UNIMPLEMENTED"
