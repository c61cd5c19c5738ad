"""The two errors with a meaning to the runner, and the one a person sees.

Every other exception ends the process: the supervisor restarts it, and the checkpoints make the restart exact.
"""

from __future__ import annotations


class Poison(Exception):
    """One record can never be processed; the runner sends it to the dead letters with ``reason`` and goes on.

    ``event_id`` names the culprit inside a batch (the ``id`` of its event). Without it the whole batch is tried record by record.
    ``reason`` is a constant sentence that holds no speech, text or key.
    """

    def __init__(self, reason: str, event_id: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.event_id = event_id


class Unavailable(Exception):
    """Something this process depends on does not answer; the runner backs off, commits nothing and tries again."""


class Fenced(Exception):
    """The log has shut this process out for good, as it does when another one goes by the same name; it has to end. The text is the log's own."""


class Refused(Exception):
    """A caller's input cannot be served. ``code`` is upper snake case and stands in docs/errors.md; ``message`` says what to do.

    ``retry_after_s`` is when it is worth another try, where that is known.
    """

    def __init__(self, code: str, message: str, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after_s = retry_after_s
