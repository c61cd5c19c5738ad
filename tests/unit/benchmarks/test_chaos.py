"""The campaign's own parts: what it would call lost, doubled and changed, its plan, and the relay that breaks links."""

from __future__ import annotations

import contextlib
import http.client
import select
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from local_services.processes import free_port

from benchmarks.chaos.callers import Heard
from benchmarks.chaos.faults import KINDS
from benchmarks.chaos.plan import deal, every_fault, plan
from benchmarks.chaos.proxy import Network, Proxy
from benchmarks.chaos.verdict import Outcome, judge

KEPT = {("words", "u1", "0"): {"text": "one"}, ("objects", "u1"): b"flac", ("sessions", "is_complete"): True}


def final(utterance_id: str, transcript: str = "one", sequence: int = 1, timestamp: str = "") -> dict[str, Any]:
    return {"type": "final", "utterance_id": utterance_id, "transcript": transcript, "end": 1.0, "sequence": sequence, "timestamp": timestamp}


def outcome(*messages: dict[str, Any], kept: dict[tuple[str, ...], Any] = KEPT, failure: str = "") -> Outcome:
    heard = Heard("voice 1", 0.0, 1.0, [(float(number), message) for number, message in enumerate(messages)], failure)
    return Outcome(heard, kept)


def found(disturbed: Outcome, undisturbed: Outcome) -> list[tuple[str, str, str]]:
    verdict = judge([disturbed], {"voice 1": undisturbed})
    assert verdict.is_clean == (not verdict.differences)
    return [(difference.kind, difference.what, difference.key) for difference in verdict.differences]


def test_the_same_at_another_time_of_day_is_the_same() -> None:
    assert found(outcome(final("u1", timestamp="now")), outcome(final("u1", timestamp="then"))) == []


def test_what_is_missing_is_lost() -> None:
    undisturbed = outcome(final("u1"), final("u2", sequence=2))
    assert found(outcome(final("u1")), undisturbed) == [("finals", "lost", "u2")]
    assert found(outcome(final("u1"), kept={}), outcome(final("u1"))) == [
        ("words", "lost", "u1/0"),
        ("objects", "lost", "u1"),
        ("sessions stored", "lost", "is_complete"),
    ]
    assert found(outcome(failure="nobody answers"), outcome())[0] == ("sessions", "lost", "nobody answers")


def test_what_comes_twice_or_was_never_said_is_doubled() -> None:
    assert ("finals", "doubled", "u1") in found(outcome(final("u1"), final("u1", sequence=2)), outcome(final("u1")))
    assert found(outcome(final("u1"), kept=KEPT | {("objects", "u9"): b""}), outcome(final("u1"))) == [("objects", "doubled", "u9")]


def test_what_differs_is_changed_and_named_without_what_was_said() -> None:
    assert found(outcome(final("u1", "won")), outcome(final("u1"))) == [("finals", "changed", "u1 (transcript)")]
    changed = KEPT | {("words", "u1", "0"): {"text": "won"}, ("objects", "u1"): b"noise"}
    assert found(outcome(final("u1"), kept=changed), outcome(final("u1"))) == [("words", "changed", "u1/0 (text)"), ("objects", "changed", "u1")]


def test_messages_out_of_order_are_seen() -> None:
    assert found(outcome(final("u1", sequence=2)), outcome(final("u1", sequence=2)))[0][:2] == ("messages in order", "changed")


def test_nothing_heard_is_no_success() -> None:
    assert not judge([outcome()], {"voice 1": outcome()}).is_clean


def test_a_seed_gives_one_plan_and_every_fault_is_dealt_once() -> None:
    faults = every_fault(list(KINDS))
    hands = deal(7, 3, faults)
    assert sorted(fault for hand in hands for fault in hand) == sorted(faults)
    assert plan(7, 60.0, hands[0]) == plan(7, 60.0, hands[0]) != plan(8, 60.0, hands[0])
    for fault in plan(7, 60.0, hands[0]):
        shortest, longest = KINDS[fault.kind].lasts_s
        assert 3.0 <= fault.at_s <= 56.0
        assert shortest <= fault.lasts_s <= longest
    chosen = [fault for hand in deal(7, 3, faults, of_each=1) for fault in hand]
    assert sorted(kind for kind, _ in chosen) == sorted(KINDS)
    assert set(chosen) < set(faults)
    assert chosen != [fault for hand in deal(8, 3, faults, of_each=1) for fault in hand]
    with pytest.raises(ValueError, match="There is no fault 'flood'"):
        every_fault(["flood"])


@pytest.fixture
def link() -> Iterator[Proxy]:
    """A relay in front of a server that sends everything back."""
    listener = socket.create_server(("127.0.0.1", 0))
    network = Network()
    proxy = Proxy(network, free_port(), listener.getsockname()[1])
    proxy.open()

    def echo(connection: socket.socket) -> None:
        with connection:
            while piece := connection.recv(1000):
                connection.sendall(piece)

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=echo, args=(connection,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield proxy
    proxy.close()
    network.close()
    listener.close()


def _connect(proxy: Proxy, timeout_s: float = 20.0) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=timeout_s)


def test_a_link_passes_on_late_or_not(link: Proxy) -> None:
    with _connect(link) as client:
        for delay_s in (0.0, 0.05, 0.0):
            link.delay(delay_s)
            client.sendall(b"hello")
            assert client.recv(5, socket.MSG_WAITALL) == b"hello"


def test_what_a_cut_link_swallows_arrives_nowhere_and_a_mended_one_works(link: Proxy) -> None:
    with _connect(link, 0.5) as client:
        link.cut()
        client.sendall(b"hello")
        with pytest.raises(TimeoutError):
            client.recv(5)
        link.mend()
        client.settimeout(20.0)
        with contextlib.suppress(ConnectionError):
            assert client.recv(5) == b""
    with _connect(link) as client:
        client.sendall(b"again")
        assert client.recv(5, socket.MSG_WAITALL) == b"again"


def test_a_refusing_link_takes_no_connection_and_comes_back(link: Proxy) -> None:
    link.refuse()
    with pytest.raises(ConnectionRefusedError):
        _connect(link)
    link.mend()
    _connect(link).close()


def test_a_server_that_was_killed_is_told_through_a_link() -> None:
    """Its system resets what was open; whoever is at the other end would wait for ever if the link kept that to itself."""
    network = Network()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = Proxy(network, free_port(), listener.getsockname()[1])
        proxy.open()
        with _connect(proxy) as client:
            client.sendall(b"never read")
            server, _ = listener.accept()
            select.select([server], [], [], 20.0)
            server.close()  # with something unread: a reset
            with contextlib.suppress(ConnectionError):
                assert client.recv(1) == b""
        proxy.close()
    network.close()


@pytest.mark.parametrize("status", [503, 507])
def test_a_link_can_answer_for_its_server(link: Proxy, status: int) -> None:
    link.answer(status)
    client = http.client.HTTPConnection("127.0.0.1", link.port, timeout=20.0)
    client.request("PUT", "/bucket/object", b"x" * 200_000)
    answer = client.getresponse()
    assert answer.status == status
    assert b"<Error>" in answer.read()
    client.close()
