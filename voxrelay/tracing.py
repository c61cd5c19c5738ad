"""One trace a session, from the edge over the log and back. Off unless an endpoint is set: then no library is loaded, and nothing is done.

Whether a session is traced is decided once, where it begins, and travels in its ``traceparent``: by the caller's own flag where it sent one,
else by ratio. A span names what was done, by which part, for which session: never speech, text, keys or names.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Mapping
from typing import Protocol

from voxrelay.engines import EngineUnusable

_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
MOST_LINKS = 64

Attributes = Mapping[str, str | int]


class Span(Protocol):
    """Something that takes time. Not shared by threads."""

    @property
    def traceparent(self) -> str:
        """What comes of it continues from here."""
        ...

    def end(self, at: float | None = None) -> None:
        """``at`` in seconds since the epoch; now, if nothing is said. Once."""
        ...


class Tracer(Protocol):
    """Thread-safe. Sends in the background, drops rather than waits, and closes within seconds."""

    def start(
        self,
        name: str,
        part: str,
        traceparent: str = "",
        *,
        at: float | None = None,
        links: Collection[str] = (),
        attributes: Attributes | None = None,
    ) -> Span:
        """A span of one part of the topology, a child of ``traceparent``, or the first of a trace. ``links``: traceparents of other traces."""
        ...

    def close(self) -> None: ...


_tracer: Tracer | None = None


def tracer() -> Tracer | None:
    """None where nothing is traced. The same from the process's start to its end."""
    return _tracer


def configure(endpoint: str, ratio: float, process: str) -> None:
    """Once, before anything else runs. ``endpoint`` is an OTLP collector's (http://host:4318), empty for none; ``ratio`` of the sessions, 0 to 1.

    Raises ``EngineUnusable`` where the library is missing.
    """
    global _tracer  # one a process, as its metrics are
    if not endpoint:
        return
    try:
        from voxrelay.otlp import OtlpTracer
    except ModuleNotFoundError as error:
        raise EngineUnusable(f"VOXRELAY_TRACES_ENDPOINT is set and needs the library {error.name}: pip install 'voxrelay[tracing]'.") from error
    _tracer = OtlpTracer(endpoint, ratio, process)


def close() -> None:
    """Send what is left."""
    global _tracer
    if _tracer is not None:
        _tracer.close()
        _tracer = None


def is_sampled(traceparent: str) -> bool:
    return len(traceparent) == 55 and traceparent[-1] in "13579bdf"


def accepted(traceparent: str) -> str:
    """A caller's own, if it is one; else a fresh one that nobody samples."""
    if _TRACEPARENT.fullmatch(traceparent):
        return traceparent
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00"


def is_traceparent(text: str) -> bool:
    """Whether it is a W3C traceparent, version 00."""
    return _TRACEPARENT.fullmatch(text) is not None
