"""Every code of ours as OpenAI's clients expect it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest

from services.gateway import errors
from services.gateway.protocols.openai.refusal import SPOKEN, RefusedParameter, render
from voxrelay.errors import Refused


def _rendered(refused: Refused) -> tuple[int, dict[str, Any], Any]:
    response = render(cast("Any", None), refused, errors.CODES[refused.code].http)
    return response.status_code, json.loads(bytes(response.body))["error"], response.headers


@pytest.mark.parametrize("code", errors.CODES)
def test_every_code_has_the_four_fields_and_a_status_of_an_error(code: str) -> None:
    status, error, _ = _rendered(Refused(code, "Do this."))
    assert set(error) == {"message", "type", "param", "code"}
    assert status >= 400
    assert error["code"] == error["code"].lower()
    assert error["param"] is None


@pytest.mark.conformance("openai", "error shape", "done", "message, type, param, code")
@pytest.mark.parametrize(
    ("refused", "status", "kind", "code"),
    [
        (Refused("UNAUTHORIZED", "No."), 401, "invalid_request_error", "invalid_api_key"),
        (Refused("QUOTA_EXCEEDED", "No."), 429, "insufficient_quota", "insufficient_quota"),
        (Refused("RATE_LIMITED", "No."), 429, "requests", "rate_limit_exceeded"),
        (Refused("NO_TRANSLATION", "No."), 501, "invalid_request_error", "no_translation"),
        (Refused("INVALID_AUDIO_FORMAT", "No."), 400, "invalid_request_error", "invalid_audio_format"),
        (Refused("NOT_READY", "No."), 503, "server_error", "not_ready"),
    ],
)
def test_the_words_its_clients_know(refused: Refused, status: int, kind: str, code: str) -> None:
    found, error, headers = _rendered(refused)
    assert (found, error["type"], error["code"]) == (status, kind, code)
    assert headers.get("x-should-retry") == ("false" if code in ("insufficient_quota", "no_translation") else None)


def test_a_parameter_is_named() -> None:
    status, error, _ = _rendered(RefusedParameter("language", "'language' must be …", "UNSUPPORTED_LANGUAGE"))
    assert (status, error["param"], error["code"]) == (400, "language", "unsupported_language")


def test_only_codes_there_are_have_words_and_the_page_has_them() -> None:
    assert set(SPOKEN) <= set(errors.CODES)
    page = (Path(__file__).parents[3] / "docs" / "protocols" / "openai.md").read_text()
    for code, words in SPOKEN.items():
        assert words.code in page or (words.code == code.lower() and f"`{code}`" in page)
