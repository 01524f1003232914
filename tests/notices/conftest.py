"""Targets on this machine, as calls of workflows have them."""

from __future__ import annotations

from tests.outbound.conftest import anyio_backend, caller, sender, system

__all__ = ["anyio_backend", "caller", "sender", "system"]
