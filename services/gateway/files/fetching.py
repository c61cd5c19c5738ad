"""Requests the gateway makes because a user said so: a file fetched from a URL, a result posted to one. They reach the open internet, nothing else.

The name is resolved here, every address it has is checked, and the connection is made to a checked address: no second look-up that could answer
differently (DNS rebinding). The name stays in the Host header and in TLS, whose certificate is verified.
"""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from socket import SOCK_STREAM
from typing import IO, Any

import httpcore
import httpx

from services.gateway.settings import GatewaySettings
from voxrelay.errors import Refused
from voxrelay.settings import load_settings
from voxrelay.telemetry import fields

log = logging.getLogger(__name__)
logging.getLogger("httpcore").setLevel(logging.WARNING)  # below that it writes which hosts users name

MOST_REDIRECTS = 5
MOST_URL_CHARACTERS = 4096
MOST_ADDRESSES = 8  # of one name that are tried
CONNECT_S = 10.0
READ_S = 15.0  # without a single byte
CALL_BACK_S = 30.0  # one attempt
REDIRECTS = (301, 302, 303, 307, 308)
TRY_AGAIN = (408, 425, 429)
DEFAULT_PORTS = {"http": 80, "https": 443}

# What is not the open internet (IANA's registries of special addresses, and a cloud's metadata address that lies outside them).
NOT_PUBLIC_V4 = tuple(
    ip_network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
PUBLIC_V6 = ip_network("2000::/3")
# 2001::/23 has Teredo in it and 2002::/16 is 6to4: both carry an IPv4 address of the sender's choice.
NOT_PUBLIC_V6 = tuple(ip_network(network) for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
NAT64 = ip_network("64:ff9b::/96")  # how an IPv6-only network writes an IPv4 address; judged as that

FAILURES = (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, ssl.SSLError, OSError)

_resolvers = ThreadPoolExecutor(8, thread_name_prefix="resolver")  # of its own: names that never resolve hold up nothing else

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


async def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of a name, by the system's resolver (which reads 2130706433, 0x7f.1 and 017700000001 as addresses too)."""
    from socket import getaddrinfo

    def look_up() -> list[str]:
        return list(dict.fromkeys(str(answer[4][0]) for answer in getaddrinfo(host, port, type=SOCK_STREAM)))

    return await asyncio.get_running_loop().run_in_executor(_resolvers, look_up)


def is_public(address: str) -> bool:
    """Whether it lies on the open internet. What is no address does not."""
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped is not None:
            return _is_public_v4(ip.ipv4_mapped)
        if ip in NAT64:
            return _is_public_v4(IPv4Address(int(ip) & 0xFFFFFFFF))
        return ip in PUBLIC_V6 and ip.scope_id is None and not any(ip in network for network in NOT_PUBLIC_V6)
    return _is_public_v4(ip)


def _is_public_v4(ip: IPv4Address) -> bool:
    return not any(ip in network for network in NOT_PUBLIC_V4)


@dataclass(frozen=True, slots=True)
class Reach:
    """How far such requests go. ``allowed_internal_hosts`` are host names as URLs write them, taken at any address and port."""

    allowed_internal_hosts: frozenset[str] = frozenset()
    allowed_ports: tuple[int, ...] = (80, 443)
    total_s: float = 300.0
    pauses_s: tuple[float, ...] = (1.0, 5.0, 25.0)  # between the attempts of a callback
    resolve: Resolve = resolve

    @classmethod
    def of(cls, settings: GatewaySettings) -> Reach:
        hosts = frozenset(host.lower() for host in settings.allowed_internal_hosts)
        return cls(hosts, settings.allowed_ports, settings.max_fetch_s)


class _Checked(httpcore.AsyncNetworkBackend):
    """Connects to a checked address of a name: the only way out."""

    def __init__(self, reach: Reach) -> None:
        self._reach, self._network = reach, httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            addresses = await self._reach.resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise Refused("URL_UNREACHABLE", "The host of this URL has no address; check its name.") from error
        if host.lower() not in self._reach.allowed_internal_hosts and not all(is_public(address) for address in addresses):
            raise Refused(
                "URL_REFUSED", "The host of this URL lies in an internal network; only public ones, and VOXRELAY_GATEWAY_ALLOWED_INTERNAL_HOSTS."
            )
        failure: Exception = httpcore.ConnectError("no address")
        for address in addresses[:MOST_ADDRESSES]:
            try:
                return await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        raise Refused("URL_REFUSED", "Sockets of this machine cannot be reached.")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@cache
def _trust() -> ssl.SSLContext:
    return httpx.create_ssl_context()


def checked(url: str, reach: Reach) -> httpx.URL:
    """The URL, taken apart once. Raises ``Refused`` URL_REFUSED for what no request goes to, whatever its name resolves to."""
    if len(url) > MOST_URL_CHARACTERS:
        raise Refused("URL_REFUSED", f"URLs of at most {MOST_URL_CHARACTERS} characters are taken.")
    try:
        parsed = httpx.URL(url)
        host, port = parsed.host, parsed.port
    except (httpx.InvalidURL, ValueError) as error:
        raise Refused("URL_REFUSED", "This is no URL; send one such as https://example.org/call.wav.") from error
    if parsed.scheme not in DEFAULT_PORTS or not host.strip(".") or "%" in host:
        raise Refused("URL_REFUSED", "Only http and https URLs with a host are taken.")
    if parsed.userinfo:
        raise Refused("URL_REFUSED", "URLs with a user name or password in them are not taken; use one that is signed.")
    port = DEFAULT_PORTS[parsed.scheme] if port is None else port
    if host.lower() not in reach.allowed_internal_hosts and port not in reach.allowed_ports:
        ports = ", ".join(str(allowed) for allowed in reach.allowed_ports)
        raise Refused("URL_REFUSED", f"Port {port} is not reached; use one of {ports} (VOXRELAY_GATEWAY_ALLOWED_PORTS).")
    return parsed


@asynccontextmanager
async def _answered(
    method: str, url: httpx.URL, reach: Reach, content: bytes | None = None, media_type: str = "application/json"
) -> AsyncIterator[httpcore.Response]:
    """One request over a connection of its own; the body of the answer is still to be read, as it came (nothing is unpacked)."""
    headers: list[tuple[bytes | str, bytes | str]] = [
        (b"Host", url.netloc),
        (b"User-Agent", b"voxrelay"),
        (b"Accept-Encoding", b"identity"),
        (b"Connection", b"close"),
    ]
    if content is not None:
        headers += [(b"Content-Type", media_type.encode()), (b"Content-Length", str(len(content)).encode())]
    target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
    timeouts = {"connect": CONNECT_S, "read": READ_S, "write": READ_S, "pool": CONNECT_S}
    async with (
        httpcore.AsyncConnectionPool(ssl_context=_trust(), network_backend=_Checked(reach)) as pool,
        pool.stream(method, target, headers=headers, content=content, extensions={"timeout": timeouts}) as response,
    ):
        yield response


def _header(response: httpcore.Response, name: bytes) -> bytes:
    return next((value for key, value in response.headers if key.lower() == name), b"")


async def fetch(url: str, spool: IO[bytes], limit: int, reach: Reach | None = None) -> int:
    """Bytes of the file at this URL, now in the spool, which is rewound. ``reach`` comes from the environment if it is not given.

    Raises ``Refused``: URL_REFUSED (no URL, an internal network, another port), URL_UNREACHABLE (no answer in time, another status than 200),
    FILE_TOO_LARGE before more than ``limit`` bytes are kept.
    """
    reach = reach or Reach.of(load_settings(GatewaySettings))
    try:
        async with asyncio.timeout(reach.total_s):
            size = await _follow(checked(url, reach), spool, limit, reach)
    except TimeoutError as error:
        raise Refused("URL_UNREACHABLE", f"The file did not arrive within {reach.total_s:g} s; send it yourself.") from error
    except FAILURES as error:
        raise Refused("URL_UNREACHABLE", "The host of this URL does not answer, or breaks off; check the URL.") from error
    spool.seek(0)
    return size


async def _follow(url: httpx.URL, spool: IO[bytes], limit: int, reach: Reach) -> int:
    for _ in range(MOST_REDIRECTS + 1):
        async with _answered("GET", url, reach) as response:
            location = _header(response, b"location").decode("latin-1")
            if response.status in REDIRECTS and location:
                url = checked(_joined(url, location), reach)
                continue
            return await _keep(response, spool, limit)
    raise Refused("URL_REFUSED", f"More than {MOST_REDIRECTS} redirects; send the address at their end.")


def _joined(url: httpx.URL, location: str) -> str:
    try:
        return str(url.join(location))
    except (httpx.InvalidURL, ValueError) as error:
        raise Refused("URL_REFUSED", "This URL leads on to one that cannot be read.") from error


async def _keep(response: httpcore.Response, spool: IO[bytes], limit: int) -> int:
    if response.status != 200:
        raise Refused("URL_UNREACHABLE", f"The host of this URL answers with status {response.status}; it must answer 200 with the file.")
    if _header(response, b"content-encoding").lower() not in (b"", b"identity"):
        raise Refused("URL_UNREACHABLE", "The host of this URL sends the file packed although it was asked not to; send the file yourself.")
    too_large = Refused("FILE_TOO_LARGE", f"Files of at most {limit / (1024 * 1024):g} MB are taken; send it in parts.")
    announced = _header(response, b"content-length")
    if announced.isdigit() and int(announced) > limit:
        raise too_large
    size = 0
    async for piece in response.aiter_stream():
        size += len(piece)
        if size > limit:
            raise too_large
        spool.write(piece)
    return size


async def call_back(url: str, body: Any, method: str = "POST", reach: Reach | None = None, media_type: str = "application/json") -> None:
    """``body`` as JSON (bytes: as they are, of ``media_type``) to this URL;
    once more after each pause while the host does not answer or says 408, 425, 429 or 5xx. No redirects.

    Raises ``Refused``: URL_REFUSED as ``fetch`` does, URL_UNREACHABLE when it was not taken. Nothing of the body or the URL is logged.
    """
    reach = reach or Reach.of(load_settings(GatewaySettings))
    target = checked(url, reach)
    content = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    status = 0
    for pause_s in (*reach.pauses_s, None):
        try:
            async with asyncio.timeout(CALL_BACK_S), _answered(method, target, reach, content, media_type) as response:
                status = response.status
        except (TimeoutError, *FAILURES):
            status = 0
        except Refused as refused:
            if refused.code == "URL_REFUSED":
                raise
            status = 0
        if 200 <= status < 300:
            return
        if pause_s is None or (status and status not in TRY_AGAIN and status < 500):
            break
        log.info("A callback was not taken; it is tried again.", extra=fields(status=status))
        await asyncio.sleep(pause_s)
    said = f"answers with status {status}" if status else "does not answer"
    raise Refused("URL_UNREACHABLE", f"The callback's host {said}; it must answer 2xx. The result is kept under the session's id.")
