"""The query parameters of POST /v1/listen that live audio has not, beside those of ``parameters.COMMON``; one table for code, page and tests."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from services.gateway.protocols.deepgram.parameters import COMMON, Parameter, Reader, asked_of, flag, one_of, only_off, read, text, wording_of
from services.gateway.requests import parameters as native
from services.gateway.requests.parameters import Asked
from services.gateway.settings import GatewaySettings
from services.gateway.wording.grouping import UTTERANCE_PAUSE_S
from services.gateway.wording.wording import Wording
from voxrelay.errors import Refused

MOST_SEARCHES = 100
SENTIMENT = ("sentiment", "sentiment_score")


def _seconds(least: float, most: float) -> Reader:
    def read_seconds(name: str, said: str) -> float:
        try:
            value = float(said)
        except ValueError:
            value = -1.0
        if not least <= value <= most:
            raise Refused("INVALID_PARAMETER", f"'{name}' must be a number of seconds from {least:g} to {most:g}.")
        return value

    return read_seconds


def _flag_or_text(name: str, said: str) -> bool | str:
    return flag(name, said) if said.lower() in ("true", "false") else text(name, said)


def _methods(*allowed: str) -> Reader:
    return lambda name, said: one_of(*allowed)(name, said.upper())


NO_READER = "no engine here understands what is talked about; read the transcript with one that does."

FILE: tuple[Parameter, ...] = (
    *COMMON,
    Parameter("callback_method", _methods("POST", "PUT"), "done", "of `callback`", "POST"),
    Parameter("paragraphs", flag, "done", "sentences and paragraphs; turns `punctuate` on", False),
    Parameter("utterances", flag, "done", "`results.utterances`, cut at pauses and where the speaker changes", False),
    Parameter("utt_split", _seconds(0.0, 60.0), "done", "the pause in seconds that cuts utterances", UTTERANCE_PAUSE_S),
    Parameter("measurements", flag, "done", "'five kilometers' is written '5 km'", False),
    Parameter("detect_language", _flag_or_text, "done", "`detected_language`; tags limit what it may be", (), is_list=True),
    Parameter("language_hint", text, "accepted without effect", "the engine in use detects without hints", (), is_list=True),
    Parameter("sentiment", flag, "done", "`results.sentiments`, a segment for every utterance (English only)", False),
    *(Parameter(name, only_off(NO_READER), "refused", "no engine here understands texts") for name in ("summarize", "topics", "intents")),
    *(
        Parameter(name, only_off(NO_READER), "refused", "no engine here understands texts", (), is_list=True)
        for name in ("custom_topic", "custom_topic_mode", "custom_intent", "custom_intent_mode")
    ),
)


@dataclass(frozen=True, slots=True)
class Recorded:
    """One file's wishes."""

    asked: Asked
    wording: Wording
    is_by_channel: bool
    has_speakers: bool
    has_voice: bool
    has_sentiment: bool
    has_language: bool
    has_paragraphs: bool
    utterance_pause_s: float | None  # None: no utterances are wanted
    tags: tuple[str, ...]
    extra: dict[str, str]
    callback: str
    callback_method: str


def recorded_of(query: Iterable[tuple[str, str]], settings: GatewaySettings) -> Recorded:
    """Raises ``Refused`` naming the parameter and what it may be."""
    values = read(query, FILE)
    detected = [tag for tag in values["detect_language"] if tag is not False]
    if len(values["search"]) > MOST_SEARCHES:
        raise Refused("INVALID_PARAMETER", f"'search' may be given {MOST_SEARCHES} times.")
    asked = asked_of(values | ({"language": _any_of(detected, settings)} if detected else {}), settings)
    wanted = [*(SENTIMENT if values["sentiment"] else ()), *(("language",) if detected else ())]
    if wanted and not values["voice"]:
        asked = native.apply(asked, {"attributes": wanted}, settings)
    wording = replace(
        wording_of(values),
        punctuate=values["punctuate"] or values["paragraphs"],
        measurements=values["measurements"],
        filler_words=values["filler_words"],
    )
    return Recorded(
        asked=asked,
        wording=wording,
        is_by_channel=values["multichannel"],
        has_speakers="diarize" in asked.config.stages,
        has_voice=values["voice"],
        has_sentiment=values["sentiment"],
        has_language=bool(detected),
        has_paragraphs=values["paragraphs"],
        utterance_pause_s=values["utt_split"] if values["utterances"] else None,
        tags=values["tag"],
        extra=dict(values["extra"]),
        callback=values["callback"] or "",
        callback_method=values["callback_method"],
    )


def _any_of(tags: list[Any], settings: GatewaySettings) -> str:
    """To be detected; of some tags only where the engine knows one of them."""
    named = [tag for tag in tags if tag is not True]
    if named and not any(tag.lower().split("-")[0] in settings.languages for tag in named):
        known = ", ".join(settings.languages)
        raise Refused("UNSUPPORTED_LANGUAGE", f"The engine in use knows {known} and none of the languages in 'detect_language'.")
    return "multi"
