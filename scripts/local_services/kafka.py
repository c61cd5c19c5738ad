"""Apache Kafka: each process is broker and controller (KRaft), plain text on loopback; one of them, or a cluster of three."""

from __future__ import annotations

import base64
import signal
import subprocess
import uuid
from collections.abc import Mapping
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

# Three brokers: every record on all of them, acknowledged when two have it.
CLUSTER_PROPERTIES = BROKER_PROPERTIES | {
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "share.coordinator.state.topic.replication.factor": "3",
    "share.coordinator.state.topic.min.isr": "2",
    # A test machine has few cores; the defaults are for large ones, and three brokers share them.
    "num.network.threads": "2",
    "num.io.threads": "4",
}
BROKERS = ("kafka", "kafka-2", "kafka-3")
PORTS = ("controller_port", "replication_port")


def lay_out_cluster(records: Mapping[str, ServiceRecord]) -> None:
    """Gives new brokers one cluster id and their ports, for good: each has to know where the others' controllers are."""
    first = records[BROKERS[0]].settings
    first.setdefault("cluster_id", _cluster_id())
    for record in records.values():
        record.settings["cluster_id"] = first["cluster_id"]
        record.port = record.port or free_port()
        for port in PORTS:
            record.settings.setdefault(port, str(free_port()))


def _cluster_id() -> str:
    """One that begins with a hyphen would be taken for an option, by Kafka's own tools too; Kafka makes none."""
    while (made := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return made


class Kafka:
    """One broker. Topics are made explicitly, as in production; the internal ones have few partitions.

    `brokers` are the records of all brokers of the root, this one's too; more than one are a cluster. Clients are told to come to
    127.0.0.1 and the setting `advertised_port` where a broker's record has one: a proxy of a fault test, for instance.
    """

    stop_signal = signal.SIGTERM
    start_limit_s = 120.0

    def __init__(self, root: Path, name: str, brokers: Mapping[str, ServiceRecord], log_path: Path) -> None:
        self.name = name
        self._folder = root / name
        self._brokers = brokers
        self._record = brokers[name]
        self._log_path = log_path

    @property
    def has_fixed_ports(self) -> bool:
        """Whether the others rely on its ports."""
        return len(self._brokers) > 1

    def obtain(self, report: Report) -> None:
        """Fetches what is needed to run. Raises ServiceError."""
        required_program("java", JAVA_REMEDY)
        kafka_jars(report)

    def prepare(self, report: Report) -> None:  # noqa: ARG002  # the same call for all services
        """Writes the configuration and formats the data folder where it is new."""
        settings = self._record.settings
        settings.setdefault("cluster_id", _cluster_id())
        if "controller_port" not in settings or not (self.has_fixed_ports or port_is_free(int(settings["controller_port"]))):
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
        # Three brokers share few cores: compiled at once and not thoroughly, they need two thirds of the time to start.
        flags = ("-Xmx320m", "-XX:TieredStopAtLevel=1") if self.has_fixed_ports else ("-Xmx512m",)
        command = [*self._java(*flags), "kafka.Kafka", str(self._folder / "server.properties")]
        return launch(command, self._log_path, process_environment(), self._folder)

    def answers(self) -> bool:
        """Whether the broker said that it has started and its port accepts connections."""
        with self._log_path.open("rb") as log:
            log.seek(int(self._record.settings["log_offset"]))
            said_so = READY_LINE in log.read()
        return said_so and self._record.port is not None and accepts_connections(self._record.port)

    def environment(self) -> dict[str, str]:
        """What a program needs to reach all brokers."""
        found = {"VOXRELAY_KAFKA_BOOTSTRAP": ",".join(f"127.0.0.1:{_advertised(record)}" for record in self._brokers.values())}
        return found | {"VOXRELAY_REPLICATION": str(len(self._brokers))} if self.has_fixed_ports else found

    def data_folders(self) -> list[Path]:
        """What `stop --wipe` removes."""
        return [self._folder]

    def _java(self, *flags: str) -> list[str]:
        jars = kafka_jars(lambda _: None)
        return [
            required_program("java", JAVA_REMEDY),
            *flags,
            f"-Dlog4j2.configurationFile={LOGGING.as_uri()}",
            "-Djava.awt.headless=true",
            "-cp",
            f"{jars}/*",
        ]

    def _properties(self, data: Path) -> str:
        settings = self._record.settings
        voters = [f"{number}@127.0.0.1:{record.settings['controller_port']}" for number, record in enumerate(self._brokers.values(), 1)]
        listeners = {"PLAINTEXT": self._record.port, "CONTROLLER": settings["controller_port"]}
        if self.has_fixed_ports:
            listeners["REPLICATION"] = settings["replication_port"]
        advertised = {"PLAINTEXT": _advertised(self._record)} | {name: port for name, port in listeners.items() if name == "REPLICATION"}
        properties = {
            "process.roles": "broker,controller",
            "node.id": str(list(self._brokers).index(self.name) + 1),
            "controller.quorum.voters": ",".join(voters),
            "controller.listener.names": "CONTROLLER",
            "listeners": _listeners(listeners),
            "advertised.listeners": _listeners(advertised),
            "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in listeners),
            "inter.broker.listener.name": "REPLICATION" if self.has_fixed_ports else "PLAINTEXT",
            "log.dirs": str(data),
            **(CLUSTER_PROPERTIES if self.has_fixed_ports else BROKER_PROPERTIES),
        }
        return "".join(f"{key}={value}\n" for key, value in properties.items())


def _advertised(record: ServiceRecord) -> str:
    return record.settings.get("advertised_port", str(record.port))


def _listeners(ports: Mapping[str, object]) -> str:
    return ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items())
