"""/api/models: what callers see, what only an admin key may do, and what the command line makes of it."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from services.gateway.server import GatewayServer
from services.gateway.settings import GatewaySettings
from voxrelay.bus.memory import MemoryBus
from voxrelay.cli.app import app
from voxrelay.cli.console import Failure
from voxrelay.events import ModelActivated
from voxrelay.models import registry as registry_module
from voxrelay.models.activations import ActivationLog
from voxrelay.models.catalogue import CATALOGUE, ModelEntry, ModelFile
from voxrelay.models.operations import ModelOperations
from voxrelay.models.registry import ModelRegistry
from voxrelay.storage.access import AccessStore
from voxrelay.storage.migrations import migrate
from voxrelay.topology import topic_specs

pytestmark = pytest.mark.sockets
WITHIN_S = 30.0
WEIGHTS = b"weights"
Serve = Callable[[AccessStore | None], str]


@pytest.fixture
def log() -> ActivationLog:
    bus = MemoryBus()
    bus.create_topics(topic_specs(4))
    return ActivationLog(bus)


@pytest.fixture
def serve(tmp_path: Path, log: ActivationLog, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    source = tmp_path / "weights.onnx"
    source.write_bytes(WEIGHTS)
    file = ModelFile("weights.onnx", hashlib.sha256(WEIGHTS).hexdigest(), len(WEIGHTS))
    mine = ModelEntry("mine", "transcribe", "scripted", f"folder:{source}", "MIT", "", (file,))
    monkeypatch.setattr(registry_module, "CATALOGUE", (*CATALOGUE, mine, ModelEntry("other", "transcribe", "scripted", "engine", "MIT", "")))
    started: list[GatewayServer] = []

    def start(access: AccessStore | None = None) -> str:
        bus = MemoryBus()
        bus.create_topics(topic_specs(4))
        models = ModelOperations(ModelRegistry(tmp_path / "models"), log)
        settings = GatewaySettings(port=0, grpc_port=0, drain_s=0.0)
        server = GatewayServer(bus, settings, "127.0.0.1", {}, None, access=access, model_operations=models)
        server.start()
        started.append(server)
        return f"http://127.0.0.1:{server.port}"

    yield start
    for server in started:
        server.stop()


def pulled(url: str, name: str, **headers: str) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not (shown := httpx.get(f"{url}/api/models/{name}", headers=headers).json())["is_installed"]:
        assert shown["pull"] in ("fetching", ""), shown["pull"]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_from_pulling_to_rolling_back(serve: Serve, log: ActivationLog) -> None:
    url = serve(None)
    assert {row["name"] for row in httpx.get(f"{url}/api/models").json()} == {entry.name for entry in CATALOGUE} | {"mine", "other"}
    refused = httpx.post(f"{url}/api/models/mine/activate")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "INVALID_PARAMETER")
    assert "voxrelay models pull mine" in refused.json()["error"]["message"]
    assert log.decisions() == {}
    assert httpx.post(f"{url}/api/models/mine/pull").status_code == 202
    pulled(url, "mine")
    assert httpx.post(f"{url}/api/models/mine/activate").json()["model"] == "mine"
    assert httpx.post(f"{url}/api/models/other/activate", json={"share": 0.25}).json()["candidate"] == "other"
    used = {row["name"]: row["use"] for row in httpx.get(f"{url}/api/models", params={"task": "transcribe"}).json()}
    unused = {entry.name: "" for entry in CATALOGUE if entry.task == "transcribe"}
    assert used == unused | {"mine": "active", "other": "candidate for 25%"}
    in_shadow = httpx.post(f"{url}/api/models/mine/shadow", json={"share": 0.5}).json()
    assert (in_shadow["shadow"], in_shadow["shadow_share"], in_shadow["model"]) == ("mine", 0.5, "mine")
    assert httpx.post(f"{url}/api/models/mine/shadow", json={"share": 0}).json()["shadow"] == ""
    assert httpx.post(f"{url}/api/models/rollback", json={"task": "transcribe"}).json()["candidate"] == ""
    assert httpx.post(f"{url}/api/models/rollback", json={"task": "transcribe"}).json()["model"] == ""
    assert httpx.post(f"{url}/api/models/rollback", json={"task": "transcribe"}).status_code == 404
    assert log.decision("transcribe").model == ""


def test_what_is_wrong_is_said_and_changes_nothing(serve: Serve, log: ActivationLog) -> None:
    url = serve(None)
    for path, body, status in (
        ("nothing/activate", None, 404),
        ("nothing/pull", None, 404),
        ("ge2e/activate", None, 400),
        ("other/activate", {"share": 0}, 400),
        ("other/activate", {"share": "half"}, 400),
        ("other/shadow", {"share": 2}, 400),
        ("other/shadow", {"share": 0}, 404),
        ("ge2e/shadow", None, 400),
        ("rollback", {}, 400),
    ):
        answer = httpx.post(f"{url}/api/models/{path}", json=body)
        assert answer.status_code == status, (path, answer.text)
        assert answer.json()["error"]["message"]
    assert log.decisions() == {}


def test_only_an_admin_key_changes_models(serve: Serve, tmp_path: Path, log: ActivationLog) -> None:
    address = f"sqlite:///{tmp_path / 'voxrelay.db'}"
    migrate(address)
    store = AccessStore(address)
    ordinary, admin = store.create_key("a", "developer")[1], store.create_key("b", "developer", is_admin=True)[1]
    url = serve(store)
    assert httpx.get(f"{url}/api/models").status_code == 401
    mine = {"Authorization": f"Token {ordinary}"}
    assert httpx.get(f"{url}/api/models", headers=mine).status_code == 200
    for path in ("other/pull", "other/activate", "other/shadow"):
        assert httpx.post(f"{url}/api/models/{path}", headers=mine).status_code == 403
    assert httpx.post(f"{url}/api/models/rollback", headers=mine, json={"task": "transcribe"}).status_code == 403
    assert httpx.get(f"{url}/api/model-states", headers=mine).status_code == 403
    assert log.decisions() == {}
    assert httpx.post(f"{url}/api/models/other/activate", headers={"Authorization": f"Token {admin}"}).status_code == 200
    assert log.decision("transcribe") == ModelActivated("transcribe", "other", earlier=("",), activated_at=log.decision("transcribe").activated_at)


def test_the_command_line_does_the_same_from_afar(serve: Serve, log: ActivationLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VOXRELAY_KAFKA_BOOTSTRAP", raising=False)
    url = serve(None)

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(app, ["models", *arguments])
        if isinstance(result.exception, Failure):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.stdout

    run("activate", "other", "--url", url)
    assert {row["name"]: row["use"] for row in json.loads(run("list", "--url", url, "--json"))}["other"] == "active"
    assert "active" in run("show", "other", "--url", url)
    run("rollback", "--url", url)
    assert log.decision("transcribe").model == ""
    run("shadow", "other", "--share", "0.2", "--url", url)
    assert {row["name"]: row["use"] for row in json.loads(run("list", "--url", url, "--json"))}["other"] == "in the shadow of 20%"
    run("shadow", "other", "--share", "0", "--url", url)
    assert log.decision("transcribe").shadow == ""
    with pytest.raises(Failure, match="only a broker keeps"):
        run("compare", "--from", "2h")
    with pytest.raises(Failure, match="nothing to go back to"):
        run("rollback", "--url", url)
    with pytest.raises(Failure, match="Say where: --url of a running platform"):
        run("activate", "other")
    with pytest.raises(Failure, match="does not answer"):
        run("list", "--url", "http://127.0.0.1:9")
