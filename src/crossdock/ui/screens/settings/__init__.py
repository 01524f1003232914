"""Settings: one's own account, people and their roles, workspaces, API tokens, the audit log, and the installation."""

from __future__ import annotations

from crossdock.ui.screens.settings import account, audit, installation, people, tokens, workspaces

routes = (
    *account.routes,
    *people.routes,
    *workspaces.routes,
    *tokens.routes,
    *audit.routes,
    *installation.routes,
)

__all__ = ["routes"]
