"""The campaign's engine: the bundled one around a digest, so that what a dead worker loses is found out."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Iterator

import numpy as np
import pytest

from services.transcribe.engine import Advance, StreamOptions
from services.transcribe.engines import pocketsphinx
from services.transcribe.engines.pocketsphinx import PocketsphinxTranscriber
from voxrelay.audio import float32_from_pcm_s16le

PCM = np.random.default_rng(5).integers(-3000, 3000, 16_000 * 3, dtype=np.int16).tobytes()


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[PocketsphinxTranscriber]:
    monkeypatch.setattr(pocketsphinx, "DECODING", "benchmarks.chaos.digest:Decoding")
    made = PocketsphinxTranscriber(workers=1, followed=2)
    yield made
    made.close()


def steps(stream: int, surplus: int) -> Iterator[Advance]:
    samples = float32_from_pcm_s16le(PCM)
    for at in range(0, samples.size, 4000):
        is_last = at + 4000 >= samples.size
        yield Advance(stream, samples[at : at + 4000], surplus_samples=surplus if is_last else 0, is_last=is_last)


@pytest.mark.parametrize("is_killed", [False, True])
def test_the_final_is_a_digest_of_every_sample_also_when_the_worker_dies(engine: PocketsphinxTranscriber, is_killed: bool) -> None:
    streams = [engine.open(StreamOptions(), wants_interims=True) for _ in range(3)]  # one more than are followed
    by_stream = {stream: list(steps(stream, surplus=1000)) for stream in streams}
    finals = {}
    for number in range(len(by_stream[streams[0]])):
        for stream in streams:
            hypothesis = engine.advance([by_stream[stream][number]])[0]
            if by_stream[stream][number].is_last:
                finals[stream] = hypothesis
        if is_killed and number == 5:
            (pid,) = engine.process_ids
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            with pytest.raises(Exception, match="died"):
                while True:
                    engine._dispatch.submit(pocketsphinx.Urgency.FINAL, None, "leave", -1).result()
    expected = hashlib.sha256(PCM[:-2000]).hexdigest()[:16]
    assert [final.text if final else None for final in finals.values()] == [expected] * 3
