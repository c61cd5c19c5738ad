"""S3: VersityGW over a folder. A bucket is a folder, an object a file."""

from __future__ import annotations

import http.client
import os
import secrets
import signal
import subprocess
from pathlib import Path

from local_services.obtaining import Report, process_environment, s3_gateway
from local_services.processes import launch
from local_services.state import ServiceRecord

BUCKET = "voxrelay"
REGION = "us-east-1"
HEALTH_PATH = "/healthz"


class ObjectStore:
    """One gateway with the bucket `voxrelay` and one pair of keys, made at the root's first start."""

    name = "s3"
    stop_signal = signal.SIGTERM
    start_limit_s = 30.0
    has_fixed_ports = False

    def __init__(self, root: Path, record: ServiceRecord, log_path: Path) -> None:
        self._folder = root / "s3"
        self._record = record
        self._log_path = log_path

    def obtain(self, report: Report) -> None:
        """Builds the gateway where the cache has none. Raises ServiceError."""
        s3_gateway(report)

    def prepare(self, report: Report) -> None:  # noqa: ARG002  # the same call for all services
        """Makes the bucket and the keys where they are new."""
        settings = self._record.settings
        settings.setdefault("access_key", secrets.token_hex(10))
        settings.setdefault("secret_key", secrets.token_hex(20))
        (self._folder / "buckets" / BUCKET).mkdir(parents=True, exist_ok=True)
        if "metadata" not in settings:
            settings["metadata"] = "attributes" if self._has_extended_attributes() else "files"

    def launch(self) -> subprocess.Popen[bytes]:
        """Starts the gateway and returns at once."""
        settings = self._record.settings
        environment = process_environment(ROOT_ACCESS_KEY=settings["access_key"], ROOT_SECRET_KEY=settings["secret_key"])
        address = f"127.0.0.1:{self._record.port}"
        command: list[str | Path] = [
            s3_gateway(lambda _: None),
            *("--port", address, "--region", REGION, "--health", HEALTH_PATH, "--quiet", "posix"),
        ]
        if settings["metadata"] == "files":
            sidecar = self._folder / "metadata"
            sidecar.mkdir(exist_ok=True)
            command += ["--sidecar", sidecar]
        command.append(self._folder / "buckets")
        return launch(command, self._log_path, environment, self._folder)

    def answers(self) -> bool:
        """Whether the gateway answers HTTP."""
        connection = http.client.HTTPConnection("127.0.0.1", self._record.port, timeout=2.0)
        try:
            connection.request("GET", HEALTH_PATH)
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def environment(self) -> dict[str, str]:
        """What a program needs to reach it, under the names S3 clients read."""
        settings = self._record.settings
        return {
            "VOXRELAY_OBJECT_STORE_URL": f"s3://{BUCKET}/",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._record.port}",
            "AWS_ACCESS_KEY_ID": settings.get("access_key", ""),
            "AWS_SECRET_ACCESS_KEY": settings.get("secret_key", ""),
            "AWS_REGION": REGION,
            "AWS_ALLOW_HTTP": "true",
        }

    def data_folders(self) -> list[Path]:
        """What `stop --wipe` removes."""
        return [self._folder]

    def _has_extended_attributes(self) -> bool:
        """The gateway keeps an object's metadata in the file's attributes, which some file systems do not have."""
        try:
            os.setxattr(self._folder / "buckets", "user.voxrelay", b"1")
            os.removexattr(self._folder / "buckets", "user.voxrelay")
        except OSError:
            return False
        return True
