"""The bundled engine, once for all tests here: starting it takes a second."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from services.transcribe.engine import Transcriber

pytest.importorskip("pocketsphinx", reason="the bundled engine is not installed: pip install 'voxrelay[transcribe]'")


@pytest.fixture(scope="session")
def transcriber() -> Iterator[Transcriber]:
    from services.transcribe.engines.pocketsphinx import PocketsphinxTranscriber

    engine = PocketsphinxTranscriber(workers=2, followed=1)
    yield engine
    engine.close()
