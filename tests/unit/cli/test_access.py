"""voxrelay keys, users and usage: what a script takes from them, and what a person is told."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from services.projector.projection import ResultProjection
from tests.stored import session
from voxrelay import passwords
from voxrelay.cli.app import app
from voxrelay.cli.console import Failure
from voxrelay.plans import PLANS
from voxrelay.storage import database
from voxrelay.storage.access import AccessStore

DAY_S = 86_400


@pytest.fixture(autouse=True)
def _no_database_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VOXRELAY_DATABASE_URL", raising=False)
    monkeypatch.setattr(passwords, "COST", 16)


def run(data: Path, *arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, [*arguments, "--data", str(data)], input=stdin)


def out(data: Path, *arguments: str, stdin: str | None = None) -> str:
    result = run(data, *arguments, stdin=stdin)
    assert result.exit_code == 0, result.output
    return result.stdout


def shown(data: Path, *arguments: str) -> Any:
    return json.loads(out(data, *arguments, "--json"))


def store(data: Path) -> AccessStore:
    return AccessStore(f"sqlite:///{data / 'voxrelay.db'}")


def test_a_key_is_printed_alone_and_opens(tmp_path: Path) -> None:
    """The first command in an empty folder makes the database, too."""
    data = tmp_path / "new"
    secret = out(data, "keys", "create", "--name", "ward 3", "--plan", "developer").removesuffix("\n")
    key = store(data).key_of(secret)
    assert key is not None
    assert (key.name, key.plan, key.allowed, key.is_admin, key.expires_at) == ("ward 3", "developer", PLANS["developer"], False, None)
    assert secret not in out(data, "keys", "list") + json.dumps(shown(data, "keys", "list"))


def test_everything_that_can_be_said_of_a_key(tmp_path: Path) -> None:
    limits = ("--models", "one, two", "--requests-per-minute", "0", "--sessions", "3", "--expires", "2031-02-03", "--admin")
    made = shown(tmp_path, "keys", "create", "--name", "a", "--plan", "free", *limits)
    (listed,) = shown(tmp_path, "keys", "list")
    assert made == {"key": made["key"], **listed}
    assert listed == {
        "id": made["id"],
        "name": "a",
        "plan": "free",
        "state": "usable",
        "is_admin": True,
        "models": ["one", "two"],
        "requests_per_minute": 0,
        "concurrent_sessions": 3,
        "created_at": listed["created_at"],
        "expires_at": datetime(2031, 2, 3, tzinfo=UTC).timestamp(),
        "revoked_at": None,
    }
    table = out(tmp_path, "keys", "list")
    for word in (made["id"], "free", "usable", "no limit", "2031-02-03"):
        assert word in table
    until = shown(tmp_path, "keys", "create", "--name", "b", "--plan", "free", "--expires", "90d")["expires_at"]
    assert abs(until - time.time() - 90 * DAY_S) < 60


def test_keys_are_revoked_and_rotated(tmp_path: Path) -> None:
    first = shown(tmp_path, "keys", "create", "--name", "a", "--plan", "free")
    second = out(tmp_path, "keys", "rotate", first["id"], "--overlap", "12h").strip()
    third = shown(tmp_path, "keys", "rotate", first["id"], "--overlap", "12h")
    assert third == {"key": third["key"], "id": first["id"]}
    assert all(store(tmp_path).key_of(secret) for secret in (first["key"], second, third["key"]))
    last = out(tmp_path, "keys", "rotate", first["id"]).strip()
    assert [bool(store(tmp_path).key_of(secret)) for secret in (first["key"], second, third["key"], last)] == [False, False, False, True]
    assert out(tmp_path, "keys", "revoke", first["id"]) == ""
    assert shown(tmp_path, "keys", "list")[0]["state"] == "revoked"
    before = store(tmp_path).signing_secrets()
    out(tmp_path, "keys", "rotate-signing")
    assert before.items() < store(tmp_path).signing_secrets().items()
    out(tmp_path, "keys", "rotate-signing", "--now")
    assert not before.keys() & store(tmp_path).signing_secrets().keys()


def test_users_have_a_password_from_standard_input(tmp_path: Path) -> None:
    key = shown(tmp_path, "keys", "create", "--name", "a", "--plan", "free")["id"]
    assert out(tmp_path, "users", "create", "anna", "--key", key, stdin="correct horse\n") == ""
    assert store(tmp_path).log_in("anna", "correct horse") is not None
    assert [(user["name"], user["key"]) for user in shown(tmp_path, "users", "list")] == [("anna", key)]
    assert key in out(tmp_path, "users", "list")
    out(tmp_path, "users", "remove", "anna")
    assert store(tmp_path).users() == []


@pytest.mark.parametrize(
    ("arguments", "said", "status"),
    [
        (("keys", "create", "--name", "a", "--plan", "gold"), "choose one of free, developer", 2),
        (("keys", "create", "--name", "", "--plan", "free"), "printable characters", 2),
        (("keys", "create", "--name", "a", "--plan", "free", "--expires", "soon"), "neither a day", 2),
        (("keys", "rotate", "key_none", "--overlap", "long"), "no length of time", 2),
        (("keys", "rotate", "key_none"), "no key key_none", 3),
        (("keys", "revoke", "key_none"), "no key key_none", 3),
        (("keys", "list"), "no key yet", 3),
        (("users", "list"), "no user yet", 3),
        (("users", "remove", "anna"), "no user anna", 3),
        (("users", "create", "anna", "--key", "key_none"), "no key key_none", 3),
        (("usage",), "Nothing was used", 3),
        (("usage", "--from", "yesterday"), "no day", 2),
    ],
)
def test_what_cannot_be_done_is_said(tmp_path: Path, arguments: tuple[str, ...], said: str, status: int) -> None:
    run(tmp_path, "keys", "list")  # makes the database
    failure = run(tmp_path, *arguments, stdin="long enough\n").exception
    assert isinstance(failure, Failure)
    assert said in str(failure)
    assert failure.status == status


def test_a_password_has_a_length_and_a_name_is_given_once(tmp_path: Path) -> None:
    key = shown(tmp_path, "keys", "create", "--name", "a", "--plan", "free")["id"]
    create = ("users", "create", "anna", "--key", key)
    assert isinstance(run(tmp_path, *create, stdin="short\n").exception, Failure)
    assert run(tmp_path, *create, stdin="long enough\n").exit_code == 0
    assert "already" in str(run(tmp_path, *create, stdin="long enough\n").exception)


def test_usage_is_told_by_key_and_day(tmp_path: Path) -> None:
    run(tmp_path, "keys", "list")
    opened_at = datetime(2026, 3, 15, 12, tzinfo=UTC).timestamp()
    engine = database.connect(f"sqlite:///{tmp_path / 'voxrelay.db'}")
    ResultProjection(engine).project([*session("one", opened_at), *session("two", opened_at + DAY_S)])  # of key1, 5.5 s each
    engine.dispose()
    day = {"key": "key1", "day": "2026-03-15", "sessions": 1, "audio_seconds": 5.5, "syntheses": 0, "characters": 0}
    assert shown(tmp_path, "usage") == [day, day | {"day": "2026-03-16"}]
    assert shown(tmp_path, "usage", "--key", "key1", "--to", "2026-03-15") == [day]
    assert shown(tmp_path, "usage", "--key", "key2") == []
    assert "5.5 s" in out(tmp_path, "usage", "--from", "2026-03-16")


def test_the_first_key_is_one_kept_elsewhere_and_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret, later = "vr_" + "a" * 43, "vr_" + "b" * 43
    monkeypatch.setenv("VOXRELAY_API_KEY", secret)
    assert secret not in out(tmp_path, "keys", "first", "--name", "installation")
    key = store(tmp_path).key_of(secret)
    assert key is not None
    assert (key.name, key.plan, key.is_admin) == ("installation", "enterprise", True)
    assert store(tmp_path).revoke(key.key_id)
    monkeypatch.setenv("VOXRELAY_API_KEY", later)
    out(tmp_path, "keys", "first")
    assert store(tmp_path).key_of(later) is None, "a revoked key still counts: nothing comes in by installing again"
    assert len(store(tmp_path).keys()) == 1


@pytest.mark.parametrize("secret", ["", "vr_short", "a" * 46, "vr_" + "a" * 40 + " b", "vr_" + "a" * 201])
def test_a_first_key_that_could_be_guessed_is_refused(tmp_path: Path, secret: str) -> None:
    result = run(tmp_path, "keys", "first", "--secret", secret)
    assert isinstance(result.exception, Failure)
    assert not secret or secret not in str(result.exception) + result.output
    assert not (tmp_path / "voxrelay.db").exists()
