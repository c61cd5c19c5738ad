"""VOXRELAY_KAFKA_PROPERTIES: how to reach brokers with TLS and SASL, and nothing that would change what is lost or repeated."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("confluent_kafka", reason="the kafka extra is not installed")

from voxrelay.bus.kafka import connect, properties_in
from voxrelay.engines import EngineUnusable
from voxrelay.settings import PlatformSettings


def written(folder: Path, text: str) -> Path:
    path = folder / "client.properties"
    path.write_text(text)
    return path


def test_settings_are_read_a_line_each(tmp_path: Path) -> None:
    text = "# of the cluster\nsecurity.protocol = SASL_SSL\n\nsasl.mechanism=SCRAM-SHA-512\nsasl.password=a=b#c\n"
    read = properties_in(written(tmp_path, text))
    assert read == {"security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512", "sasl.password": "a=b#c"}


@pytest.mark.parametrize("line", ["enable.auto.commit=true", "group.id=mine", "acks=0", "bootstrap.servers=elsewhere:9092", "security.protocol"])
def test_what_is_the_platforms_own_is_refused_with_its_line_and_without_its_value(tmp_path: Path, line: str) -> None:
    path = written(tmp_path, f"sasl.password=secret\n{line}\n")
    with pytest.raises(EngineUnusable, match=r"^Line 2 of .*client.properties") as refused:
        properties_in(path)
    assert "secret" not in str(refused.value)


def test_a_missing_file_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(EngineUnusable, match="cannot be read: FileNotFoundError"):
        connect(PlatformSettings(kafka_bootstrap="127.0.0.1:1", kafka_properties=tmp_path / "none"))


def test_a_setting_that_the_client_does_not_know_stops_the_start(tmp_path: Path) -> None:
    path = written(tmp_path, "security.protocol=carrier-pigeon\n")
    with pytest.raises(EngineUnusable, match=r"security\.protocol"):
        connect(PlatformSettings(kafka_bootstrap="127.0.0.1:1", kafka_properties=path))


def test_every_client_gets_them(tmp_path: Path) -> None:
    path = written(tmp_path, "security.protocol=plaintext\nclient.id=ward-3\n")
    bus = connect(PlatformSettings(kafka_bootstrap="127.0.0.1:1", kafka_properties=path))
    assert bus._consumer_settings("group")["client.id"] == "ward-3"
    assert bus._consumer_settings("group")["security.protocol"] == "plaintext"
