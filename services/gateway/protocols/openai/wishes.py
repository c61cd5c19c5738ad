"""What a client wants of a realtime transcription session: ``session.update`` checked, and told back as it is in force. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from services.gateway.protocols.openai.form import apply, choice, number, spoken_languages, terms_of_prompt
from services.gateway.protocols.openai.refusal import RefusedParameter
from services.gateway.requests.parameters import Asked
from services.gateway.settings import GatewaySettings
from voxrelay.events import SessionConfig

LOGPROBS = "item.input_audio_transcription.logprobs"
FORMATS = {"audio/pcm": ("linear16", 24_000), "audio/pcmu": ("mulaw", 8_000), "audio/pcma": ("alaw", 8_000)}
FORMATS_BEFORE_GA = {"pcm16": "audio/pcm", "g711_ulaw": "audio/pcmu", "g711_alaw": "audio/pcma"}
AGREEING = {"minimal": 2, "low": 3, "medium": 4, "high": 6, "xhigh": 8}  # by delay: hypotheses running in which a word must stand
ONLY_FINALS = 0  # without a delay: an engine takes back even what has stood for seconds
PAUSE_MS = {"low": 1500, "medium": 800, "auto": 800, "high": 400}  # by eagerness
DEFAULT_PAUSE_MS = 500
SHORTEST_IDLE_MS, LONGEST_IDLE_MS = 1_000, 600_000
MOST_PAUSE_MS = 5_000

SESSION = ("type", "include", "audio")
INPUT = ("format", "noise_reduction", "transcription", "turn_detection")
TRANSCRIPTION = ("model", "language", "languages", "prompt", "keywords", "delay")
SERVER_VAD = ("type", "threshold", "prefix_padding_ms", "silence_duration_ms", "idle_timeout_ms", "create_response", "interrupt_response")
SEMANTIC_VAD = ("type", "eagerness", "create_response", "interrupt_response")
NOISE_REDUCTION = ("type", "strength")
BEFORE_GA = ("input_audio_format", "input_audio_noise_reduction", "input_audio_transcription", "turn_detection", "include", "modalities")


def _first() -> Asked:
    encoding, rate_hz = FORMATS["audio/pcm"]
    config = SessionConfig(sample_rate_hz=rate_hz, stages=("denoise", "transcribe"))
    return Asked(config, encoding, is_encoding_given=True)


@dataclass(frozen=True, slots=True)
class RealtimeWishes:
    """``shown`` holds each part of ``audio.input`` as it is told back; ``asked`` is what comes of them all."""

    asked: Asked = field(default_factory=_first)
    shown: Mapping[str, Any] = field(
        default_factory=lambda: {
            "format": {"type": "audio/pcm", "rate": 24_000},
            "transcription": {},
            "turn_detection": {"type": "server_vad", "silence_duration_ms": DEFAULT_PAUSE_MS},
        }
    )
    is_detecting: bool = True
    idle_timeout_ms: int = 0  # 0: none
    agreeing: int = ONLY_FINALS
    has_logprobs: bool = False
    has_segments: bool = False

    def session(self, session_id: str) -> dict[str, Any]:
        """The session object of answers and events."""
        return {
            "id": f"sess_{session_id}",
            "object": "realtime.transcription_session",
            "type": "transcription",
            "include": [LOGPROBS] if self.has_logprobs else [],
            "audio": {"input": dict(self.shown)},
        }

    def session_before_ga(self, session_id: str) -> dict[str, Any]:
        names = {kind: name for name, kind in FORMATS_BEFORE_GA.items()}
        return {
            "id": f"sess_{session_id}",
            "object": "realtime.transcription_session",
            "include": [LOGPROBS] if self.has_logprobs else [],
            "input_audio_format": names[self.shown["format"]["type"]],
            "input_audio_noise_reduction": self.shown.get("noise_reduction"),
            "input_audio_transcription": self.shown["transcription"],
            "turn_detection": self.shown["turn_detection"],
        }


def updated(wishes: RealtimeWishes, changes: Any, settings: GatewaySettings) -> RealtimeWishes:
    """``wishes`` with the session object of a client; what it leaves out stays. Raises ``Refused`` naming the field by its path."""
    session = _object("session", changes, SESSION)
    choice("session.type", session.get("type", "transcription"), ("transcription",))
    if "include" in session:
        included = _texts("session.include", session["include"])
        for item in included:
            choice("session.include", item, (LOGPROBS,))
        wishes = replace(wishes, has_logprobs=bool(included))
    parts = _object("session.audio", session.get("audio") or {}, ("input",)).get("input") or {}
    for name, value in _object("session.audio.input", parts, INPUT).items():
        wishes = _PARTS[name](wishes, f"session.audio.input.{name}", value, settings)
    return wishes


def of_before_ga(changes: Any) -> dict[str, Any]:
    """The session object of ``transcription_session.update`` in today's shape. Raises ``Refused``."""
    before = _object("session", changes, BEFORE_GA)
    audio = {
        name: before[old]
        for old, name in (
            ("input_audio_noise_reduction", "noise_reduction"),
            ("input_audio_transcription", "transcription"),
            ("turn_detection", "turn_detection"),
        )
        if old in before
    }
    if "input_audio_format" in before:
        name = choice("session.input_audio_format", before["input_audio_format"], tuple(FORMATS_BEFORE_GA))
        audio["format"] = {"type": FORMATS_BEFORE_GA[name]}
    included = {"include": before["include"] or []} if "include" in before else {}
    return {"type": "transcription", "audio": {"input": audio}, **included}


# --- the parts of audio.input ---------------------------------------------------------------------------------------------------


def _format(wishes: RealtimeWishes, path: str, value: Any, _settings: GatewaySettings) -> RealtimeWishes:
    given = _object(path, value, ("type", "rate"))
    kind = choice(f"{path}.type", given.get("type", "audio/pcm"), tuple(FORMATS))
    encoding, rate_hz = FORMATS[kind]
    if given.get("rate", rate_hz) != rate_hz:
        raise RefusedParameter(f"{path}.rate", f"'{path}.rate' of {kind} is {rate_hz}.", "UNSUPPORTED_SAMPLE_RATE")
    asked = Asked(replace(wishes.asked.config, sample_rate_hz=rate_hz), encoding, is_encoding_given=True)
    shown = {"type": kind, "rate": rate_hz} if kind == "audio/pcm" else {"type": kind}
    return replace(wishes, asked=asked, shown={**wishes.shown, "format": shown})


def _noise_reduction(wishes: RealtimeWishes, path: str, value: Any, _settings: GatewaySettings) -> RealtimeWishes:
    """Null: off. Near or far: as far as recognition gains, or with the strength given."""
    if value is None:
        return _configured(wishes, "noise_reduction", None, noise_suppression=0.0)
    given = _object(path, value, NOISE_REDUCTION)
    kind = choice(f"{path}.type", given.get("type"), ("near_field", "far_field"))
    if given.get("strength") is None:
        return _configured(wishes, "noise_reduction", {"type": kind}, noise_suppression=-1.0)
    strength = number(f"{path}.strength", given["strength"], 0, 1)
    return _configured(wishes, "noise_reduction", {"type": kind, "strength": strength}, noise_suppression=strength)


def _transcription(wishes: RealtimeWishes, path: str, value: Any, settings: GatewaySettings) -> RealtimeWishes:
    given = {name: item for name, item in _object(path, value or {}, TRANSCRIPTION).items() if item is not None}
    model = _text(f"{path}.model", given.get("model", ""))
    is_diarized = model.endswith("-diarize")
    asked = apply(wishes.asked, f"{path}.model", "diarize", is_diarized, settings)
    asked = apply(asked, f"{path}.language", "language", _text(f"{path}.language", given.get("language", "")), settings)
    if given.get("languages") and not asked.config.language:
        asked = spoken_languages(asked, f"{path}.languages", _texts(f"{path}.languages", given["languages"]), settings)
    terms = _texts(f"{path}.keywords", given.get("keywords", []))
    asked = apply(asked, f"{path}.keywords", "custom_vocabulary", terms, settings)
    terms = [*terms, *terms_of_prompt(_text(f"{path}.prompt", given.get("prompt", "")))]
    asked = apply(asked, f"{path}.prompt", "custom_vocabulary", terms, settings)
    agreeing = AGREEING[choice(f"{path}.delay", given["delay"], tuple(AGREEING))] if "delay" in given else ONLY_FINALS
    return replace(wishes, asked=asked, shown={**wishes.shown, "transcription": given}, agreeing=agreeing, has_segments=is_diarized)


def _turn_detection(wishes: RealtimeWishes, path: str, value: Any, _settings: GatewaySettings) -> RealtimeWishes:
    """What the detector has of its own, and what only concerns responses, is checked and not told back."""
    if value is None:
        return replace(_configured(wishes, "turn_detection", None, pause_ms=0), is_detecting=False, idle_timeout_ms=0)
    kind = value.get("type") if isinstance(value, dict) else None
    given = _object(path, value, SEMANTIC_VAD if kind == "semantic_vad" else SERVER_VAD)
    choice(f"{path}.type", kind, ("server_vad", "semantic_vad"))
    for name in ("create_response", "interrupt_response"):
        if not isinstance(given.get(name, False), bool):
            raise RefusedParameter(f"{path}.{name}", f"'{path}.{name}' must be true or false.")
    if kind == "semantic_vad":
        eagerness = choice(f"{path}.eagerness", given.get("eagerness") or "auto", tuple(PAUSE_MS))
        shown: dict[str, Any] = {"type": kind, "eagerness": eagerness}
        return replace(_configured(wishes, "turn_detection", shown, pause_ms=PAUSE_MS[eagerness]), is_detecting=True, idle_timeout_ms=0)
    number(f"{path}.threshold", _or(given.get("threshold"), 0.5), 0, 1)
    number(f"{path}.prefix_padding_ms", _or(given.get("prefix_padding_ms"), 300), 0, 5000)
    pause_ms = int(number(f"{path}.silence_duration_ms", _or(given.get("silence_duration_ms"), DEFAULT_PAUSE_MS), 1, MOST_PAUSE_MS))
    idle_ms = 0
    if given.get("idle_timeout_ms") is not None:
        idle_ms = int(number(f"{path}.idle_timeout_ms", given["idle_timeout_ms"], SHORTEST_IDLE_MS, LONGEST_IDLE_MS))
    shown = {"type": kind, "silence_duration_ms": pause_ms} | ({"idle_timeout_ms": idle_ms} if idle_ms else {})
    return replace(_configured(wishes, "turn_detection", shown, pause_ms=pause_ms), is_detecting=True, idle_timeout_ms=idle_ms)


_PARTS = {"format": _format, "noise_reduction": _noise_reduction, "transcription": _transcription, "turn_detection": _turn_detection}


def _configured(wishes: RealtimeWishes, part: str, shown: dict[str, Any] | None, **changes: Any) -> RealtimeWishes:
    asked = replace(wishes.asked, config=replace(wishes.asked.config, **changes))
    return replace(wishes, asked=asked, shown={**wishes.shown, part: shown})


# --- checks -----------------------------------------------------------------------------------------------------------------------


def _object(path: str, value: Any, known: Sequence[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RefusedParameter(path, f"'{path}' must be an object.")
    for name in value:
        if name not in known:
            shown = f"{path}.{str(name)[:40]}"
            raise RefusedParameter(shown, f"Unknown parameter: '{shown}'; there are {', '.join(known)}.")
    return value


def _text(path: str, value: Any) -> str:
    if not isinstance(value, str):
        raise RefusedParameter(path, f"'{path}' must be a text.")
    return value


def _texts(path: str, value: Any) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise RefusedParameter(path, f"'{path}' must be a list of texts.")
    return value


def _or(value: Any, default: float) -> Any:
    return default if value is None else value
