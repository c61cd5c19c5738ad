"""docs/protocols/speech.md says what the tables say."""

from __future__ import annotations

from pathlib import Path

from services.gateway.audio.encode import ENCODINGS, FORMATS
from services.gateway.protocols import speak
from services.gateway.protocols.deepgram.speak_parameters import FORMATS as DEEPGRAM_FORMATS
from services.gateway.protocols.deepgram.speak_parameters import LIVE, REST
from services.gateway.speech.voices import VOICES

PROTOCOLS = Path(__file__).resolve().parents[3] / "docs" / "protocols"
PAGE = (PROTOCOLS / "speech.md").read_text()
NATIVE = (PROTOCOLS / "native.md").read_text()


def test_every_voice_is_on_the_page() -> None:
    for voice in VOICES:
        row = f"| `{voice.name}` | {voice.language} | {voice.gender} | {', '.join(voice.openai)} | {', '.join(voice.deepgram_models)} |"
        assert row in PAGE


def test_every_parameter_of_deepgram_is_on_the_page() -> None:
    for row in REST:
        assert f"| `{row.name}` | {row.says} |" in PAGE
    assert {row.name for row in LIVE} <= {row.name for row in REST}
    for name, form in DEEPGRAM_FORMATS.items():
        line = next(line for line in PAGE.splitlines() if line.count("|") == 5 and f"`{name}`" in line.split("|")[1])
        _, _, containers, rates, bit_rates, _ = line.split("|")
        assert containers.strip() == ", ".join(f"`{container}`" for container in form.containers)
        assert rates.strip() == ", ".join(str(rate) for rate in form.rates_hz)
        usual = f"{form.bit_rates[2]}; {form.bit_rates[0]} to {form.bit_rates[1]}" if form.bit_rates else ""
        assert bit_rates.strip() == usual


def test_every_format_and_every_native_name_is_on_the_pages() -> None:
    for name in FORMATS:
        assert f"`{name}`" in PAGE
    assert ", ".join(f"{rate:,}" for rate in ENCODINGS["mp3"].rates_hz) in PAGE
    for name in (*speak.NAMES, *FORMATS):
        assert f"`{name}`" in NATIVE
    for message in speak.MESSAGES:
        assert f'{{"type":"{message}"' in NATIVE
