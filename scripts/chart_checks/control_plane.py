"""Starts a control plane on loopback: etcd, API server, controllers, scheduler, and kwok, which pretends nodes and the running of pods.

Pods are scheduled, marked running and ready, jobs complete; nothing is executed. Everything lies in one folder and ends with it.
"""

from __future__ import annotations

import json
import secrets
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from local_services.obtaining import process_environment
from local_services.processes import ServiceError, end, free_port, launch, log_tail, start_time_ticks

READY_WITHIN_S = 180.0
LOOK_EVERY_S = 0.3
PODS = Path(__file__).with_name("pretended_pods.yaml")
KUBECONFIG = """apiVersion: v1
kind: Config
clusters: [{{name: local, cluster: {{server: "{url}", insecure-skip-tls-verify: true}}}}]
users: [{{name: admin, user: {{token: {token}}}}}]
contexts: [{{name: local, context: {{cluster: local, user: admin}}}}]
current-context: local
"""


class ControlPlane:
    """Runs while it is entered. ``request`` speaks to its API server as an administrator; one thread uses it."""

    def __init__(self, programs: Path, folder: Path) -> None:
        """``programs`` as `obtaining.control_plane` builds them; ``folder`` is for data, keys and logs."""
        self._programs, self._folder = programs, folder
        self._token = secrets.token_hex(16)
        self._ports = {name: free_port() for name in ("api", "etcd", "peers", "controllers", "scheduler", "kwok")}
        self._processes: list[tuple[str, subprocess.Popen[bytes], int]] = []
        self.url = f"https://127.0.0.1:{self._ports['api']}"
        self.kubeconfig = folder / "kubeconfig"

    def __enter__(self) -> ControlPlane:
        """Raises ServiceError with the end of a log where it does not come up."""
        self._write_files()
        try:
            self._start_servers()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._end()

    def request(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> tuple[int, Any]:
        """Status and JSON answer of one call; -1 and the reason where nobody answers."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": content_type}
        asked = urllib.request.Request(self.url + path, data, headers, method=method)
        context = ssl._create_unverified_context()  # noqa: S323  # its own certificate, on loopback
        try:
            with urllib.request.urlopen(asked, timeout=30, context=context) as answer:
                return answer.status, _json(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, _json(error.read())
        except OSError as error:
            return -1, {"message": str(error)}

    def add_node(self, name: str, zone: str, cpu: int = 64, memory: str = "256Gi", gpus: int = 0, labels: Mapping[str, str] | None = None) -> None:
        """A pretended node; one with GPUs is tainted, as GPU nodes are, and only pods that tolerate that come to it."""
        size = {"cpu": str(cpu), "memory": memory, "pods": "110", **({"nvidia.com/gpu": str(gpus)} if gpus else {})}
        taints = [{"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}] if gpus else []
        own = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "topology.kubernetes.io/zone": zone, **(labels or {})}
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "annotations": {"kwok.x-k8s.io/node": "fake"}, "labels": own},
            "spec": {"taints": taints},
            "status": {"allocatable": size, "capacity": size},
        }
        status, answer = self.request("POST", "/api/v1/nodes", node)
        if status != 201:
            raise ServiceError(f"The node {name} was refused: {answer.get('message')}")

    def _write_files(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        for command in (["genrsa", "-out", "sa.key", "2048"], ["rsa", "-in", "sa.key", "-pubout", "-out", "sa.pub"]):
            subprocess.run(["openssl", *command], cwd=self._folder, check=True, capture_output=True)
        (self._folder / "tokens.csv").write_text(f'{self._token},admin,1,"system:masters"\n')
        self.kubeconfig.write_text(KUBECONFIG.format(url=self.url, token=self._token))
        self.kubeconfig.chmod(0o600)

    def _start_servers(self) -> None:
        ports = self._ports
        etcd, peers = f"http://127.0.0.1:{ports['etcd']}", f"http://127.0.0.1:{ports['peers']}"
        clients = ["--listen-client-urls", etcd, "--advertise-client-urls", etcd]
        among = ["--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers, "--initial-cluster", f"default={peers}"]
        self._start("etcd", "--data-dir", "etcd", *clients, *among, "--unsafe-no-fsync")
        self._start(
            "kube-apiserver",
            f"--etcd-servers={etcd}",
            "--bind-address=127.0.0.1",
            f"--secure-port={ports['api']}",
            "--cert-dir=certificates",
            "--token-auth-file=tokens.csv",
            "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-account-key-file=sa.pub",
            "--service-account-signing-key-file=sa.key",
        )
        self._wait("kube-apiserver", "/readyz")
        here = [f"--kubeconfig={self.kubeconfig}", "--bind-address=127.0.0.1", "--leader-elect=false"]
        signing = ["--service-account-private-key-file=sa.key", "--use-service-account-credentials=false"]
        # On a busy machine heartbeats come late, and who pretends pods does not make those of a returned node ready again.
        patience = ["--node-monitor-grace-period=1h"]
        self._start("kube-controller-manager", *here, *signing, *patience, f"--secure-port={ports['controllers']}")
        trusted = [f"--authentication-kubeconfig={self.kubeconfig}", f"--authorization-kubeconfig={self.kubeconfig}"]
        self._start("kube-scheduler", *here, *trusted, f"--secure-port={ports['scheduler']}")
        serving = f"--server-address=127.0.0.1:{ports['kwok']}"
        self._start("kwok", f"--kubeconfig={self.kubeconfig}", "--manage-all-nodes=true", f"--config={PODS}", serving)
        self._wait("kube-controller-manager", "/api/v1/namespaces/default/serviceaccounts/default")

    def _start(self, name: str, *arguments: str) -> None:
        process = launch([self._programs / name, *arguments], self._folder / f"{name}.log", process_environment(), self._folder)
        self._processes.append((name, process, start_time_ticks(process.pid) or 0))

    def _wait(self, name: str, path: str) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        while self.request("GET", path)[0] != 200:
            ended = [each for each, process, _ in self._processes if process.poll() is not None]
            if ended or time.monotonic() > deadline:
                failed = ended[0] if ended else name
                raise ServiceError(f"{failed} does not work; its log ends:\n{log_tail(self._folder / f'{failed}.log')}")
            time.sleep(LOOK_EVERY_S)

    def _end(self) -> None:
        while self._processes:
            _, process, started = self._processes.pop()
            end(process.pid, started, signal.SIGTERM)
            process.wait()


def _json(text: bytes) -> Any:
    try:
        return json.loads(text) if text else {}
    except ValueError:
        return {"message": text.decode(errors="replace")}
