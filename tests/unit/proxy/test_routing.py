"""Where sessions may go: never to a deposed writer, whatever is heard, in whatever order."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_operator.api.agent.proxy import Standing
from aurora_operator.proxy.routing import Route, route, share

LAG = 30.0


def writer(epoch: int, *, leaving: bool = False, proxies: int = 1) -> Standing:
    return Standing(name="demo-1", role="writer", epoch=epoch, leaving=leaving, proxies=proxies)


def reader(epoch: int, lag: float | None = 0.0, *, leaving: bool = False) -> Standing:
    return Standing(name="demo-2", role="reader", epoch=epoch, lag_seconds=lag, leaving=leaving)


def closed(epoch: int) -> Standing:
    return Standing(name="demo-3", role="none", epoch=epoch)


def test_the_open_writer_gets_the_sessions() -> None:
    now = route({"a": writer(3), "b": reader(3), "c": reader(3)}, Route(), LAG)
    assert (now.epoch, now.writer, now.leaving) == (3, "a", False)
    assert now.readers == {"b", "c"}
    assert now.serving == {"a", "b", "c"}


@pytest.mark.parametrize("other", [reader(4), closed(4)])
def test_a_writer_is_deposed_once_anybody_follows_a_later_leader(other: Standing) -> None:
    now = route({"a": writer(3), "b": other}, Route(3, "a"), LAG)
    assert now.writer is None
    assert now.epoch == 4


def test_an_epoch_that_was_heard_of_is_not_forgotten() -> None:
    """The new writer is out of reach, and the one that it deposed says again that it is the writer."""
    now = route({"a": writer(3)}, Route(4, "b"), LAG)
    assert now.writer is None
    assert now.epoch == 4
    assert route({"a": writer(5)}, now, LAG).writer == "a"


def test_two_that_claim_one_epoch_are_none() -> None:
    """It cannot be; if it is all the same, nobody is led to either."""
    assert route({"a": writer(3), "b": writer(3)}, Route(), LAG).writer is None


def test_readers_that_lag_or_do_not_know_or_leave_get_no_sessions() -> None:
    heard = {
        "a": writer(3),
        "b": reader(3, LAG),
        "c": reader(3, LAG + 0.1),
        "d": reader(3, None),
        "e": reader(3, leaving=True),
    }
    assert route(heard, Route(), LAG).readers == {"b"}
    del heard["b"]
    assert route(heard, Route(), LAG).readers == {"a"}, "the writer, where there is no reader"
    heard["a"] = writer(3, leaving=True)
    assert not route(heard, Route(), LAG).readers


def test_readers_go_on_without_a_writer() -> None:
    now = route({"b": reader(3)}, Route(3, "a"), LAG)
    assert now.writer is None
    assert now.readers == {"b"}


def test_a_writer_that_hands_over_is_still_the_writer() -> None:
    now = route({"a": writer(3, leaving=True), "b": reader(3)}, Route(), LAG)
    assert now.writer == "a"
    assert now.leaving


standings = st.one_of(
    st.builds(writer, st.integers(0, 6), leaving=st.booleans(), proxies=st.integers(0, 4)),
    st.builds(reader, st.integers(0, 6), st.one_of(st.none(), st.floats(0, 100)), leaving=st.booleans()),
    st.builds(closed, st.integers(0, 6)),
)
worlds = st.dictionaries(st.sampled_from("abcde"), standings, max_size=5)


@given(st.lists(worlds, max_size=8))
def test_epochs_only_go_up_and_a_writer_is_of_the_highest(seen: Iterable[dict[str, Standing]]) -> None:
    now, highest = Route(), 0
    for heard in seen:
        before, now = now, route(heard, now, LAG)
        highest = max([highest, *(s.epoch for s in heard.values())])
        assert now.epoch == highest >= before.epoch
        if now.writer is not None:
            assert heard[now.writer].role == "writer"
            assert heard[now.writer].epoch == highest
        assert now.leaving == (now.writer is not None and heard[now.writer].leaving)
        assert now.readers <= now.serving <= heard.keys()
        assert not any(heard[address].leaving for address in now.readers)
        assert now.proxies >= 1


@given(st.integers(1, 10_000), st.integers(1, 90), st.integers(0, 40))
def test_proxies_share_what_they_may_use(connections: int, percent: int, proxies: int) -> None:
    each = share(connections, percent, proxies)
    assert each >= 1
    assert each == 1 or each * max(proxies, 1) <= connections * percent / 100
