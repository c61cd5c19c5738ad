"""GET /: a page for a person with a browser, a client of the native protocol like any other; programs get a list of what is here."""

from __future__ import annotations

import hashlib
import re
from importlib.resources import files
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from services.gateway.access.gate import Gate
from services.gateway.settings import GatewaySettings
from voxrelay.attributes import ATTRIBUTES
from voxrelay.errors import Refused

SCRIPT = "text/javascript; charset=utf-8"
MEDIA_TYPES = {
    "index.html": "text/html; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "live.js": SCRIPT,
    "announcer.js": SCRIPT,
    "capture.js": SCRIPT,
    "capture-worklet.js": SCRIPT,
    "connection.js": SCRIPT,
    "level.js": SCRIPT,
    "run.js": SCRIPT,
    "saved.js": SCRIPT,
    "transcript.js": SCRIPT,
    "troubles.js": SCRIPT,
    "unacknowledged.js": SCRIPT,
}
SURFACES = {"name": "Voxrelay", "live": "/ws/v1/transcribe", "files": "/api/process", "documentation": "/docs"}
HOST = re.compile(r"[A-Za-z0-9.-]+(:\d+)?|\[[0-9A-Fa-f:.]+\](:\d+)?")
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",  # for browsers that do not know frame-ancestors
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",  # asked for each time, and mostly answered with 304
}


def content_security_policy(host: str) -> str:
    """Nothing from anywhere but here, nothing inline. ``host`` is the Host header: Safari's 'self' has no WebSockets in it, so they are named."""
    sockets = f" ws://{host} wss://{host}" if HOST.fullmatch(host) else ""
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",  # the AudioWorklet counts as a script
            "worker-src 'self'",
            "style-src 'self'",
            "img-src 'self'",
            f"connect-src 'self'{sockets}",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",  # no text can become markup
        )
    )


def wants_json(request: Request) -> bool:
    accepted = request.headers.get("accept", "")
    return "application/json" in accepted and "text/html" not in accepted


def router(gate: Gate, settings: GatewaySettings, are_results_stored: bool) -> APIRouter:
    routes = APIRouter(include_in_schema=False)
    folder = files("services.gateway.page")
    contents = {name: (folder / name).read_bytes() for name in MEDIA_TYPES}
    tags = {name: f'"{hashlib.sha256(content).hexdigest()[:16]}"' for name, content in contents.items()}

    def headers(request: Request) -> dict[str, str]:
        return HEADERS | {"Content-Security-Policy": content_security_policy(request.headers.get("host", ""))}

    def answer(name: str, request: Request) -> Response:
        if name not in contents:
            raise Refused("NOT_FOUND", "The page has no such file; / is the page.")
        of_file = headers(request) | {"ETag": tags[name], "Vary": "Accept"}
        if request.headers.get("if-none-match") == tags[name]:
            return Response(status_code=304, headers=of_file)
        return Response(contents[name], media_type=MEDIA_TYPES[name], headers=of_file)

    @routes.api_route("/", methods=["GET", "HEAD"])
    async def root(request: Request) -> Response:
        return JSONResponse(SURFACES, headers={"Vary": "Accept"}) if wants_json(request) else answer("index.html", request)

    @routes.get("/page/facts.json")
    async def facts(request: Request) -> JSONResponse:
        """What the page must know of this gateway before anybody has shown a key."""
        described: dict[str, Any] = {kind.name: {"meaning": kind.meaning, "unit": kind.unit} for kind in ATTRIBUTES}
        known = {
            "is_key_needed": await gate.look_whether_keys_are_needed(),
            "are_results_stored": are_results_stored,
            "languages": settings.languages,
            "max_file_bytes": settings.max_file_bytes,
            "resume_s": settings.resume_s,
            "attributes": described,
        }
        return JSONResponse(known, headers=headers(request))

    @routes.api_route("/page/{name}", methods=["GET", "HEAD"])
    async def asset(name: str, request: Request) -> Response:
        return answer(name, request)

    return routes
