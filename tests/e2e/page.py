"""The live page opened in a browser, and what a test asks of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import httpx
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from services.gateway.server import GatewayServer

WITHIN_MS = 60_000
LOOK_MS = 50
DESK = {"width": 1100, "height": 800}

# Whatever the policy forbids is told here, from the first script on.
COLLECT_VIOLATIONS = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => violations.push(`${event.violatedDirective} ${event.blockedURI}`));
"""


def url_of(gateway: GatewayServer) -> str:
    return f"http://127.0.0.1:{gateway.port}"


@contextmanager
def opened(chrome: Browser, url: str, script: str = "", expected: str = "", **context: Any) -> Iterator[Page]:
    """The page, ready. At the end its console must be empty but for what is ``expected``, and nothing may have been asked of anywhere else."""
    complaints: list[str] = []

    def read(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not (expected and message.text.startswith(expected)):
            complaints.append(message.text)

    with closing(chrome.new_context(accept_downloads=True, **{"viewport": DESK, **context})) as session:
        session.add_init_script(COLLECT_VIOLATIONS + script)
        page = session.new_page()
        page.set_default_timeout(WITHIN_MS)
        page.on("console", read)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: complaints.append(request.url) if not request.url.startswith((url, "blob:")) else None)
        page.goto(url)
        page.wait_for_selector("body[data-ready]")
        yield page
        complaints += page.evaluate("violations")
    assert not complaints, "\n".join(complaints)


def wait_for_state(page: Page, state: str) -> None:
    page.wait_for_selector(f'body[data-state="{state}"]')


def wait_until(page: Page, holds: Callable[[], bool]) -> None:
    """Asked from here: the page's policy lets nobody evaluate text in it."""
    for _ in range(WITHIN_MS // LOOK_MS):
        if holds():
            return
        page.wait_for_timeout(LOOK_MS)
    raise AssertionError("it did not become so in time")


def stop(page: Page) -> None:
    page.click("#start")
    wait_for_state(page, "idle")


def shown_texts(page: Page) -> list[str]:
    return [" ".join(item.locator(".said").all_inner_texts()) for item in page.locator('.utterance[data-standing="final"]').all()]


def stored_session(page: Page, url: str) -> dict[str, Any]:
    """What the platform keeps of the session on the page, when it is complete."""
    session = page.locator(".session").last
    expect(session).to_have_attribute("data-stored", "complete", timeout=WITHIN_MS)
    return dict(httpx.get(f"{url}/api/sessions/{session.get_attribute('data-session')}").json())


def assert_it_is_what_is_stored(page: Page, url: str) -> dict[str, Any]:
    session = stored_session(page, url)
    utterances = [utterance for utterance in session["utterances"] if utterance["transcript"]]
    assert utterances
    assert shown_texts(page) == [utterance["transcript"] for utterance in utterances]
    numbers = {word["speaker"][1:] for utterance in utterances for word in utterance["words"] if word["speaker"]}
    assert {name.removeprefix("Speaker ") for name in page.locator(".speaker").all_text_contents()} == numbers
    return session
