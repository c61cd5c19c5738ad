"""The form of a transcription: every field there is, what becomes of it, and a session's wishes made of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from services.gateway.protocols.openai.refusal import RefusedParameter
from services.gateway.requests import parameters
from services.gateway.requests.parameters import MAX_TERM_CHARACTERS, Asked
from services.gateway.settings import GatewaySettings
from voxrelay.errors import Refused

FORMATS = ("json", "text", "srt", "verbose_json", "vtt", "diarized_json")
STREAMED_FORMATS = ("json", "text", "diarized_json")
TRANSLATION_FORMATS = ("json", "text", "srt", "verbose_json", "vtt")
GRANULARITIES = ("word", "segment")
MOST_TERM_WORDS = 4  # of a piece of a prompt: a longer one makes it running text

SINGLE = (
    "model",
    "language",
    "prompt",
    "response_format",
    "temperature",
    "stream",
    "chunking_strategy",
    "chunking_strategy[type]",
    "chunking_strategy[silence_duration_ms]",
    "chunking_strategy[threshold]",
    "chunking_strategy[prefix_padding_ms]",
)
LISTS = ("timestamp_granularities[]", "include[]", "keywords[]", "languages[]", "known_speaker_names[]", "known_speaker_references[]")
OF_TRANSLATIONS = ("model", "prompt", "response_format", "temperature")


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a transcription's answer shall be, and what its session is asked for."""

    asked: Asked = field(default_factory=Asked)
    response_format: str = "json"
    is_streamed: bool = False
    granularities: frozenset[str] = frozenset({"segment"})
    wants_logprobs: bool = False


def terms_of_prompt(prompt: str) -> tuple[str, ...]:
    """The terms of a prompt that is a list of them ("Zyntrix, Digique Plus"); none for running text, which guides models of language alone."""
    pieces = [piece.strip().rstrip(".") for piece in re.split(r"[,;\n]", prompt)]
    terms = tuple(piece for piece in pieces if piece)
    is_list = all(len(term.split()) <= MOST_TERM_WORDS and len(term) <= MAX_TERM_CHARACTERS for term in terms)
    return terms if is_list else ()


def apply(asked: Asked, param: str, name: str, value: Any, settings: GatewaySettings) -> Asked:
    """``parameters.apply`` with one of ours; a refusal names OpenAI's field ``param``."""
    try:
        return parameters.apply(asked, {name: value}, settings)
    except Refused as refused:
        raise RefusedParameter(param, f"{param}: {refused.message}", refused.code) from None


def number(param: str, value: Any, least: float, most: float) -> float:
    try:
        found = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else float("nan")
    except ValueError:
        found = float("nan")
    if not least <= found <= most:
        raise RefusedParameter(param, f"'{param}' must be a number from {least:g} to {most:g}.")
    return found


def choice(param: str, value: Any, allowed: Sequence[str]) -> str:
    if value not in allowed:
        raise RefusedParameter(param, f"'{param}' must be one of {', '.join(allowed)}.")
    return str(value)


def spoken_languages(asked: Asked, param: str, languages: Sequence[str], settings: GatewaySettings) -> Asked:
    """Possible languages: the one of them that is known here; detection among several. Raises ``Refused`` when none is known."""
    known = []
    refusal: Refused | None = None
    for language in languages:
        try:
            known.append(apply(asked, param, "language", language, settings))
        except Refused as refused:
            refusal = refused
    if not known and refusal is not None:
        raise refusal
    return known[0] if len(known) == 1 else asked


def wishes(pairs: Sequence[tuple[str, str]], settings: GatewaySettings) -> Wishes:
    """Raises ``RefusedParameter`` for a field that is unknown, comes twice, or cannot be served."""
    single, lists = _sorted(pairs, SINGLE, LISTS)
    for name in ("known_speaker_names[]", "known_speaker_references[]"):
        if lists[name]:
            message = "Speakers are told apart and lettered A, B, …; the engines in use know nobody by name. Leave the known speakers out."
            raise RefusedParameter(name, message, "NOT_SUPPORTED")
    response_format = choice("response_format", single.get("response_format", "json"), FORMATS)
    is_streamed = choice("stream", single.get("stream", "false").lower(), ("true", "false")) == "true"
    if is_streamed and response_format not in STREAMED_FORMATS:
        raise RefusedParameter("response_format", f"With stream=true it must be one of {', '.join(STREAMED_FORMATS)}.")
    return Wishes(
        _asked(single, lists, response_format, settings),
        response_format,
        is_streamed,
        _granularities(lists["timestamp_granularities[]"], response_format),
        _logprobs(lists["include[]"], response_format),
    )


def check_translation(pairs: Sequence[tuple[str, str]]) -> None:
    """Raises ``RefusedParameter`` for what a translation could not have."""
    single, _ = _sorted(pairs, OF_TRANSLATIONS, ())
    choice("response_format", single.get("response_format", "json"), TRANSLATION_FORMATS)
    _check_temperature(single)


def _sorted(pairs: Sequence[tuple[str, str]], of_one: Sequence[str], of_many: Sequence[str]) -> tuple[dict[str, str], dict[str, list[str]]]:
    single: dict[str, str] = {}
    lists: dict[str, list[str]] = {name: [] for name in of_many}
    for name, value in pairs:
        if name in lists or f"{name}[]" in lists:
            lists[name if name in lists else f"{name}[]"].append(value)
        elif name not in of_one:
            shown = name[:60]
            known = ", ".join(("file", *of_one, *of_many))
            raise RefusedParameter(shown, f"Unknown parameter: '{shown}'; there are {known}. The file needs a file name.", "INVALID_PARAMETER")
        elif name in single:
            raise RefusedParameter(name, f"'{name}' was given twice.")
        else:
            single[name] = value
    return single, lists


def _asked(single: dict[str, str], lists: dict[str, list[str]], response_format: str, settings: GatewaySettings) -> Asked:
    is_diarized = response_format == "diarized_json"
    asked = parameters.apply(Asked(), {"diarize": is_diarized, "attributes": False}, settings)
    if single.get("language"):
        asked = apply(asked, "language", "language", single["language"], settings)
    elif lists["languages[]"]:
        asked = spoken_languages(asked, "languages[]", lists["languages[]"], settings)
    asked = apply(asked, "keywords[]", "custom_vocabulary", lists["keywords[]"], settings)
    terms = list(asked.config.custom_vocabulary) + list(terms_of_prompt(single.get("prompt", "")))
    asked = apply(asked, "prompt", "custom_vocabulary", terms, settings)
    _check_temperature(single)
    pause_ms = _pause_ms(single)
    return replace(asked, config=replace(asked.config, pause_ms=pause_ms)) if pause_ms else asked


def _check_temperature(single: dict[str, str]) -> None:
    if single.get("temperature"):
        number("temperature", single["temperature"], 0, 1)  # the engine is deterministic: nothing comes of it


def _pause_ms(single: dict[str, str]) -> int:
    """The chunking strategy's pause; 0 for the platform's own. Files are always cut at pauses; the detector's own settings stay."""
    strategy = single.get("chunking_strategy") or "auto"
    choice("chunking_strategy", strategy, ("auto",))
    parts = [name for name in single if name.startswith("chunking_strategy[")]
    if not parts:
        return 0
    if "chunking_strategy" in single:
        raise RefusedParameter("chunking_strategy", "'chunking_strategy' is either auto or an object, not both.")
    choice("chunking_strategy[type]", single.get("chunking_strategy[type]", ""), ("server_vad",))
    number("chunking_strategy[threshold]", single.get("chunking_strategy[threshold]", 0.5), 0, 1)
    number("chunking_strategy[prefix_padding_ms]", single.get("chunking_strategy[prefix_padding_ms]", 300), 0, 5000)
    return int(number("chunking_strategy[silence_duration_ms]", single.get("chunking_strategy[silence_duration_ms]", 0), 0, 5000))


def _granularities(listed: list[str], response_format: str) -> frozenset[str]:
    for granularity in listed:
        choice("timestamp_granularities[]", granularity, GRANULARITIES)
    if listed and response_format != "verbose_json":
        raise RefusedParameter("timestamp_granularities[]", "Times need response_format verbose_json.")
    return frozenset(listed or ("segment",))


def _logprobs(listed: list[str], response_format: str) -> bool:
    for item in listed:
        choice("include[]", item, ("logprobs",))
    if listed and response_format != "json":
        raise RefusedParameter("include[]", "logprobs need response_format json.")
    return bool(listed)
