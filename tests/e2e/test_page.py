"""The live page in a real browser, on real speech: from the microphone to the words on the screen, and everything that can go wrong on the way."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Playwright, WebSocket, expect, sync_playwright

from evaluation.metrics.words import word_errors
from services.gateway.server import GatewayServer
from tests.e2e.browser import browser, write_wav
from tests.e2e.cable import Cable
from tests.e2e.page import (
    COLLECT_VIOLATIONS,
    DESK,
    WITHIN_MS,
    assert_it_is_what_is_stored,
    opened,
    shown_texts,
    stop,
    url_of,
    wait_for_state,
    wait_until,
)
from tests.e2e.streaming import pcm_of
from tests.unit.gateway.conftest import gateways
from voxrelay.storage.access import AccessStore
from voxrelay.storage.migrations import migrate

pytestmark = [pytest.mark.slow]

CLIP = "1688-142285-0003.flac"
SAID = "i really liked that account of himself better than anything else he said"
PHONE = {"width": 360, "height": 740}
LOOKS_WITHIN_MS = 500

# What passes by on a busy machine before anybody looks: levels, and how each utterance stood.
COLLECT_CHANGES = """
window.levels = [];
window.standings = [];
new MutationObserver((changes) => {
  for (const { target, attributeName } of changes) {
    if (attributeName === "aria-valuenow") levels.push(Number(target.getAttribute(attributeName)));
    else standings.push(`${target.dataset.utterance} ${target.dataset.standing}`);
  }
}).observe(document, { subtree: true, attributeFilter: ["aria-valuenow", "data-standing"] });
"""
COLLECT_BLOBS = """
window.blobs = [];
const { send } = WebSocket.prototype;
WebSocket.prototype.send = function (data) { if (data instanceof Blob) blobs.push(data.type); send.call(this, data); };
"""
# The luminance contrast of WCAG 2 between an element's colour and what lies behind it.
CONTRAST = """
(element) => {
  const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
  let behind = element;
  while (parse(getComputedStyle(behind).backgroundColor)[3] === 0) behind = behind.parentElement;
  const luminance = (colour) => {
    const [r, g, b] = parse(colour).slice(0, 3).map((value) => value / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const pair = [luminance(getComputedStyle(element).color), luminance(getComputedStyle(behind).backgroundColor)].sort((a, b) => b - a);
  return (pair[0] + 0.05) / (pair[1] + 0.05);
}
"""
# A hidden radio button shows its focus on its label.
OUTLINE_OF_FOCUS = """
() => {
  const focused = document.activeElement;
  return getComputedStyle(focused.matches(".choice input") ? focused.nextElementSibling : focused).outlineStyle;
}
"""


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="module")
def spoken(eval_data: Path) -> tuple[bytes, int]:
    """One sentence, read."""
    return pcm_of(eval_data / "asr" / "librispeech-test-other" / CLIP)


@pytest.fixture(scope="module")
def microphone(spoken: tuple[bytes, int], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wav(tmp_path_factory.mktemp("speech") / "microphone.wav", *spoken, silence_s=(0.5, 4.0))


@pytest.fixture(scope="module")
def conversation(eval_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three people, one after the other, half a minute."""
    pcm, rate_hz = pcm_of(eval_data / "diarization" / "simulated" / "sim3.flac")
    return write_wav(tmp_path_factory.mktemp("speech") / "conversation.wav", pcm[: 30 * rate_hz * 2], rate_hz)


@pytest.fixture(scope="module")
def chrome(playwright: Playwright, microphone: Path) -> Iterator[Browser]:
    with browser(playwright, microphone) as launched:
        yield launched


@pytest.fixture
def make_gateway() -> Iterator[Callable[..., GatewayServer]]:
    with gateways() as make:
        yield make


def level_of(page: Page) -> int:
    return int(str(page.get_attribute("#level", "aria-valuenow")))


def sent_by(page: Page) -> list[str | bytes]:
    """What goes out over the WebSockets that the page opens from now on; filled as it goes."""
    frames: list[str | bytes] = []

    def watch(connection: WebSocket) -> None:
        connection.on("framesent", lambda frame: frames.append(frame))

    page.on("websocket", watch)
    return frames


def said_in(session: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [(utterance["start"], utterance["speaker"], utterance["transcript"], utterance["words"]) for utterance in session["utterances"]]


@pytest.mark.conformance("browser", "microphone through AudioWorklet as linear16", "done")
@pytest.mark.conformance("browser", "interim and final words, equal to what is stored", "done")
@pytest.mark.conformance("browser", "level meter", "done")
@pytest.mark.conformance("browser", "attributes with units and meaning", "done")
@pytest.mark.conformance("browser", "delay and live lag", "done")
def test_words_of_the_microphone_appear_and_are_what_is_stored(chrome: Browser, embedded_url: str) -> None:
    with opened(chrome, embedded_url, COLLECT_CHANGES) as page:
        sent = sent_by(page)
        page.click("#start")
        wait_for_state(page, "live")
        expect(page.locator("#status")).to_have_text("Listening")
        expect(page.locator('[data-standing="final"] .said').first).not_to_be_empty(timeout=WITHIN_MS)
        wait_until(page, lambda: level_of(page) < -50)  # it is quiet again
        assert max(page.evaluate("levels")) > -35
        for figure in ("#delay", "#lag"):  # they are shown anew four times a second
            expect(page.locator(figure)).to_have_text(re.compile(r"\d+(\.\d)?\ss"), timeout=WITHIN_MS)
        assert page.inner_text("#elapsed") >= "0:04"
        stop(page)
        session = assert_it_is_what_is_stored(page, embedded_url)
        assert word_errors(SAID, " ".join(shown_texts(page))).rate < 0.7
        standings = list(dict.fromkeys(page.evaluate("standings")))
        assert standings[:2] == ["u1 interim", "u1 final"]
        chip = page.locator('[data-attribute="pitch_hz"]').first
        value = round(session["utterances"][0]["attributes"]["pitch_hz"]["value"])
        assert chip.inner_text().split() == ["pitch", str(value), "Hz", *chip.locator(".unseen").inner_text().split()]
        assert "median pitch of the voiced parts; confidence" in str(chip.get_attribute("title"))
        assert "1 speaker" in page.inner_text(".summary")
        expect(page.locator("#announcer")).to_contain_text(shown_texts(page)[0], timeout=WITHIN_MS)

    texts = [json.loads(frame) for frame in sent if isinstance(frame, str)]
    assert [message["type"] for message in texts] == ["configure", "close_stream"]
    config = texts[0]["config"]
    assert config["encoding"] == "linear16"
    audio_s = sum(len(frame) for frame in sent if isinstance(frame, bytes)) / 2 / config["sample_rate"]
    assert audio_s == pytest.approx(session["session"]["audio_seconds"], abs=0.05)


@pytest.mark.conformance("browser", "file streamed in real time", "done")
@pytest.mark.conformance("browser", "pause and continue", "done")
def test_a_file_in_real_time_with_a_pause(chrome: Browser, embedded_url: str, microphone: Path) -> None:
    with opened(chrome, embedded_url) as page:
        page.click("label[for=from-file]")
        page.set_input_files("#file", microphone)
        assert page.inner_text("#file-name") == microphone.name
        page.click("#start")
        wait_for_state(page, "live")
        wait_until(page, lambda: page.inner_text("#elapsed") >= "0:02")
        page.click("#pause")
        wait_for_state(page, "paused")
        page.wait_for_selector('[data-standing="final"]')  # pausing makes final what was said
        before = page.inner_text("#elapsed")
        page.wait_for_timeout(1500)
        assert page.inner_text("#elapsed") == before
        page.click("#pause")
        wait_for_state(page, "idle")  # at the end of the file by itself
        session = assert_it_is_what_is_stored(page, embedded_url)
        assert session["utterances"][0]["end_reason"] == "finalize"
        assert 8.0 < session["session"]["audio_seconds"] < 11.0


@pytest.mark.conformance("browser", "file as fast as possible, with progress", "done")
@pytest.mark.conformance("browser", "speakers in colours and by name", "done")
@pytest.mark.conformance("browser", "export as text, subtitles and JSON", "done")
def test_a_file_at_once_has_its_speakers_and_can_be_saved(chrome: Browser, embedded_url: str, conversation: Path) -> None:
    with opened(chrome, embedded_url) as page:
        page.click("label[for=from-file]")
        page.set_input_files("#file", conversation)
        page.select_option("#pace", "fast")
        page.click("#start")
        wait_for_state(page, "working")
        expect(page.locator("#progress")).to_be_visible()
        wait_for_state(page, "idle")
        session = assert_it_is_what_is_stored(page, embedded_url)
        numbers = {turn.get_attribute("data-speaker") for turn in page.locator(".turn").all()}
        assert len(numbers) >= 2
        colours = {n: page.locator(f'.turn[data-speaker="{n}"] .speaker').first.evaluate("(e) => getComputedStyle(e).color") for n in numbers}
        assert len(set(colours.values())) == len(numbers)

        saved = {}
        for form in ("txt", "srt", "json"):
            with page.expect_download() as download:
                page.click(f'[data-format="{form}"]')
            assert download.value.suggested_filename == f"voxrelay-{session['session']['session_id'][:8]}.{form}"
            saved[form] = Path(download.value.path()).read_text()
        assert said_in(json.loads(saved["json"])) == said_in(session)
        assert saved["txt"].startswith("[00:0")
        assert "\nS2: " in saved["srt"]
        assert "-->" in saved["srt"]


@pytest.mark.conformance("browser", "microphone through MediaRecorder where there is no AudioWorklet", "done")
def test_without_an_audio_worklet_it_records(chrome: Browser, embedded_url: str) -> None:
    with opened(chrome, embedded_url, "delete window.AudioWorkletNode;" + COLLECT_BLOBS) as page:
        sent = sent_by(page)
        page.click("#start")
        expect(page.locator('[data-standing="final"] .said').first).not_to_be_empty(timeout=WITHIN_MS)
        stop(page)
        assert_it_is_what_is_stored(page, embedded_url)
        assert word_errors(SAID, " ".join(shown_texts(page))).rate < 0.8
        assert set(page.evaluate("blobs")) == {"audio/webm;codecs=opus"}
    assert json.loads(str(sent[0]))["config"]["encoding"] == "auto"


def test_what_ends_before_any_sound_is_looked_for_nowhere(chrome: Browser, embedded_url: str) -> None:
    with opened(chrome, embedded_url, "AudioContext.prototype.resume = () => new Promise(() => {});") as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.click("#start")
        page.wait_for_selector(".session", state="attached")
        stop(page)
        expect(page.locator(".summary")).to_have_text("0:00 of sound, and nothing was said in it.")
        page.wait_for_timeout(LOOKS_WITHIN_MS)
    assert not [url for url in asked if "/api/sessions/" in url]


@pytest.mark.conformance("browser", "options: language, vocabulary, diarize, attributes, noise suppression, number of speakers, kept audio", "done")
def test_options_are_sent_and_text_is_never_markup(chrome: Browser, make_gateway: Callable[..., GatewayServer]) -> None:
    """The scripted recognition says its vocabulary."""
    with opened(chrome, url_of(make_gateway())) as page:
        sent = sent_by(page)
        page.click("#options-toggle")
        page.select_option("#language", "en")
        page.select_option("#noise", "0.7")
        page.fill("#vocabulary", "<b>bold</b>, <img src=x onerror=alert(1)>")
        page.fill("#speakers", "3")
        page.uncheck("#keep-audio")
        page.click("#start")
        wait_for_state(page, "live")
        expect(page.locator(".said").first).to_contain_text("<b>bold</b> <img src=x onerror=alert(1)>", timeout=WITHIN_MS)
        page.click("#options-toggle")
        assert page.is_disabled("#diarize")
        page.fill("#vocabulary", "otherwise")
        page.press("#vocabulary", "Tab")
        expect(page.locator(".said").last).to_contain_text("otherwise", timeout=WITHIN_MS)
        stop(page)
        assert page.locator("#sessions b, #sessions img").count() == 0
        page.uncheck("#diarize")
        page.uncheck("#attributes")
        assert page.is_disabled("#speakers")
        page.click("#start")
        wait_for_state(page, "live")
        page.locator('.session:last-child [data-standing="final"]').first.wait_for()
        stop(page)
        assert page.locator(".session:last-child").locator(".speaker, .chip").count() == 0
    configs = [json.loads(frame)["config"] for frame in sent if isinstance(frame, str) and "config" in json.loads(frame)]
    wanted = {"language": "en", "noise_suppression": 0.7, "diarize": True, "attributes": True, "num_speakers": 3, "keep_audio": False}
    assert configs[0].items() >= wanted.items()
    assert configs[0]["custom_vocabulary"] == ["<b>bold</b>", "<img src=x onerror=alert(1)>"]
    assert configs[1] == {"custom_vocabulary": ["otherwise"]}
    assert (configs[2]["diarize"], configs[2]["attributes"]) == (False, False)
    assert "num_speakers" not in configs[2]


@pytest.mark.conformance("browser", "error: no key, wrong key", "done")
@pytest.mark.conformance("browser", "API key as a subprotocol, never in the address, never kept", "done")
def test_keys_none_wrong_and_right(chrome: Browser, make_gateway: Callable[..., GatewayServer], tmp_path: Path) -> None:
    database_url = f"sqlite:///{tmp_path / 'voxrelay.db'}"
    migrate(database_url)
    with closing(AccessStore(database_url)) as access:
        key = access.create_key("somebody", "enterprise")[1]
    gateway = make_gateway(database_url=database_url)
    addresses: list[str] = []
    with opened(chrome, url_of(gateway)) as page:
        page.on("websocket", lambda connection: addresses.append(connection.url))
        page.on("request", lambda request: addresses.append(request.url))
        title = page.locator("#trouble-title")
        page.click("#start")
        expect(title).to_have_text("An API key is needed")
        expect(page.locator("#key")).to_be_focused()
        page.fill("#key", "no key at all")
        page.keyboard.press("Enter")
        expect(title).to_have_text("This is not a key")
        page.fill("#key", "wrong-key")
        page.click("#start")
        expect(title).to_have_text("This needs a valid API key", timeout=WITHIN_MS)
        expect(page.locator("#trouble-code")).to_have_text("UNAUTHORIZED")
        expect(page.locator("#key")).to_be_focused()
        page.fill("#key", key)
        page.keyboard.press("Enter")
        wait_for_state(page, "live")
        expect(page.locator("#trouble")).to_be_hidden()
        page.locator(".utterance").first.wait_for()
        stop(page)
        expect(page.locator(".session")).to_have_attribute("data-stored", "complete", timeout=WITHIN_MS)
        assert addresses
        assert not [address for address in addresses if key in address]
        assert page.evaluate("[document.cookie, localStorage.length, sessionStorage.length]") == ["", 0, 0]
        page.reload()
        page.wait_for_selector("body[data-ready]")
        assert page.input_value("#key") == ""


@pytest.mark.conformance("browser", "error: microphone not allowed", "done")
@pytest.mark.conformance("browser", "error: no microphone", "done")
@pytest.mark.parametrize(
    ("has_device", "is_allowed", "title", "code"),
    [(True, False, "The microphone is not allowed", "NotAllowedError"), (False, True, "There is no microphone", "NotFoundError")],
)
def test_no_microphone(
    playwright: Playwright, make_gateway: Callable[..., GatewayServer], microphone: Path, has_device: bool, is_allowed: bool, title: str, code: str
) -> None:
    with (
        browser(playwright, microphone if has_device else None, is_allowed) as chrome,
        opened(chrome, url_of(make_gateway())) as page,
    ):
        page.click("#start")
        expect(page.locator("#trouble-title")).to_have_text(title, timeout=WITHIN_MS)
        expect(page.locator("#trouble-code")).to_have_text(code)
        assert page.inner_text("#trouble-remedy")
        wait_for_state(page, "idle")
        page.keyboard.press("Escape")
        expect(page.locator("#trouble")).to_be_hidden()


@pytest.mark.conformance("browser", "error: address without https", "done")
def test_an_address_that_is_not_secure_has_no_microphone(chrome: Browser, make_gateway: Callable[..., GatewayServer]) -> None:
    script = 'Object.defineProperty(Navigator.prototype, "mediaDevices", { get: () => undefined });'
    with opened(chrome, url_of(make_gateway()), script) as page:
        page.click("#start")
        expect(page.locator("#trouble-title")).to_have_text("The browser gives no microphone to this address")


@pytest.mark.conformance("browser", "error: file the browser cannot read", "done")
def test_a_file_that_is_no_sound(chrome: Browser, make_gateway: Callable[..., GatewayServer], tmp_path: Path) -> None:
    letter = tmp_path / "letter.wav"
    letter.write_text("Dear Sir, this is no sound at all, whatever its name says.")
    with opened(chrome, url_of(make_gateway())) as page:
        page.click("label[for=from-file]")
        page.click("#start")
        expect(page.locator("#trouble-title")).to_have_text("No file was chosen")
        page.set_input_files("#file", letter)
        page.click("#start")
        expect(page.locator("#trouble-title")).to_have_text("The browser cannot read this file")


@pytest.mark.conformance("browser", "error: file the server refuses", "done")
def test_a_file_that_the_server_refuses(chrome: Browser, make_gateway: Callable[..., GatewayServer], tmp_path: Path) -> None:
    letter = tmp_path / "letter.wav"
    letter.write_text("Dear Sir, this is no sound at all, whatever its name says.")
    with closing(chrome.new_context()) as context:  # a refused request is an error on the console, as the browser sees it
        page = context.new_page()
        page.goto(url_of(make_gateway()))
        page.wait_for_selector("body[data-ready]")
        page.click("label[for=from-file]")
        page.set_input_files("#file", letter)
        page.select_option("#pace", "fast")
        page.click("#start")
        expect(page.locator("#trouble-title")).to_have_text("This is not sound that can be read", timeout=WITHIN_MS)
        expect(page.locator("#trouble-code")).to_have_text("INVALID_AUDIO_FORMAT")


@pytest.mark.conformance("browser", "error: server full", "done")
def test_a_full_server(chrome: Browser, make_gateway: Callable[..., GatewayServer]) -> None:
    url = url_of(make_gateway(max_sessions=1))
    with opened(chrome, url) as first, opened(chrome, url) as second:
        first.click("#start")
        wait_for_state(first, "live")
        second.click("#start")
        expect(second.locator("#trouble-title")).to_have_text("The server is full", timeout=WITHIN_MS)
        stop(first)
        second.click("#trouble-again")
        wait_for_state(second, "live")
        stop(second)


@pytest.mark.conformance("browser", "connecting again after a lost connection", "done")
def test_a_lost_connection_can_be_made_again(chrome: Browser, make_gateway: Callable[..., GatewayServer]) -> None:
    """Where the gateway keeps no session for a client that comes back."""
    gateway = make_gateway(resume_s=0.0)
    with closing(Cable(gateway.port)) as cable, opened(chrome, f"http://127.0.0.1:{cable.port}") as page:
        page.click("#start")
        page.wait_for_selector('[data-standing="final"]')
        cable.cut()
        expect(page.locator("#trouble-title")).to_have_text("The connection was lost", timeout=WITHIN_MS)
        wait_for_state(page, "idle")
        assert page.locator('[data-standing="final"]').count() >= 1  # what was said stays
        expect(page.locator("#trouble-again")).to_have_text("Connect again")
        page.click("#trouble-again")
        page.locator('.session:nth-of-type(2) [data-standing="final"]').first.wait_for()
        stop(page)


@pytest.mark.conformance("browser", "keep_alive while paused", "done")
def test_a_long_pause_keeps_the_connection(chrome: Browser, make_gateway: Callable[..., GatewayServer]) -> None:
    with opened(chrome, url_of(make_gateway())) as page:
        page.clock.install()
        sent = sent_by(page)
        page.click("#start")
        wait_for_state(page, "live")
        page.locator(".said").first.wait_for()
        page.click("#pause")
        wait_for_state(page, "paused")
        page.wait_for_timeout(300)
        at = len(sent)
        page.clock.fast_forward(40_000)
        page.wait_for_timeout(300)
        assert [json.loads(frame)["type"] for frame in sent[at:] if isinstance(frame, str)][:1] == ["keep_alive"]
        assert not [frame for frame in sent[at:] if isinstance(frame, bytes)]
        page.click("#pause")
        wait_for_state(page, "live")
        stop(page)


@pytest.mark.conformance("browser", "keyboard alone", "done")
def test_with_the_keyboard_alone(chrome: Browser, make_gateway: Callable[..., GatewayServer]) -> None:
    with opened(chrome, url_of(make_gateway())) as page:
        focused = "document.activeElement.id || document.activeElement.tagName"
        seen = []
        for _ in range(5):
            page.keyboard.press("Tab")
            seen.append(page.evaluate(focused))
            assert page.evaluate(OUTLINE_OF_FOCUS) == "solid"
        assert seen == ["A", "from-microphone", "device", "start", "options-toggle"]
        page.keyboard.press("Space")
        expect(page.locator("#options")).to_be_visible()
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Enter")
        wait_for_state(page, "live")
        page.keyboard.press("Control+Shift+Enter")
        wait_for_state(page, "paused")
        expect(page.locator("#status")).to_have_text("Paused")
        page.keyboard.press("Control+Shift+Enter")
        wait_for_state(page, "live")
        page.locator(".said").first.wait_for()
        page.keyboard.press("Control+Enter")
        wait_for_state(page, "idle")
        names = page.locator("button:visible").evaluate_all("(all) => all.map((e) => e.textContent.trim())")
        assert all(names)


@pytest.mark.conformance("browser", "light and dark, a phone's width, less motion", "done")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_it_can_be_read(chrome: Browser, make_gateway: Callable[..., GatewayServer], scheme: Any, viewport: Any) -> None:
    fits = "document.documentElement.scrollWidth <= window.innerWidth"
    with opened(chrome, url_of(make_gateway()), color_scheme=scheme, viewport=viewport, reduced_motion="reduce") as page:
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (max(map(int, re.findall(r"\d+", paper))) < 60) == (scheme == "dark")
        assert page.evaluate(fits)
        page.click("#options-toggle")
        assert page.evaluate(fits)
        page.click("#start")
        page.locator('[data-standing="final"]').nth(1).wait_for()
        assert page.evaluate(fits)
        stop(page)
        for selector in (".said", ".speaker", ".who time", ".chip .name", ".summary p", ".status", "#start", "#options-toggle"):
            assert page.locator(selector).first.evaluate(CONTRAST) >= 4.5, selector
        turn = page.locator(".turn").first
        for number in range(1, 9):
            turn.evaluate("(element, number) => (element.dataset.speaker = number)", str(number))
            assert turn.locator(".speaker").evaluate(CONTRAST) >= 4.5, number
        turn.evaluate("(element) => (element.parentElement.dataset.standing = 'interim')")
        assert turn.locator(".said").evaluate(CONTRAST) >= 4.5
        assert turn.locator(".said").evaluate("(element) => getComputedStyle(element).animationName") == "none"
        page.evaluate("navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', 'NotReadableError'); }; 0")
        page.click("#start")
        expect(page.locator("#trouble-title")).to_have_text("The microphone cannot be opened")
        assert page.evaluate(fits)


@pytest.mark.conformance("browser", "strict Content-Security-Policy and Trusted Types", "done")
def test_the_policy_stops_what_it_should(chrome: Browser, make_gateway: Callable[..., GatewayServer]) -> None:
    """That no other test sees a violation means something: this is how one looks."""
    with closing(chrome.new_context()) as context:
        context.add_init_script(COLLECT_VIOLATIONS)
        page = context.new_page()
        page.goto(url_of(make_gateway()))
        page.wait_for_selector("body[data-ready]")
        assert page.evaluate("violations") == []
        page.evaluate("() => { const s = document.createElement('style'); s.textContent = 'body{}'; document.head.append(s); }")
        page.evaluate("() => { const i = new Image(); i.src = 'https://elsewhere.example/x.png'; }")
        wait_until(page, lambda: page.evaluate("violations.length") == 2)
        assert [violation.split()[0] for violation in page.evaluate("violations")] == ["style-src-elem", "img-src"]
        assert page.evaluate("() => { try { document.body.innerHTML = '<b>x</b>'; return ''; } catch (error) { return error.name; } }") == "TypeError"
