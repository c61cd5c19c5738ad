"""``voxrelay doctor``: is everything there, and what to do where it is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import typer
from rich.markup import escape
from rich.table import Table

from voxrelay.cli.console import out, print_json
from voxrelay.doctor import broker, machine, stores
from voxrelay.doctor.engines import engines
from voxrelay.doctor.machine import Port
from voxrelay.doctor.report import Check, Finding, examine, finding
from voxrelay.engines import EngineUnusable
from voxrelay.settings import PlatformSettings, load_settings
from voxrelay.topology import topic_specs

COLOURS = {"ok": "green", "warning": "yellow", "failed": "red"}


def doctor(
    as_json: bool = typer.Option(False, "--json", help="As JSON: a list of checks with state, code and sentence."),
    timeout_s: float = typer.Option(15.0, "--timeout", min=1, max=600, help="Seconds for each check; they run beside each other."),
    port: int = typer.Option(8080, envvar="VOXRELAY_GATEWAY_PORT", min=0, max=65535, help="The gateway's port for WebSocket and REST."),
    grpc_port: int = typer.Option(50051, envvar="VOXRELAY_GATEWAY_GRPC_PORT", min=0, max=65535, help="The gateway's port for gRPC."),
    data: Path = typer.Option(None, help="Data folder of 'voxrelay serve'; VOXRELAY_DATABASE_URL, where it is set, goes first."),
) -> None:
    """Check everything the platform needs, one line each: ok, warning or failed, and what to do. Exit status 1 where something failed."""
    platform = load_settings(PlatformSettings)
    if data is not None:
        platform = platform.model_copy(update={"data": data})
    found = examination(platform, timeout_s, _ports(platform, port, grpc_port))
    if as_json:
        print_json([asdict(line) for line in found])
    else:
        _print(found)
    if any(line.state == "failed" for line in found):
        raise typer.Exit(1)


def _print(found: Sequence[Finding]) -> None:
    """A line each; on a terminal long sentences go on below themselves. The last line sums up."""
    if out.is_terminal:
        table = Table.grid(padding=(0, 1))
        for line in found:
            table.add_row(f"[{COLOURS[line.state]}]{line.state}[/]", line.check, escape(line.sentence))
        out.print(table, soft_wrap=False)
    else:
        for line in found:
            out.print(f"{line.state:8} {line.check:9} {escape(line.sentence)}")
    failed, warnings = (sum(line.state == state for line in found) for state in ("failed", "warning"))
    out.print(f"{failed} failed, {warnings} to look at." if failed or warnings else "All is well.")


def examination(platform: PlatformSettings, timeout_s: float, ports: Sequence[Port] = ()) -> list[Finding]:
    """All checks of this platform, embedded or over Kafka; ends within about twice ``timeout_s``."""
    in_use = engines(timeout_s)
    checks: dict[str, Check] = {
        **_broker_checks(platform, timeout_s / 3),
        "database": lambda: stores.database(platform),
        "objects": lambda: stores.objects(platform),
        "clock": lambda: stores.clock(platform),
        "models": lambda: machine.models(platform.models, in_use.models),
        "engines": lambda: in_use.findings,
        "disk": lambda: machine.disk([platform.data, platform.models] if not platform.kafka_bootstrap else [platform.models]),
        "memory": machine.memory,
        "ports": lambda: machine.ports(platform.host, ports),
    }
    return examine(checks, timeout_s)


def _broker_checks(platform: PlatformSettings, timeout_s: float) -> dict[str, Check]:
    if not platform.kafka_bootstrap:
        return {"broker": lambda: [finding("BROKER_NOT_USED")]}
    try:
        from voxrelay.bus.kafka_inspection import inspect
    except ModuleNotFoundError:
        return {"broker": lambda: [finding("BROKER_LIBRARY_MISSING")]}
    try:
        inspection = inspect(platform, timeout_s)
    except EngineUnusable as error:
        reason = str(error)
        return {"broker": lambda: [finding("BROKER_SETTINGS", reason=reason)]}
    return {
        "broker": lambda: broker.broker(inspection, platform.kafka_bootstrap, platform.replication),
        "topics": lambda: broker.topics(inspection, topic_specs(platform.partitions), platform.replication),
        "groups": lambda: broker.groups(inspection, platform.lanes),
    }


def _ports(platform: PlatformSettings, port: int, grpc_port: int) -> list[Port]:
    return [
        Port(port, "WebSocket and REST", "--port or VOXRELAY_GATEWAY_PORT"),
        Port(grpc_port, "gRPC", "--grpc-port or VOXRELAY_GATEWAY_GRPC_PORT"),
        Port(platform.metrics_port, "metrics and health", "VOXRELAY_METRICS_PORT"),
        Port(platform.grpc_port, "gRPC of a service", "VOXRELAY_GRPC_PORT"),
    ]
