"""Pipecat's Deepgram service, live: URL WAV KEY. It stands in a real pipeline; frames go in, what it pushes is printed."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from pipecat.frames.frames import (
    ErrorFrame,
    Frame,
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.worker import PipelineParams
from pipecat.services.deepgram.stt import DeepgramSTTService
from pipecat.tests.utils import SleepFrame, run_test
from speech import PACE, PIECE_S, pieces, rate_of


def shown(frame: Frame) -> dict[str, Any]:
    fields: dict[str, Any] = {"event": type(frame).__name__}
    if isinstance(frame, TranscriptionFrame | InterimTranscriptionFrame):
        best = frame.result.channel.alternatives[0]
        fields |= {"text": frame.text, "words": [[word.word, word.speaker] for word in best.words], "from_finalize": frame.result.from_finalize}
        fields["finalized"] = getattr(frame, "finalized", None)
    elif isinstance(frame, ErrorFrame):
        fields["error"] = frame.error
    return fields


async def main(url: str, path: str, key: str) -> dict[str, Any]:
    rate_hz = rate_of(path)
    service = DeepgramSTTService(
        api_key=key,
        base_url=url,
        sample_rate=rate_hz,
        mip_opt_out=True,
        tag="agent",
        settings=DeepgramSTTService.Settings(diarize=True, smart_format=True, keyterm=["voxrelay"], endpointing=300, utterance_end_ms=1000),
    )
    audio = list(pieces(path))
    frames: list[Frame] = [VADUserStartedSpeakingFrame()]
    for number, piece in enumerate(audio):
        frames += [InputAudioRawFrame(piece, rate_hz, 1), SleepFrame(PIECE_S / PACE)]
        if number == len(audio) // 3:
            frames += [VADUserStoppedSpeakingFrame(), SleepFrame(3), VADUserStartedSpeakingFrame()]  # sends Finalize
    frames.append(SleepFrame(5))
    params = PipelineParams(audio_in_sample_rate=rate_hz)
    down, up = await run_test(service, frames_to_send=frames, pipeline_params=params, start_timeout=20)
    return {"messages": [shown(frame) for frame in (*down, *up) if not isinstance(frame, InputAudioRawFrame)]}


print(json.dumps(asyncio.run(main(*sys.argv[1:]))))
