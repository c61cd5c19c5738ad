"""A real Chromium, headless, with a microphone that plays a file: Debian's package, driven by playwright, which brings no browser of its own."""

from __future__ import annotations

import os
import shutil
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from local_services.obtaining import install_packages
from local_services.processes import ServiceError
from playwright.sync_api import Browser, Playwright

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--no-first-run",
    "--mute-audio",
)


def chromium() -> str:
    """The program's path, installed where root may. Skips where there is none, or fails where all is required."""
    found = next(filter(None, map(shutil.which, PROGRAMS)), None)
    reason = "Chromium was not found: install it (Debian: sudo apt-get install chromium)"
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        try:
            install_packages(["chromium"], lambda line: print(f"  {line}", flush=True))  # noqa: T201  # it takes a minute
        except ServiceError as error:
            reason = str(error)
        found = shutil.which("chromium")
    if found is None:
        if os.environ.get("VOXRELAY_REQUIRE_SERVICES") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@contextmanager
def browser(playwright: Playwright, microphone: Path | None, is_allowed: bool = True) -> Iterator[Browser]:
    """One that plays ``microphone`` once to whoever listens; None: no such device. Permission is given without asking, or never."""
    flags = list(QUIET)
    if os.geteuid() == 0:
        flags.append("--no-sandbox")
    if microphone is not None:
        flags += ["--use-fake-device-for-media-stream", f"--use-file-for-fake-audio-capture={microphone}%noloop"]
    flags.append("--use-fake-ui-for-media-stream" if is_allowed else "--deny-permission-prompts")
    launched = playwright.chromium.launch(executable_path=chromium(), args=flags)
    try:
        yield launched
    finally:
        launched.close()


def write_wav(path: Path, pcm_s16le: bytes, rate_hz: int, silence_s: tuple[float, float] = (0.0, 0.0)) -> Path:
    """``silence_s`` is what comes before and after."""
    before, after = (bytes(2 * int(length_s * rate_hz)) for length_s in silence_s)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(before + pcm_s16le + after)
    return path
