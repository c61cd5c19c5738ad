"""Audio becomes one FLAC an utterance, whatever the batches, and a store that fails loses nothing."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
import pytest
from sqlalchemy import Engine, select

from services.projector.archive import ArchiveStage, flac, object_name
from voxrelay.errors import Unavailable
from voxrelay.events import (
    AudioDenoised,
    Event,
    Payload,
    SessionConfig,
    SessionConfigured,
    SessionEnded,
    SessionOpened,
    UtteranceEnded,
    UtteranceStarted,
)
from voxrelay.storage import database
from voxrelay.storage.migrations import migrate
from voxrelay.storage.objects import ObjectStore

CHUNK = 1600


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    url = f"sqlite:///{tmp_path / 'voxrelay.db'}"
    migrate(url)
    engine = database.connect(url)
    yield engine
    engine.dispose()


@pytest.fixture
def uploads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def _pcm(seconds: float) -> bytes:
    return np.random.default_rng(7).integers(-9000, 9000, int(seconds * 16_000), dtype=np.int16).tobytes()


def _session(pcm: bytes, config: SessionConfig | None = None) -> list[Payload]:
    """Two utterances: [0.5 s, 1.7 s) announced late and ended late, [2.4 s, end)."""
    payloads: list[Payload] = [SessionOpened(config or SessionConfig())]
    for start in range(0, len(pcm) // 2, CHUNK):
        payloads.append(AudioDenoised(start, pcm[start * 2 : (start + CHUNK) * 2]))
        end = start + CHUNK
        if end == 12_800:
            payloads.append(UtteranceStarted("u1", 8_000))
        if end == 35_200:
            payloads.append(UtteranceEnded("u1", 8_000, 27_200, "pause"))
        if end == 41_600:
            payloads.append(UtteranceStarted("u2", 38_400))
    payloads += [UtteranceEnded("u2", 38_400, len(pcm) // 2, "end"), SessionEnded()]
    return payloads


def _decoded(content: bytes) -> bytes:
    with av.open(io.BytesIO(content)) as container:
        return b"".join(frame.to_ndarray().tobytes() for frame in container.decode(audio=0))


def test_flac_is_lossless_and_repeatable() -> None:
    pcm = _pcm(1.0)
    assert _decoded(flac(pcm)) == pcm
    assert flac(pcm) == flac(pcm)


@pytest.mark.parametrize("seed", range(4))
def test_each_utterance_is_one_object_whatever_the_batches_and_restarts(engine: Engine, uploads: ThreadPoolExecutor, seed: int) -> None:
    source = random.Random(seed)
    pcm = _pcm(4.0)
    objects = ObjectStore("memory:///")
    stage = ArchiveStage(objects, engine, uploads)
    events = [Event("s", payload) for payload in _session(pcm)]
    place, saved = 0, (0, b"")
    while place < len(events):
        size = source.randint(1, 8)
        assert list(stage.process(events[place : place + size])) == []
        place += size
        state = stage.snapshot("s")
        if state is not None:
            saved = (place, state)
        if source.random() < 0.2 and saved[1] and place < len(events):  # killed: a new process takes up at the checkpoint
            stage = ArchiveStage(objects, engine, uploads)
            place = saved[0]
            stage.restore("s", saved[1])
    assert objects.list("sessions") == [object_name("s", "u1"), object_name("s", "u2")]
    assert _decoded(objects.get(object_name("s", "u1")) or b"") == pcm[16_000:54_400]
    assert _decoded(objects.get(object_name("s", "u2")) or b"") == pcm[76_800:]
    with engine.connect() as connection:
        rows = connection.execute(select(database.recordings).order_by("utterance_id")).mappings().all()
    assert [(row["object"], row["duration_s"]) for row in rows] == [(object_name("s", "u1"), 1.2), (object_name("s", "u2"), 1.6)]


def test_a_session_that_keeps_no_audio_leaves_none(engine: Engine, uploads: ThreadPoolExecutor) -> None:
    objects = ObjectStore("memory:///")
    stage = ArchiveStage(objects, engine, uploads)
    list(stage.process([Event("s", payload) for payload in _session(_pcm(4.0), SessionConfig(keep_audio=False))]))
    assert objects.list("sessions") == []
    assert stage.snapshot("s") is None


@pytest.mark.parametrize(
    ("first", "changes", "kept"),
    [
        (False, {}, []),
        (True, {}, ["u1", "u2"]),
        (True, {3: False}, []),  # before u1 is announced
        (True, {12: False}, []),  # within u1
        (False, {3: True}, ["u1", "u2"]),
        (False, {8: True}, ["u2"]),  # u1 has begun, and is announced later
        (False, {12: True}, ["u2"]),  # within u1
        (True, {12: False, 16: True}, ["u2"]),
        (True, {26: False}, ["u1"]),  # between the two
    ],
)
def test_only_utterances_said_while_audio_is_kept_are_kept(
    engine: Engine, uploads: ThreadPoolExecutor, first: bool, changes: dict[int, bool], kept: list[str]
) -> None:
    pcm = _pcm(4.0)
    payloads = _session(pcm, SessionConfig(keep_audio=first))
    for chunk, is_kept in sorted(changes.items(), reverse=True):
        at = next(i for i, each in enumerate(payloads) if isinstance(each, AudioDenoised) and each.start_sample == chunk * CHUNK)
        payloads.insert(at, SessionConfigured(SessionConfig(keep_audio=is_kept)))
    events = [Event("s", payload) for payload in payloads]
    for restarts_at in (None, *range(1, len(events) - 1)):
        objects = ObjectStore("memory:///")
        stage = ArchiveStage(objects, engine, uploads)
        saved, start = b"", 0
        for place, event in enumerate(events):
            list(stage.process([event]))
            if place == restarts_at:
                break
            if (state := stage.snapshot("s")) is not None:
                saved, start = state, place + 1
        if restarts_at is not None:
            stage = ArchiveStage(objects, engine, uploads)
            if saved:
                stage.restore("s", saved)
            list(stage.process(events[start:]))
        assert objects.list("sessions") == [object_name("s", name) for name in kept], restarts_at
        if "u2" in kept:
            assert _decoded(objects.get(object_name("s", "u2")) or b"") == pcm[76_800:]


def test_a_session_that_keeps_no_audio_holds_none(engine: Engine, uploads: ThreadPoolExecutor) -> None:
    stage = ArchiveStage(ObjectStore("memory:///"), engine, uploads)
    events = [Event("s", payload) for payload in _session(_pcm(4.0), SessionConfig(keep_audio=False))]
    list(stage.process(events[:20]))  # in the midst of u1
    assert stage.snapshot("s") == b"\0", "a checkpoint has no audio of it either"


def test_a_full_store_is_unavailable_and_the_audio_comes_again(engine: Engine, uploads: ThreadPoolExecutor, tmp_path: Path) -> None:
    folder = tmp_path / "objects"
    objects = ObjectStore(folder.as_uri())
    (folder / "sessions").write_text("no room")
    events = [Event("s", payload) for payload in _session(_pcm(4.0))]
    stage = ArchiveStage(objects, engine, uploads)
    with pytest.raises(Unavailable):
        list(stage.process(events))
    (folder / "sessions").unlink()
    stage.forget("s")  # what the runner does: forget, go back, try again
    list(stage.process(events))
    assert len(objects.list("sessions")) == 2
