"""Engines and speech for all tests here; starting an engine takes a second."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.transcribe.engine import Transcriber
from tests.speech import read_speech
from voxrelay.audio import Float32Array


@pytest.fixture(scope="session")
def transcriber() -> Iterator[Transcriber]:
    """The bundled one."""
    pytest.importorskip("pocketsphinx", reason="the bundled engine is not installed: pip install 'voxrelay[transcribe]'")
    from services.transcribe.engines.pocketsphinx import PocketsphinxTranscriber

    engine = PocketsphinxTranscriber(workers=2, followed=1)
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def tiny_whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a Whisper model that says "one two three four five six"."""
    from tests.contracts.transcribe.tiny_whisper import build_tiny_whisper

    return build_tiny_whisper(tmp_path_factory.mktemp("whisper"))


@pytest.fixture(scope="session")
def tiny_transducer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a streaming transducer that counts up the longer somebody speaks."""
    pytest.importorskip("onnx", reason="onnx, which makes the small graphs, is not installed")
    from tests.contracts.transcribe.tiny_transducer import build_tiny_transducer

    return build_tiny_transducer(tmp_path_factory.mktemp("transducer"))


@pytest.fixture(scope="session")
def sentence(eval_data: Path) -> Float32Array:
    """3 s, "he was not an ill disposed young man"."""
    return read_speech(eval_data / "asr/misc/sense_and_sensibility_01_austen_64kb-0880.wav")


@pytest.fixture(scope="session")
def cards(eval_data: Path) -> Float32Array:
    """3.5 s, "eight of spades four of clubs seven of hearts"."""
    return read_speech(eval_data / "asr/misc/cards-005.wav")


@pytest.fixture(scope="session")
def sherburn(eval_data: Path) -> Float32Array:
    """3 s, "sherburn run his eye slow ..."; the bundled engine does not listen for the name."""
    return read_speech(eval_data / "asr/librispeech-test-other/3005-163389-0003.flac")[:48_000]
