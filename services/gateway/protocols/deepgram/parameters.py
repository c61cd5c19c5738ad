"""Every query parameter of the Deepgram-compatible calls, as data: code, page and tests read the same table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from services.gateway.access.credentials import QUERY_PARAMETER
from services.gateway.audio.decode import MAX_CHANNELS
from services.gateway.requests import parameters
from services.gateway.requests.parameters import Asked
from services.gateway.settings import GatewaySettings
from services.gateway.wording.wording import Wording
from voxrelay.errors import Refused

Standing = Literal["done", "accepted without effect", "refused"]
Reader = Callable[[str, str], Any]

MAX_CHARACTERS = 2048  # of one value
MAX_VALUES = 1000  # of one repeated parameter
MAX_PAUSE_MS = 5000
ENCODINGS = {  # theirs: ours
    "linear16": "linear16",
    "linear32": "float32",
    "mulaw": "mulaw",
    "alaw": "alaw",
    "flac": "flac",
    "ogg-opus": "ogg",
    "opus": "opus",
    "amr-nb": "amr-nb",
    "amr-wb": "amr-wb",
    "speex": "speex",
    "g729": "g729",
}
RAW_WITHOUT_A_RATE = ("linear16", "linear32")
TELEPHONE_RATE_HZ = 8000
REDACTIONS = ("pci", "numbers", "aggressive_numbers", "ssn")
NEVER = 0  # as endpointing
ENGLISH = "en"  # what is meant where no language is named, if the engine in use knows it; otherwise it detects


# --- how a value is read: (name, text) to the value, or Refused -------------------------------------------------------


def flag(name: str, text: str) -> bool:
    """SDKs send ``true`` and ``True``."""
    if text.lower() not in ("true", "false"):
        raise Refused("INVALID_PARAMETER", f"'{name}' must be true or false.")
    return text.lower() == "true"


def text(name: str, text: str) -> str:
    if len(text) > MAX_CHARACTERS:
        raise Refused("INVALID_PARAMETER", f"'{name}' must have at most {MAX_CHARACTERS} characters.")
    return text


def whole(least: int, most: int) -> Reader:
    def read(name: str, text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 10 and least <= int(text) <= most):
            raise Refused("INVALID_PARAMETER", f"'{name}' must be a whole number from {least} to {most}.")
        return int(text)

    return read


def one_of(*allowed: str) -> Reader:
    def read(name: str, text: str) -> str:
        if text not in allowed:
            raise Refused("INVALID_PARAMETER", f"'{name}' must be one of {', '.join(allowed)}.")
        return text

    return read


def only_off(because: str) -> Reader:
    """What no engine here does: ``false`` is let through, all else is refused."""

    def read(name: str, text: str) -> bool:
        if text.lower() != "false":
            raise Refused("NOT_SUPPORTED", f"'{name}' is not supported: {because}")
        return False

    return read


def nothing_but_files(name: str, text: str) -> bool:
    if text.lower() != "false":
        raise Refused("INVALID_PARAMETER", f"'{name}' is for files (POST /v1/listen), not for live audio.")
    return False


def _endpointing(name: str, text: str) -> int | None:
    if text.lower() == "true":
        return None
    return NEVER if text.lower() == "false" else int(whole(0, MAX_PAUSE_MS)(name, text))


def _encoding(name: str, text: str) -> str:
    if text not in ENCODINGS:
        raise Refused("UNSUPPORTED_ENCODING", f"'{name}' must be one of {', '.join(ENCODINGS)}; leave it out for audio in a container.")
    return text


def _redaction(name: str, text: str) -> tuple[str, ...]:
    asked = tuple(part for part in text.lower().split(",") if part != "false")
    for part in asked:
        if part not in (*REDACTIONS, "true"):
            raise Refused(
                "NOT_SUPPORTED", f"'{name}' can be true, false, {', '.join(REDACTIONS)}; '{part[:40]}' needs an engine that finds entities."
            )
    return tuple("numbers" if part == "true" else part for part in asked)


def _replacement(name: str, value: str) -> tuple[str, str]:
    heard, _, written = text(name, value).partition(":")
    if not heard.strip():
        raise Refused("INVALID_PARAMETER", f"'{name}' must be 'heard:written', or 'heard' to take it out.")
    return heard.strip(), written.strip()


def _extra(name: str, value: str) -> tuple[str, str]:
    key, colon, content = text(name, value).partition(":")
    if not (key and colon):
        raise Refused("INVALID_PARAMETER", f"'{name}' must be 'key:value'.")
    return key, content


def _keyword(name: str, value: str) -> str:
    """``term`` or ``term:intensifier``; a term to be heard less often is no vocabulary: empty."""
    term, colon, intensifier = text(name, value).rpartition(":")
    if not colon:
        return intensifier
    try:
        return term if float(intensifier) > 0 else ""
    except ValueError:
        raise Refused("INVALID_PARAMETER", f"'{name}' must be 'term' or 'term:number'.") from None


# --- the table --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Parameter:
    """``default`` is what holds where the client says nothing; ``says`` is the line of the page."""

    name: str
    read: Reader
    standing: Standing
    says: str
    default: Any = None
    is_list: bool = False  # repeated keys; else the key may be there once

    @property
    def line(self) -> str:
        """Its row in docs/protocols/deepgram.md."""
        default = "" if self.default in (None, ()) else f"`{str(self.default).lower() if isinstance(self.default, bool) else self.default}`"
        return f"| `{self.name}` | {default} | {self.standing} | {self.says}{'; may be repeated' if self.is_list else ''} |"


COMMON: tuple[Parameter, ...] = (
    Parameter("model", text, "done", "any name selects the engine in use; `model_info` names it"),
    Parameter("version", text, "accepted without effect", "there is one version of the engine in use"),
    Parameter("language", text, "done", "BCP 47 tag; `multi` has it detected; one that the engine does not know is refused; left out, it is English"),
    Parameter("encoding", _encoding, "done", "of raw audio; left out, the first bytes say which container it is; `linear32` is 32-bit float"),
    Parameter("sample_rate", whole(1, 10**6), "done", "of raw audio, 8000 to 48000; needed with `linear16` and `linear32`, otherwise 8000"),
    Parameter("channels", whole(1, MAX_CHANNELS), "done", f"of the audio, interleaved, 1 to {MAX_CHANNELS}", 1),
    Parameter("multichannel", flag, "done", "each channel on its own, as `channel_index` says; otherwise they are mixed", False),
    Parameter("punctuate", flag, "done", "punctuation and capitals", False),
    Parameter("smart_format", flag, "done", "punctuation, capitals and numerals", False),
    Parameter("numerals", flag, "done", "numbers in digits", False),
    Parameter("dictation", flag, "done", "spoken punctuation ('comma', 'new line') is written", False),
    Parameter("profanity_filter", flag, "done", "profanity is masked", False),
    Parameter("redact", _redaction, "done", "`pci`, `numbers`, `aggressive_numbers`, `ssn`; `true` is `numbers`; others: refused", (), is_list=True),
    Parameter("replace", _replacement, "done", "`heard:written`; `heard` takes it out", (), is_list=True),
    Parameter("search", text, "done", "where a term was said: `channel.search`", (), is_list=True),
    Parameter("keyterm", text, "done", "terms to prefer", (), is_list=True),
    Parameter("keywords", _keyword, "done", "terms to prefer; of an intensifier only the sign counts: negative ones are left out", (), is_list=True),
    Parameter("diarize", flag, "done", "`speaker` of every word, from 0 in the order they were first heard", False),
    Parameter("diarize_model", one_of("latest", "v1", "v2"), "done", "turns `diarize` on; the engine in use answers whatever is named"),
    Parameter("diarize_version", text, "accepted without effect", "older name of `diarize_model`; turns nothing on"),
    Parameter("detect_entities", only_off("install an engine that finds entities."), "refused", "no engine here finds entities"),
    Parameter("tag", text, "done", "comes back as `tags` of the metadata", (), is_list=True),
    Parameter("extra", _extra, "done", "`key:value`; comes back as `extra` of the metadata", (), is_list=True),
    Parameter("callback", text, "done", "an http or https address that gets what is answered"),
    Parameter("mip_opt_out", flag, "done", "nothing here trains on anybody's audio; with `true` the audio is not stored either", False),
    Parameter("filler_words", flag, "done", "'uh' and 'um' stay; they are left out otherwise", False),
    Parameter("tier", text, "accepted without effect", "older part of a model's name"),
    Parameter("alternatives", whole(1, 1), "accepted without effect", "one alternative is given; more are refused", 1),
    Parameter("voice", flag, "done", "ours: how it sounds, as `voice` of the alternative", False),
)

FOR_FILES = (
    "paragraphs",
    "utterances",
    "utt_split",
    "measurements",
    "detect_language",
    "summarize",
    "topics",
    "intents",
    "sentiment",
    "custom_topic",
    "custom_topic_mode",
    "custom_intent",
    "custom_intent_mode",
)

LIVE: tuple[Parameter, ...] = (
    *COMMON,
    Parameter("callback_method", one_of("POST", "PUT", "GET", "DELETE", "post", "put", "get", "delete"), "done", "of `callback`", "POST"),
    Parameter("language_hint", text, "accepted without effect", "the engine in use detects without hints", (), is_list=True),
    Parameter("interim_results", flag, "done", "results while somebody speaks", False),
    Parameter(
        "endpointing",
        _endpointing,
        "done",
        f"silence in ms that ends an utterance, up to {MAX_PAUSE_MS}; below 100 is 100, left out it is 500; `false`: no pause is `speech_final`",
    ),
    Parameter("utterance_end_ms", whole(100, 60_000), "done", "`UtteranceEnd` after a gap of so long between words; needs `interim_results`"),
    Parameter("vad_events", flag, "done", "`SpeechStarted`", False),
    Parameter("no_delay", flag, "accepted without effect", "nothing is held back for better formatting", False),
    *(Parameter(name, nothing_but_files, "refused", "is for files", False) for name in FOR_FILES),
)


# --- what was asked ---------------------------------------------------------------------------------------------------


def read(query: Iterable[tuple[str, str]], table: Sequence[Parameter]) -> dict[str, Any]:
    """Every parameter of the table by name, with its default where the client said nothing; lists are tuples.

    Raises ``Refused`` for one that is not in the table, has no such value, or comes twice and is no list.
    """
    rows = {row.name: row for row in table}
    values: dict[str, Any] = {row.name: row.default for row in table}
    given: set[str] = set()
    for name, said in query:
        if name == QUERY_PARAMETER:
            continue
        if name not in rows:
            raise Refused("INVALID_PARAMETER", f"There is no parameter '{name[:40]}'; there are {', '.join(rows)}.")
        row = rows[name]
        if name in given and not row.is_list:
            raise Refused("INVALID_PARAMETER", f"'{name}' must be given once.")
        given.add(name)
        value = row.read(name, text(name, said))
        if not row.is_list:
            values[name] = value
        elif len(values[name]) >= MAX_VALUES:
            raise Refused("INVALID_PARAMETER", f"'{name}' may be given {MAX_VALUES} times.")
        else:
            values[name] = (*values[name], value)
    if "redact" in rows:
        values["redact"] = tuple(dict.fromkeys(part for parts in values["redact"] for part in parts))
    return values


def wording_of(values: dict[str, Any]) -> Wording:
    return Wording(
        punctuate=values["punctuate"],
        smart_format=values["smart_format"],
        numerals=values["numerals"],
        dictation=values["dictation"],
        profanity_filter=values["profanity_filter"],
        filler_words=values["filler_words"],
        redact=values["redact"],
        replace=values["replace"],
        search=values["search"],
    )


def asked_of(values: dict[str, Any], settings: GatewaySettings) -> Asked:
    """The session and the audio behind the parameters that all calls share. Raises ``Refused``."""
    encoding = values["encoding"]
    native: dict[str, Any] = {
        "encoding": ENCODINGS[encoding] if encoding else "auto",
        "language": values["language"] or (ENGLISH if ENGLISH in settings.languages else ""),
        "custom_vocabulary": [term for term in (*values["keyterm"], *values["keywords"]) if term],
        "diarize": bool(values["diarize"] or values["diarize_model"]),
        "attributes": values["voice"],
        "keep_audio": not values["mip_opt_out"],
        "channels": values["channels"],
        "interim_results": False,
    }
    if encoding in RAW_WITHOUT_A_RATE and values["sample_rate"] is None:
        raise Refused("INVALID_PARAMETER", f"'sample_rate' is needed with encoding={encoding}.")
    if encoding:
        native["sample_rate"] = values["sample_rate"] or TELEPHONE_RATE_HZ
    return parameters.apply(Asked(), native, settings)


@dataclass(frozen=True, slots=True)
class Live:
    """One live call's wishes."""

    asked: Asked
    wording: Wording
    channels: int  # heard each on its own
    keywords: tuple[str, ...]  # those that Configure does not replace
    has_interims: bool
    has_speech_started: bool
    has_speakers: bool
    has_voice: bool
    has_languages: bool
    is_endpointed: bool  # a pause is the end of what was being said
    utterance_end_s: float | None
    tags: tuple[str, ...]
    extra: dict[str, str]
    callback: str
    callback_method: str


def live_of(query: Iterable[tuple[str, str]], settings: GatewaySettings) -> Live:
    """Raises ``Refused`` naming the parameter and what it may be."""
    values = read(query, LIVE)
    if values["utterance_end_ms"] is not None and not values["interim_results"]:
        raise Refused("INVALID_PARAMETER", "'utterance_end_ms' needs interim_results=true.")
    asked = asked_of(values, settings)
    asked = parameters.apply(asked, {"interim_results": values["interim_results"], "pause_ms": values["endpointing"] or 0}, settings)
    return Live(
        asked=asked,
        wording=wording_of(values),
        channels=values["channels"] if values["multichannel"] else 1,
        keywords=tuple(term for term in values["keywords"] if term),
        has_interims=values["interim_results"],
        has_speech_started=values["vad_events"],
        has_speakers="diarize" in asked.config.stages,
        has_voice=values["voice"],
        has_languages=(values["language"] or "").lower() == "multi",
        is_endpointed=values["endpointing"] != NEVER,
        utterance_end_s=values["utterance_end_ms"] / 1000 if values["utterance_end_ms"] is not None else None,
        tags=values["tag"],
        extra=dict(values["extra"]),
        callback=values["callback"] or "",
        callback_method=values["callback_method"].upper(),
    )
