"""Apache Kafka: one process as broker and controller (KRaft), plain text on loopback."""

from __future__ import annotations

import base64
import signal
import subprocess
import uuid
from pathlib import Path

from local_services.obtaining import Report, kafka_jars, process_environment, required_program
from local_services.processes import ServiceError, accepts_connections, free_port, launch, log_tail, port_is_free
from local_services.state import ServiceRecord

LOGGING = Path(__file__).resolve().parent.parent / "kafka-log4j2.xml"
READY_LINE = b"Kafka Server started"
JAVA_REMEDY = "Kafka needs Java 17 or later: install it (Debian: apt-get install default-jre-headless)."

# docker-compose.yml sets the same, and a test compares them.
BROKER_PROPERTIES = {
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    # A killed broker may register again only when its old session has run out (by default 9 s).
    "broker.session.timeout.ms": "6000",
    "broker.heartbeat.interval.ms": "1000",
    # One broker, so one replica; few partitions, because each costs a folder and time at the first start.
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "8",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "2",
}


class Kafka:
    """One broker. Topics are made explicitly, as in production; the internal ones have one replica and few partitions."""

    name = "kafka"
    stop_signal = signal.SIGTERM
    start_limit_s = 120.0

    def __init__(self, root: Path, record: ServiceRecord, log_path: Path) -> None:
        self._folder = root / "kafka"
        self._record = record
        self._log_path = log_path

    def obtain(self, report: Report) -> None:
        """Fetches what is needed to run. Raises ServiceError."""
        required_program("java", JAVA_REMEDY)
        kafka_jars(report)

    def prepare(self, report: Report) -> None:  # noqa: ARG002  # the same call for all services
        """Writes the configuration and formats the data folder where it is new."""
        settings = self._record.settings
        settings.setdefault("cluster_id", base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("="))
        if "controller_port" not in settings or not port_is_free(int(settings["controller_port"])):
            settings["controller_port"] = str(free_port())
        data = self._folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        configuration = self._folder / "server.properties"
        configuration.write_text(self._properties(data))
        if (data / "meta.properties").exists():
            return
        command = [
            *self._java("-Xmx256m"),
            "kafka.tools.StorageTool",
            *("format", "-t", settings["cluster_id"], "-c", str(configuration)),
        ]
        with self._log_path.open("ab") as log:
            finished = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False)
        if finished.returncode != 0:
            raise ServiceError(f"Kafka's data folder could not be formatted:\n{log_tail(self._log_path)}\n{JAVA_REMEDY}")

    def launch(self) -> subprocess.Popen[bytes]:
        """Starts the broker and returns at once."""
        # Only a line written from here on says that this broker is ready; remembered for later calls of the script.
        self._record.settings["log_offset"] = str(self._log_path.stat().st_size if self._log_path.exists() else 0)
        command = [*self._java("-Xmx512m"), "kafka.Kafka", str(self._folder / "server.properties")]
        return launch(command, self._log_path, process_environment(), self._folder)

    def answers(self) -> bool:
        """Whether the broker said that it has started and its port accepts connections."""
        with self._log_path.open("rb") as log:
            log.seek(int(self._record.settings["log_offset"]))
            said_so = READY_LINE in log.read()
        return said_so and self._record.port is not None and accepts_connections(self._record.port)

    def environment(self) -> dict[str, str]:
        """What a program needs to reach it."""
        return {"VOXRELAY_KAFKA_BOOTSTRAP": f"127.0.0.1:{self._record.port}"}

    def data_folders(self) -> list[Path]:
        """What `stop --wipe` removes."""
        return [self._folder]

    def _java(self, memory: str) -> list[str]:
        jars = kafka_jars(lambda _: None)
        return [
            required_program("java", JAVA_REMEDY),
            memory,
            f"-Dlog4j2.configurationFile={LOGGING.as_uri()}",
            "-Djava.awt.headless=true",
            "-cp",
            f"{jars}/*",
        ]

    def _properties(self, data: Path) -> str:
        port, controller_port = self._record.port, self._record.settings["controller_port"]
        properties = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "PLAINTEXT",
            "log.dirs": str(data),
            **BROKER_PROPERTIES,
        }
        return "".join(f"{key}={value}\n" for key, value in properties.items())
