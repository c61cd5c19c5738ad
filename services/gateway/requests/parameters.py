"""What clients may ask for, checked: query parameters and configure messages become a ``SessionConfig``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from services.gateway.audio.decode import ENCODINGS, MAX_CHANNELS, check_rate
from services.gateway.audio.packets import check_channels
from services.gateway.settings import GatewaySettings
from voxrelay.attributes import BY_NAME
from voxrelay.errors import Refused
from voxrelay.events import SessionConfig

FLAGS = {"true": True, "1": True, "false": False, "0": False}
NAMES = (
    "language",
    "model",
    "interim_results",
    "vad_enabled",
    "custom_vocabulary",
    "diarize",
    "attributes",
    "translate_to",
    "num_speakers",
    "noise_suppression",
    "pause_ms",
    "keep_audio",
    "encoding",
    "sample_rate",
    "channels",
)
MAX_TERM_CHARACTERS = 100
DETECTED = ("", "auto", "multi")


@dataclass(frozen=True, slots=True)
class Asked:
    """A client's wishes: the session's configuration and how the audio is encoded."""

    config: SessionConfig = field(default_factory=SessionConfig)
    encoding: str = "linear16"
    is_encoding_given: bool = False


def apply(asked: Asked, values: Mapping[str, Any], settings: GatewaySettings) -> Asked:
    """``asked`` with these changes; values may be JSON values or the strings of a query.

    Raises ``Refused`` naming the field, what it may be, and every field there is where it is unknown.
    """
    changes: dict[str, Any] = {}
    encoding, is_given = asked.encoding, asked.is_encoding_given
    stages = set(asked.config.stages)
    for name, value in values.items():
        if name == "encoding":
            encoding, is_given = _choice(name, value, ENCODINGS, "UNSUPPORTED_ENCODING"), True
        elif name == "sample_rate":
            changes["sample_rate_hz"] = _integer(name, value, 1, 10**6)
            check_rate(changes["sample_rate_hz"])
        elif name == "channels":
            changes["channels"] = _integer(name, value, 1, MAX_CHANNELS)
        elif name == "diarize":
            stages = _with(stages, "diarize", _flag(name, value))
        elif name == "attributes":
            changes["attributes"], stages = _attributes(value, stages)
        elif name == "custom_vocabulary":
            changes[name] = _terms(value, settings.max_vocabulary_terms)
        elif name == "language":
            changes[name] = _language(value, settings.languages)
        elif name == "translate_to":
            if _text(name, value):
                raise Refused("NO_TRANSLATION", "No engine here translates; install one that does (faster-whisper) or leave translate_to out.")
        elif name == "model":
            changes[name] = _text(name, value)
        elif name in ("interim_results", "vad_enabled", "keep_audio"):
            changes[name] = _flag(name, value)
        elif name == "num_speakers":
            changes[name] = _integer(name, value, 0, 50)
        elif name == "pause_ms":
            changes[name] = _integer(name, value, 0, 5000)
        elif name == "noise_suppression":
            changes[name] = _share(name, value)
        else:
            raise Refused("INVALID_PARAMETER", f"There is no parameter '{str(name)[:40]}'; there are {', '.join(NAMES)}.")
    check_channels(encoding, changes.get("channels", asked.config.channels))
    ordered = tuple(stage for stage in ("denoise", "diarize", "transcribe", "classify") if stage in stages)
    return Asked(replace(asked.config, stages=ordered, **changes), encoding, is_given)


def _refuse(name: str, expected: str) -> Refused:
    return Refused("INVALID_PARAMETER", f"'{name}' must be {expected}.")


def _with(stages: set[str], stage: str, is_wanted: bool) -> set[str]:
    return stages | {stage} if is_wanted else stages - {stage}


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or len(value) > MAX_TERM_CHARACTERS:
        raise _refuse(name, f"a text of at most {MAX_TERM_CHARACTERS} characters")
    return value


def _flag(name: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in FLAGS:
        return FLAGS[value.lower()]
    raise _refuse(name, "true or false")


def _integer(name: str, value: Any, least: int, most: int) -> int:
    try:
        number = int(value) if isinstance(value, int | str) and not isinstance(value, bool) else None
    except ValueError:
        number = None
    if number is None or not least <= number <= most:
        raise _refuse(name, f"a whole number from {least} to {most}")
    return number


def _share(name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = -1.0
    if not 0.0 <= number <= 1.0:
        raise _refuse(name, "a number from 0 to 1")
    return number


def _choice(name: str, value: Any, allowed: tuple[str, ...], code: str) -> str:
    if value not in allowed:
        raise Refused(code, f"'{name}' must be one of {', '.join(allowed)}.")
    return str(value)


def _attributes(value: Any, stages: set[str]) -> tuple[tuple[str, ...], set[str]]:
    """A flag for all or none, or the names that are wanted."""
    if isinstance(value, bool) or (isinstance(value, str) and value.lower() in FLAGS):
        return (), _with(stages, "classify", _flag("attributes", value))
    names = _terms(value, 100)
    unknown = [name for name in names if name not in BY_NAME]
    if unknown:
        raise _refuse("attributes", f"true, false, or names out of {', '.join(BY_NAME)}")
    return names, stages | {"classify"}


def _terms(value: Any, most: int) -> tuple[str, ...]:
    listed = value.split(",") if isinstance(value, str) else value
    if not isinstance(listed, list) or not all(isinstance(term, str) and len(term) <= MAX_TERM_CHARACTERS for term in listed):
        raise _refuse("custom_vocabulary", f"a list of terms of at most {MAX_TERM_CHARACTERS} characters each")
    terms = tuple(dict.fromkeys(term.strip() for term in listed if term.strip()))
    if len(terms) > most:
        raise _refuse("custom_vocabulary", f"at most {most} terms")
    return terms


def _language(value: Any, known: tuple[str, ...]) -> str:
    tag = _text("language", value)
    if tag.lower() in DETECTED:
        return ""
    if tag.lower().split("-")[0] not in known:
        languages = ", ".join(known)
        raise Refused("UNSUPPORTED_LANGUAGE", f"The engine in use knows {languages}; leave language out or install an engine that knows more.")
    return tag
