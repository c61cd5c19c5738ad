"""What the synchronous gRPC calls share: their audio and utterances checked, refusals as statuses."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any, NoReturn

import grpc

from voxrelay.audio import SAMPLE_RATE_HZ, Float32Array, float32_from_pcm_s16le
from voxrelay.errors import Refused
from voxrelay.events import UtteranceEnded
from voxrelay.resampling import resample

LEAST_RATE_HZ, MOST_RATE_HZ = 8_000, 48_000
# Whose stored sessions a call may see: set where keys are checked, in the context the call runs in. A service's own port is for
# the platform alone and shows everybody's (None).
SEES: ContextVar[str | None] = ContextVar("sees", default=None)

MAX_SECONDS = 600
MAX_UTTERANCES = 1000
MAX_UTTERANCE_SECONDS = 60


def pcm_of(audio: Any) -> tuple[bytes, int]:
    """The message's pcm_s16le and rate. Raises ``Refused`` with the name of a gRPC status as its code."""
    rate_hz, pcm = audio.sample_rate_hz, audio.pcm_s16le
    if not LEAST_RATE_HZ <= rate_hz <= MOST_RATE_HZ:
        raise Refused("INVALID_ARGUMENT", f"audio.sample_rate_hz must be {LEAST_RATE_HZ} to {MOST_RATE_HZ}.")
    if not pcm or len(pcm) % 2:
        raise Refused("INVALID_ARGUMENT", "audio.pcm_s16le must hold a whole number of 16-bit samples, at least one.")
    if len(pcm) / 2 / rate_hz > MAX_SECONDS:
        raise Refused("RESOURCE_EXHAUSTED", f"At most {MAX_SECONDS // 60} minutes of audio in one call; cut it or send it as a session.")
    return pcm, rate_hz


def samples_of(audio: Any) -> Float32Array:
    """The same as float32 at 16 kHz, shape (samples,)."""
    pcm, rate_hz = pcm_of(audio)
    return resample(float32_from_pcm_s16le(pcm), rate_hz, SAMPLE_RATE_HZ)


def utterances_of(asked: Sequence[Any], samples: int) -> list[UtteranceEnded]:
    """The caller's utterances, checked: in order, apart from each other, within so many samples. Raises ``Refused`` as ``pcm_of``."""
    if len(asked) > MAX_UTTERANCES:
        raise Refused("RESOURCE_EXHAUSTED", f"At most {MAX_UTTERANCES} utterances in one call.")
    utterances = []
    last = 0
    for number, one in enumerate(asked, start=1):
        if not last <= one.start_sample < one.end_sample <= samples:
            raise Refused("INVALID_ARGUMENT", "utterances must be in order, not overlap and lie within the audio, in samples at 16 kHz.")
        if one.end_sample - one.start_sample > MAX_UTTERANCE_SECONDS * SAMPLE_RATE_HZ:
            raise Refused("INVALID_ARGUMENT", f"An utterance may last {MAX_UTTERANCE_SECONDS} seconds at most.")
        last = one.end_sample
        utterances.append(UtteranceEnded(one.utterance_id or f"u{number}", one.start_sample, one.end_sample, "pause", one.snr_db))
    return utterances


def abort(context: grpc.ServicerContext, refused: Refused) -> NoReturn:
    """Ends the call with the status the refusal is named for."""
    context.abort(grpc.StatusCode[refused.code], refused.message)
    raise AssertionError("abort raises")
