"""voxrelay delete and retention: what a script takes from them, and what a person is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from services.projector.projection import ResultProjection
from tests.stored import session
from voxrelay.cli.app import app
from voxrelay.cli.console import Failure
from voxrelay.storage import database
from voxrelay.storage.migrations import migrate
from voxrelay.storage.views import Views


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("VOXRELAY_DATABASE_URL", "VOXRELAY_OBJECT_STORE_URL", "VOXRELAY_KAFKA_BOOTSTRAP"):
        monkeypatch.delenv(name, raising=False)
    migrate(f"sqlite:///{tmp_path / 'voxrelay.db'}")
    for name, opened_at in (("one", 1_000_000_000.0), ("two", 1_700_000_000.0), ("three", 1_700_000_000.0)):
        ResultProjection(database.connect(f"sqlite:///{tmp_path / 'voxrelay.db'}")).project(session(name, opened_at))
    return tmp_path


def run(data: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--data", str(data)])


def lines(data: Path, *arguments: str) -> list[dict[str, object]]:
    result = run(data, *arguments, "--json")
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def shown(data: Path) -> set[str]:
    return {summary.session_id for summary in Views(database.connect(f"sqlite:///{data / 'voxrelay.db'}")).sessions()}


def test_deleting_by_session_by_time_and_by_key_with_proofs(data: Path) -> None:
    assert run(data, "delete", "--before", "2020-01-01", "--dry-run").stdout == "1 sessions\n"
    (first,) = lines(data, "delete", "--before", "2020-01-01", "--by", "the data protection officer")
    assert (first["requested_by"], first["selector"]) == ("the data protection officer", "1577836800")
    assert first["finished_at"]
    assert shown(data) == {"two", "three"}
    run(data, "delete", "--session", "two", "--yes")
    assert "was deleted before" in run(data, "delete", "--session", "two").stderr
    assert shown(data) == {"three"}
    assert lines(data, "delete", "--key", "key1", "--dry-run") == [{"sessions": 1}]
    run(data, "delete", "--key", "key1")
    assert shown(data) == set()
    proofs = lines(data, "retention", "proofs")
    assert [proof["reason"] for proof in proofs] == ["before", "session", "key"]
    assert proofs[0] == first == json.loads(run(data, "retention", "proof", str(first["deletion_id"])).stdout)
    assert "the data protection officer" in run(data, "retention", "proofs").stdout
    assert lines(data, "retention", "proofs", "--since", "2100-01-01") == []


def test_the_daily_job_takes_its_days_from_the_settings(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert lines(data, "retention", "run") == []
    monkeypatch.setenv("VOXRELAY_RETENTION_TEXT_DAYS", "6000")
    assert run(data, "retention", "run", "--dry-run").stdout == "text: 1 sessions\n"
    (proof,) = lines(data, "retention", "run")
    assert (proof["reason"], proof["parts"]) == ("retention", ["text"])
    assert shown(data) == {"one", "two", "three"}
    assert lines(data, "retention", "run") == []


@pytest.mark.parametrize(
    ("arguments", "said", "status"),
    [
        (("delete",), "one of --session, --key, --before", 2),
        (("delete", "--session", "a", "--key", "b"), "one of --session, --key, --before", 2),
        (("delete", "--session", "../a"), "no id of a session", 2),
        (("delete", "--before", "soon"), "neither a day", 2),
        (("retention", "proof", "del_none"), "no proof del_none", 3),
        (("retention", "proofs"), "Nothing was deleted", 3),
    ],
)
def test_what_cannot_be_done_is_said(data: Path, arguments: tuple[str, ...], said: str, status: int) -> None:
    failure = run(data, *arguments).exception
    assert isinstance(failure, Failure)
    assert said in str(failure)
    assert failure.status == status
    assert shown(data) == {"one", "two", "three"}


def test_a_restored_backup_is_deleted_from_again(data: Path, tmp_path: Path) -> None:
    """What was deleted after the backup was taken comes back with it, unless the proofs were kept."""
    assert run(data, "backup", "--to", str(tmp_path / "backup")).exit_code == 0
    run(data, "delete", "--session", "two")
    (tmp_path / "proofs.jsonl").write_text(run(data, "retention", "proofs", "--json").stdout)
    fresh = tmp_path / "fresh"
    result = run(fresh, "restore", "--from", str(tmp_path / "backup"), "--deletions", str(tmp_path / "proofs.jsonl"))
    assert result.exit_code == 0, result.output
    assert shown(fresh) == {"one", "three"}
    (proof,) = lines(fresh, "retention", "proofs")
    assert proof["reason"] == "repeated"
    again = run(data, "backup", "--to", str(tmp_path / "backup")).exception
    assert "name an empty folder" in str(again)
    assert "not empty" in str(run(fresh, "restore", "--from", str(tmp_path / "backup")).exception)
    assert "Nothing is stored" in str(run(tmp_path / "none", "backup", "--to", str(tmp_path / "other")).exception)
