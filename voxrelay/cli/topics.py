"""``voxrelay topics``: the topology on a broker and on paper."""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import TYPE_CHECKING

import typer
from rich.table import Table

from voxrelay.cli.console import Failure, err, out, print_json
from voxrelay.cli.durations import moment
from voxrelay.describe import asyncapi as asyncapi_document
from voxrelay.describe import picture as mermaid_picture
from voxrelay.engines import EngineUnusable
from voxrelay.settings import PlatformSettings, load_settings
from voxrelay.topology import GATEWAY_READS, GATEWAY_WRITES, PROJECTOR, STAGES, TOPICS, consumer_group, published_by, topic_specs

if TYPE_CHECKING:
    from voxrelay.bus.kafka import KafkaBus

app = typer.Typer(help="The topics between the services.", no_args_is_help=True)


def _bus(platform: PlatformSettings) -> KafkaBus:
    if not platform.kafka_bootstrap:
        raise Failure("VOXRELAY_KAFKA_BOOTSTRAP is not set: say which broker (host:port).", 2)
    from voxrelay.bus.kafka import connect  # its library is not there where nothing runs over Kafka

    try:
        return connect(platform)
    except EngineUnusable as error:
        raise Failure(str(error), 2) from None


@app.command()
def create(as_json: bool = typer.Option(False, "--json", help="As JSON.")) -> None:
    """Create what is missing on the broker, add partitions, correct settings. Safe to repeat."""
    platform = load_settings(PlatformSettings)
    specs = topic_specs(platform.partitions)
    changed = _bus(platform).create_topics(specs, platform.replication)
    if as_json:
        print_json({"changed": changed, "topics": len(specs)})
    else:
        for name in changed:
            out.print(f"created {name}")
        err.print(f"[dim]{len(specs)} topics of {platform.partitions} partitions are as they should be.[/dim]")


@app.command("list")
def list_topics(as_json: bool = typer.Option(False, "--json", help="As JSON.")) -> None:
    """The topics the platform needs and, where a broker is set, which of them exist there."""
    platform = load_settings(PlatformSettings)
    existing = _bus(platform).topics() if platform.kafka_bootstrap else None
    rows = [
        {"name": s.name, "partitions": existing.get(s.name, 0) if existing is not None else None, "summary": s.summary}
        for s in topic_specs(platform.partitions)
    ]
    if as_json:
        print_json(rows)
        return
    table = Table("topic", "partitions on the broker", "what", box=None)
    for row in rows:
        count = "" if row["partitions"] is None else str(row["partitions"]) if row["partitions"] else "[red]missing[/red]"
        table.add_row(str(row["name"]), count, str(row["summary"]))
    out.print(table)


@app.command()
def describe(name: str = typer.Argument(..., help="A topic, as in 'topics list', or its short form, as 'segment.transcribed'.")) -> None:
    """Who writes and reads a topic, what travels on it, how long it is kept."""
    topic = next((t for t in TOPICS if name in (str(t), *(t.name(lane) for lane in t.lanes))), None)
    if topic is None:
        raise Failure(f"There is no topic {name}: 'voxrelay topics list' names them.", 3)
    writers = [s.name for s in STAGES if topic in published_by(s)] + (["gateway"] if topic in GATEWAY_WRITES else [])
    readers = [s.name for s in STAGES if s.reads is topic]
    readers += [node for node, reads in ((PROJECTOR.name, PROJECTOR.reads), ("gateway", GATEWAY_READS)) if topic in reads]
    print_json(
        {
            "topics": [topic.name(lane) for lane in topic.lanes],
            "summary": topic.summary,
            "key": "session id",
            "encoding": topic.encoding,
            "types": [f"voxrelay.v1.{payload.__name__}" for payload in topic.payloads],
            "retention_hours": topic.retention_ms / 3_600_000,
            "written_by": writers,
            "read_by": readers,
        }
    )


@app.command()
def rewind(
    to: str = typer.Option(..., help="From when on: a time (2026-01-31T12:00:00, UTC), a day, or that long ago: 12h, 7d."),
    as_json: bool = typer.Option(False, "--json", help="As JSON."),
) -> None:
    """Let the projectors read results again, after a restore; what is stored already stays as it is. End all projectors first."""
    platform = load_settings(PlatformSettings)
    bus, since = _bus(platform), moment(to)
    counts = {}
    for lane in platform.lanes:
        group = consumer_group(PROJECTOR.name, lane)
        counts[group] = bus.rewind(group, [topic.name(lane) for topic in PROJECTOR.reads if lane in topic.lanes], since)
    if as_json:
        print_json(counts)
    else:
        for group, records in counts.items():
            err.print(f"{group} reads {records} records again.")


@app.command()
def asyncapi() -> None:
    """The AsyncAPI 3.0 document of all topics."""
    print(json.dumps(asyncapi_document(version("voxrelay")), indent=1, ensure_ascii=False))


@app.command()
def picture() -> None:
    """The path of the data as a Mermaid flow chart."""
    print(mermaid_picture(), end="")
