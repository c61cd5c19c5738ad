"""/api/models: the models there are, and for admin keys: fetching one, putting one into use, going back."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Query, Request

from services.gateway.access.gate import Gate
from services.gateway.models import (
    ActivateRequest,
    ActivationAnswer,
    ErrorAnswer,
    ModelAnswer,
    ModelStateAnswer,
    RollbackRequest,
    ShadowRequest,
    ShownModelAnswer,
)
from voxrelay.engines import EngineUnusable
from voxrelay.errors import Refused
from voxrelay.events import ModelActivated
from voxrelay.models.catalogue import TASKS
from voxrelay.models.operations import ModelOperations
from voxrelay.models.registry import PullFailed
from voxrelay.telemetry import fields

log = logging.getLogger(__name__)

Name = Annotated[str, Path(max_length=100)]


class Pulls:
    """One model at a time is fetched in the background; what became of each is remembered until it is asked for again."""

    def __init__(self, models: ModelOperations) -> None:
        self._models = models
        self._now = ""
        self._done: dict[str, str] = {}  # name: the sentence of its failure, or empty

    def begin(self, name: str) -> None:
        """Raises ``Refused`` OVERLOADED while another is fetched."""
        if self._now:
            raise Refused("OVERLOADED", f"'{self._now}' is being fetched: one at a time, try again later.")
        self._now = name
        threading.Thread(target=self._pull, args=(name,), name="pull", daemon=True).start()  # the end of the gateway does not wait for it

    def state(self, name: str) -> str:
        """``fetching``, the sentence of its failure, or empty."""
        return "fetching" if self._now == name else self._done.get(name, "")

    def _pull(self, name: str) -> None:
        try:
            self._models.registry.pull(name)
            self._done[name] = ""
        except (PullFailed, EngineUnusable) as failure:
            self._done[name] = str(failure)
        except Exception:
            self._done[name] = "It could not be fetched; the log says why."
            log.exception("A model could not be fetched.", extra=fields(model=name))
        finally:
            self._now = ""


def router(models: ModelOperations, gate: Gate) -> APIRouter:
    """Every call asks for a key where there are keys; what changes something asks for an admin's (FORBIDDEN)."""
    routes = APIRouter(tags=["models"], responses={401: {"model": ErrorAnswer}, 403: {"model": ErrorAnswer}, 404: {"model": ErrorAnswer}})
    pulls = Pulls(models)

    async def admit_admin(request: Request) -> None:
        caller = await gate.admit(request)
        if not caller.is_admin:
            raise Refused("FORBIDDEN", "Only an admin key may change models.")

    async def known(name: str) -> dict[str, Any]:
        try:
            return await asyncio.to_thread(models.row, name) | {"pull": pulls.state(name)}
        except EngineUnusable as error:
            raise Refused("NOT_FOUND", str(error)) from error

    @routes.get("/api/models", response_model=list[ModelAnswer])
    async def all_models(request: Request, task: str = Query("", description=f"one of {', '.join(TASKS)}; empty for all")) -> Any:
        """Every model that is known, whether it is here, and what it is used for."""
        await gate.admit(request)
        return await asyncio.to_thread(models.rows, task)

    @routes.get("/api/models/{name}", response_model=ShownModelAnswer)
    async def model(request: Request, name: Name) -> Any:
        """One of them, with its files and checksums."""
        await gate.admit(request)
        return await known(name)

    @routes.get("/api/model-states", response_model=list[ModelStateAnswer])
    async def states(request: Request) -> Any:
        """What each process works with since the last activation, and why where that is not what was asked for."""
        await admit_admin(request)
        return await asyncio.to_thread(models.states)

    @routes.post("/api/models/{name}/pull", response_model=ShownModelAnswer, status_code=202)
    async def pull(request: Request, name: Name) -> Any:
        """Fetch it from its source, in the background; ``pull`` of the model says how it goes. A licence is accepted at the command line only."""
        await admit_admin(request)
        await known(name)
        pulls.begin(name)
        return await known(name)

    async def decided(decide: Callable[[str, float], ModelActivated], name: str, share: float) -> dict[str, Any]:
        await known(name)
        try:
            return asdict(await asyncio.to_thread(decide, name, share))
        except EngineUnusable as error:
            raise Refused("INVALID_PARAMETER", str(error)) from error

    @routes.post("/api/models/{name}/activate", response_model=ActivationAnswer)
    async def activate(request: Request, name: Name, wanted: Annotated[ActivateRequest, Body(default_factory=ActivateRequest)]) -> Any:
        """Use it for all sessions, or as a candidate for a share of them. Sessions change between two utterances."""
        await admit_admin(request)
        return await decided(models.activate, name, wanted.share)

    @routes.post("/api/models/{name}/shadow", response_model=ActivationAnswer)
    async def shadow(request: Request, name: Name, wanted: Annotated[ShadowRequest, Body(default_factory=ShadowRequest)]) -> Any:
        """Let it hear a share of the live sessions beside the model in use. Its results answer nobody and are not stored."""
        await admit_admin(request)
        return await decided(models.shadow, name, wanted.share)

    @routes.post("/api/models/rollback", response_model=ActivationAnswer)
    async def rollback(request: Request, wanted: RollbackRequest) -> Any:
        """Drop the candidate, or where there is none go back to the model before."""
        await admit_admin(request)
        return asdict(await asyncio.to_thread(models.rollback, wanted.task))

    return routes
