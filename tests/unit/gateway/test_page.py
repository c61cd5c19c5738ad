"""What the live page is served with, and what must never stand in it. tests/e2e/test_page.py drives it in a browser."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path

import httpx
import numpy as np
import pytest

import services.gateway.page
from services.gateway.errors import CODES
from services.gateway.protocols.page import HEADERS, MEDIA_TYPES, content_security_policy
from services.gateway.server import GatewayServer
from voxrelay.attributes import BY_NAME
from voxrelay.cli.live import PASSING
from voxrelay.storage.access import AccessStore

FOLDER = Path(services.gateway.page.__path__[0])
FORBIDDEN = (
    "innerHTML",
    "outerHTML",
    "insertAdjacentHTML",
    "document.write",
    "eval(",
    "Function(",
    "localStorage",
    "sessionStorage",
    "cookie",
    "api_key",
)
SCRIPTS = sorted(FOLDER.glob("*.js"))


@pytest.fixture
def client(gateway: GatewayServer) -> httpx.Client:
    return httpx.Client(base_url=f"http://127.0.0.1:{gateway.port}", headers={"accept": "text/html,*/*;q=0.8"})


def policy_of(answer: httpx.Response) -> dict[str, str]:
    pairs = (directive.strip().partition(" ") for directive in answer.headers["content-security-policy"].split(";"))
    return {name: value for name, _, value in pairs}


@pytest.mark.conformance("browser", "call GET /", "done")
def test_the_page_comes_with_strict_headers(client: httpx.Client, gateway: GatewayServer) -> None:
    answer = client.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert policy_of(answer) == {
        "default-src": "'none'",
        "script-src": "'self'",
        "worker-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self'",
        "connect-src": f"'self' ws://127.0.0.1:{gateway.port} wss://127.0.0.1:{gateway.port}",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }


@pytest.mark.parametrize("host", ["a.example;script-src *", "a.example *", "a.example 'unsafe-inline'", "a\u2028b", "", "[::1];x", "a.example:80:90"])
def test_a_host_header_cannot_write_the_policy(host: str) -> None:
    assert "connect-src 'self';" in content_security_policy(host)
    assert host == "" or host not in content_security_policy(host)


@pytest.mark.parametrize("host", ["localhost", "a.example:8080", "127.0.0.1:80", "[::1]:8080", "[::1]"])
def test_the_host_itself_may_be_connected_to(host: str) -> None:
    assert f"connect-src 'self' ws://{host} wss://{host};" in content_security_policy(host)


@pytest.mark.parametrize("name", MEDIA_TYPES)
def test_every_file_is_served_and_asked_for_again_cheaply(client: httpx.Client, name: str) -> None:
    answer = client.get(f"/page/{name}")
    assert answer.content == (FOLDER / name).read_bytes()
    assert answer.headers["content-type"] == MEDIA_TYPES[name]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert policy_of(answer)["default-src"] == "'none'"
    again = client.get(f"/page/{name}", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    head = client.head(f"/page/{name}")
    assert (head.status_code, head.content) == (200, b"")


def test_everything_in_the_folder_is_served_and_packaged() -> None:
    assert {path.name for path in FOLDER.iterdir() if path.suffix not in (".py", "") and path.is_file()} == set(MEDIA_TYPES)
    project = (FOLDER.parents[2] / "pyproject.toml").read_text()
    for suffix in {Path(name).suffix for name in MEDIA_TYPES}:
        assert f'"*{suffix}"' in project


@pytest.mark.parametrize("path", ["/page/none.js", "/page/__init__.py", "/page/..%2fapp.py", "/page/%2e%2e/app.py", "/page/"])
def test_nothing_else_is_served(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "NOT_FOUND"


@pytest.mark.conformance("browser", "call GET / with Accept: application/json", "done")
def test_a_program_that_asks_for_json_gets_the_list(client: httpx.Client) -> None:
    answer = client.get("/", headers={"accept": "application/json"})
    assert answer.json() == {"name": "Voxrelay", "live": "/ws/v1/transcribe", "files": "/api/process", "documentation": "/docs"}
    assert answer.headers["vary"] == "Accept"
    assert client.get("/", headers={"accept": "*/*"}).headers["content-type"].startswith("text/html")
    assert client.get("/", headers={"accept": "text/html,application/json"}).headers["content-type"].startswith("text/html")
    assert (client.head("/").status_code, client.head("/").content) == (200, b"")


def test_the_page_learns_what_it_must_know_without_a_key(make_gateway: Callable[..., GatewayServer], access: AccessStore) -> None:
    access.create_key("somebody", "enterprise")
    keyed = make_gateway(database_url=access.url, languages=("en", "de"))
    facts = httpx.get(f"http://127.0.0.1:{keyed.port}/page/facts.json").json()
    assert facts["is_key_needed"] is True
    assert facts["are_results_stored"] is True
    assert facts["languages"] == ["en", "de"]
    assert facts["resume_s"] == 30.0
    assert facts["attributes"]["pitch_hz"] == {"meaning": BY_NAME["pitch_hz"].meaning, "unit": "Hz"}
    assert facts["attributes"].keys() == BY_NAME.keys()
    assert httpx.get(f"http://127.0.0.1:{keyed.port}/").status_code == 200
    open_to_all = httpx.get(f"http://127.0.0.1:{make_gateway().port}/page/facts.json").json()
    assert (open_to_all["is_key_needed"], open_to_all["are_results_stored"]) == (False, False)


class _Markup(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.inline: list[str] = []
        self.ids: list[str] = []
        self.labelled: set[str] = set()
        self.fields: set[str] = set()
        self._in = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        self._in = tag
        self.links += [str(given[name]) for name in ("src", "href") if given.get(name)]
        self.inline += [f"{tag} {name}" for name in given if name.startswith("on") or name == "style"] + [tag] * (tag == "style")
        self.ids += [str(given["id"])] if "id" in given else []
        if tag == "label":
            self.labelled.add(str(given["for"]))
        if tag in ("input", "select", "progress"):
            self.fields.add(str(given["id"]))

    def handle_data(self, data: str) -> None:
        if self._in in ("script", "style") and data.strip():
            self.inline.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._in = ""


def test_the_page_has_nothing_inline_and_nothing_from_elsewhere() -> None:
    markup = _Markup()
    markup.feed((FOLDER / "index.html").read_text())
    assert markup.inline == []
    assert len(markup.ids) == len(set(markup.ids))
    for link in markup.links:
        assert link.startswith("#") or link == "docs" or (link.startswith("page/") and link[5:] in MEDIA_TYPES)
    for text in (path.read_text() for path in FOLDER.iterdir() if path.suffix in (".js", ".css", ".html")):
        assert not re.search(r"https?://|@import|url\(", text)


def test_every_field_has_a_label() -> None:
    markup = _Markup()
    markup.feed((FOLDER / "index.html").read_text())
    assert markup.fields == markup.labelled


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_text_never_becomes_markup_and_nothing_is_kept(path: Path) -> None:
    source = path.read_text()
    for forbidden in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "Function(",
        "localStorage",
        "sessionStorage",
        "cookie",
        "api_key",
    ):
        assert forbidden not in source
    for imported in re.findall(r'from "\./([^"]+)"', source):
        assert imported in MEDIA_TYPES


def test_every_element_the_scripts_ask_for_is_there() -> None:
    markup = _Markup()
    markup.feed((FOLDER / "index.html").read_text())
    asked = set(re.findall(r'\$\("([a-z-]+)"\)', (FOLDER / "live.js").read_text()))
    assert asked
    assert asked <= set(markup.ids)


def test_every_trouble_of_the_server_is_one_of_its_codes() -> None:
    table = (FOLDER / "troubles.js").read_text().split("const OF_THE_BROWSER")[0]
    named = re.findall(r"^  ([A-Z_]+): \[", table, re.MULTILINE)
    assert len(named) > 10
    assert set(named) <= CODES.keys()


def test_the_attributes_that_have_a_label_exist() -> None:
    labels = re.search(r"const LABELS = \{(.*?)\};", (FOLDER / "transcript.js").read_text(), re.DOTALL)
    foremost = re.search(r"const FOREMOST = \[(.*?)\]", (FOLDER / "transcript.js").read_text())
    assert labels is not None
    assert foremost is not None
    named = set(re.findall(r"^  (\w+):", labels[1], re.MULTILINE)) | set(re.findall(r'"(\w+)"', foremost[1]))
    assert named <= BY_NAME.keys()


def test_the_page_tries_again_after_the_same_refusals_as_the_command_line() -> None:
    passing = re.search(r"const PASSING = (\[.*?\]);", (FOLDER / "connection.js").read_text())
    assert passing is not None
    assert tuple(json.loads(passing[1])) == PASSING
    assert set(PASSING) <= CODES.keys()


# What is left of linear RGB: G. M. Machado, M. M. Oliveira and L. A. F. Fernandes, "A physiologically-based model for simulation of color
# vision deficiency", IEEE Trans. Visualization and Computer Graphics 15 (2009), severity 1.
SEEN_BY = {
    "everybody": np.eye(3),
    "protanopia": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
    "deuteranopia": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
    "tritanopia": np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]),
}
XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])
WHITE = np.array([0.95047, 1.0, 1.08883])
CLEARLY_APART = 10.0  # in CIELAB; about 2 can just be told apart


def _linear(colour: str) -> np.ndarray:
    values = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _lab(linear: np.ndarray) -> np.ndarray:
    scaled = XYZ @ np.clip(linear, 0, 1) / WHITE
    f = np.where(scaled > 0.008856, np.cbrt(scaled), 7.787 * scaled + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.conformance("browser", "speakers' colours apart for every kind of colour blindness", "done")
@pytest.mark.parametrize("eyes", SEEN_BY)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_speakers_can_be_told_apart_by_all_eyes(scheme: str, eyes: str) -> None:
    colours = re.findall(r"--speaker-\d: (#[0-9a-f]{6})", (FOLDER / "style.css").read_text())
    assert len(colours) == 16
    labs = [_lab(SEEN_BY[eyes] @ _linear(colour)) for colour in (colours[:8] if scheme == "light" else colours[8:])]
    distances = [float(np.linalg.norm(one - other)) for one, other in combinations(labs, 2)]
    assert min(distances) > CLEARLY_APART
