"""The platform over real services, sound and then broken in one way after another, and what `voxrelay doctor` says each time.

    eval "$(scripts/services env)" && python scripts/doctor_tried.py      # writes docs/operations/doctor-tried.md

Everything is broken for real, one thing at a time, and mended before the next. Exit status 1 where the doctor does not say what was broken,
or finds something wrong with what is sound.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from confluent_kafka.admin import AdminClient
from local_services.processes import ServiceError
from local_services.stack import Stack
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from voxrelay.models.registry import ModelRegistry, bundled_names
from voxrelay.settings import PlatformSettings

REPOSITORY = Path(__file__).resolve().parent.parent
LOST_TOPIC = "speech.segment.classified.v1"
MENDED_WITHIN_S = 90.0
OF_THIS_MACHINE = {"DISK_SHORT", "DISK_FULL", "MEMORY_SHORT"}  # of whoever runs it
Change = Callable[["Platform"], AbstractContextManager[Mapping[str, str]]]

HEAD = """# What the doctor said

`make doctor-tried` starts the seven services over a real Kafka, PostgreSQL and S3 server and asks [`voxrelay doctor`](doctor.md). Then it
breaks one thing after another, for real, asks again each time, mends it, and writes this page. It fails where the doctor does not say what
was broken, or calls something wrong that is not.

Written on {date}. Usual ports and folders stand for those of the run; of the answers to what was broken the lines that are not ok are shown.
"""


@dataclass(frozen=True)
class Platform:
    """The running services, and the folder of scratch files."""

    stack: Stack
    services_root: Path
    scratch: Path


@dataclass(frozen=True)
class Break:
    """``change`` breaks something until its context ends, and yields the variables the doctor is asked with besides."""

    what: str
    change: Change
    codes: frozenset[str]


# --- what is broken ------------------------------------------------------------------------------------------------------------


def _without(service: str) -> Change:
    """One of the real services is stopped, and started again."""

    @contextmanager
    def change(platform: Platform) -> Iterator[Mapping[str, str]]:
        _services(platform, "stop", service)
        try:
            yield {}
        finally:
            _services(platform, "start", service)

    return change


def _services(platform: Platform, action: str, service: str) -> None:
    command = [sys.executable, REPOSITORY / "scripts/services", action, "--root", platform.services_root, "--only", service]
    subprocess.run(command, check=True, capture_output=True)


def _with(**variables: str) -> Change:
    """The doctor is asked with other settings."""

    @contextmanager
    def change(_platform: Platform) -> Iterator[Mapping[str, str]]:
        yield {f"VOXRELAY_{name}": value for name, value in variables.items()}

    return change


@contextmanager
def _lost_topic(_platform: Platform) -> Iterator[Mapping[str, str]]:
    admin = AdminClient({"bootstrap.servers": os.environ["VOXRELAY_KAFKA_BOOTSTRAP"]})
    admin.delete_topics([LOST_TOPIC])[LOST_TOPIC].result(30)
    try:
        yield {}
    finally:
        subprocess.run([sys.executable, "-m", "voxrelay.cli", "topics", "create"], cwd=REPOSITORY, check=True, capture_output=True)


@contextmanager
def _stopped_classify(platform: Platform) -> Iterator[Mapping[str, str]]:
    platform.stack.stop("classify")
    try:
        yield {}
    finally:
        platform.stack.restart("classify")
        platform.stack.wait_ready("classify")


@contextmanager
def _database(prepare: Callable[[str], None]) -> Iterator[Mapping[str, str]]:
    """Another database on the same server, prepared and dropped."""
    server = make_url(os.environ["VOXRELAY_DATABASE_URL"])
    url = server.set(database="doctor_tried").render_as_string(hide_password=False)
    _execute(server.render_as_string(hide_password=False), "DROP DATABASE IF EXISTS doctor_tried WITH (FORCE)", "CREATE DATABASE doctor_tried")
    try:
        prepare(url)
        yield {"VOXRELAY_DATABASE_URL": url}
    finally:
        _execute(server.render_as_string(hide_password=False), "DROP DATABASE doctor_tried WITH (FORCE)")


def _execute(url: str, *statements: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


def _migrated(url: str) -> None:
    environment = {**os.environ, "VOXRELAY_DATABASE_URL": url}
    subprocess.run([sys.executable, "-m", "voxrelay.cli", "database", "migrate"], cwd=REPOSITORY, env=environment, check=True, capture_output=True)


def _of_an_older_version(url: str) -> None:
    _migrated(url)
    _execute(url, "UPDATE alembic_version SET version_num = '0001'")


def _that_takes_no_writes(url: str) -> None:
    _migrated(url)
    _execute(url, "REVOKE INSERT ON sessions FROM current_user")


def _with_database(prepare: Callable[[str], None]) -> Change:
    return lambda _platform: _database(prepare)


@contextmanager
def _wrong_secret(_platform: Platform) -> Iterator[Mapping[str, str]]:
    yield {"AWS_SECRET_ACCESS_KEY": "not-the-secret"}


@contextmanager
def _no_weights(platform: Platform) -> Iterator[Mapping[str, str]]:
    yield {"VOXRELAY_MODELS": str(platform.scratch / "models")}


@contextmanager
def _bundled_weights(platform: Platform) -> Iterator[ModelRegistry]:
    """A copy of those alone that the default engines need."""
    folder, here = platform.scratch / "models", PlatformSettings().models
    for name in bundled_names():
        shutil.copytree(here / name, folder / name)
    try:
        yield ModelRegistry(folder)
    finally:
        shutil.rmtree(folder)


@contextmanager
def _unfetched_weights(platform: Platform) -> Iterator[Mapping[str, str]]:
    with _bundled_weights(platform):
        yield {"VOXRELAY_MODELS": str(platform.scratch / "models"), "VOXRELAY_DENOISE_ENGINE": "dtln"}


@contextmanager
def _changed_weights(platform: Platform) -> Iterator[Mapping[str, str]]:
    """One byte; the size stays as it was."""
    with _bundled_weights(platform) as registry:
        file = registry.path("silero-vad")
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
        yield {"VOXRELAY_MODELS": str(platform.scratch / "models")}


@contextmanager
def _taken_port(_platform: Platform) -> Iterator[Mapping[str, str]]:
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield {"VOXRELAY_GATEWAY_PORT": str(other.getsockname()[1])}


BREAKS = (
    Break("Kafka is stopped", _without("kafka"), frozenset({"BROKER_SILENT", "TOPICS_UNSEEN", "GROUPS_UNSEEN"})),
    Break(f"the topic {LOST_TOPIC} was deleted", _lost_topic, frozenset({"TOPICS_MISSING"})),
    Break("VOXRELAY_PARTITIONS is more than the topics have", _with(PARTITIONS="48"), frozenset({"TOPICS_PARTITIONS_FEWER"})),
    Break("three copies are asked of one broker", _with(REPLICATION="3"), frozenset({"BROKERS_TOO_FEW", "TOPICS_REPLICATION"})),
    Break("the service classify is stopped", _stopped_classify, frozenset({"GROUPS_EMPTY"})),
    Break("PostgreSQL is stopped", _without("postgres"), frozenset({"DATABASE_SILENT"})),
    Break("the database is new", _with_database(lambda _url: None), frozenset({"DATABASE_EMPTY"})),
    Break("the database is of an older version", _with_database(_of_an_older_version), frozenset({"DATABASE_OLD"})),
    Break("the database's user may not write", _with_database(_that_takes_no_writes), frozenset({"DATABASE_NOT_WRITABLE"})),
    Break("the S3 server is stopped", _without("s3"), frozenset({"OBJECTS_SILENT"})),
    Break("the bucket does not exist", _with(OBJECT_STORE_URL="s3://lost"), frozenset({"OBJECTS_NOT_WRITTEN"})),
    Break("the secret of the object store is wrong", _wrong_secret, frozenset({"OBJECTS_NOT_WRITTEN"})),
    Break("the folder of weights is empty", _no_weights, frozenset({"MODELS_MISSING"})),
    Break("a byte of a model was changed", _changed_weights, frozenset({"MODELS_CORRUPT"})),
    Break("an engine is set whose model was not fetched", _unfetched_weights, frozenset({"MODELS_MISSING"})),
    Break("an engine is set that does not exist", _with(SYNTH_ENGINE="espeek"), frozenset({"ENGINE_UNUSABLE"})),
    Break("a setting of a service is no number", _with(DENOISE_ONSET="high"), frozenset({"ENGINES_SETTINGS"})),
    Break("another program has the gateway's port", _taken_port, frozenset({"PORT_TAKEN"})),
)


# --- what the doctor says ------------------------------------------------------------------------------------------------------


def ask(platform: Platform, variables: Mapping[str, str]) -> tuple[list[dict[str, str]], int]:
    """The lines of ``voxrelay doctor --json`` and its exit status."""
    ports = {"VOXRELAY_GATEWAY_PORT": str(platform.stack.port), "VOXRELAY_GATEWAY_GRPC_PORT": str(platform.stack.grpc_port)}
    command = [sys.executable, "-m", "voxrelay.cli", "doctor", "--json", "--timeout", "60"]
    environment = {**os.environ, **ports, **variables}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=REPOSITORY, timeout=300, check=False)
    if done.returncode not in (0, 1):
        raise ServiceError(f"voxrelay doctor ended with {done.returncode}: {done.stderr}")
    return json.loads(done.stdout), done.returncode


def wrong(lines: list[dict[str, str]]) -> list[dict[str, str]]:
    return [line for line in lines if line["state"] != "ok" and line["code"] not in OF_THIS_MACHINE]


def sound(platform: Platform) -> list[dict[str, str]]:
    """Asks until nothing is wrong, as services that lost a broker need a moment. Raises ``ServiceError`` with what is still wrong."""
    deadline = time.monotonic() + MENDED_WITHIN_S
    while True:
        lines, _ = ask(platform, {})
        if not wrong(lines):
            return lines
        if time.monotonic() > deadline:
            raise ServiceError(f"The stack does not get sound again: {wrong(lines)}")


def usual(platform: Platform, sentence: str) -> str:
    """Without what only this run had: ports and folders."""
    stack = platform.stack
    replaced = {f":{stack.port}": ":8080", str(platform.scratch / "models"): "models", str(PlatformSettings().models): "models"}
    replaced |= {f"rt {stack.port} ": "rt 8080 ", f"rt {stack.grpc_port} ": "rt 50051 "}
    for variable, port in {"VOXRELAY_KAFKA_BOOTSTRAP": "9092", "VOXRELAY_DATABASE_URL": "5432", "AWS_ENDPOINT_URL": "9000"}.items():
        if found := re.search(r":(\d+)(/|$)", os.environ[variable]):
            replaced[f":{found[1]}"] = f":{port}"
            replaced[f"port {found[1]}"] = f"port {port}"
    for here, there in replaced.items():
        sentence = sentence.replace(here, there)
    return re.sub(r"Port \d{5} \(WebSocket", "Port 8080 (WebSocket", sentence)


def page(platform: Platform) -> tuple[str, int]:
    """The page, and how often the doctor was wrong."""
    healthy, status = sound(platform), 0
    rows = [f"| {line['check']} | {usual(platform, line['sentence'])} |" for line in healthy]
    text_of_page = [HEAD.format(date=f"{datetime.now(UTC):%Y-%m-%d}"), "## Sound", "", "| check | ok |", "|---|---|", *rows, ""]
    text_of_page += ["## Broken", "", "| what was broken | exit status | state | sentence |", "|---|---|---|---|"]
    for each in BREAKS:
        with each.change(platform) as variables:
            lines, exit_status = ask(platform, variables)
        found = wrong(lines)
        if {line["code"] for line in found} != each.codes:
            print(f"{each.what}: {found}", file=sys.stderr)
            status += 1
        for number, line in enumerate(found):
            first = (each.what, str(exit_status)) if number == 0 else ("", "")
            text_of_page.append(f"| {' | '.join((*first, line['state'], usual(platform, line['sentence'])))} |")
        sound(platform)
        print(f"{each.what}: {', '.join(line['code'] for line in found)}", flush=True)
    return "\n".join(text_of_page) + "\n", status


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=REPOSITORY / ".services", help="the folder of 'scripts/services'")
    parser.add_argument("--to", type=Path, default=REPOSITORY / "docs" / "operations" / "doctor-tried.md")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="voxrelay-doctor-") as folder:
        stack = Stack(Path(folder) / "stack", {})
        try:
            stack.prepare()
            stack.start()
            stack.wait_ready()
            written, mistakes = page(Platform(stack, arguments.root, Path(folder)))
        except ServiceError as error:
            print(error, file=sys.stderr)
            return 1
        finally:
            stack.stop()
    arguments.to.write_text(written)
    return 1 if mistakes else 0


if __name__ == "__main__":
    sys.exit(main())
