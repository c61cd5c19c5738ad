"""What a hostile container costs: no more memory, processor time and output than a stated bound, and never anything but a refusal."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.gateway.audio import decode
from services.gateway.audio.decode import ContainerDecoder, decoded
from services.gateway.files.run import pieces_of
from tests.unit.gateway import bombs
from voxrelay.errors import Refused

pytestmark = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="a process's peak of memory is read as Linux tells it")

MEMORY_MB = 80  # two of libav's largest allocations and some room
PROCESSOR_S = 12.0  # what every container may take, and a little
MAX_AUDIO_S = 3600.0


def _memory_mb(name: str) -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1024


def cost(source: Any, max_audio_s: float = MAX_AUDIO_S) -> tuple[float, str]:
    """Seconds of audio and the code of the refusal, within the bounds of memory and time."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before_mb, started_s = _memory_mb("VmRSS"), time.thread_time()
    audio_s, code = 0.0, "ok"
    try:
        for rate_hz, pcm in decoded(source, max_audio_s):
            audio_s += len(pcm) / 2 / rate_hz
    except Refused as refused:
        code = refused.code
    assert _memory_mb("VmHWM") - before_mb < MEMORY_MB
    assert time.thread_time() - started_s < PROCESSOR_S
    assert audio_s <= max_audio_s
    return audio_s, code


@pytest.mark.parametrize("name", bombs.REAL)
def test_real_files_pass(name: str) -> None:
    audio_s, code = cost(io.BytesIO(bombs.container(*bombs.REAL[name])))
    assert code == "ok"
    assert audio_s == pytest.approx(2.0, abs=0.15)


@pytest.mark.parametrize(
    ("make", "seconds", "code"),
    [
        (bombs.rf64_of_terabytes, 1.0, "ok"),
        (bombs.flac_of_terabytes, 2.0, "ok"),
        (lambda: bombs.wav(data_bytes=0xFFFFFFFF), 1.0, "ok"),
        (bombs.mp4_of_four_thousand_million_samples, 0.0, "TRUNCATED_AUDIO"),
        (bombs.mp4_of_endless_chunks, 0.0, "INVALID_AUDIO_FORMAT"),
        (bombs.many_streams, 0.1, "ok"),
        (bombs.film, 1.0, "ok"),
        (bombs.rates_that_change, 6.33, "ok"),
        (bombs.id3_picture, 2.0, "ok"),
        (bombs.vorbis_comment, 2.0, "ok"),
        (bombs.matroska_of_crumbs, 1.0, "ok"),
    ],
)
def test_headers_that_claim_too_much_and_files_stuffed_with_something_else(make: Callable[[], bytes], seconds: float, code: str) -> None:
    """What audio there is comes out, and nothing is allocated, opened or decoded because a header says so."""
    assert cost(io.BytesIO(make())) == (pytest.approx(seconds, abs=0.05), code)


@pytest.mark.parametrize(
    "changes",
    [
        *({"rate_hz": rate_hz} for rate_hz in (0, 1, 999, 768_001, 4_000_000_000)),
        *({"channels": channels} for channels in (0, 33, 64, 255, 65535)),
        *({"bits": bits} for bits in (0, 255, 65535)),
        *({"tag": tag} for tag in (0, 0x11, 0x55, 0xFFFE, 0x160, 0x161, 0xFFFF)),
    ],
    ids=str,
)
def test_absurd_rates_channels_and_codecs_are_refused(changes: dict[str, int]) -> None:
    audio_s, code = cost(io.BytesIO(bombs.wav(**changes)))
    assert audio_s == 0
    assert code in ("INVALID_AUDIO_FORMAT", "UNSUPPORTED_SAMPLE_RATE", "UNSUPPORTED_ENCODING")


@pytest.mark.parametrize(("rate_hz", "seconds"), [(1_000, 16.0), (4_000, 4.0), (96_000, 1 / 6), (768_000, 1 / 48)])
def test_unusual_rates_are_not(rate_hz: int, seconds: float) -> None:
    assert cost(io.BytesIO(bombs.wav(rate_hz=rate_hz))) == (pytest.approx(seconds, rel=0.02), "ok")


@pytest.mark.parametrize("make", [bombs.endless_ogg_headers, bombs.endless_matroska, bombs.endless_id3])
def test_containers_that_never_come_to_the_point_are_given_up(make: Callable[[], bombs.Endless]) -> None:
    source = make()
    audio_s, code = cost(source)
    assert (audio_s, code) == (0, "INVALID_AUDIO_FORMAT")
    assert source.given < decode.SILENT_FILE_BYTES + 1024 * 1024


def test_endless_audio_and_much_silence_in_few_bytes_end_at_the_limit() -> None:
    assert cost(bombs.endless_wav(), 60.0) == (pytest.approx(60.0, abs=1.0), "AUDIO_TOO_LONG")
    assert cost(io.BytesIO(bombs.silent_flac(600.0)), 60.0) == (pytest.approx(60.0, abs=1.0), "AUDIO_TOO_LONG")
    assert cost(io.BytesIO(bombs.silent_flac(600.0))) == (pytest.approx(600.0), "ok")


def test_a_file_that_takes_too_much_processor_time_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "SPARE_S", 0.02)
    assert cost(io.BytesIO(bombs.matroska_of_crumbs(16)))[1] == "INVALID_AUDIO_FORMAT"
    monkeypatch.setattr(decode, "LEAST_SPEED", 1e9)
    assert cost(io.BytesIO(bombs.silent_flac(600.0)))[1] == "INVALID_AUDIO_FORMAT"


@pytest.mark.parametrize("name", bombs.PLAYLISTS)
def test_playlists_open_nothing(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a file of this machine, which holds good audio here, nor an address."""
    secret = tmp_path / "secret.wav"
    secret.write_bytes(bombs.wav())
    for url in (str(secret), secret.as_uri(), "http://127.0.0.1:9/secret.wav"):
        playlist = bombs.PLAYLISTS[name].format(url=url).encode()
        with pytest.raises(Refused) as caught:
            list(pieces_of(io.BytesIO(playlist), MAX_AUDIO_S))
        assert caught.value.code == "INVALID_AUDIO_FORMAT"


# --- live: a thread for each container ---


def _decoders() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "container-decoder"]


def _ended(within_s: float = 10.0) -> bool:
    """Whether every decoder's thread is gone, now or soon."""
    for thread in _decoders():
        thread.join(within_s)
    return not _decoders()


class _Heard:
    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.end: list[Refused | None] = []
        self.decoder = ContainerDecoder(MAX_AUDIO_S, lambda rate_hz, pcm: self.pieces.append(pcm), self.end.append)

    def feed(self, data: bytes, most: int = 10_000) -> int:
        """How many bytes were taken."""
        for at in range(0, len(data), 65536):
            for _ in range(most):
                if self.decoder.try_feed(data[at : at + 65536]):
                    break
                time.sleep(0.001)
            else:
                return at
        return len(data)


def test_a_decoder_whose_audio_nobody_takes_waits_and_ends_when_abandoned() -> None:
    heard = _Heard()
    heard.feed(bombs.silent_flac(600.0), most=100)
    for _ in range(500):
        if len(heard.pieces) == decode.TAKEN_PIECES:
            break
        time.sleep(0.01)
    time.sleep(0.1)
    assert len(heard.pieces) == decode.TAKEN_PIECES  # of some two thousand
    heard.decoder.abandon()
    assert _ended()
    assert heard.end == []


@pytest.mark.parametrize("data", [b"", bombs.container("webm", "libopus", 48_000)[:300], bombs.wav(), b"\x1a\x45\xdf\xa3" + bytes(100)])
def test_a_decoder_ends_with_its_input_and_says_so_once(data: bytes) -> None:
    heard = _Heard()
    heard.feed(data)
    while not heard.decoder.try_finish():
        time.sleep(0.001)
    assert _ended()
    assert len(heard.end) == 1


def test_a_decoder_that_is_abandoned_while_it_waits_for_input_ends() -> None:
    heard = _Heard()
    heard.feed(bombs.wav()[:1000])
    heard.decoder.abandon()
    assert _ended()


def test_a_decoder_that_fails_for_a_reason_of_ours_is_heard_of(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise KeyError("ours")

    monkeypatch.setattr(decode, "decoded", broken)
    heard = _Heard()
    assert _ended()
    assert [refused.code for refused in heard.end if refused is not None] == ["INTERNAL"]


def test_megabytes_without_a_sample_are_not_taken_live() -> None:
    heard = _Heard()
    with pytest.raises(Refused) as caught:
        heard.feed(b"\x1a\x45\xdf\xa3" + bytes(decode.SILENT_BYTES + (1 << 20)))
    assert caught.value.code == "INVALID_AUDIO_FORMAT"
    heard.decoder.abandon()
    assert _ended()
