"""The models of a running platform, over its REST calls: the same answers as ``ModelOperations`` gives."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import httpx

from voxrelay.cli.console import Failure
from voxrelay.events import ModelActivated

TIMEOUT_S = 60.0


class RemoteModels:
    """Raises ``Failure`` with the platform's own sentence for whatever it refuses."""

    def __init__(self, url: str, api_key: str) -> None:
        headers = {"Authorization": f"Token {api_key}"} if api_key else {}
        self._client = httpx.Client(base_url=url.rstrip("/"), headers=headers, timeout=TIMEOUT_S)

    def rows(self, task: str = "") -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self._ask("GET", "/api/models", params={"task": task})
        return rows

    def row(self, name: str) -> dict[str, Any]:
        row: dict[str, Any] = self._ask("GET", f"/api/models/{quote(name, safe='')}")
        return row

    def states(self) -> list[dict[str, Any]]:
        states: list[dict[str, Any]] = self._ask("GET", "/api/model-states")
        return states

    def activate(self, name: str, share: float = 1.0) -> ModelActivated:
        return _decision(self._ask("POST", f"/api/models/{quote(name, safe='')}/activate", json={"share": share}))

    def shadow(self, name: str, share: float = 1.0) -> ModelActivated:
        return _decision(self._ask("POST", f"/api/models/{quote(name, safe='')}/shadow", json={"share": share}))

    def rollback(self, task: str) -> ModelActivated:
        return _decision(self._ask("POST", "/api/models/rollback", json={"task": task}))

    def _ask(self, method: str, path: str, **content: Any) -> Any:
        try:
            answer = self._client.request(method, path, **content)
            found = answer.json()
        except httpx.HTTPError as error:
            raise Failure(f"The platform at {self._client.base_url} does not answer: {error}.") from None
        except ValueError:
            raise Failure(f"{self._client.base_url} is no Voxrelay platform: it answered {answer.status_code} and no JSON.") from None
        if answer.is_error:
            said = found.get("error", {}) if isinstance(found, dict) else {}
            raise Failure(f"{said.get('message', 'refused')} ({said.get('code', answer.status_code)})")
        return found


def _decision(answer: dict[str, Any]) -> ModelActivated:
    return ModelActivated(**{**answer, "earlier": tuple(answer["earlier"])})
