"""Events to records and back: protobuf for audio, canonical protobuf JSON for results, CloudEvents headers on both.

Headers follow the CloudEvents 1.0 Kafka binding in binary mode (``ce_*`` and ``content-type``) with the extensions ``sequence``
, ``receivedat`` and ``busy``, and W3C Trace Context (``traceparent``). The key is the session id.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message

from voxrelay import canonical, events
from voxrelay.bus.api import Headers
from voxrelay.errors import Poison
from voxrelay.events import Event, Payload
from voxrelay.topology import TOPICS, Encoding
from voxrelay.v1 import events_pb2

CONTENT_TYPE: dict[Encoding, bytes] = {"protobuf": b"application/protobuf", "json": b"application/json"}
TYPE_PREFIX = "voxrelay.v1."
MAX_SESSION_ID_BYTES = 128

_PAYLOADS: dict[str, type[Payload]] = {payload.__name__: payload for topic in TOPICS for payload in topic.payloads}
_TYPE_HEADERS: dict[type[Payload], bytes] = {payload: (TYPE_PREFIX + name).encode() for name, payload in _PAYLOADS.items()}
_Audio = events_pb2.AudioReceived
_BY_TYPE_HEADER: dict[bytes, type[Payload]] = {header: payload for payload, header in _TYPE_HEADERS.items()}


def encode(event: Event, encoding: Encoding) -> tuple[bytes, bytes, Headers]:
    """Key, value and headers of a stamped event."""
    payload = event.payload
    value = _as_protobuf(event) if encoding == "protobuf" else canonical.dumps(event.session_id, payload) or _as_json(event)
    headers = [
        *_lasting_headers(_TYPE_HEADERS[type(payload)], event.producer, encoding),
        ("ce_id", event.id.encode()),
        ("ce_time", _rfc3339(event.time)),
        ("ce_sequence", b"%d" % event.sequence),
        ("ce_receivedat", b"%.6f" % event.received_at),
        ("traceparent", event.traceparent.encode()),
    ]
    if event.busy:
        headers.append(("ce_busy", b"%.2f" % event.busy))
    return event.session_id.encode(), value, headers


class AudioEncoder:
    """The records of a session's ``AudioReceived``, as ``encode`` makes them of events. What they have in common is made once."""

    def __init__(self, session_id: str, producer: str, traceparent: str) -> None:
        self.key = session_id.encode()
        self._session_id, self._id = session_id, f"{session_id}/{producer}/".encode()
        self._lasting = _lasting_headers(_TYPE_HEADERS[events.AudioReceived], producer, "protobuf")
        self._trace = ("traceparent", traceparent.encode())

    def encode(self, start_sample: int, pcm_s16le: bytes, sequence: int, received_at: float) -> tuple[bytes, Headers]:
        """Value and headers of audio that is sent as soon as it is received; seconds since the epoch."""
        number = b"%d" % sequence
        value: bytes = _Audio(session_id=self._session_id, start_sample=start_sample, pcm_s16le=pcm_s16le).SerializeToString()
        return value, [
            *self._lasting,
            ("ce_id", self._id + number),
            ("ce_time", _rfc3339(received_at)),
            ("ce_sequence", number),
            ("ce_receivedat", b"%.6f" % received_at),
            self._trace,
        ]


@lru_cache(maxsize=256)
def _lasting_headers(type_header: bytes, producer: str, encoding: Encoding) -> Headers:
    return (
        ("ce_specversion", b"1.0"),
        ("ce_source", b"/voxrelay/" + producer.encode()),
        ("ce_type", type_header),
        ("content-type", CONTENT_TYPE[encoding]),
    )


def _as_protobuf(event: Event) -> bytes:
    message = to_message(event.payload)
    message.session_id = event.session_id
    value: bytes = message.SerializeToString()
    return value


def _as_json(event: Event) -> bytes:
    message = to_message(event.payload)
    message.session_id = event.session_id
    return json_format.MessageToJson(message, always_print_fields_with_no_presence=True, indent=None, ensure_ascii=False).encode()


def _rfc3339(at: float) -> bytes:
    """UTC with milliseconds, rounded down."""
    second = int(at)
    return _date_and_time(second) + b".%03d+00:00" % int((at - second) * 1000)


@lru_cache(maxsize=8)
def _date_and_time(second: int) -> bytes:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S").encode()


def is_durable(headers: Headers) -> bool:
    """Whether a record's event counts in its session, without reading the rest: what is said for the moment alone, an interim, has no sequence."""
    return ("ce_sequence", b"0") not in headers


def decode(key: bytes | None, value: bytes | None, headers: Headers) -> Event:
    """The event of a record. Raises ``Poison`` with a plain reason when it is none of ours."""
    if not key or len(key) > MAX_SESSION_ID_BYTES:
        raise Poison("The record's key is no session id.")
    if value is None:
        raise Poison("The record has no value.")
    by_name = dict(headers)
    payload_type = _BY_TYPE_HEADER.get(by_name.get("ce_type", b""))
    if payload_type is None:
        raise Poison("The record's ce_type is unknown.")
    try:
        event_id = by_name["ce_id"].decode()
        producer = by_name["ce_source"].decode().removeprefix("/voxrelay/")
        sequence = int(by_name["ce_sequence"])
        session_id = key.decode()
        time = datetime.fromisoformat(by_name["ce_time"].decode()).timestamp()
        received_at = float(by_name.get("ce_receivedat", b"0"))
        traceparent = by_name.get("traceparent", b"").decode()
        busy = float(by_name.get("ce_busy", b"0"))
    except (KeyError, ValueError) as error:
        raise Poison("The record's CloudEvents headers are missing or malformed.") from error
    is_json = by_name.get("content-type") != CONTENT_TYPE["protobuf"]
    owner, payload = (canonical.loads(value, payload_type) if is_json else None) or _parsed(value, payload_type, is_json=is_json)
    if owner != session_id:
        raise Poison("The record's key is not the session id of its value.")
    return Event(session_id, payload, producer, sequence, event_id, time, received_at, traceparent, busy)


def _parsed(value: bytes, payload_type: type[Payload], *, is_json: bool) -> tuple[str, Payload]:
    """Session id and payload, as protobuf reads them."""
    message: Any = _MESSAGES[payload_type]()
    try:
        if is_json:
            json_format.Parse(value, message, ignore_unknown_fields=True)
        else:
            message.ParseFromString(value)
    except (DecodeError, json_format.ParseError, UnicodeDecodeError) as error:
        raise Poison("The record's value is not what its ce_type says.") from error
    return message.session_id, _from_message(payload_type, message)


# --- payloads and messages have the same field names; the plans below are made once ------------------------------------

_NESTED: dict[type, type[Message]] = {
    events.SessionConfig: events_pb2.SessionConfig,
    events.Engine: events_pb2.Engine,
    events.Word: events_pb2.Word,
    events.SpeakerSegment: events_pb2.SpeakerSegment,
    events.WordSpoken: events_pb2.WordSpoken,
}
_MESSAGES: dict[type, type[Message]] = {payload: getattr(events_pb2, name) for name, payload in _PAYLOADS.items()} | _NESTED


def _attribute_to_message(attribute: events.Attribute) -> Message:
    message = events_pb2.Attribute(name=attribute.name, confidence=attribute.confidence, unit=attribute.unit)
    if isinstance(attribute.value, str):
        message.label = attribute.value
    else:
        message.number = attribute.value
    return message


def _attribute_from_message(message: Any) -> events.Attribute:
    value = message.label if message.WhichOneof("value") == "label" else message.number
    return events.Attribute(message.name, value, message.confidence, message.unit)


class _Plan(NamedTuple):
    """How a data class turns into its message and back, field by field; None where no value changes on the way."""

    names: tuple[str, ...]
    values: Callable[[Any], tuple[Any, ...]]  # of all fields, of the data as of the message
    to_message: tuple[Callable[[Any], Any], ...] | None
    from_message: tuple[Callable[[Any], Any], ...] | None


def _same(value: Any) -> Any:
    return value


def _plan_of(data_type: type) -> _Plan:
    there: list[Callable[[Any], Any]] = []
    back: list[Callable[[Any], Any]] = []
    names = tuple(field.name for field in dataclasses.fields(data_type))
    for field in dataclasses.fields(data_type):
        kind = str(field.type)
        item = kind.removeprefix("tuple[").removesuffix(", ...]")
        nested = getattr(events, item, None)
        if item == "Attribute":
            there.append(_all_attributes_to_messages)
            back.append(_all_attributes_from_messages)
        elif nested in _NESTED and kind.startswith("tuple["):
            there.append(_all_to_messages)
            back.append(_all_from_messages(nested))
        elif nested in _NESTED:
            there.append(to_message)
            back.append(_one_from_message(nested))
        else:
            there.append(_same)
            back.append(tuple if kind.startswith("tuple[") else _same)
    values = attrgetter(*names) if len(names) > 1 else lambda data: tuple(getattr(data, name) for name in names)
    is_flat_there, is_flat_back = (all(change is _same for change in changes) for changes in (there, back))
    return _Plan(names, values, None if is_flat_there else tuple(there), None if is_flat_back else tuple(back))


def _all_attributes_to_messages(many: Any) -> list[Message]:
    return [_attribute_to_message(one) for one in many]


def _all_attributes_from_messages(many: Any) -> tuple[events.Attribute, ...]:
    return tuple(_attribute_from_message(one) for one in many)


def _all_to_messages(many: Any) -> list[Message]:
    return [to_message(one) for one in many]


def _one_from_message(data_type: type) -> Callable[[Any], Any]:
    return lambda message: _from_message(data_type, message)


def _all_from_messages(data_type: type) -> Callable[[Any], Any]:
    return lambda many: tuple(_from_message(data_type, one) for one in many)


def to_message(data: Any) -> Any:
    """The protobuf message of a payload, or of a part of one (an engine, a word, an attribute ...); without session id."""
    if isinstance(data, events.Attribute):
        return _attribute_to_message(data)
    plan = _PLANS[type(data)]
    values: Iterable[Any] = plan.values(data)
    if plan.to_message is not None:
        values = (change(value) for change, value in zip(plan.to_message, values, strict=True))
    return _MESSAGES[type(data)](**dict(zip(plan.names, values, strict=True)))


def _from_message(data_type: type, message: Any) -> Any:
    plan = _PLANS[data_type]
    values: Iterable[Any] = plan.values(message)
    if plan.from_message is not None:
        values = (change(value) for change, value in zip(plan.from_message, values, strict=True))
    return data_type(*values)


_PLANS = {data_type: _plan_of(data_type) for data_type in _MESSAGES}
