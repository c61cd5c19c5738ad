"""A refusal as a gRPC status: the message as its details, the code and what goes with it in the richer error model of google.rpc."""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

from services.gateway import errors
from services.gateway.protocols.recognition_messages import FieldRefused
from services.gateway.requests.refusals import RETRY_AFTER_S
from voxrelay.errors import Refused
from voxrelay.telemetry import REFUSALS

DOMAIN = "voxrelay"
CODE_KEY, DETAILS_KEY = "voxrelay-error-code", "grpc-status-details-bin"
AGAIN = (429, 503)  # HTTP statuses of what may work in a moment


async def abort(context: Any, edge: str, refused: Refused, session_id: str = "") -> None:
    """Ends the call. Always raises."""
    REFUSALS.labels(edge, refused.code).inc()
    status = getattr(grpc.StatusCode, errors.CODES[refused.code].grpc)
    metadata = [(CODE_KEY, refused.code), (DETAILS_KEY, _details(status, refused, session_id))]
    if refused.retry_after_s:
        metadata.append(("retry-after", str(refused.retry_after_s)))
    await context.abort(status, refused.message, trailing_metadata=tuple(metadata))


def _details(status: grpc.StatusCode, refused: Refused, session_id: str) -> bytes:
    """A serialized google.rpc.Status: ErrorInfo always, BadRequest where a field is wrong, RetryInfo where trying again helps."""
    details: list[Any] = [error_details_pb2.ErrorInfo(reason=refused.code, domain=DOMAIN, metadata={"session_id": session_id} if session_id else {})]
    if isinstance(refused, FieldRefused):
        violation = error_details_pb2.BadRequest.FieldViolation(field=refused.field, description=refused.message)
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if errors.CODES[refused.code].http in AGAIN:
        wait_s = refused.retry_after_s or int(RETRY_AFTER_S)
        details.append(error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=wait_s)))
    packed = []
    for detail in details:
        one = any_pb2.Any()
        one.Pack(detail)
        packed.append(one)
    serialized: bytes = status_pb2.Status(code=status.value[0], message=refused.message, details=packed).SerializeToString()
    return serialized
