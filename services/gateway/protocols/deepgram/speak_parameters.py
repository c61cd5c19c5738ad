"""Every query parameter of Deepgram's POST and WebSocket /v1/speak, as data, and what they mean together."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from services.gateway.audio.encode import Sound
from services.gateway.protocols.deepgram.parameters import Parameter, flag, one_of, read, text
from services.gateway.speech.voices import USUAL_DEEPGRAM_MODEL, of_deepgram
from voxrelay.errors import Refused
from voxrelay.events import SynthesisRequested

LEAST_SPEED, MOST_SPEED = 0.25, 4.0
MODELS = uuid.UUID("6f1c4be2-53a7-4c36-9f0e-3c1f0b1f4a55")  # the namespace of our voices' UUIDs


@dataclass(frozen=True, slots=True)
class Format:
    """``containers`` and ``rates_hz`` begin with what holds when nothing is said; ``bit_rates`` is least, most, usual."""

    containers: tuple[str, ...]
    rates_hz: tuple[int, ...]
    bit_rates: tuple[int, int, int] | None = None


FORMATS = {
    "linear16": Format(("wav", "none"), (24_000, 8_000, 16_000, 32_000, 48_000)),
    "mulaw": Format(("wav", "none"), (8_000, 16_000)),
    "alaw": Format(("wav", "none"), (8_000, 16_000)),
    "mp3": Format(("none",), (22_050,), (32_000, 48_000, 48_000)),
    "opus": Format(("ogg",), (48_000,), (4_000, 256_000, 12_000)),
    "flac": Format(("none",), (22_050, 8_000, 16_000, 32_000, 48_000)),
    "aac": Format(("none",), (22_050,), (4_000, 192_000, 48_000)),
}
LIVE_ENCODINGS = ("linear16", "mulaw", "alaw")


def _whole(name: str, value: str) -> int:
    """SDKs send whole numbers as floats too."""
    number = _number(name, value)
    if number != int(number):
        raise Refused("INVALID_PARAMETER", f"'{name}' must be a whole number.")
    return int(number)


def _number(name: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0.0 <= number <= 10**7:
        raise Refused("INVALID_PARAMETER", f"'{name}' must be a number.")
    return number


def _speed(name: str, value: str) -> float:
    if not LEAST_SPEED <= _number(name, value) <= MOST_SPEED:
        raise Refused("INVALID_PARAMETER", f"'{name}' must be {LEAST_SPEED} to {MOST_SPEED:g}.")
    return _number(name, value)


COMMON: tuple[Parameter, ...] = (
    Parameter("model", text, "done", "an Aura name selects a voice by the table of voices; a name of ours is taken as it is", USUAL_DEEPGRAM_MODEL),
    Parameter("sample_rate", _whole, "done", "as the encoding allows"),
    Parameter("speed", _speed, "done", "0.25 to 4; 1 is the voice's own", 1.0),
    Parameter("mip_opt_out", flag, "accepted without effect", "nothing here trains on anybody's text", False),
)
REST: tuple[Parameter, ...] = (
    *COMMON,
    Parameter("encoding", one_of(*FORMATS), "done", ", ".join(FORMATS), "mp3"),
    Parameter("container", one_of("none", "wav", "ogg"), "done", "`wav` or `none` of samples, `ogg` of opus"),
    Parameter("bit_rate", _whole, "done", "of mp3, opus and aac"),
    Parameter("callback", text, "done", "an http or https address that gets the audio; the answer is the request's id alone"),
    Parameter("callback_method", one_of("POST", "PUT", "post", "put"), "done", "of `callback`", "POST"),
    Parameter("tag", text, "accepted without effect", "there is no usage report by tag", (), is_list=True),
)
LIVE: tuple[Parameter, ...] = (
    *COMMON,
    Parameter("encoding", one_of(*LIVE_ENCODINGS), "done", ", ".join(LIVE_ENCODINGS), "linear16"),
    Parameter("container", one_of("none"), "done", "samples alone: `none`", "none"),
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """One call's wishes; the text of ``request`` does not matter. ``voice`` is ours, by name."""

    request: SynthesisRequested
    sound: Sound
    callback: str
    callback_method: str

    @property
    def voice(self) -> str:
        return self.request.voice

    def request_for(self, text: str) -> SynthesisRequested:
        return replace(self.request, text=text)

    @property
    def voice_uuid(self) -> str:
        return str(uuid.uuid5(MODELS, self.voice))


def wanted_of(query: Iterable[tuple[str, str]], *, is_live: bool) -> Wanted:
    """Raises ``Refused`` naming the parameter and what it may be."""
    values = read(query, LIVE if is_live else REST)
    encoding = values["encoding"]
    form = FORMATS[encoding]
    container = values["container"] or form.containers[0]
    if not is_live and container not in form.containers:
        raise Refused("INVALID_PARAMETER", f"'container' of {encoding} can be {' or '.join(form.containers)}.")
    rate_hz = form.rates_hz[0] if values["sample_rate"] is None else values["sample_rate"]
    if rate_hz not in form.rates_hz:
        raise Refused("INVALID_PARAMETER", f"'sample_rate' of {encoding} can be {', '.join(str(rate) for rate in sorted(form.rates_hz))}.")
    bit_rate = _bit_rate(encoding, form, values.get("bit_rate"))
    voice = _voice(values["model"])
    return Wanted(
        SynthesisRequested("", voice, speed=values["speed"], sample_rate_hz=rate_hz if encoding != "opus" else 0),
        Sound(encoding, container == "wav", bit_rate),
        values.get("callback") or "",
        values.get("callback_method", "POST").upper(),
    )


def _bit_rate(encoding: str, form: Format, asked: Any) -> int:
    if form.bit_rates is None:
        if asked is not None:
            raise Refused("INVALID_PARAMETER", f"{encoding} has no 'bit_rate'; mp3, opus and aac have one.")
        return 0
    least, most, usual = form.bit_rates
    if asked is None:
        return usual
    if not least <= asked <= most:
        raise Refused("INVALID_PARAMETER", f"'bit_rate' of {encoding} can be {least} to {most}.")
    return int(asked)


def _voice(model: str) -> str:
    row = of_deepgram(model)
    if row is not None:
        return row.name
    if model.lower().startswith("aura"):
        raise Refused("UNKNOWN_VOICE", "No voice stands for this model; GET /api/v2/voices names those that do.")
    return model
