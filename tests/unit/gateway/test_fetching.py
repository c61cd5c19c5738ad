"""URLs that users send: what is fetched, what is refused, and that a checked address is the one connected to."""

from __future__ import annotations

import asyncio
import io
import logging
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpcore
import pytest

from services.gateway.files import fetching
from services.gateway.files.fetching import Reach, call_back, fetch, is_public
from voxrelay.errors import Refused

pytestmark = pytest.mark.sockets

PUBLIC = "93.184.215.14"
LIMIT = 100_000
Handler = Callable[[bytes, bytes, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server on loopback; ``handler(head, body, writer)`` answers each request. Gives its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            body = await reader.readexactly(int(length[0].split(b":")[1])) if length else b""
            await handler(head, body, writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def answers(*addresses: str) -> tuple[fetching.Resolve, list[str]]:
    """A resolver that answers so and remembers whom it was asked for."""
    asked: list[str] = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return addresses

    return resolve, asked


LOCAL = Reach(frozenset({"media.example"}), pauses_s=(0.0, 0.0), resolve=answers("127.0.0.1")[0])


async def refusal(url: str, reach: Reach, limit: int = LIMIT) -> Refused:
    with pytest.raises(Refused) as caught:
        await fetch(url, io.BytesIO(), limit, reach)
    return caught.value


def says(text: str) -> Handler:
    async def handler(head: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(text.replace("\n", "\r\n").encode())

    return handler


async def test_a_file_arrives_and_the_host_header_keeps_the_name() -> None:
    heads = []

    async def handler(head: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
        heads.append(head)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")

    spool = io.BytesIO()
    async with serving(handler) as port:
        assert await fetch(f"http://media.example:{port}/a%20b?sig=1#part", spool, LIMIT, LOCAL) == 11
    assert spool.read() == b"hello world"
    assert heads[0].startswith(b"GET /a%20b?sig=1 HTTP/1.1\r\n")
    assert f"Host: media.example:{port}".encode() in heads[0]
    assert b"Accept-Encoding: identity" in heads[0]


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.8.8.8", "0.0.0.1", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "100.64.0.1"),
        *("100.100.100.200", "192.0.0.192", "168.63.129.16", "198.18.0.1", "224.0.0.1", "239.255.255.250", "255.255.255.255", "240.0.0.1"),
        *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "2001:db8::1", "100::1", "5f00::1", "3fff::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "2002:7f00:1::", "2002:a00:1::1"),
        *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::7f00:1", "2001:0:7f00:1::", "2001::1", "not an address", ""),
    ],
)
async def test_internal_addresses_are_refused(address: str) -> None:
    assert not is_public(address)
    resolve, _ = answers(PUBLIC, address)  # one bad address among good ones is enough
    assert (await refusal("http://innocent.example/", Reach(resolve=resolve))).code == "URL_REFUSED"


@pytest.mark.parametrize("address", [PUBLIC, "8.8.8.8", "172.32.0.1", "100.63.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses_are_not(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.1", "017700000001", "0177.0.0.1", "0", "localhost", "localhost."),
        *("[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:10.0.0.1]", "169.254.169.254", "2852039166", "１２７.0.0.1"),
    ],
)
async def test_every_way_to_write_an_internal_address_is_refused_by_the_real_resolver(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def connect(*_: Any, **__: Any) -> Any:
        raise AssertionError("it connected")

    monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", connect)
    assert (await refusal(f"http://{host}/", Reach())).code in ("URL_REFUSED", "URL_UNREACHABLE")


@pytest.mark.parametrize(
    "url",
    [
        *("", "file:///etc/passwd", "ftp://example.org/a", "gopher://example.org/", "unix:///var/run/docker.sock", "data:,a", "HTTP+UNIX://a/b"),
        *("http://", "http:///a", "//host/a", "http://..:80/", "http://[::1", "http://[fe80::1%25eth0]/", "http://exa mple.org/", "http://\x00/"),
        *("http://user:secret@example.org/", "http://user@example.org/", "http://a\\@127.0.0.1/", "http://example.org:22/", "http://example.org:0/"),
        *("http://example.org:99999/", "http://example.org/\r\nX: y", "http://example.org/" + "a" * 5000),
    ],
)
async def test_what_is_no_url_for_us_is_refused_before_anything_is_resolved(url: str) -> None:
    resolve, asked = answers("127.0.0.1")
    assert (await refusal(url, Reach(resolve=resolve))).code == "URL_REFUSED"
    assert not asked


async def test_the_checked_address_is_the_one_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name whose second look-up would answer 127.0.0.1 (rebinding) is looked up once, and the connection gets the address, not the name."""
    to_come = [[PUBLIC], ["127.0.0.1"]]
    connected = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        return to_come.pop(0)

    async def connect(self: Any, host: str, port: int, *_: Any) -> Any:
        connected.append((host, port))
        raise httpcore.ConnectError("nobody there")

    monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", connect)
    assert (await refusal("https://rebinding.example/", Reach(resolve=resolve))).code == "URL_UNREACHABLE"
    assert connected == [(PUBLIC, 443)]
    assert to_come == [["127.0.0.1"]]


async def test_each_redirect_is_checked_again() -> None:
    """An open server that leads on to an internal address, by name, by number and by another scheme."""
    for location, code in (
        ("http://127.0.0.1:{port}/secret", "URL_REFUSED"),
        ("http://metadata.internal/", "URL_REFUSED"),
        ("file:///etc/passwd", "URL_REFUSED"),
        ("//127.0.0.1/", "URL_REFUSED"),
        ("http://user:pass@media.example/", "URL_REFUSED"),
        ("http://[::1", "URL_REFUSED"),
    ):
        hits = []

        async def handler(head: bytes, body: bytes, writer: asyncio.StreamWriter, to: str = location, hits: list[bytes] = hits) -> None:
            hits.append(head)
            writer.write(f"HTTP/1.1 302 Found\r\nLocation: {to.format(port=0)}\r\nContent-Length: 0\r\n\r\n".encode())

        async with serving(handler) as port:
            assert (await refusal(f"http://media.example:{port}/", LOCAL)).code == code, location
        assert len(hits) == 1, location


async def test_redirects_are_followed_but_not_for_ever() -> None:
    async def handler(head: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
        left = int(head.split(b" ")[1][1:])
        if left:
            writer.write(f"HTTP/1.1 307 Onward\r\nLocation: /{left - 1}\r\nContent-Length: 0\r\n\r\n".encode())
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with serving(handler) as port:
        assert await fetch(f"http://media.example:{port}/5", io.BytesIO(), LIMIT, LOCAL) == 2
        assert (await refusal(f"http://media.example:{port}/6", LOCAL)).code == "URL_REFUSED"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("HTTP/1.1 404 Not Found\nContent-Length: 0\n\n", "URL_UNREACHABLE"),
        ("HTTP/1.1 302 Found\nContent-Length: 0\n\n", "URL_UNREACHABLE"),
        ("HTTP/1.1 206 Partial\nContent-Length: 1\n\na", "URL_UNREACHABLE"),
        ("HTTP/1.1 200 OK\nContent-Length: 10\n\nshort", "URL_UNREACHABLE"),
        ("HTTP/1.1 200 OK\nContent-Encoding: gzip\nContent-Length: 1\n\na", "URL_UNREACHABLE"),
        ("HTTP/1.1 200 OK\nContent-Length: 999999999999\n\n", "FILE_TOO_LARGE"),
        ("HTTP/1.1 200 OK\nContent-Length: -1\n\n", "URL_UNREACHABLE"),
        ("I speak no HTTP\n\n", "URL_UNREACHABLE"),
        ("HTTP/1.1 200 OK\nX: " + "y" * 200_000, "URL_UNREACHABLE"),
        ("", "URL_UNREACHABLE"),
    ],
)
async def test_answers_that_are_no_file(answer: str, code: str) -> None:
    async with serving(says(answer)) as port:
        assert (await refusal(f"http://media.example:{port}/", LOCAL)).code == code


async def test_an_endless_body_is_cut_at_the_limit() -> None:
    async def handler(head: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(bytes(65536))
            await writer.drain()

    spool = io.BytesIO()
    async with serving(handler) as port:
        with pytest.raises(Refused) as caught:
            await fetch(f"http://media.example:{port}/", spool, LIMIT, LOCAL)
    assert caught.value.code == "FILE_TOO_LARGE"
    assert len(spool.getvalue()) <= LIMIT


@pytest.mark.parametrize("drip", [b"H", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\nx"])
async def test_a_host_that_drips_is_given_up(drip: bytes) -> None:
    async def handler(head: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(drip)
        while True:
            await asyncio.sleep(0.02)
            writer.write(drip if drip.endswith(b"\r\n\r\n") else b"x")
            await writer.drain()

    reach = Reach(LOCAL.allowed_internal_hosts, total_s=0.4, resolve=LOCAL.resolve)
    async with serving(handler) as port:
        refused = await refusal(f"http://media.example:{port}/", reach)
    assert refused.code == "URL_UNREACHABLE"


async def test_a_name_that_never_resolves_is_given_up() -> None:
    async def never(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return ()

    assert (await refusal("http://slow.example/", Reach(total_s=0.2, resolve=never))).code == "URL_UNREACHABLE"


async def test_a_host_without_an_address_and_one_that_listens_not() -> None:
    async def unknown(host: str, port: int) -> Sequence[str]:
        raise OSError("no such name")

    assert (await refusal("http://nowhere.example/", Reach(resolve=unknown))).code == "URL_UNREACHABLE"
    async with serving(says("")) as port:
        pass
    assert (await refusal(f"http://media.example:{port}/", LOCAL)).code == "URL_UNREACHABLE"


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with serving(says("HTTP/1.1 200 OK\nContent-Length: 2\n\nok")) as port:
        assert await fetch(f"http://media.example:{port}/", io.BytesIO(), LIMIT, LOCAL) == 2


async def test_the_environment_says_how_far_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(says("HTTP/1.1 200 OK\nContent-Length: 2\n\nok")) as port:
        with pytest.raises(Refused):
            await fetch(f"http://127.0.0.1:{port}/", io.BytesIO(), LIMIT)
        monkeypatch.setenv("VOXRELAY_GATEWAY_ALLOWED_INTERNAL_HOSTS", '["127.0.0.1"]')
        assert await fetch(f"http://127.0.0.1:{port}/", io.BytesIO(), LIMIT) == 2


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=media.example"]
    command += ["-addext", "subjectAltName=DNS:media.example", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return key, certificate


async def test_tls_keeps_the_name_and_checks_the_certificate(certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    names = []
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate[1], certificate[0])
    tls.sni_callback = lambda _socket, name, _context: names.append(name)
    reach = Reach(frozenset({"media.example", "other.example"}), resolve=LOCAL.resolve)
    async with serving(says("HTTP/1.1 200 OK\nContent-Length: 2\n\nok"), tls) as port:
        assert (await refusal(f"https://media.example:{port}/", reach)).code == "URL_UNREACHABLE"  # nobody we trust signed it
        monkeypatch.setattr(fetching, "_trust", lambda: ssl.create_default_context(cafile=str(certificate[1])))
        assert await fetch(f"https://media.example:{port}/", io.BytesIO(), LIMIT, reach) == 2
        assert (await refusal(f"https://other.example:{port}/", reach)).code == "URL_UNREACHABLE"  # another name than it has
    assert names == ["media.example", "media.example", "other.example"]


async def test_a_callback_is_tried_again_and_its_body_is_nowhere_in_the_logs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    got: list[tuple[bytes, bytes]] = []

    async def handler(head: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
        got.append((head, body))
        status = ("503 Later", "429 Slower", "204 Thanks")[len(got) - 1]
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())

    async with serving(handler) as port:
        await call_back(f"http://media.example:{port}/done?token=geheim", {"text": "très privé"}, "PUT", LOCAL)
    assert [body for _, body in got] == ['{"text":"très privé"}'.encode()] * 3
    assert got[0][0].startswith(b"PUT /done?token=geheim HTTP/1.1\r\n")
    assert b"Content-Type: application/json" in got[0][0]
    assert "privé" not in caplog.text
    assert "geheim" not in caplog.text


@pytest.mark.parametrize(
    ("answer", "attempts"), [("400 No", 1), ("302 Elsewhere\nLocation: http://127.0.0.1/", 1), ("500 Broken", 3), ("200 OK\nX: y", 1)]
)
async def test_how_often_a_callback_is_tried(answer: str, attempts: int) -> None:
    got = []

    async def handler(head: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
        got.append(body)
        writer.write(f"HTTP/1.1 {answer}\nContent-Length: 0\n\n".replace("\n", "\r\n").encode())

    async with serving(handler) as port:
        if answer.startswith("200"):
            await call_back(f"http://media.example:{port}/", {}, reach=LOCAL)
        else:
            with pytest.raises(Refused) as caught:
                await call_back(f"http://media.example:{port}/", {}, reach=LOCAL)
            assert caught.value.code == "URL_UNREACHABLE"
    assert len(got) == attempts


async def test_callbacks_reach_no_internal_host() -> None:
    for url in ("http://127.0.0.1/", "http://innocent.example/", "file:///dev/null", "http://example.org:22/"):
        resolve, asked = answers("10.0.0.1")
        with pytest.raises(Refused) as caught:
            await call_back(url, {}, reach=Reach(resolve=resolve))
        assert caught.value.code == "URL_REFUSED"
        assert len(asked) <= 1  # and is not tried again
