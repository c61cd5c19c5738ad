"""Prints docs/operations/settings.md from the settings themselves: `make fmt` writes it, a test compares."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from voxrelay.settings import PlatformSettings, Settings
from voxrelay.storage.retention import RetentionSettings

SERVICES = ("gateway", "denoise", "diarize", "transcribe", "classify", "synth", "projector")
HEAD = """# Settings

Every setting is an environment variable; there are no configuration files. A wrong one stops the start with a sentence that names it. Lists
are written as JSON (`["live"]`). The object store's credentials are its own variables (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`,
`AWS_ENDPOINT_URL`, `AWS_REGION`, `AWS_ALLOW_HTTP`, `GOOGLE_…`, `AZURE_…`). This page is made by `make fmt` from the code.
"""


def _default(value: Any) -> str:
    if isinstance(value, Path):
        return str(value).replace(str(Path.home()), "~")
    if isinstance(value, tuple):
        return "[" + ", ".join(f'"{item}"' for item in value) + "]"
    return "empty" if value == "" else str(value).lower() if isinstance(value, bool) else str(value)


def _table(settings: type[Settings]) -> str:
    prefix = settings.model_config.get("env_prefix", "")
    rows = [f"| `{prefix}{name.upper()}` | {_default(field.default)} | {field.description or ''} |" for name, field in settings.model_fields.items()]
    return "\n".join(["| variable | default | what |", "|---|---|---|", *rows])


def page() -> str:
    parts = [HEAD, "## Every service", _table(PlatformSettings), "## Retention", _table(RetentionSettings)]
    for service in SERVICES:
        module = import_module(f"services.{service}.settings")
        parts += [f"## {service}", _table(getattr(module, f"{service.capitalize()}Settings"))]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
