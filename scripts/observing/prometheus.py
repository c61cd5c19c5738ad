"""A Prometheus of our own on loopback: its configuration, its life, and what it answers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from local_services.processes import ServiceError, free_port, log_tail

SCRAPE_EVERY_S = 2
READY_WITHIN_S = 60.0
STEP_S = 5
RATE_INTERVAL = "30s"  # what Grafana puts for $__rate_interval is at least four scrapes
ANSWER_WITHIN_S = 60.0


@dataclass(frozen=True)
class Series:
    """One line of an answer: its labels, its times (seconds since the epoch) and values."""

    labels: dict[str, str]
    times: list[float]
    values: list[float]


class Prometheus:
    """Scrapes from construction until ``close``. ``targets``: port by job."""

    def __init__(self, programs: Path, folder: Path, targets: Mapping[str, int], rules: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        scrapes = [{"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]} for job, port in targets.items()]
        every = {"scrape_interval": f"{SCRAPE_EVERY_S}s", "evaluation_interval": f"{SCRAPE_EVERY_S}s"}
        configuration = folder / "prometheus.yml"
        configuration.write_text(yaml.safe_dump({"global": every, "rule_files": [str(rules)], "scrape_configs": scrapes}), encoding="utf-8")
        self._port, self._log = free_port(), folder / "prometheus.log"
        command = [str(programs / "prometheus"), f"--config.file={configuration}", f"--storage.tsdb.path={folder / 'data'}"]
        command += [f"--web.listen-address=127.0.0.1:{self._port}", "--log.level=warn"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        deadline = time.monotonic() + READY_WITHIN_S
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise ServiceError(f"Prometheus is not ready; its log ends:\n{log_tail(self._log)}")
            time.sleep(0.1)

    def close(self) -> None:
        os.kill(self._process.pid, signal.SIGTERM)
        self._process.wait(30)

    def over(self, expression: str, start: float, end: float) -> list[Series]:
        """Series with at least one value between the two moments."""
        asked = {"query": filled(expression), "start": f"{start:.3f}", "end": f"{end:.3f}", "step": str(STEP_S)}
        return [
            Series(found["metric"], [float(at) for at, _ in found["values"]], [float(value) for _, value in found["values"]])
            for found in self._ask("query_range", asked)["result"]
        ]

    def rules(self) -> list[dict[str, Any]]:
        """The alerts: name, expression, state, health and the last evaluation's error."""
        groups = self._ask("rules", {})["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def _ask(self, what: str, parameters: Mapping[str, str]) -> dict[str, Any]:
        address = f"http://127.0.0.1:{self._port}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(address, timeout=ANSWER_WITHIN_S) as answer:
                body = json.load(answer)
        except urllib.error.HTTPError as error:
            raise ServiceError(f"Prometheus refused {parameters.get('query', what)}:\n{error.read().decode()}") from None
        data: dict[str, Any] = body["data"]
        return data


def filled(expression: str) -> str:
    """As Grafana sends it: its variables filled in, all stages chosen."""
    return expression.replace("$__rate_interval", RATE_INTERVAL).replace("$stage", ".*")
