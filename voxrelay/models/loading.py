"""From a model's name in the registry to its engine, ready for sessions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from voxrelay.engines import EngineUnusable
from voxrelay.models.registry import ModelRegistry
from voxrelay.models.slot import Closable

EngineType = TypeVar("EngineType")


def load_model(registry: ModelRegistry, task: str, name: str, make: Callable[..., EngineType], warm: Callable[[EngineType], object]) -> EngineType:
    """``make`` is given the engine's name, the entry's options and, where it has files, ``weights`` and ``model_digest``.

    ``warm`` sends something through it, so that weights which do not fit are found before any session has them. Raises ``EngineUnusable``
    with one sentence; what a library raises over weights that it cannot use comes as it is.
    """
    entry = registry.entry(name)
    if entry.task != task:
        raise EngineUnusable(f"'{name}' is a model for {entry.task}, not for {task}.")
    given: dict[str, Any] = dict(entry.options)
    if entry.files:
        given |= {"weights": registry.path(name), "model_digest": entry.digest}
    try:
        made = make(entry.engine, **given)
    except TypeError as error:
        what = f"what '{name}' gives it ({', '.join(given) or 'nothing'})"
        raise EngineUnusable(f"The engine '{entry.engine}' cannot be made of {what}: correct its options and files.") from error
    try:
        warm(made)
    except BaseException:
        if isinstance(made, Closable):
            made.close()
        raise
    return made
