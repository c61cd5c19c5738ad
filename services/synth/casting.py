"""Who speaks what: a request becomes sentences, each with its voice."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from services.synth.engine import VoiceInfo
from services.synth.script import sentences, speakers, turns
from voxrelay.errors import Refused
from voxrelay.events import SynthesisRequested

USUAL_LANGUAGE = "en"
RATES_HZ = (8_000, 48_000)
SPEEDS = (0.25, 4.0)
UNNUMBERED = 1_000_000  # beyond every number a label can have


@dataclass(frozen=True, slots=True)
class Line:
    """A sentence and the id of the voice that speaks it."""

    text: str
    voice: str


def lines(request: SynthesisRequested, voices: Sequence[VoiceInfo], max_characters: int) -> list[Line]:
    """What is to be spoken, in order; at least one line. Raises ``Refused`` for what can never be spoken as asked."""
    if len(request.text) > max_characters:
        raise Refused("TEXT_TOO_LONG", "The text is too long to be spoken at once.")
    if request.sample_rate_hz and not RATES_HZ[0] <= request.sample_rate_hz <= RATES_HZ[1]:
        raise Refused("UNSUPPORTED_SAMPLE_RATE", f"Speech can be had at {RATES_HZ[0]} to {RATES_HZ[1]} Hz, or 0 for the voice's own rate.")
    if not SPEEDS[0] <= request.speed <= SPEEDS[1]:
        raise Refused("INVALID_PARAMETER", f"The speed must be {SPEEDS[0]} to {SPEEDS[1]}.")
    script = turns(request.text)
    if not any(_is_spoken(turn.text) for turn in script):
        raise Refused("INVALID_PARAMETER", "There is nothing in the text that could be spoken.")
    cast = assign(speakers(script), choose(request.voice, request.language, voices))
    return [Line(sentence, cast[turn.speaker]) for turn in script for sentence in sentences(turn.text) if _is_spoken(sentence)]


def choose(asked: str, language: str, voices: Sequence[VoiceInfo]) -> list[str]:
    """Ids in the order in which speakers get them: the voices asked for (comma-separated), then the others of the first one's language.

    Without a voice asked for, those of the language. Raises ``Refused`` for a voice or a language there is none of.
    """
    by_id = {voice.id: voice for voice in voices}
    wanted = [name.strip().lower() for name in asked.split(",") if name.strip()]
    if any(name not in by_id for name in wanted):
        raise Refused("UNKNOWN_VOICE", "There is no such voice.")
    spoken = by_id[wanted[0]].language if wanted else _language(language, voices)
    return list(dict.fromkeys([*wanted, *(voice.id for voice in voices if voice.language == spoken)]))


def _language(tag: str, voices: Sequence[VoiceInfo]) -> str:
    """The tag itself, without its last parts, or the first that specialises it."""
    known = dict.fromkeys(voice.language for voice in voices)
    parts = (tag or USUAL_LANGUAGE).replace("_", "-").lower().split("-")
    for length in range(len(parts), 0, -1):
        prefix = "-".join(parts[:length])
        for language in known:
            if language == prefix:
                return language
        for language in known:
            if language.startswith(f"{prefix}-"):
                return language
    raise Refused("UNSUPPORTED_LANGUAGE", "There is no voice of this language.")


def assign(labels: Sequence[str], ids: Sequence[str]) -> dict[str, str]:
    """A voice for each label: "speaker 2" has the second, in this text and in the next. No two share one while there are enough.

    Who has a number beyond the voices, or none, gets one that is left.
    """
    cast: dict[str, str] = {}
    for number, label in sorted((_number(label), label) for label in labels):
        taken = set(cast.values())
        preferred = ids[(number - 1) % len(ids)] if number < UNNUMBERED else ids[0]
        cast[label] = preferred if preferred not in taken else next((voice for voice in ids if voice not in taken), preferred)
    return cast


def _number(label: str) -> int:
    digits = re.search(r"\d+$", label)
    return int(digits[0]) or UNNUMBERED if digits else UNNUMBERED


def _is_spoken(text: str) -> bool:
    """Whether there is anything but punctuation and white space in it."""
    return any(unicodedata.category(character)[0] not in "PZC" for character in text)
