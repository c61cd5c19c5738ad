"""Payloads as canonical protobuf JSON (lowerCamelCase, every field), written and read directly.

``google.protobuf.json_format`` does the same at eight times the cost, and results are most of what the gateway reads. What is not exactly
as we write it (another producer's spelling, a missing field, a number that is none) is left to it: both functions give None then.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

from voxrelay import events
from voxrelay.events import Payload

Write = Callable[[Any], Any]
Read = Callable[[Any], Any]
_PLAIN: dict[str, type] = {"str": str, "bool": bool, "EndReason": str, "UtteranceEndReason": str}
MOST_INT = 2**31  # what every integer type of the messages holds


class _Unlike(Exception):
    """Not as we write it."""


def dumps(session_id: str, payload: Payload) -> bytes | None:
    try:
        return json.dumps({"sessionId": session_id, **_write(payload)}, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, _Unlike):  # infinities have a spelling of their own in canonical JSON; bytes are base64
        return None


def loads(value: bytes, payload_type: type[Payload]) -> tuple[str, Payload] | None:
    """Session id and payload."""
    try:
        parsed = json.loads(value)
        if not isinstance(parsed, dict):
            return None
        payload: Payload = _read(payload_type, parsed)
        return _as_text(parsed["sessionId"]), payload
    except (ValueError, KeyError, RecursionError, _Unlike):
        return None


# --- one plan a type, made when it is first met ----------------------------------------------------------------------------

_plans: dict[type, list[tuple[str, str, Write | None, Read]]] = {}


def _plan(data_type: type) -> list[tuple[str, str, Write | None, Read]]:
    """For each field its name, its name in JSON, and how its value is written (None: as it is) and read."""
    plan = _plans.get(data_type)
    if plan is None:
        plan = _plans[data_type] = [(field.name, _camel(field.name), *_ways(str(field.type))) for field in dataclasses.fields(data_type)]
    return plan


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def _ways(kind: str) -> tuple[Write | None, Read]:
    if kind.startswith("tuple["):
        write, read = _ways(kind.removeprefix("tuple[").removesuffix(", ...]"))
        return (list if write is None else lambda many: [write(one) for one in many]), lambda many: tuple([read(one) for one in _as_list(many)])
    if kind == "int":
        return None, lambda value: value if type(value) is int and 0 <= value < MOST_INT else _unlike()
    if kind in _PLAIN:
        expected = _PLAIN[kind]
        return None, lambda value: value if type(value) is expected else _unlike()
    if kind == "float":
        return float, _as_number
    if kind == "bytes":
        return _unlike, _unlike
    nested = getattr(events, kind)
    return (_write_attribute, _read_attribute) if nested is events.Attribute else (_write, lambda value: _read(nested, _as_object(value)))


def _write(data: Any) -> dict[str, Any]:
    return {json_name: getattr(data, name) if write is None else write(getattr(data, name)) for name, json_name, write, _ in _plan(type(data))}


def _read(data_type: type, parsed: dict[str, Any]) -> Any:
    return data_type(*[read(parsed[json_name]) for _, json_name, _, read in _plan(data_type)])


def _write_attribute(attribute: events.Attribute) -> dict[str, Any]:
    value = attribute.value
    kept: dict[str, Any] = {"label": value} if isinstance(value, str) else {"number": float(value)}
    return {"name": attribute.name, **kept, "confidence": float(attribute.confidence), "unit": attribute.unit}


def _read_attribute(value: Any) -> events.Attribute:
    parsed = _as_object(value)
    found = _as_text(parsed["label"]) if "label" in parsed else _as_number(parsed["number"])
    return events.Attribute(_as_text(parsed["name"]), found, _as_number(parsed["confidence"]), _as_text(parsed["unit"]))


def _as_number(value: Any) -> float:
    return float(value) if type(value) is float or type(value) is int else _unlike()


def _as_text(value: Any) -> str:
    return value if type(value) is str else _unlike()


def _as_list(value: Any) -> list[Any]:
    return value if type(value) is list else _unlike()


def _as_object(value: Any) -> dict[str, Any]:
    return value if type(value) is dict else _unlike()


def _unlike(*_: Any) -> Any:
    raise _Unlike
