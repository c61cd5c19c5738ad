"""DELETE /api/sessions/{id}: whose sessions a key may delete, and what it is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx

from services.gateway.server import GatewayServer
from services.projector.projection import ResultProjection
from tests.stored import session
from voxrelay.events import SessionConfig, SessionOpened
from voxrelay.storage import database
from voxrelay.storage.access import AccessStore
from voxrelay.storage.deletion import Deletions
from voxrelay.storage.objects import ObjectStore


def _keep(url: str, session_id: str, owner: str) -> None:
    events = session(session_id)
    events[0] = replace(events[0], payload=SessionOpened(SessionConfig(owner=owner), 1.0))
    ResultProjection(database.connect(url)).project(events)


def test_a_key_deletes_its_own_and_an_admin_all(make_gateway: Callable[..., GatewayServer], access: AccessStore, tmp_path: Path) -> None:
    (mine, secret), (other, _), (_, admin) = (
        access.create_key("a", "free"),
        access.create_key("b", "free"),
        access.create_key("c", "free", is_admin=True),
    )
    for name, owner in (("one", mine.key_id), ("two", other.key_id)):
        _keep(access.url, name, owner)
    gateway = make_gateway(database_url=access.url)

    def delete(session_id: str, key: str) -> httpx.Response:
        headers = {"Authorization": f"Token {key}"} if key else {}
        return httpx.delete(f"http://127.0.0.1:{gateway.port}/api/sessions/{session_id}", headers=headers, timeout=30)

    assert delete("one", "").status_code == 401
    assert delete("two", secret).status_code == delete("none", secret).status_code == delete("one%00", secret).status_code == 404
    first = delete("one", secret)
    assert first.status_code == 202  # the projector removes the audio
    proof = first.json()
    assert (proof["requested_by"], proof["finished_at"]) == (f"key {mine.key_id}", None)
    assert proof["sessions"][0]["rows"]["transcripts"] == 2
    headers = {"Authorization": f"Token {secret}"}
    assert httpx.get(f"http://127.0.0.1:{gateway.port}/api/sessions/one", headers=headers, timeout=30).status_code == 404
    assert httpx.get(f"http://127.0.0.1:{gateway.port}/api/sessions", headers=headers, timeout=30).json() == []
    Deletions(database.connect(access.url)).finish(ObjectStore((tmp_path / "objects").as_uri()))
    again = delete("one", secret)
    assert again.status_code == 200
    assert again.json()["deletion_id"] == proof["deletion_id"]
    assert again.json()["finished_at"]
    assert delete("two", admin).status_code == 202
