"""External system types: one folder each, copied from its neighbour to make a new one, and listed here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from crossdock.connectors.event_webhook_async import EVENT_WEBHOOK_ASYNC
from crossdock.connectors.event_webhook_sync import EVENT_WEBHOOK_SYNC
from crossdock.connectors.external_system import ExternalSystem, Field, FieldKind, SampleCall, Section
from crossdock.connectors.webhook_trigger import WEBHOOK_TRIGGER

EXTERNAL_SYSTEMS: Mapping[str, ExternalSystem] = MappingProxyType(
    {system.type: system for system in (EVENT_WEBHOOK_ASYNC, EVENT_WEBHOOK_SYNC, WEBHOOK_TRIGGER)}
)
"""Every type, in the order in which it is offered."""

__all__ = ["EXTERNAL_SYSTEMS", "ExternalSystem", "Field", "FieldKind", "SampleCall", "Section"]
