"""What a service is made of. ``services/<name>/compose.py`` gives one; ``process`` runs it over Kafka, ``embedded`` runs them all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from voxrelay.events import Lane
from voxrelay.models.slot import EngineSlot, EngineSupply
from voxrelay.stage import Projection, Stage
from voxrelay.topology import ProjectionNode, StageNode


@dataclass(frozen=True, slots=True)
class ShadowPart:
    """How to make the stage of the model in a slot's shadow."""

    slot: EngineSlot[Any]
    make: Callable[[EngineSupply[Any]], Stage]


@dataclass(frozen=True, slots=True)
class StagePart:
    """A node of the topology and how to make its stage; one instance a lane, all on the same loaded engine."""

    node: StageNode
    make: Callable[[Lane], Stage]
    shadow: ShadowPart | None = None  # where the node has a topic for it


@dataclass(frozen=True, slots=True)
class ProjectionPart:
    node: ProjectionNode
    make: Callable[[Lane], Projection]


@dataclass(frozen=True, slots=True)
class Service:
    """Engines are loaded when this exists.

    ``add_rpc`` registers the service's gRPC servicers on a ``grpc.Server`` and returns their full names (for reflection).
    ``checks`` are what /ready asks, by name; each raises with a plain sentence when its dependency does not answer,
    and may return one that is worth knowing all the same.
    """

    name: str
    stages: Sequence[StagePart] = ()
    projections: Sequence[ProjectionPart] = ()
    slots: Sequence[EngineSlot[Any]] = ()  # its engines, which can be exchanged while it runs
    add_rpc: Callable[[Any], Sequence[str]] | None = None
    checks: Mapping[str, Callable[[], str | None]] = field(default_factory=dict)
    close: Callable[[], None] = lambda: None
    models: tuple[str, ...] = ()  # what clients may name: engines as name:version, voices by name
