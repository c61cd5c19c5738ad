"""The live page over a connection that breaks: in a real browser, on real speech, no word lost and none doubled."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Playwright, WebSocket, expect, sync_playwright

from services.gateway.server import GatewayServer
from tests.e2e.browser import browser, write_wav
from tests.e2e.cable import Cable
from tests.e2e.page import WITHIN_MS, opened, shown_texts, stop, stored_session, wait_for_state, wait_until
from tests.e2e.streaming import Heard, pcm_of, stream
from tests.unit.gateway.conftest import gateways

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SPOKEN_S = 18
FAILED_ATTEMPT = "WebSocket connection to"  # what Chromium writes on the console for each


@dataclass
class Wire:
    """One WebSocket of the page: what it heard, and the audio that went out on it."""

    address: str
    heard: list[dict[str, Any]] = field(default_factory=list)
    said: list[dict[str, Any]] = field(default_factory=list)
    audio: list[bytes] = field(default_factory=list)

    @property
    def began_at(self) -> int:
        """Frames that the platform had, as it said."""
        return int(self.heard[0].get("audio_frames", 0)) if self.heard else 0

    @property
    def ended_at(self) -> int:
        return self.began_at + sum(map(len, self.audio)) // 2

    def sent(self, frame: str | bytes) -> None:
        if isinstance(frame, bytes):
            self.audio.append(frame)
        else:
            self.said.append(json.loads(frame))


def wires_of(page: Page) -> list[Wire]:
    """Filled as it goes."""
    wires: list[Wire] = []

    def watch(connection: WebSocket) -> None:
        wire = Wire(connection.url)
        wires.append(wire)
        connection.on("framesent", wire.sent)
        connection.on("framereceived", lambda frame: wire.heard.append(json.loads(frame)))

    page.on("websocket", watch)
    return wires


def audio_of(wires: list[Wire]) -> bytes:
    """All that the page recorded: what is sent again must be what was sent, and must begin where the platform asked."""
    pcm = bytearray()
    for wire in wires:
        at = wire.began_at * 2
        assert at <= len(pcm)
        for piece in wire.audio:
            before = pcm[at : at + len(piece)]
            assert piece.startswith(before)
            pcm[at : at + len(piece)] = piece
            at += len(piece)
    return bytes(pcm)


def finals_of(wires: list[Wire]) -> list[dict[str, Any]]:
    """Without the wall clock."""
    finals = [message for wire in wires for message in wire.heard if message["type"] == "final"]
    return [{name: value for name, value in message.items() if name != "timestamp"} for message in finals]


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="module")
def conversation(eval_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Several people, one after the other, and then nobody."""
    pcm, rate_hz = pcm_of(eval_data / "diarization" / "simulated" / "sim3.flac")
    return write_wav(tmp_path_factory.mktemp("speech") / "conversation.wav", pcm[: SPOKEN_S * rate_hz * 2], rate_hz, silence_s=(0.5, 600.0))


@pytest.fixture(scope="module")
def chrome(playwright: Playwright, conversation: Path) -> Iterator[Browser]:
    with browser(playwright, conversation) as launched:
        yield launched


@pytest.fixture
def make_gateway() -> Iterator[Callable[..., GatewayServer]]:
    with gateways() as make:
        yield make


def break_off(page: Page, cable: Cable, unnoticed_ms: int, down_ms: int) -> None:
    """Cut while somebody speaks. What goes out before the page notices, and what comes back, is lost."""
    page.wait_for_selector('[data-standing="interim"] .said')
    cable.swallow()
    page.wait_for_timeout(unnoticed_ms)
    cable.is_down = True
    cable.cut()
    wait_for_state(page, "reconnecting")
    expect(page.locator("#status")).to_have_text("Reconnecting… what is said is kept")
    page.wait_for_timeout(down_ms)
    cable.is_down = False
    wait_for_state(page, "live")
    expect(page.locator("#status")).to_have_text("Listening", timeout=WITHIN_MS)


async def _undisturbed(url: str, pcm: bytes, rate_hz: int) -> Heard:
    """A platform that is late at the moment, on a machine with much to do, is asked again."""
    while True:
        heard = await stream(url, pcm, rate_hz)
        if not any(message["error"]["code"] == "OVERLOADED" for message in heard.of("error")):
            return heard
        await asyncio.sleep(heard.of("error")[0]["error"]["retry_after"])


@pytest.mark.conformance("browser", "resuming after a lost connection, no word lost or doubled", "done")
def test_no_word_is_lost_or_doubled_when_the_connection_breaks(chrome: Browser, embedded_url: str) -> None:
    """Cut three times while people speak and once while the last words are waited for; then the same sound once more, undisturbed."""
    port = int(embedded_url.rpartition(":")[2])
    with closing(Cable(port)) as cable, opened(chrome, f"http://127.0.0.1:{cable.port}", expected=FAILED_ATTEMPT) as page:
        wires = wires_of(page)
        page.click("#start")
        wait_for_state(page, "live")
        for unnoticed_ms, down_ms in ((0, 0), (800, 0), (300, 2000)):
            break_off(page, cable, unnoticed_ms, down_ms)
        wait_until(page, lambda: page.inner_text("#elapsed") >= f"0:{SPOKEN_S + 2}")
        cable.swallow()
        page.click("#start")
        page.wait_for_timeout(500)
        cable.cut()
        wait_for_state(page, "idle")
        expect(page.locator("#trouble")).to_be_hidden()
        assert page.locator(".session").count() == 1
        session = stored_session(page, embedded_url)
        texts = shown_texts(page)

    rate_hz = wires[0].said[0]["config"]["sample_rate"]
    pcm, finals = audio_of(wires), finals_of(wires)
    resumed = [wire.heard[0] for wire in wires[1:] if wire.heard]
    assert len(resumed) >= 4
    assert {message["session_id"] for message in resumed} == {session["session"]["session_id"]}
    assert all(message["resumed"] for message in resumed)
    assert any(after.began_at < before.ended_at for before, after in pairwise(wires) if after.heard)  # some of it had to be sent twice
    assert session["session"]["audio_seconds"] == pytest.approx(len(pcm) / 2 / rate_hz, abs=0.001)

    with ThreadPoolExecutor(1) as beside:  # the browser's loop is this thread's
        undisturbed = beside.submit(lambda: asyncio.run(_undisturbed(embedded_url, pcm, rate_hz))).result()
    assert len(undisturbed.finals) >= 3
    assert finals == undisturbed.finals
    assert texts == [final["transcript"] for final in undisturbed.finals if final["transcript"]]


@pytest.mark.conformance("browser", "error: connection away for too long", "done")
def test_a_session_that_has_ended_meanwhile_cannot_be_resumed(chrome: Browser, make_gateway: Callable[..., GatewayServer]) -> None:
    gateway = make_gateway(resume_s=0.2)
    with closing(Cable(gateway.port)) as cable, opened(chrome, f"http://127.0.0.1:{cable.port}", expected=FAILED_ATTEMPT) as page:
        page.click("#start")
        page.wait_for_selector('[data-standing="final"]')
        cable.is_down = True
        cable.cut()
        wait_for_state(page, "reconnecting")
        wait_until(page, lambda: gateway._hub.open_sessions == 0)
        cable.is_down = False
        expect(page.locator("#trouble-title")).to_have_text("The connection was away for too long", timeout=WITHIN_MS)
        expect(page.locator("#trouble-code")).to_have_text("NOT_RESUMABLE")
        wait_for_state(page, "idle")
        assert page.locator('[data-standing="final"]').count() >= 1  # what was said stays
        expect(page.locator("#trouble-again")).to_have_text("Connect again")
        page.click("#trouble-again")
        page.locator('.session:nth-of-type(2) [data-standing="final"]').first.wait_for()
        stop(page)


def test_a_server_that_stays_away_is_given_up(chrome: Browser, make_gateway: Callable[..., GatewayServer]) -> None:
    gateway = make_gateway()
    with closing(Cable(gateway.port)) as cable, opened(chrome, f"http://127.0.0.1:{cable.port}", expected=FAILED_ATTEMPT) as page:
        page.clock.install()
        page.click("#start")
        wait_for_state(page, "live")
        page.wait_for_selector('[data-standing="final"]')
        cable.is_down = True
        cable.cut()
        wait_for_state(page, "reconnecting")
        page.clock.fast_forward(120_000)
        expect(page.locator("#trouble-title")).to_have_text("The connection was lost", timeout=WITHIN_MS)
        wait_for_state(page, "idle")


def test_somebody_who_stops_without_a_connection_may_go(chrome: Browser, make_gateway: Callable[..., GatewayServer]) -> None:
    """Stop waits for the connection and the last words; a second time, it does not."""
    gateway = make_gateway()
    with closing(Cable(gateway.port)) as cable, opened(chrome, f"http://127.0.0.1:{cable.port}", expected=FAILED_ATTEMPT) as page:
        wires = wires_of(page)
        page.click("#start")
        page.wait_for_selector('[data-standing="final"]')
        cable.is_down = True
        cable.cut()
        wait_for_state(page, "reconnecting")
        page.click("#start")
        page.wait_for_timeout(300)
        assert page.get_attribute("body", "data-state") == "reconnecting"
        cable.is_down = False
        wait_for_state(page, "idle")
        assert wires[-1].heard[-1]["type"] == "closed"
        page.click("#start")
        page.locator(".session:nth-of-type(2) [data-standing]").first.wait_for()
        cable.is_down = True
        cable.cut()
        wait_for_state(page, "reconnecting")
        page.click("#start")
        page.click("#start")
        wait_for_state(page, "idle")
        expect(page.locator("#trouble")).to_be_hidden()


def test_a_session_of_which_nothing_arrived_begins_anew(chrome: Browser, make_gateway: Callable[..., GatewayServer]) -> None:
    """The first sounds are lost with their connection: the server knows no such session, and the page has all of them still."""
    gateway = make_gateway()
    with closing(Cable(gateway.port)) as cable, opened(chrome, f"http://127.0.0.1:{cable.port}", expected=FAILED_ATTEMPT) as page:
        wires = wires_of(page)
        cable.is_deaf = True
        page.click("#start")
        wait_for_state(page, "live")
        wait_until(page, lambda: page.inner_text("#elapsed") >= "0:02")
        cable.is_deaf = False
        cable.cut()
        page.wait_for_selector('[data-standing="final"]')
        assert page.locator(".session").count() == 1
        stop(page)
    first, *_, last = wires
    assert first.said[0] == last.said[0]
    assert last.said[0]["type"] == "configure"
    assert "resumed" not in last.heard[0]
    assert last.heard[0]["session_id"] != first.heard[0]["session_id"]
    assert b"".join(last.audio).startswith(b"".join(first.audio))
