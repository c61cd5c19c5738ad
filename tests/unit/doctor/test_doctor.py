"""voxrelay doctor without services: everything that can be broken on one machine is broken, and the sentence is read."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import sys
import threading
from collections.abc import Collection, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import doctor_page
import pytest
from rich.console import Console
from sqlalchemy import text
from typer.testing import CliRunner

from voxrelay.bus.kafka_inspection import KafkaInspection, TopicState
from voxrelay.cli import doctor as command
from voxrelay.cli.app import app
from voxrelay.doctor import broker, machine, stores
from voxrelay.doctor.engines import EnginesInUse, engines
from voxrelay.doctor.machine import Port
from voxrelay.doctor.report import Finding, examine, finding
from voxrelay.doctor.sentences import SENTENCES
from voxrelay.errors import Unavailable
from voxrelay.models.catalogue import CATALOGUE, ModelFile
from voxrelay.probe import Probe
from voxrelay.rpc import RpcServer
from voxrelay.settings import PlatformSettings
from voxrelay.storage import database
from voxrelay.storage.migrations import migrate
from voxrelay.topology import topic_specs

REPOSITORY = Path(__file__).resolve().parents[3]
SECRET = "correct-horse"


def codes(found: Collection[Finding]) -> list[str]:
    return [line.code for line in found]


def platform(tmp_path: Path, **settings: object) -> PlatformSettings:
    known = {"kafka_bootstrap": "", "database_url": "", "object_store_url": "", "data": tmp_path / "data", "models": tmp_path / "models"}
    return PlatformSettings().model_copy(update=known | settings)


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


# --- the page and the report -----------------------------------------------------------------------------------------------------


def test_the_page_is_the_code() -> None:
    assert (REPOSITORY / "docs" / "operations" / "doctor.md").read_text() == doctor_page.page(), "run 'make fmt'"


def test_every_sentence_that_is_not_ok_is_provoked_by_a_test_and_says_what_to_do() -> None:
    tests = "".join(path.read_text() for path in (REPOSITORY / "tests").rglob("test_doctor*.py"))
    for code, sentence in SENTENCES.items():
        assert sentence.state == "ok" or f'"{code}"' in tests, code
        assert sentence.text.endswith((".", "{reason}")), code


def test_a_check_that_hangs_or_breaks_takes_no_other_along() -> None:
    never = threading.Event()

    def hangs() -> list[Finding]:
        never.wait()
        return []

    def breaks() -> list[Finding]:
        raise RuntimeError(SECRET)

    def gives_up() -> list[Finding]:
        raise TimeoutError

    found = examine({"database": hangs, "topics": gives_up, "memory": breaks, "broker": lambda: [finding("BROKER_NOT_USED")]}, 0.2)
    assert [(line.check, line.code) for line in found] == [
        ("database", "CHECK_TOO_SLOW"),
        ("topics", "CHECK_TOO_SLOW"),
        ("memory", "CHECK_BROKE"),
        ("broker", "BROKER_NOT_USED"),
    ]
    assert SECRET not in str(found)
    never.set()


def test_the_command_prints_a_line_each_and_fails_when_something_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [finding("BROKER_NOT_USED"), finding("MEMORY_SHORT", free_gb="0.1", needed_gb="1.0")]
    monkeypatch.setattr(command, "examination", lambda *_: found)
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [*(f"{line.state:8} {line.check:9} {line.sentence}" for line in found), "0 failed, 1 to look at."]
    found.append(finding("MODELS_MISSING", folder="[red]", names="ge2e"))
    result = CliRunner().invoke(app, ["doctor", "--json"])
    assert result.exit_code == 1
    assert [line["code"] for line in json.loads(result.stdout)] == ["BROKER_NOT_USED", "MEMORY_SHORT", "MODELS_MISSING"]
    result = CliRunner().invoke(app, ["doctor"])
    assert "[red]" in result.stdout
    assert result.stdout.endswith("1 failed, 1 to look at.\n")


def test_on_a_terminal_long_sentences_go_on_below_themselves(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(command, "out", Console(force_terminal=True, width=60, soft_wrap=True, highlight=False, color_system=None))
    monkeypatch.setattr(command, "examination", lambda *_: [finding("CLOCK_ALONE")])
    command.doctor(False, 1.0, 0, 0, None)
    first, second, *_, last = capsys.readouterr().out.splitlines()
    assert first.startswith("ok clock Database and objects")
    assert second.startswith(" " * len("ok clock "))
    assert len(second) <= 60
    assert last == "All is well."


def test_a_platform_of_one_machine_is_examined_whole(tmp_path: Path) -> None:
    """As a person runs it, before the first start: nothing fails but what this machine lacks."""
    here = platform(tmp_path)
    found = command.examination(here, 60.0, [Port(free_port(), "gRPC", "--grpc-port")])
    assert {line.check for line in found} == {"broker", "database", "objects", "clock", "models", "engines", "disk", "memory", "ports"}
    assert {"BROKER_NOT_USED", "DATABASE_TO_COME", "OBJECTS_WORK", "CLOCK_ALONE", "ENGINES_READY", "PORT_FREE"} <= set(codes(found))
    assert next(line for line in found if line.code == "MODELS_MISSING").sentence.endswith("run 'voxrelay models pull silero-vad ge2e'.")
    assert not (here.data / "voxrelay.db").exists()


# --- the database --------------------------------------------------------------------------------------------------------------


def test_what_can_be_wrong_with_a_database(tmp_path: Path) -> None:
    file = tmp_path / "voxrelay.db"
    of_file = platform(tmp_path, database_url=f"sqlite:///{file}")
    assert codes(stores.database(of_file)) == ["DATABASE_EMPTY"]
    migrate(of_file.database_url)
    assert codes(stores.database(of_file)) == ["DATABASE_CURRENT"]
    engine = database.connect(of_file.database_url)
    for version, code in (("0001", "DATABASE_OLD"), ("9999", "DATABASE_NEWER")):
        with engine.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = :version"), {"version": version})
        assert codes(stores.database(of_file)) == [code]
    engine.dispose()
    file.write_bytes(b"no database at all" * 1000)
    assert codes(stores.database(of_file)) == ["DATABASE_SILENT"]


def test_a_database_that_does_not_answer_is_named_without_its_password(tmp_path: Path) -> None:
    url = f"postgresql+psycopg://voxrelay:{SECRET}@127.0.0.1:{free_port()}/voxrelay?sslpassword={SECRET}"
    (line,) = stores.database(platform(tmp_path, database_url=url))
    assert line.code == "DATABASE_SILENT"
    assert "refused" in line.sentence
    assert SECRET not in line.sentence
    assert codes(stores.database(platform(tmp_path, database_url="mysql://host/name"))) == ["DATABASE_ADDRESS"]
    assert codes(stores.clock(platform(tmp_path, database_url=url))) == ["CLOCK_UNSEEN"]


# --- the object store ------------------------------------------------------------------------------------------------------------


class _Faulty:
    """A store that forgets, refuses to read, or keeps what it should remove."""

    def __init__(self, fault: str) -> None:
        self._fault, self._kept = fault, {}

    def put(self, name: str, content: bytes) -> None:
        self._kept[name] = content if self._fault != "changes" else b"other"

    def get(self, name: str) -> bytes | None:
        if self._fault == "reads not":
            raise Unavailable("The object store did not give an object: 403.")
        return self._kept.get(name)

    def remove(self, names: list[str]) -> None:
        if self._fault == "removes not":
            raise Unavailable("The object store did not delete objects: 403.")
        if self._fault != "keeps":
            for name in names:
                del self._kept[name]


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("none", "OBJECTS_WORK"),
        ("changes", "OBJECTS_NOT_READ"),
        ("reads not", "OBJECTS_NOT_READ"),
        ("removes not", "OBJECTS_NOT_REMOVED"),
        ("keeps", "OBJECTS_NOT_REMOVED"),
    ],
)
def test_each_right_that_an_object_store_may_lack(fault: str, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "ObjectStore", lambda _url: _Faulty(fault))
    assert code in codes(stores.objects(platform(tmp_path)))


def test_object_stores_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert codes(stores.objects(platform(tmp_path, object_store_url="ftp://host/x"))) == ["OBJECTS_ADDRESS"]
    folder = tmp_path / "objects"
    folder.mkdir()
    (folder / stores.PROBE_FOLDER).write_text("a file where a folder must be")
    assert codes(stores.objects(platform(tmp_path, object_store_url=folder.as_uri()))) == ["OBJECTS_NOT_WRITTEN"]


def test_an_object_store_that_is_not_there_is_told_in_one_line_without_the_librarys_own_affairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    settings = {"AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "here"}
    for name, value in (settings | {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}).items():
        monkeypatch.setenv(name, value)
    (found,) = stores.objects(platform(tmp_path, object_store_url="s3://voxrelay"))
    assert found.code == "OBJECTS_SILENT"
    assert found.sentence.startswith(f"No object store answers for s3://voxrelay (PUT {endpoint}/voxrelay: ")
    assert "retry" not in found.sentence
    assert "voxrelay-doctor" not in found.sentence


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        (
            "Object at location voxrelay-doctor/14bef9a5182642758e07712f0ef491a7 not found: Error performing PUT http://127.0.0.1:9000/lost/voxrelay-doctor/"
            '14bef9a5182642758e07712f0ef491a7 in 8.95ms - Server returned non-2xx status code: 404 Not Found: <?xml version="1.0"?>\n<Error>',
            "PUT http://127.0.0.1:9000/lost: Server returned non-2xx status code: 404 Not Found",
        ),
        (
            "The operation lacked the necessary privileges to complete for path voxrelay-doctor/3ac7: Error performing PUT http://s3/voxrelay in 4µs"
            " - Server returned non-2xx status code: 403 Forbidden: <?xml version",
            "PUT http://s3/voxrelay: Server returned non-2xx status code: 403 Forbidden",
        ),
        (
            "Generic S3 error: Error performing PUT http://s3/x in 2.5s, after 3 retries, max_retries: 3  - HTTP error: error sending request",
            "PUT http://s3/x: HTTP error: error sending request",
        ),
    ],
)
def test_of_what_the_library_of_the_store_says_the_reason_is_left(told: str, shown: str) -> None:
    assert stores._reason(Unavailable(f"The object store did not take an object: {told}.")) == shown


# --- this machine ---------------------------------------------------------------------------------------------------------------


def test_weights_that_are_missing_or_were_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also a change that leaves size and time as they were."""
    content = b"weights" * 1000
    source = tmp_path / "weights.bin"
    source.write_bytes(content)
    files = (ModelFile(source.name, _sha256(content), len(content)),)
    entry = replace(CATALOGUE[0], name="tiny", engine="tiny", source=f"folder:{tmp_path}", files=files)
    monkeypatch.setattr("voxrelay.models.registry.CATALOGUE", (entry,))
    folder = tmp_path / "models"
    assert codes(machine.models(folder, [])) == ["MODELS_WHOLE"]
    assert codes(machine.models(folder, ["tiny", "tinny"])) == ["MODELS_UNKNOWN", "MODELS_MISSING"]
    machine.ModelRegistry(folder).pull("tiny")
    file = machine.ModelRegistry(folder).path("tiny")
    assert codes(machine.models(folder, ["tiny"])) == ["MODELS_WHOLE"]
    status = file.stat()
    file.write_bytes(b"Weights" + content[7:])
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert machine.ModelRegistry(folder).verify("tiny")
    (line,) = machine.models(folder, ["tiny"])
    assert line.code == "MODELS_CORRUPT"
    assert "run 'voxrelay models pull tiny'" in line.sentence
    machine.ModelRegistry(folder).pull("tiny")
    assert codes(machine.models(folder, ["tiny"])) == ["MODELS_WHOLE"]


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_library_that_is_missing_or_hangs_and_an_engine_that_there_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{REPOSITORY}")
    monkeypatch.setenv("VOXRELAY_DIARIZE_ENGINE", "none")
    (tmp_path / "py3langid.py").write_text("raise ModuleNotFoundError(\"No module named 'py3langid'\", name='py3langid')\n")
    (tmp_path / "pocketsphinx.py").write_text("raise OSError('libspeech.so: cannot open shared object file')\n")
    said = {line.sentence for line in engines(60.0).findings if line.code == "ENGINE_UNUSABLE"}
    assert said == {
        "There is no diarize engine 'none': choose one of ge2e, pyannote, speechbrain.",
        "The classify engine 'lexical' needs the library py3langid: pip install 'voxrelay[classify]'.",
        "The library of the transcribe engine 'pocketsphinx' cannot be loaded (OSError): install it anew.",
    }
    (tmp_path / "pocketsphinx.py").write_text("import threading\nthreading.Event().wait()\n")
    assert engines(1.0) == EnginesInUse((), (finding("ENGINES_SLOW", seconds=1),))
    monkeypatch.setenv("VOXRELAY_DENOISE_ONSET", "high")
    (line,) = engines(60.0).findings
    assert line.code == "ENGINES_SETTINGS"
    assert "VOXRELAY_DENOISE_ONSET: Input should be a valid number" in line.sentence
    monkeypatch.chdir(tmp_path)
    (tmp_path / "services").mkdir()
    (tmp_path / "services" / "__init__.py").write_text("raise ImportError('half of it is here')\n")
    (line,) = engines(60.0).findings
    assert line.code == "ENGINES_UNSEEN"
    assert "(ImportError: half of it is here)" in line.sentence


def test_the_model_of_the_engine_that_is_set_is_the_one_that_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    assert engines(60.0).models == ("silero-vad", "ge2e")
    for name, value in {"TRANSCRIBE_ENGINE": "faster-whisper", "DENOISE_ENGINE": "dtln", "SYNTH_ENGINE": "piper", "SYNTH_MODEL": "mine"}.items():
        monkeypatch.setenv(f"VOXRELAY_{name}", value)
    assert engines(60.0).models == ("dtln", "silero-vad", "ge2e", "faster-whisper-small", "mine")


def test_disk_and_memory(tmp_path: Path) -> None:
    assert codes(machine.disk([tmp_path / "not" / "yet"], 0, 0)) == ["DISK_ROOM"]
    assert codes(machine.disk([tmp_path], float("inf"), 0)) == ["DISK_SHORT"]
    assert codes(machine.disk([tmp_path], float("inf"), float("inf"))) == ["DISK_FULL"]
    (together,) = machine.disk([tmp_path / "data", tmp_path / "models"], 0, 0)
    assert str(tmp_path) in together.sentence
    (tmp_path / "data").mkdir()
    (together,) = machine.disk([tmp_path / "data", tmp_path / "models"], 0, 0)
    assert f"{tmp_path / 'data'} and {tmp_path}" in together.sentence
    assert codes(machine.disk([Path("/proc/self")], 0, 0))[-1] == "DISK_NOT_WRITABLE"
    assert codes(machine.memory(0)) == ["MEMORY_ROOM"]
    assert codes(machine.memory(float("inf"))) == ["MEMORY_SHORT"]


def test_memory_is_what_the_container_has_left(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:  8000 kB\nMemAvailable:  4000 kB\n")
    assert machine.free_memory_bytes(meminfo, tmp_path) == 4000 * 1024
    (tmp_path / "memory.max").write_text("3000000\n")
    (tmp_path / "memory.current").write_text("1000000\n")
    assert machine.free_memory_bytes(meminfo, tmp_path) == 2_000_000
    (tmp_path / "memory.max").write_text("max\n")
    assert machine.free_memory_bytes(meminfo, tmp_path) == 4000 * 1024


class _Other(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def other_program() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), _Other)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def test_ports_are_free_ours_or_taken(other_program: int) -> None:
    assert codes(machine.ports("127.0.0.1", [Port(free_port(), "REST", "--port"), Port(0, "gRPC", "--grpc-port")])) == ["PORT_FREE"]
    assert codes(machine.ports("127.0.0.1", [Port(other_program, "REST", "--port")])) == ["PORT_TAKEN"]
    assert codes(machine.ports("192.0.2.1", [Port(8080, "REST", "--port")])) == ["PORT_UNUSABLE"]
    probe, rpc = Probe("127.0.0.1", 0, {}), RpcServer("127.0.0.1", 0, [])
    rpc.start()
    assert codes(machine.ports("127.0.0.1", [Port(probe.port, "metrics", "x"), Port(rpc.port, "gRPC", "y")])) == ["PORT_OURS", "PORT_OURS"]
    probe.close()
    rpc.close()


# --- the broker ------------------------------------------------------------------------------------------------------------------


class _Cluster:
    """What an inspection tells of a cluster that cannot be had here."""

    def __init__(self, topics: dict[str, TopicState], version: str = "4.0 or later", brokers: int = 3, *, answers: bool = True) -> None:
        self._topics, self._version, self._brokers, self._answers = topics, version, brokers, answers

    def brokers(self) -> int:
        return self._brokers

    def version(self) -> str:
        return self._version

    def topics(self, names: Collection[str]) -> dict[str, TopicState]:
        return self._topics

    def members(self, groups: Collection[str]) -> dict[str, int]:
        if not self._answers:
            raise Unavailable("No Kafka broker answers.")
        return dict.fromkeys(groups, 1)


def test_a_broker_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"127.0.0.1:{free_port()}"
    monkeypatch.setattr(command, "engines", lambda _: EnginesInUse((), ()))
    found = command.examination(platform(tmp_path, kafka_bootstrap=address), 3.0)
    said = {line.code: line.sentence for line in found}
    assert {"BROKER_SILENT", "TOPICS_UNSEEN", "GROUPS_UNSEEN"} <= said.keys()
    assert address in said["BROKER_SILENT"]


def test_versions_copies_and_leaders() -> None:
    specs = topic_specs(4)
    whole = {spec.name: TopicState(spec.partitions, 3, True, spec.config) for spec in specs}
    assert codes(broker.topics(_Cluster(whole), specs, 3)) == ["TOPICS_AGREE"]
    lost = whole | {specs[0].name: replace(whole[specs[0].name], has_leaders=False)}
    assert codes(broker.topics(_Cluster(lost), specs, 3)) == ["TOPICS_OFFLINE"]
    assert codes(broker.broker(_Cluster({}, "2.8-IV1"), "kafka:9092", 3)) == ["BROKER_OLD"]
    assert codes(broker.broker(_Cluster({}, ""), "kafka:9092", 3)) == ["BROKER_ANSWERS"]
    assert codes(broker.broker(_Cluster({}, brokers=2), "kafka:9092", 3)) == ["BROKER_ANSWERS", "BROKERS_TOO_FEW"]
    assert codes(broker.groups(_Cluster({}), ("live", "bulk"))) == ["GROUPS_AT_WORK"]
    assert codes(broker.groups(_Cluster({}), ("live",))) == ["GROUPS_AT_WORK"]
    assert codes(broker.groups(_Cluster({}, answers=False), ("live",))) == ["GROUPS_UNSEEN"]


def test_the_groups_are_those_that_the_gateway_and_the_topology_name() -> None:
    from services.gateway.sessions.results import GROUP

    assert broker.GATEWAY_GROUP == GROUP
    assert broker.expected_groups(("live", "bulk")).count("transcribe.bulk") == 1


def test_a_connection_that_librdkafka_does_not_take_is_said_without_its_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    properties = tmp_path / "kafka.properties"
    properties.write_text(f"no.such.setting=yes\nsasl.password={SECRET}\n")
    monkeypatch.setattr(command, "engines", lambda _: EnginesInUse((), ()))
    found = command.examination(platform(tmp_path, kafka_bootstrap="127.0.0.1:1", kafka_properties=properties), 10.0)
    assert "BROKER_SETTINGS" in codes(found)
    assert SECRET not in str(found)


def test_without_the_library_of_kafka_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    monkeypatch.delitem(sys.modules, "voxrelay.bus.kafka_inspection")
    monkeypatch.setattr(command, "engines", lambda _: EnginesInUse((), ()))
    found = command.examination(platform(tmp_path, kafka_bootstrap="127.0.0.1:1"), 10.0)
    assert "BROKER_LIBRARY_MISSING" in codes(found)


def test_an_inspection_of_nobody_is_unavailable() -> None:
    inspection = KafkaInspection(f"127.0.0.1:{free_port()}", 0.3)
    for ask in (inspection.brokers, inspection.version, lambda: inspection.topics(["x"])):
        with pytest.raises(Unavailable):
            ask()
