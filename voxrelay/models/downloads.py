"""One file over HTTP: bounded, with progress, and going on where it stopped the last time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import httpx

PIECE_BYTES = 1 << 20
ATTEMPTS = 3
PAUSE_S = 1.0
MOST_BYTES = 50 << 30  # of a file whose size nobody knows beforehand
MOST_REDIRECTS = 5
LOOPBACK = ("127.0.0.1", "::1", "localhost")

Progress = Callable[[int, int], None]  # bytes so far, bytes in all (0: not known)


class PullFailed(Exception):
    """A model could not be fetched or is not what it should be; the message says what to do."""


class _Broken(Exception):
    """The connection ended in the middle: what came is kept, and another attempt goes on from there."""


def download(url: str, part: Path, size_bytes: int, progress: Progress | None, headers: Mapping[str, str] | None = None, hint: str = "") -> None:
    """The file behind ``url`` is in ``part`` when this returns; what ``part`` holds already is not fetched again.

    ``size_bytes`` is its size, 0 when not known: more is never written. ``hint`` is said after a refusal for want of rights. Raises
    ``PullFailed``; ``part`` then keeps what came. The checksum is the caller's business.
    """
    _check(url)
    part.parent.mkdir(parents=True, exist_ok=True)
    timeout = httpx.Timeout(30.0, connect=10.0)
    with httpx.Client(timeout=timeout, follow_redirects=True, max_redirects=MOST_REDIRECTS, headers={"Accept-Encoding": "identity"}) as client:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                _attempt(client, url, part, size_bytes, progress, headers or {}, hint)
                return
            except (httpx.TransportError, _Broken) as error:
                if attempt == ATTEMPTS:
                    here = part.stat().st_size if part.exists() else 0
                    raise PullFailed(
                        f"{urlsplit(url).hostname} stopped after {here / 1e6:.1f} MB of {_of(size_bytes)}; run it again and it goes on from there."
                    ) from error
                time.sleep(PAUSE_S * attempt)
            except httpx.TooManyRedirects as error:
                raise PullFailed(f"{urlsplit(url).hostname} redirects without end; check the source.") from error


def _of(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes else "the file"


def _check(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        raise PullFailed(f"{url} is not fetched: models come over https only.")


def _attempt(client: httpx.Client, url: str, part: Path, size_bytes: int, progress: Progress | None, headers: Mapping[str, str], hint: str) -> None:
    here = part.stat().st_size if part.exists() else 0
    if size_bytes and here == size_bytes:
        return
    if size_bytes and here > size_bytes:
        part.unlink()
        here = 0
    asked = {**headers, **({"Range": f"bytes={here}-"} if here else {})}
    with client.stream("GET", url, headers=asked) as response:
        for step in (*response.history, response):
            _check(str(step.url))
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink(missing_ok=True)
            raise _Broken
        _raise_for(response, hint)
        goes_on = response.status_code == httpx.codes.PARTIAL_CONTENT and response.headers.get("content-range", "").startswith(f"bytes {here}-")
        _receive(response, part, here if goes_on else 0, size_bytes, progress)


def _raise_for(response: httpx.Response, hint: str) -> None:
    status, host = response.status_code, response.url.host
    if status in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT):
        return
    if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        raise PullFailed(f"{host} gives this file only to those it knows ({status}). {hint}".strip())
    if status == httpx.codes.NOT_FOUND:
        raise PullFailed(f"{host} has no such file or revision ({status}); check the source.")
    if status == httpx.codes.TOO_MANY_REQUESTS or status >= httpx.codes.INTERNAL_SERVER_ERROR:
        raise _Broken
    raise PullFailed(f"{host} answered {status}; check the source.")


def _receive(response: httpx.Response, part: Path, begin: int, size_bytes: int, progress: Progress | None) -> None:
    most = size_bytes or MOST_BYTES
    length = response.headers.get("content-length", "")
    total = size_bytes or (begin + int(length) if length.isdigit() else 0)
    written = begin
    with part.open("ab" if begin else "wb") as file:
        for piece in response.iter_raw():
            written += len(piece)
            if written > most:
                file.close()
                part.unlink()
                raise PullFailed(f"{response.url.host} sends more than the {_of(size_bytes)} it should; it was not kept.")
            file.write(piece)
            if progress is not None:
                progress(written, total)
    if written < total:
        raise _Broken
