"""Puts the gateway together: bus, dependencies to ask, stored sessions to show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from services.gateway.server import GatewayServer
from services.gateway.settings import GatewaySettings
from voxrelay.bus.api import Bus
from voxrelay.models.activations import ActivationLog
from voxrelay.models.operations import ModelOperations
from voxrelay.models.registry import ModelRegistry
from voxrelay.models.sources import Hub
from voxrelay.probe import Checks
from voxrelay.settings import PlatformSettings, load_settings
from voxrelay.storage import database
from voxrelay.storage.access import AccessStore
from voxrelay.storage.deletion import Deletions
from voxrelay.storage.views import Views


def compose(
    platform: PlatformSettings, bus: Bus, checks: Checks | None = None, rpc_services: Sequence[Callable[[Any], Sequence[str]]] = (), **changes: Any
) -> GatewayServer:
    """A server that has not started. ``changes`` override settings (ports given on a command line)."""
    settings = load_settings(GatewaySettings).model_copy(update=changes)
    views = Views(database.connect(platform.resolved_database_url, is_read_only=True))
    access = AccessStore(platform.resolved_database_url)
    deletions = Deletions(database.connect(platform.resolved_database_url))

    def ask_bus() -> None:
        bus.topics()

    registry = ModelRegistry(platform.models, Hub(platform.models_hub, platform.models_token.get_secret_value()))
    models = ModelOperations(registry, ActivationLog.lasting(bus, platform.data))
    asked = {"bus": ask_bus, "database": views.check, **(checks or {})}
    return GatewayServer(bus, settings, platform.host, asked, views, rpc_services, access, models, deletions)
