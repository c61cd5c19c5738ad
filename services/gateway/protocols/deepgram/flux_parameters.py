"""The query parameters and the Configure message of WebSocket /v2/listen (Flux); one table for code, page and tests."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from services.gateway.protocols.deepgram.parameters import COMMON, Parameter, Reader, asked_of, flag, one_of, read, text, whole, wording_of
from services.gateway.protocols.deepgram.turns import Thresholds
from services.gateway.requests import parameters as native
from services.gateway.requests.parameters import Asked
from services.gateway.settings import GatewaySettings
from services.gateway.wording.wording import Wording
from voxrelay.errors import Refused

MULTILINGUAL = "flux-general-multi"
TIMEOUT_MS = whole(500, 60_000)


def _share(least: float, most: float) -> Reader:
    def read_share(name: str, said: str) -> float:
        try:
            value = float(said)
        except ValueError:
            value = -1.0
        if not least <= value <= most:
            raise Refused("INVALID_PARAMETER", f"'{name}' must be a number from {least:g} to {most:g}.")
        return value

    return read_share


END, EAGER = _share(0.5, 1.0), _share(0.3, 0.9)


def _redaction(name: str, said: str) -> tuple[str, ...]:
    return (one_of("numbers", "aggressive_numbers")(name, said),)


FLUX: tuple[Parameter, ...] = (
    Parameter("model", text, "done", f"any name selects the engine in use; `{MULTILINGUAL}` has the language detected", "flux-general-en"),
    Parameter(
        "encoding",
        one_of("linear16", "linear32", "mulaw", "alaw", "opus", "ogg-opus"),
        "done",
        "of raw audio; left out, the first bytes say which container it is",
    ),
    Parameter("sample_rate", whole(1, 10**6), "done", "of raw audio, 8000 to 48000"),
    Parameter("eot_threshold", END, "done", "0.5 to 1: the confidence that ends a turn, as a silence; 1 leaves it to `eot_timeout_ms`", 0.7),
    Parameter("eager_eot_threshold", EAGER, "done", "0.3 to 0.9: the same for `EagerEndOfTurn`; left out, there are none"),
    Parameter("eot_timeout_ms", TIMEOUT_MS, "done", "500 to 60000: the silence that ends a turn whatever the confidence", 5000),
    Parameter("keyterm", text, "done", "terms to prefer", (), is_list=True),
    Parameter("language_hint", text, "accepted without effect", "the engine in use detects without hints", (), is_list=True),
    Parameter("numerals", flag, "done", "numbers in digits", False),
    Parameter("profanity_filter", flag, "done", "profanity is masked", False),
    Parameter("redact", _redaction, "done", "`numbers`, `aggressive_numbers`", (), is_list=True),
    Parameter("mip_opt_out", flag, "done", "nothing here trains on anybody's audio; with `true` the audio is not stored either", False),
    Parameter("tag", text, "accepted without effect", "Flux's messages have no place for it", (), is_list=True),
)


@dataclass(frozen=True, slots=True)
class Flux:
    """One stream's wishes."""

    asked: Asked
    wording: Wording
    thresholds: Thresholds
    language_hints: tuple[str, ...]


def flux_of(query: Iterable[tuple[str, str]], settings: GatewaySettings) -> Flux:
    """Raises ``Refused`` naming the parameter and what it may be."""
    values = read(query, FLUX)
    language = "multi" if values["model"] == MULTILINGUAL else None
    shared = {row.name: row.default for row in COMMON} | values | {"language": language}
    thresholds = checked(Thresholds(values["eot_threshold"], values["eager_eot_threshold"], values["eot_timeout_ms"]))
    asked = native.apply(asked_of(shared, settings), {"interim_results": True, "pause_ms": pause_ms(thresholds)}, settings)
    return Flux(asked, replace(wording_of(shared), punctuate=True), thresholds, values["language_hint"])


def checked(thresholds: Thresholds) -> Thresholds:
    if thresholds.eager is not None and thresholds.eager > thresholds.end:
        raise Refused("INVALID_PARAMETER", "'eager_eot_threshold' must not be above eot_threshold.")
    return thresholds


def pause_ms(thresholds: Thresholds) -> int:
    return round(thresholds.pause_s * 1000)


@dataclass(frozen=True, slots=True)
class Change:
    """A Configure message, checked; None is what it leaves as it was."""

    thresholds: Thresholds
    keyterms: tuple[str, ...] | None
    language_hints: tuple[str, ...] | None
    numerals: bool | None


def change_of(message: dict[str, Any], before: Thresholds, settings: GatewaySettings) -> Change:
    """Raises ``Refused`` naming the field and what it may be."""
    unknown = set(message) - {"type", "thresholds", "keyterms", "language_hints", "numerals"}
    if unknown:
        raise Refused("INVALID_PARAMETER", f"Configure has no field '{min(unknown)[:40]}'.")
    given = message.get("thresholds")
    given = {} if given is None else given
    readers: dict[str, tuple[str, Reader]] = {
        "eot_threshold": ("end", END),
        "eager_eot_threshold": ("eager", EAGER),
        "eot_timeout_ms": ("timeout_ms", TIMEOUT_MS),
    }
    if not isinstance(given, dict) or set(given) - set(readers):
        raise Refused("INVALID_PARAMETER", f"'thresholds' must be an object of {', '.join(readers)}.")
    changes = {field: reader(name, str(given[name])) for name, (field, reader) in readers.items() if given.get(name) is not None}
    numerals = message.get("numerals")
    if numerals is not None and not isinstance(numerals, bool):
        raise Refused("INVALID_PARAMETER", "'numerals' must be true or false.")
    keyterms = _texts("keyterms", message.get("keyterms"))
    if keyterms is not None:  # the limits of any vocabulary
        native.apply(Asked(), {"custom_vocabulary": list(keyterms)}, settings)
    return Change(checked(replace(before, **changes)), keyterms, _texts("language_hints", message.get("language_hints")), numerals)


def _texts(name: str, value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
        raise Refused("INVALID_PARAMETER", f"'{name}' must be a list of texts.")
    return tuple(listed)
