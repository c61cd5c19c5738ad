"""Events survive the wire whole, in both encodings; what is not ours is poison with a plain reason."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxrelay import codec, events
from voxrelay.errors import Poison
from voxrelay.events import AudioReceived, Event, Payload, SegmentTranscribed, Word
from voxrelay.topology import TOPICS, Encoding

PAYLOADS = sorted({payload for topic in TOPICS for payload in topic.payloads}, key=lambda payload: payload.__name__)
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_VALUES: dict[str, Any] = {
    "str": _TEXT,
    "int": st.integers(0, 2**31 - 1),
    "float": st.floats(allow_nan=False, allow_infinity=False),
    "bool": st.booleans(),
    "bytes": st.binary(max_size=50),
    "EndReason": st.sampled_from(["closed", "vanished"]),
    "UtteranceEndReason": st.sampled_from(["pause", "length"]),
    "Attribute": st.builds(events.Attribute, _TEXT, st.one_of(_TEXT, st.floats(allow_nan=False, allow_infinity=False)), st.floats(0, 1), _TEXT),
}


def _strategy(kind: str) -> Any:
    if kind.startswith("tuple["):
        return st.lists(_strategy(kind.removeprefix("tuple[").removesuffix(", ...]")), max_size=3).map(tuple)
    if kind in _VALUES:
        return _VALUES[kind]
    return _instances(getattr(events, kind))


def _instances(data_type: type) -> Any:
    return st.builds(data_type, **{field.name: _strategy(str(field.type)) for field in fields(data_type)})


@pytest.mark.parametrize("payload_type", PAYLOADS, ids=lambda payload: payload.__name__)
@pytest.mark.parametrize("encoding", ["protobuf", "json"])
def test_every_payload_survives_the_wire(payload_type: type[Payload], encoding: Encoding) -> None:
    @settings(max_examples=40, deadline=None)
    @given(_instances(payload_type))
    def survives(payload: Payload) -> None:
        event = Event("session-1", payload, "denoise", 7, "session-1/denoise/7", 1_700_000_000.25, 1_700_000_000.125, "00-a-b-01", 0.62)
        decoded = codec.decode(*codec.encode(event, encoding))
        assert decoded == event
        assert decoded.busy == 0.62

    survives()


@given(st.integers(0, 2**40), st.binary(max_size=200), st.integers(1, 2**40), st.floats(0, 4e9))
def test_audio_has_one_encoding_whoever_makes_it(start_sample: int, pcm: bytes, sequence: int, at: float) -> None:
    event = Event("s1", AudioReceived(start_sample, pcm), "gateway", sequence, f"s1/gateway/{sequence}", at, at, "00-1-2-01")
    encoder = codec.AudioEncoder("s1", "gateway", "00-1-2-01")
    assert (encoder.key, *encoder.encode(start_sample, pcm, sequence, at)) == codec.encode(event, "protobuf")


def test_results_read_as_canonical_protobuf_json() -> None:
    payload = SegmentTranscribed("u1", 3, True, 0.5, 1.25, "grüß dich", 0.9, (Word("grüß", 0.5, 0.8, 0.9),), "de")
    key, value, headers = codec.encode(Event("s", payload, "transcribe", 1, "s/transcribe/1", 1.0, 1.0, "00-a-b-01"), "json")
    assert key == b"s"
    read = json.loads(value)
    assert read["sessionId"] == "s"
    assert read["isFinal"] is True
    assert read["words"] == [{"text": "grüß", "startS": 0.5, "endS": 0.8, "confidence": 0.9}]
    names = dict(headers)
    assert names["ce_specversion"] == b"1.0"
    assert names["ce_type"] == b"voxrelay.v1.SegmentTranscribed"
    assert names["ce_source"] == b"/voxrelay/transcribe"
    assert names["ce_time"] == b"1970-01-01T00:00:01.000+00:00"
    assert names["content-type"] == b"application/json"
    assert names["traceparent"] == b"00-a-b-01"


def _record() -> tuple[bytes, bytes, dict[str, bytes]]:
    key, value, headers = codec.encode(Event("s", AudioReceived(0, b"ab"), "gateway", 1, "s/gateway/1", 1.0, 1.0, ""), "protobuf")
    return key, value, dict(headers)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"key": b""}, "key"),
        ({"key": b"x" * 200}, "key"),
        ({"value": None}, "no value"),
        ({"value": b"\xff\xff\xff\xff"}, "not what its ce_type says"),
        ({"ce_type": b"voxrelay.v1.Unheard"}, "unknown"),
        ({"ce_type": None}, "unknown"),
        ({"ce_sequence": b"seven"}, "headers"),
        ({"ce_id": None}, "headers"),
        ({"ce_id": b"\xff"}, "headers"),
        ({"key": b"another"}, "not the session id"),
        ({"content-type": b"application/json"}, "not what its ce_type says"),
    ],
)
def test_what_is_not_ours_is_poison(change: dict[str, bytes | None], reason: str) -> None:
    key, value, headers = _record()
    changed_key, changed_value = change.get("key", key), change.get("value", value)
    for name in set(change) - {"key", "value"}:
        replacement = change[name]
        if replacement is None:
            del headers[name]
        else:
            headers[name] = replacement
    with pytest.raises(Poison, match=reason):
        codec.decode(changed_key, changed_value, list(headers.items()))


@given(st.binary(max_size=200), st.binary(max_size=40))
def test_no_bytes_break_the_decoder(value: bytes, content_type: bytes) -> None:
    key, _, headers = _record()
    headers["content-type"] = content_type
    try:
        event = codec.decode(key, value, list(headers.items()))
    except Poison:
        return
    assert event.session_id == "s"


JSON_PAYLOADS = [payload for payload in PAYLOADS if "bytes" not in {str(field.type) for field in fields(payload)}]


@pytest.mark.parametrize("payload_type", JSON_PAYLOADS, ids=lambda payload: payload.__name__)
def test_our_json_is_what_protobuf_writes_and_reads(payload_type: type[Payload]) -> None:
    @settings(max_examples=40, deadline=None)
    @given(_instances(payload_type).filter(lambda payload: codec.canonical.dumps("s", payload) is not None))
    def agree(payload: Payload) -> None:
        event = Event("s", payload)
        ours, theirs = codec.canonical.dumps("s", payload), codec._as_json(event)
        assert ours is not None
        assert json.loads(ours) == json.loads(theirs)
        assert codec._parsed(ours, payload_type, is_json=True) == ("s", payload)
        assert codec.canonical.loads(theirs, payload_type) == ("s", payload)

    agree()


@pytest.mark.parametrize(
    "written",
    [
        b'{"session_id": "s", "utterance_id": "u1", "revision": 2, "is_final": true, "text": "hi"}',  # proto names, fields left out
        b'{"sessionId": "s", "utteranceId": "u1", "revision": "2", "isFinal": true, "text": "hi", "confidence": "NaN"}',
        b'{"sessionId": "s", "utteranceId": "u1", "revision": 2, "isFinal": true, "text": "hi", "words": null, "more": 1}',
    ],
)
def test_the_json_of_other_producers_is_read_too(written: bytes) -> None:
    headers = dict(codec.encode(Event("s", SegmentTranscribed("", 0, False, 0, 0, "", 0), "x", 1, "i", 1.0), "json")[2])
    payload = codec.decode(b"s", written, list(headers.items())).payload
    assert isinstance(payload, SegmentTranscribed)
    assert (payload.utterance_id, payload.revision, payload.is_final, payload.text) == ("u1", 2, True, "hi")


@pytest.mark.parametrize("number", ["-1", "4294967296", "1e99", "true", '"x"', "[]"])
def test_numbers_that_are_none_are_poison(number: str) -> None:
    headers = codec.encode(Event("s", SegmentTranscribed("", 0, False, 0, 0, "", 0), "x", 1, "i", 1.0), "json")[2]
    with pytest.raises(Poison):
        codec.decode(b"s", b'{"sessionId": "s", "revision": %s}' % number.encode(), headers)
