"""What only streaming transducers do, through sherpa-onnx's real loading and decoding code and three small graphs."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.transcribe.compose import configured_transcriber
from services.transcribe.engine import ENGINES, Advance, StreamOptions
from services.transcribe.settings import TranscribeSettings
from tests.contracts.transcribe.streaming import final, streamed
from voxrelay.audio import Float32Array
from voxrelay.engines import EngineUnusable, load
from voxrelay.errors import Unavailable
from voxrelay.models.catalogue import ModelEntry
from voxrelay.models.registry import ModelRegistry
from voxrelay.settings import PlatformSettings

pytest.importorskip("sherpa_onnx", reason="the extra sherpa-onnx is not installed")


@pytest.fixture(scope="module")
def sherpa(tiny_transducer: Path) -> Iterator[Any]:
    engine = load("transcribe", ENGINES, "sherpa-onnx", weights=tiny_transducer, batch=3)
    yield engine
    engine.close()


def test_pieces_become_words_and_interims_only_grow(sherpa: Any, sentence: Float32Array) -> None:
    last, interims = streamed(sherpa, sentence, 4_800)
    assert last == final(sherpa, sentence)
    assert last.text.startswith("one two three four")  # "four" is two pieces
    texts = [interim.text for interim in interims]
    assert len(texts) > 2
    assert all(later.startswith(earlier) for earlier, later in pairwise([*texts, last.text]))
    assert all(0.5 < word.confidence <= 1.0 and word.end_s > word.start_s for word in last.words)


def test_more_streams_than_fit_into_a_batch_are_all_heard_as_if_alone(sherpa: Any, sentence: Float32Array) -> None:
    inputs = [sentence[: sentence.size - 3_000 * number] for number in range(7)]
    alone = [final(sherpa, samples) for samples in inputs]
    streams = [sherpa.open(StreamOptions(), wants_interims=False) for _ in inputs]
    halves = [samples.size // 2 + 100 * number for number, samples in enumerate(inputs)]
    sherpa.advance([Advance(stream, samples[:half]) for stream, samples, half in zip(streams, inputs, halves, strict=True)])
    rest = [Advance(stream, samples[half:], is_last=True) for stream, samples, half in zip(streams, inputs, halves, strict=True)]
    assert sherpa.advance(rest) == alone


def test_what_may_lie_behind_the_end_is_not_listened_to(sherpa: Any, sentence: Float32Array, cards: Float32Array) -> None:
    stream = sherpa.open(StreamOptions(), wants_interims=True)
    sherpa.advance([Advance(stream, np.concatenate((sentence, cards[:9_000])), surplus_samples=9_000)])
    assert sherpa.advance([Advance(stream, cards[9_000:12_000], is_last=True, surplus_samples=12_000)]) == [final(sherpa, sentence)]


def test_terms_are_spelt_as_the_model_writes_or_left_out(sherpa: Any, tiny_transducer: Path, tmp_path: Path, sentence: Float32Array) -> None:
    from services.transcribe.engines.sherpa_decoding import spellable

    letters = {*"ABCDEFGHIJKLMNOPQRSTUVWXYZ'", "\u2581"}
    assert spellable(["Avonlea", "o'hara & sons", "5 a.m.", "", "east/west", "Zoë"], letters) == ["AVONLEA", "EAST WEST"]
    for name in ("encoder.onnx", "decoder.onnx", "joiner.onnx", "tokens.txt"):
        (tmp_path / name).write_bytes((tiny_transducer / name).read_bytes())
    (tmp_path / "bpe.vocab").write_text("<blk>\t0\n<sos/eos>\t0\n<unk>\t0\n\u2581one\t-1\n\u2581two\t-2\n")
    engine = load("transcribe", ENGINES, "sherpa-onnx", weights=tmp_path)
    try:
        assert final(engine, sentence, StreamOptions(vocabulary=("Avonlea", "six"))).text == final(sherpa, sentence).text  # the wider search
    finally:
        engine.close()


def test_a_killed_process_takes_its_streams_with_it_and_is_replaced(sherpa: Any, sentence: Float32Array) -> None:
    before = final(sherpa, sentence)
    stream = sherpa.open(StreamOptions(), wants_interims=True)
    sherpa.advance([Advance(stream, sentence[:16_000])])
    for process_id in sherpa._workers.process_ids:
        os.kill(process_id, signal.SIGKILL)
    with pytest.raises(Unavailable):
        sherpa.advance([Advance(stream, sentence[16_000:], is_last=True)])
    sherpa.check()
    assert final(sherpa, sentence) == before
    assert not sherpa._streams


def test_a_model_that_ends_its_process_is_refused_in_a_sentence(tiny_transducer: Path, tmp_path: Path) -> None:
    for name in ("encoder.onnx", "decoder.onnx", "joiner.onnx", "tokens.txt"):
        (tmp_path / name).write_bytes((tiny_transducer / name).read_bytes())
    (tmp_path / "encoder.onnx").write_bytes(b"not a model")
    with pytest.raises(EngineUnusable, match="cannot be run as a streaming transducer"):
        load("transcribe", ENGINES, "sherpa-onnx", weights=tmp_path)
    (tmp_path / "tokens.txt").unlink()
    with pytest.raises(EngineUnusable, match=r"lacks tokens\.txt"):
        load("transcribe", ENGINES, "sherpa-onnx", weights=tmp_path)
    with pytest.raises(EngineUnusable, match="runs on the CPU alone"):
        load("transcribe", ENGINES, "sherpa-onnx", weights=tiny_transducer, provider="cuda")


def test_the_service_takes_a_model_of_ones_own_from_the_registry(tiny_transducer: Path, tmp_path: Path, sentence: Float32Array) -> None:
    added = ModelRegistry(tmp_path).add(ModelEntry("tiny", "transcribe", "sherpa-onnx", f"folder:{tiny_transducer}", "Apache-2.0", "counts"))
    engine = configured_transcriber(PlatformSettings(models=tmp_path), TranscribeSettings(engine="sherpa-onnx", model="tiny"))
    assert final(engine, sentence).text.startswith("one two")
    assert engine.engine.model_digest == added.digest
    engine.close()
    with pytest.raises(EngineUnusable, match="voxrelay models pull zipformer-en"):
        configured_transcriber(PlatformSettings(models=tmp_path), TranscribeSettings(engine="sherpa-onnx"))
