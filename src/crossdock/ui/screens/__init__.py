"""The screens of the workspace: a module each, with its handlers and the routes that lead to them."""

from __future__ import annotations

from crossdock.ui.screens import live, overview, webhooks
from crossdock.ui.visit import ScreenRoute

SCREENS: tuple[tuple[ScreenRoute, ...], ...] = (
    overview.routes,
    live.routes,
    webhooks.routes,
)

__all__ = ["SCREENS"]
