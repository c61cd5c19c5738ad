"""The stored sessions over gRPC: the same views as REST."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import grpc

from voxrelay import codec
from voxrelay.calls import SEES
from voxrelay.errors import Unavailable
from voxrelay.storage.views import SessionSummary, StoredUtterance, Views
from voxrelay.v1 import services_pb2, services_pb2_grpc

SERVICE = "voxrelay.v1.Archive"
USUAL_LIMIT = 50
MOST_QUERY_CHARACTERS = 500
Answer = TypeVar("Answer")


class ArchiveServicer(services_pb2_grpc.ArchiveServicer):
    """Thread-safe. Shows the sessions of whom ``SEES`` names. UNAVAILABLE while the database does not answer."""

    def __init__(self, views: Views) -> None:
        self._views = views

    def ListSessions(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802  # the name in services.proto
        """The newest first."""
        found = _answer(context, lambda: self._views.sessions(request.limit or USUAL_LIMIT, request.before, SEES.get()))
        return services_pb2.ListSessionsResponse(sessions=[_summary(summary) for summary in found])

    def GetSession(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802  # the name in services.proto
        """NOT_FOUND when nothing of the session is stored."""
        found = _answer(context, lambda: self._views.session(request.session_id, SEES.get()))
        if found is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "There is no session of this id, or nothing of it has been stored yet.")
        return services_pb2.SessionRecord(summary=_summary(found.summary), utterances=[_utterance(stored) for stored in found.utterances])

    def Search(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802  # the name in services.proto
        """Every word and every quoted phrase of the query must have been said; the best matches first."""
        if not 0 < len(request.query) <= MOST_QUERY_CHARACTERS:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"query must have 1 to {MOST_QUERY_CHARACTERS} characters.")
        hits = _answer(context, lambda: self._views.search(request.query, min(request.limit or USUAL_LIMIT, 1000), owner=SEES.get()))
        return services_pb2.SearchResponse(
            hits=[services_pb2.SearchHit(session_id=hit.session_id, utterance=_utterance(hit.utterance)) for hit in hits]
        )


def _answer(context: grpc.ServicerContext, ask: Callable[[], Answer]) -> Answer:
    try:
        return ask()
    except Unavailable as error:
        context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
        raise AssertionError("abort raises") from error


def _summary(summary: SessionSummary) -> Any:
    return services_pb2.SessionSummary(
        session_id=summary.session_id,
        opened_at=summary.opened_at,
        audio_seconds=summary.audio_seconds,
        utterances=summary.utterances,
        speakers=summary.speakers,
        is_complete=summary.is_complete,
    )


def _utterance(stored: StoredUtterance) -> Any:
    joined = stored.joined
    return services_pb2.JoinedUtterance(
        utterance_id=joined.utterance_id,
        start_s=joined.start_s,
        end_s=joined.end_s,
        text=joined.text,
        confidence=joined.confidence,
        speaker=joined.speaker,
        language=joined.language,
        words=[
            services_pb2.JoinedWord(text=w.text, start_s=w.start_s, end_s=w.end_s, confidence=w.confidence, speaker=w.speaker) for w in joined.words
        ],
        attributes=[codec.to_message(attribute) for attribute in joined.attributes],
        audio_url=stored.recording,
    )


def add(server: Any, views: Views) -> list[str]:
    """Registers the servicer; the full names of the services, for reflection."""
    services_pb2_grpc.add_ArchiveServicer_to_server(ArchiveServicer(views), server)  # type: ignore[no-untyped-call]  # generated
    return [SERVICE]
