"""``voxrelay keys`` and ``voxrelay users``: who may come in, straight in the database (of VOXRELAY_DATABASE_URL, or of a data folder)."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer
from rich.table import Column, Table

from voxrelay.cli.console import Failure, err, print_json, print_table
from voxrelay.cli.durations import duration_s, is_duration
from voxrelay.plans import PLANS, UNLIMITED, Plan
from voxrelay.settings import PlatformSettings, load_settings
from voxrelay.storage.access import AccessStore, Key
from voxrelay.storage.migrations import migrate

keys = typer.Typer(help="API keys: create, list, revoke, rotate. Without any, everybody on this machine is let in.", no_args_is_help=True)
users = typer.Typer(help="Users, who log in with a password instead of a key (POST /auth/login).", no_args_is_help=True)

DATA = typer.Option(None, help="Data folder of 'voxrelay serve'; VOXRELAY_DATABASE_URL, where it is set, goes first.")
AS_JSON = typer.Option(False, "--json", help="As JSON.")
KEY_ID = typer.Argument(..., help="The key's id, as 'voxrelay keys list' shows it.")
LEAST_PASSWORD_CHARACTERS = 8
MOST_CHARACTERS = 200
_GIVEN_SECRET = re.compile(r"vr_[A-Za-z0-9_-]{32,200}")


@contextmanager
def _store(data: Path | None) -> Iterator[AccessStore]:
    """The database; that of a data folder is made where there is none yet."""
    platform = load_settings(PlatformSettings)
    if data is not None:
        platform = platform.model_copy(update={"data": data})
    if not platform.database_url:
        platform.data.mkdir(parents=True, exist_ok=True)
        migrate(platform.resolved_database_url)
    store = AccessStore(platform.resolved_database_url)
    try:
        yield store
    finally:
        store.close()


# --- keys --------------------------------------------------------------------------------------------------------------------


@keys.command()
def create(
    name: str = typer.Option(..., help="Whose key it is, or what for; for people."),
    plan: str = typer.Option(..., help=f"One of {', '.join(PLANS)}."),
    expires: str = typer.Option("", help="A day (2027-01-31, UTC), or from now: 90d, 12h, 30m. Without it the key lasts."),
    models: str = typer.Option("", help="The models it may ask for, comma-separated; all without it."),
    requests_per_minute: int = typer.Option(None, min=0, help="Another number than the plan's; 0 is without limit."),
    sessions: int = typer.Option(None, min=0, help="Sessions at once, another number than the plan's; 0 is without limit."),
    admin: bool = typer.Option(False, "--admin", help="It sees the stored sessions and the usage of all keys."),
    as_json: bool = AS_JSON,
    data: Path = DATA,
) -> None:
    """Make a key. It is printed once, alone on standard output, and cannot be shown again: only its hash is kept."""
    if plan not in PLANS:
        raise Failure(f"There is no plan {plan}: choose one of {', '.join(PLANS)}.", 2)
    _check_name(name)
    with _store(data) as store:
        key, secret = store.create_key(
            name,
            plan,
            is_admin=admin,
            models=[model.strip() for model in models.split(",") if model.strip()],
            requests_per_minute=requests_per_minute,
            concurrent_sessions=sessions,
            expires_at=_expiry(expires),
        )
    _hand_over(key.key_id, secret, {"key": secret} | _key_json(key), as_json)


@keys.command()
def first(
    secret: str = typer.Option(..., envvar="VOXRELAY_API_KEY", help="The key: vr_ and at least 32 letters, digits, _ or -. Better in the variable."),
    name: str = typer.Option("first", help="What it is for; for people."),
    plan: str = typer.Option("enterprise", help=f"One of {', '.join(PLANS)}."),
    data: Path = DATA,
) -> None:
    """Make the first key, an admin's, of a secret kept elsewhere. Does nothing once there was any key: safe to repeat at every installation."""
    if not _GIVEN_SECRET.fullmatch(secret):
        raise Failure("A key is vr_ and 32 to 200 letters, digits, _ or -: take what 'voxrelay keys create' prints, or draw one at random.", 2)
    if plan not in PLANS:
        raise Failure(f"There is no plan {plan}: choose one of {', '.join(PLANS)}.", 2)
    _check_name(name)
    with _store(data) as store:
        if store.has_keys():
            err.print("[dim]There are keys already; nothing was changed.[/dim]")
            return
        key, _ = store.create_key(name, plan, is_admin=True, secret=secret)
    err.print(f"[dim]{key.key_id} is the first key.[/dim]")


@keys.command("list")
def list_keys(as_json: bool = AS_JSON, data: Path = DATA) -> None:
    """All keys, also those revoked: their sessions and their usage are still filed under them."""
    with _store(data) as store:
        found = store.keys()
    if as_json:
        print_json([_key_json(key) for key in found])
        return
    if not found:
        raise Failure("There is no key yet: 'voxrelay keys create' makes one.", 3)
    columns = ("id", "name", "plan", "state", "created (UTC)", "expires (UTC)", "requests/min", "sessions", "models", "admin")
    table = Table(*(Column(name, no_wrap=True) for name in columns), box=None)
    for key in found:
        plan = _plan_of(key)
        numbers = (_number(plan.requests_per_minute), _number(plan.concurrent_sessions))
        models, admin = ", ".join(plan.models) or "all", "yes" if key.is_admin else "no"
        table.add_row(key.key_id, key.name, key.plan, key.state(time.time()), _when(key.created_at), _when(key.expires_at), *numbers, models, admin)
    print_table(table)


@keys.command()
def revoke(key_id: str = KEY_ID, data: Path = DATA) -> None:
    """End a key and every token made with it; gateways notice within 5 seconds. Sessions that run go on to their end."""
    with _store(data) as store:
        if not store.revoke(key_id):
            raise _unknown(key_id)
    err.print(f"[dim]{key_id} opens nothing any more.[/dim]")


@keys.command()
def rotate(
    key_id: str = KEY_ID,
    overlap: str = typer.Option("0m", help="How long the old one still works: 30m, 12h, 7d."),
    as_json: bool = AS_JSON,
    data: Path = DATA,
) -> None:
    """Make a new secret for the same key: id, plan, sessions and usage stay. Printed as 'create' prints it."""
    with _store(data) as store:
        secret = store.rotate(key_id, duration_s(overlap))
        if secret is None:
            raise _unknown(key_id)
    _hand_over(key_id, secret, {"key": secret, "id": key_id}, as_json)


@keys.command("rotate-signing")
def rotate_signing(
    now: bool = typer.Option(False, "--now", help="End all tokens at once; without it those of the last secret end by themselves."), data: Path = DATA
) -> None:
    """Make a new secret that tokens are signed with; gateways take it within 5 seconds."""
    with _store(data) as store:
        store.rotate_signing(keep=0 if now else 1)
    err.print(f"[dim]New tokens are signed anew.{' All others have ended.' if now else ''}[/dim]")


# --- users -------------------------------------------------------------------------------------------------------------------


@users.command("create")
def create_user(
    name: str = typer.Argument(..., help="What they log in with."),
    key: str = typer.Option(..., help="Id of the key that they act as: its plan, sessions and usage are theirs."),
    data: Path = DATA,
) -> None:
    """Let somebody log in. The password is asked for, or read from standard input where that is no terminal."""
    _check_name(name)
    with _store(data) as store:
        if store.key(key) is None:
            raise _unknown(key)
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True) if sys.stdin.isatty() else _first_line()
        if not LEAST_PASSWORD_CHARACTERS <= len(password) <= MOST_CHARACTERS:
            raise Failure(f"A password has {LEAST_PASSWORD_CHARACTERS} to {MOST_CHARACTERS} characters.", 2)
        if not store.create_user(name, password, key):
            raise Failure(f"There is a user {name} already: 'voxrelay users remove' them first.")
    err.print(f"[dim]{name} can log in.[/dim]")


@users.command("list")
def list_users(as_json: bool = AS_JSON, data: Path = DATA) -> None:
    """Who can log in, and as which key."""
    with _store(data) as store:
        found = store.users()
    if as_json:
        print_json([{"name": user.name, "key": user.key_id, "created_at": user.created_at} for user in found])
        return
    if not found:
        raise Failure("There is no user yet: 'voxrelay users create' makes one.", 3)
    table = Table("name", "key", "created (UTC)", box=None)
    for user in found:
        table.add_row(user.name, user.key_id, _when(user.created_at))
    print_table(table)


@users.command()
def remove(name: str = typer.Argument(..., help="Name of the user."), data: Path = DATA) -> None:
    """Take somebody's password away; their tokens end within 5 seconds."""
    with _store(data) as store:
        if not store.remove_user(name):
            raise Failure(f"There is no user {name}: 'voxrelay users list' names them.", 3)
    err.print(f"[dim]{name} cannot log in any more.[/dim]")


# --- words -------------------------------------------------------------------------------------------------------------------


def _hand_over(key_id: str, secret: str, shown: dict[str, Any], as_json: bool) -> None:
    err.print(f"[dim]{key_id}: this key is shown only now.[/dim]")
    if as_json:
        print_json(shown)
    else:
        print(secret, flush=True)


def _key_json(key: Key) -> dict[str, Any]:
    plan = _plan_of(key)
    return {
        "id": key.key_id,
        "name": key.name,
        "plan": key.plan,
        "state": key.state(time.time()),
        "is_admin": key.is_admin,
        "models": list(plan.models),
        "requests_per_minute": plan.requests_per_minute,
        "concurrent_sessions": plan.concurrent_sessions,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
    }


def _plan_of(key: Key) -> Plan:
    """A plan of another version has no numbers here."""
    return key.allowed if key.plan in PLANS else Plan(key.plan, models=key.models)


def _number(limit: int) -> str:
    return "no limit" if limit == UNLIMITED else str(limit)


def _when(at: float | None) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M") if at is not None else "never"


def _expiry(text: str) -> float | None:
    if not text:
        return None
    if is_duration(text):
        return time.time() + duration_s(text)
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise Failure(f"--expires {text} is neither a day (2027-01-31) nor a time from now (90d, 12h, 30m).", 2) from None


def _check_name(name: str) -> None:
    if not (0 < len(name) <= MOST_CHARACTERS and name.isprintable()):
        raise Failure(f"A name has 1 to {MOST_CHARACTERS} printable characters.", 2)


def _first_line() -> str:
    return sys.stdin.readline().rstrip("\r\n")


def _unknown(key_id: str) -> Failure:
    return Failure(f"There is no key {key_id}: 'voxrelay keys list' names them.", 3)
