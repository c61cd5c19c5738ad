"""scripts/services for real: starts Kafka, PostgreSQL and S3, uses each as a client would, crashes and ends them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import obstore
import psycopg
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from obstore.store import S3Store

pytestmark = pytest.mark.services

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "services"
NAMES = ("kafka", "postgres", "s3")
WAIT_S = 30.0


def call(root: Path, action: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), action, "--root", str(root), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def succeed(root: Path, action: str, *arguments: str) -> str:
    finished = call(root, action, *arguments)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def pids(root: Path) -> dict[str, int | None]:
    return {name: entry["pid"] for name, entry in json.loads(call(root, "status", "--json").stdout).items()}


def variables(root: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads(succeed(root, "env", "--json"))
    return found


def stat_of(pid: int) -> tuple[str, int] | None:
    """State and parent of a process; None where it has ended, whether or not its parent has taken note."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else (fields[0], int(fields[1]))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("services")
    try:
        succeed(folder, "start")
        yield folder
    finally:
        succeed(folder, "stop", "--wipe")


@pytest.fixture
def other_root(tmp_path: Path) -> Iterator[Path]:
    """A root of one test's own, for tests that break things."""
    yield tmp_path / "root"
    succeed(tmp_path / "root", "stop", "--wipe")


@pytest.fixture
def topic(root: Path) -> str:
    """A new topic of one partition that holds one record."""
    name = f"test.{uuid.uuid4().hex}"
    bootstrap = variables(root)["VOXRELAY_KAFKA_BOOTSTRAP"]
    client = AdminClient({"bootstrap.servers": bootstrap})  # must live until its futures have come
    client.create_topics([NewTopic(name, 1, 1)])[name].result(WAIT_S)
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all"})
    producer.produce(name, key=b"session", value=b"heard")
    assert producer.flush(WAIT_S) == 0
    return name


def first_record(root: Path, topic: str) -> tuple[object, object]:
    consumer = Consumer(
        {
            "bootstrap.servers": variables(root)["VOXRELAY_KAFKA_BOOTSTRAP"],
            "group.id": uuid.uuid4().hex,
            "auto.offset.reset": "earliest",
        }
    )
    try:
        consumer.subscribe([topic])
        message = consumer.poll(WAIT_S)
        assert message is not None, "no record came"
        assert message.error() is None, message.error()
        return message.key(), message.value()
    finally:
        consumer.close()


def object_store(root: Path) -> S3Store:
    found = variables(root)
    return S3Store(
        found["VOXRELAY_OBJECT_STORE_URL"].removeprefix("s3://").rstrip("/"),
        endpoint=found["AWS_ENDPOINT_URL"],
        access_key_id=found["AWS_ACCESS_KEY_ID"],
        secret_access_key=found["AWS_SECRET_ACCESS_KEY"],
        region=found["AWS_REGION"],
        client_options={"allow_http": True},
    )


def database(root: Path) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(variables(root)["VOXRELAY_DATABASE_URL"].replace("+psycopg", ""))


def postgres_folder(root: Path) -> Path:
    return Path(json.loads((root / "services.json").read_text())["services"]["postgres"]["settings"]["folder"])


def test_all_services_answer_and_secrets_are_private(root: Path) -> None:
    found = json.loads(succeed(root, "status", "--json"))
    assert {name: entry["answers"] for name, entry in found.items()} == dict.fromkeys(NAMES, True)
    assert (root / "services.json").stat().st_mode & 0o777 == 0o600


def test_export_lines_set_the_same_variables_in_a_shell(root: Path) -> None:
    program = '"$0" -c "import json, os; print(json.dumps(dict(os.environ)))"'
    shell = ["sh", "-c", f"{succeed(root, 'env')}\n{program}", sys.executable]
    in_shell = json.loads(subprocess.run(shell, capture_output=True, text=True, check=True).stdout)
    expected = variables(root)
    assert len(expected) == 8
    assert {name: in_shell.get(name) for name in expected} == expected


def test_a_second_start_changes_nothing(root: Path) -> None:
    before = pids(root)
    succeed(root, "start")
    assert pids(root) == before


def test_a_record_comes_back_from_kafka(root: Path, topic: str) -> None:
    assert first_record(root, topic) == (b"session", b"heard")


def test_kafka_makes_no_topic_by_itself(root: Path) -> None:
    client = AdminClient({"bootstrap.servers": variables(root)["VOXRELAY_KAFKA_BOOTSTRAP"]})
    missing = f"missing.{uuid.uuid4().hex}"
    client.list_topics(missing, timeout=WAIT_S)
    assert missing not in client.list_topics(timeout=WAIT_S).topics


def test_a_restarted_kafka_keeps_port_and_records(root: Path, topic: str) -> None:
    pid, bootstrap = pids(root)["kafka"], variables(root)["VOXRELAY_KAFKA_BOOTSTRAP"]
    succeed(root, "restart", "kafka")
    assert pids(root)["kafka"] != pid
    assert variables(root)["VOXRELAY_KAFKA_BOOTSTRAP"] == bootstrap
    assert first_record(root, topic) == (b"session", b"heard")


def test_killed_services_are_told_and_start_brings_them_back_with_their_data(root: Path, topic: str) -> None:
    with database(root) as connection:
        connection.execute("CREATE TABLE kept (words text)")
        connection.execute("INSERT INTO kept VALUES ('heard')")
    obstore.put(object_store(root), "kept", b"heard")
    before, variables_before = pids(root), variables(root)
    for name in NAMES:
        succeed(root, "kill", name)
    assert pids(root) == dict.fromkeys(NAMES)
    status = call(root, "status")
    assert status.returncode == 3
    assert status.stdout.count("stopped") == len(NAMES)
    refused = call(root, "env")
    assert refused.returncode == 1
    assert "Not running: kafka, postgres, s3" in refused.stderr

    succeed(root, "start")
    assert not set(before.values()) & set(pids(root).values())
    assert variables(root) == variables_before
    assert first_record(root, topic) == (b"session", b"heard")
    with database(root) as connection:
        assert connection.execute("SELECT words FROM kept").fetchall() == [("heard",)]
    assert bytes(obstore.get(object_store(root), "kept").bytes()) == b"heard"


def test_the_database_takes_its_role_and_no_other_password(root: Path) -> None:
    with database(root) as connection:
        row = connection.execute("SELECT 1, current_user::text, current_database()::text").fetchone()
    assert row == (1, "voxrelay", "voxrelay")
    url = variables(root)["VOXRELAY_DATABASE_URL"].replace("+psycopg", "")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(url, password="wrong")


def test_an_object_comes_back_from_the_store(root: Path) -> None:
    store = object_store(root)
    content = os.urandom(100_000)
    obstore.put(store, "sessions/one/audio.wav", content, attributes={"Content-Type": "audio/wav"})
    found = obstore.get(store, "sessions/one/audio.wav")
    assert found.attributes["Content-Type"] == "audio/wav"
    assert bytes(found.bytes()) == content
    assert [entry["path"] for entry in obstore.list(store, "sessions/").collect()] == ["sessions/one/audio.wav"]


def test_a_folder_with_other_things_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    own = tmp_path / "thesis.txt"
    own.write_text("years of work")
    refused = call(tmp_path, "start", "--only", "s3")
    assert refused.returncode == 1
    assert "not empty" in refused.stderr
    succeed(tmp_path, "stop", "--wipe")
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_recorded_pid_that_belongs_to_another_process_now_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "600"]) as bystander:
        try:
            (tmp_path / "lock").touch()
            record = {"port": 1, "pid": bystander.pid, "start_time_ticks": 1, "settings": {}}
            (tmp_path / "services.json").write_text(json.dumps({"services": {"s3": record}}))
            assert call(tmp_path, "status", "--only", "s3").returncode == 3
            succeed(tmp_path, "stop")
            assert bystander.poll() is None
        finally:
            bystander.kill()


def test_a_server_that_ends_while_starting_is_told_with_the_end_of_its_log(other_root: Path) -> None:
    succeed(other_root, "start", "--only", "postgres")
    succeed(other_root, "stop")
    (postgres_folder(other_root) / "data" / "global" / "pg_control").unlink()
    failed = call(other_root, "start", "--only", "postgres")
    assert failed.returncode == 1
    assert "pg_control" in failed.stderr
    assert "scripts/services stop --only postgres --wipe" in failed.stderr
    assert pids(other_root)["postgres"] is None


def test_stop_leaves_no_process_and_wipe_no_file(other_root: Path) -> None:
    succeed(other_root, "start", "--only", "postgres,s3")
    servers = [pid for pid in pids(other_root).values() if pid is not None]
    assert len(servers) == 2
    stats = {int(entry.name): stat_of(int(entry.name)) for entry in Path("/proc").iterdir() if entry.name.isdigit()}
    children = [pid for pid, stat in stats.items() if stat is not None and stat[1] in servers]
    assert children, "PostgreSQL has processes of its own"
    data = postgres_folder(other_root)
    url = json.loads(succeed(other_root, "env", "--json", "--only", "postgres"))["VOXRELAY_DATABASE_URL"]
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True):
        succeed(other_root, "stop")  # a client that stays connected does not hold it up
    assert {pid: stat_of(pid) for pid in [*servers, *children]} == dict.fromkeys([*servers, *children])
    assert data.exists()
    succeed(other_root, "stop", "--wipe")
    assert not data.exists()
    assert not other_root.exists()
