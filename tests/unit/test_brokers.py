"""A root of three brokers: what each is told of the others, and where clients are sent."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from local_services import commands, kafka
from local_services.kafka import BROKERS, Kafka
from local_services.processes import ServiceError
from local_services.state import State, locked_state


def properties(state: State, name: str) -> dict[str, str]:
    broker = commands.service_of(name, state)
    assert isinstance(broker, Kafka)
    return dict(line.split("=", 1) for line in broker._properties(state.root / "data").splitlines())


def test_brokers_of_a_cluster_know_each_other_and_keep_two_copies_at_least(tmp_path: Path) -> None:
    with locked_state(tmp_path / "root") as state:
        commands.lay_out(state, 3)
        assert commands.all_names(state) == ["kafka", "kafka-2", "kafka-3", "postgres", "s3"]
        found = [properties(state, name) for name in BROKERS]
        assert [one["node.id"] for one in found] == ["1", "2", "3"]
        assert len({one["controller.quorum.voters"] for one in found}) == 1
        assert len({one["listeners"] for one in found}) == 3
        for one in found:
            assert one["offsets.topic.replication.factor"] == "3"
            assert one["min.insync.replicas"] == "2"
            assert one["listeners"].split(",")[1].split(":")[-1] in one["controller.quorum.voters"]
        environment = commands.service_of("kafka-2", state).environment()
        assert environment["VOXRELAY_REPLICATION"] == "3"
        assert environment["VOXRELAY_KAFKA_BOOTSTRAP"].split(",") == [f"127.0.0.1:{state.records[name].port}" for name in BROKERS]


def test_clients_are_sent_to_a_proxy_where_there_is_one(tmp_path: Path) -> None:
    with locked_state(tmp_path / "root") as state:
        commands.lay_out(state, 3)
        state.records["kafka-2"].settings["advertised_port"] = "12345"
        assert "PLAINTEXT://127.0.0.1:12345" in properties(state, "kafka-2")["advertised.listeners"]
        assert "REPLICATION://127.0.0.1:12345" not in properties(state, "kafka-2")["advertised.listeners"]  # brokers meet without it
        assert "127.0.0.1:12345" in commands.service_of("kafka", state).environment()["VOXRELAY_KAFKA_BOOTSTRAP"]


def test_a_root_keeps_its_number_of_brokers(tmp_path: Path) -> None:
    with locked_state(tmp_path / "root") as state:
        commands.lay_out(state, 3)
        commands.lay_out(state, 3)
        with pytest.raises(ServiceError, match=r"was made with 3 broker\(s\)"):
            commands.lay_out(state, 1)


def test_one_broker_is_as_before(tmp_path: Path) -> None:
    with locked_state(tmp_path / "root") as state:
        assert commands.all_names(state) == ["kafka", "postgres", "s3"]
        state.record("kafka").port = 1
        state.record("kafka").settings["controller_port"] = "2"
        assert properties(state, "kafka")["offsets.topic.replication.factor"] == "1"
        assert commands.service_of("kafka", state).environment() == {"VOXRELAY_KAFKA_BOOTSTRAP": "127.0.0.1:1"}


def test_a_cluster_id_is_never_taken_for_an_option(monkeypatch: pytest.MonkeyPatch) -> None:
    """One in 64 began with a hyphen, and Kafka's storage could not be formatted."""
    made = iter([uuid.UUID(bytes=b"\xf8" * 16), uuid.UUID(bytes=b"\xfb" * 16), uuid.UUID(bytes=b"\x01" * 16)])
    monkeypatch.setattr(kafka.uuid, "uuid4", lambda: next(made))
    assert kafka._cluster_id() == "AQEBAQEBAQEBAQEBAQEBAQ"
