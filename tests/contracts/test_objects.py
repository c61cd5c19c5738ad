"""One suite for every object store: a folder, memory, and a real S3 server."""

from __future__ import annotations

import resource
import signal
from pathlib import Path

import pytest

from voxrelay.engines import EngineUnusable
from voxrelay.errors import Unavailable
from voxrelay.storage.objects import ObjectStore


def test_what_was_put_is_there_and_again_replaces(objects: ObjectStore) -> None:
    objects.put("sessions/a/utterances/u1.flac", b"one")
    objects.put("sessions/a/utterances/u1.flac", b"two")
    assert objects.get("sessions/a/utterances/u1.flac") == b"two"
    assert objects.get("sessions/a/utterances/u2.flac") is None
    objects.check()


def test_listing_and_deleting_below_a_folder(objects: ObjectStore) -> None:
    for name in ("sessions/a/utterances/u1.flac", "sessions/a/utterances/u2.flac", "sessions/ab/utterances/u1.flac"):
        objects.put(name, b"x" * 100)
    assert objects.list("sessions/a") == ["sessions/a/utterances/u1.flac", "sessions/a/utterances/u2.flac"]
    assert objects.delete("sessions/a") == 2
    assert objects.list("sessions") == ["sessions/ab/utterances/u1.flac"]
    assert objects.delete("sessions/none") == 0


def test_a_store_that_does_not_answer_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
    }.items():
        monkeypatch.setenv(name, value)
    store = ObjectStore("s3://bucket/prefix")
    with pytest.raises(Unavailable, match="object store"):
        store.put("name", b"x")
    with pytest.raises(Unavailable, match="does not answer"):
        store.check()


def test_a_folder_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    store = ObjectStore((tmp_path / "objects").as_uri())
    (tmp_path / "objects" / "sessions").write_text("a file where a folder must be")
    with pytest.raises(Unavailable):
        store.put("sessions/a", b"x")


@pytest.mark.parametrize("url", ["", "ftp://host/x", "/just/a/path"])
def test_an_address_that_is_none_is_said(url: str) -> None:
    with pytest.raises(EngineUnusable, match="s3://"):
        ObjectStore(url)


def test_a_store_without_room_is_unavailable_and_keeps_no_half_object(tmp_path: Path) -> None:
    """The kernel refuses the write in the middle, as on a full disk."""
    store = ObjectStore((tmp_path / "objects").as_uri())
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, before[1]))
    try:
        with pytest.raises(Unavailable, match="did not take"):
            store.put("sessions/a/utterances/u1.flac", bytes(1_000_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert store.get("sessions/a/utterances/u1.flac") is None
    store.put("sessions/a/utterances/u1.flac", bytes(1_000_000))
    assert len(store.get("sessions/a/utterances/u1.flac") or b"") == 1_000_000
