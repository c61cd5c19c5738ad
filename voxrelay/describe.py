"""The topology for people and tools: an AsyncAPI 3.0 document and a Mermaid picture. Pure functions of ``topology`` and ``events``."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

from voxrelay import events
from voxrelay.events import Payload
from voxrelay.topology import (
    CONTROL_TOPICS,
    GATEWAY_READS,
    GATEWAY_WRITES,
    PROJECTOR,
    STAGES,
    TOPICS,
    ControlTopic,
    Topic,
    consumer_group,
    dead_letter_topic,
    published_by,
)

_SCALARS: dict[str, dict[str, Any]] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "bytes": {"type": "string", "contentEncoding": "base64"},
    "EndReason": {"type": "string"},
    "UtteranceEndReason": {"type": "string"},
}


def _camel(name: str) -> str:
    """The name a field has in canonical protobuf JSON."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def _schema(kind: str) -> dict[str, Any]:
    if kind in _SCALARS:
        return dict(_SCALARS[kind])
    if kind.startswith("tuple["):
        return {"type": "array", "items": _schema(kind.removeprefix("tuple[").removesuffix(", ...]"))}
    if kind == "Attribute":
        value = {"label": {"type": "string"}, "number": {"type": "number"}}
        return {
            "type": "object",
            "description": "One named property; either label or number is there.",
            "properties": {"name": {"type": "string"}, **value, "confidence": {"type": "number"}, "unit": {"type": "string"}},
        }
    data_type: Any = getattr(events, kind)
    return {"type": "object", "properties": {_camel(field.name): _schema(str(field.type)) for field in dataclasses.fields(data_type)}}


def _message(payload: type[Payload], topic: Topic) -> dict[str, Any]:
    properties = {"sessionId": {"type": "string"}} | _schema(payload.__name__)["properties"]
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if topic.encoding == "protobuf":
        schema["description"] = f"On the wire: protobuf, message voxrelay.v1.{payload.__name__} of proto/voxrelay/v1/events.proto."
    described = inspect.getdoc(payload) or ""
    return {
        "name": f"voxrelay.v1.{payload.__name__}",
        "summary": "" if described.startswith(payload.__name__ + "(") else described.split("\n")[0],
        "contentType": "application/protobuf" if topic.encoding == "protobuf" else "application/json",
        "headers": {"$ref": "#/components/schemas/headers"},
        "payload": schema,
    }


def _control_channel(topic: ControlTopic) -> dict[str, Any]:
    described = inspect.getdoc(topic.payload) or ""
    properties = {field.name: _schema(str(field.type)) for field in dataclasses.fields(topic.payload)}
    message = {
        "name": f"voxrelay.v1.{topic.payload.__name__}",
        "summary": described.split("\n")[0],
        "contentType": "application/json",
        "payload": {"type": "object", "properties": properties},
    }
    return {
        "address": topic.name,
        "summary": topic.summary,
        "description": f"Key: {topic.key}. Compacted: the newest record of a key holds. Read from the beginning, in no group.",
        "messages": {topic.payload.__name__: message},
        "bindings": {"kafka": {"topic": topic.name, "partitions": 1, "bindingVersion": "0.5.0"}},
    }


def _headers() -> dict[str, Any]:
    names = {
        "ce_specversion": "CloudEvents version, 1.0",
        "ce_id": "the same whenever the same event is published again",
        "ce_source": "/voxrelay/<producer>",
        "ce_type": "voxrelay.v1.<message>",
        "ce_time": "RFC 3339, when it was published",
        "ce_sequence": "1, 2, 3 … within session and producer; 0 for interim results",
        "ce_receivedat": "seconds since the epoch when the newest audio behind it reached the gateway",
        "ce_busy": "0 to 1, the share of its time that a stage was at work lately; absent: unknown",
        "content-type": "application/protobuf or application/json",
        "traceparent": "W3C Trace Context of the session",
    }
    return {"type": "object", "properties": {name: {"type": "string", "description": text} for name, text in names.items()}}


def asyncapi(version: str) -> dict[str, Any]:
    """The AsyncAPI 3.0 document of all public topics and who reads and writes them."""
    channels: dict[str, Any] = {topic.name: _control_channel(topic) for topic in CONTROL_TOPICS}
    operations: dict[str, Any] = {}
    for topic in TOPICS:
        for lane in topic.lanes:
            name = topic.name(lane)
            channels[name] = {
                "address": name,
                "summary": topic.summary,
                "description": f"Key: session id. Dead letters: {dead_letter_topic(name)}.",
                "messages": {payload.__name__: _message(payload, topic) for payload in topic.payloads},
                "bindings": {"kafka": {"topic": name, "topicConfiguration": {"retention.ms": topic.retention_ms}, "bindingVersion": "0.5.0"}},
            }
    readers: list[tuple[str, tuple[Topic, ...], tuple[Topic, ...]]] = [(stage.name, (stage.reads,), published_by(stage)) for stage in STAGES]
    readers += [(PROJECTOR.name, PROJECTOR.reads, ()), ("gateway", GATEWAY_READS, GATEWAY_WRITES)]
    for name, reads, writes in readers:
        for action, topics in (("receive", reads), ("send", writes)):
            for topic in topics:
                for lane in topic.lanes:
                    operations[f"{name}.{action}.{topic.name(lane)}"] = {
                        "action": action,
                        "channel": {"$ref": f"#/channels/{topic.name(lane)}"},
                        "summary": f"{consumer_group(name, lane)} {'reads' if action == 'receive' else 'publishes'} {topic}.",
                    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Voxrelay",
            "version": version,
            "description": "The events of the speech path. Generated by 'voxrelay topics asyncapi' from voxrelay/topology.py; not edited.",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"schemas": {"headers": _headers()}},
    }


def picture() -> str:
    """A Mermaid flow chart of services and topics (one lane; the other is the same)."""
    lines = ["flowchart LR", "    client([client]) <--> gateway"]
    nodes: dict[str, str] = {}
    for stage in STAGES:
        nodes.setdefault(stage.service, stage.service)
    for topic in TOPICS:
        lines.append(f"    {topic.entity}_{topic.fact}[/{topic}/]")
    edges: list[str] = [f"    gateway --> {t.entity}_{t.fact}" for t in GATEWAY_WRITES]
    for stage in STAGES:
        edges.append(f"    {stage.reads.entity}_{stage.reads.fact} --> {stage.service}")
        edges += [f"    {stage.service} --> {t.entity}_{t.fact}" for t in published_by(stage)]
    edges += [f"    {t.entity}_{t.fact} --> projector" for t in PROJECTOR.reads]
    edges += [f"    {t.entity}_{t.fact} -.-> gateway" for t in GATEWAY_READS]
    lines += list(dict.fromkeys(edges))
    lines += ["    projector --> database[(PostgreSQL)]", "    projector --> objects[(object store)]"]
    return "\n".join(lines) + "\n"
