"""The workflow editor of an integration.

- `places` says where steps stand, and changes a document there; `kinds`, `lines` and `cards` tell of steps;
- `editor` shows the page, `editing` and `saving` change the draft, `publishing` lets it count;
- `trying` takes events through it, `what_if` many of them.
"""

from __future__ import annotations

from crossdock.ui.screens.workflow import editing, editor, publishing, saving, trying, what_if
from crossdock.ui.visit import ScreenRoute, reads

routes: tuple[ScreenRoute, ...] = (
    reads("/integrations/{integration_id}/workflow", editor.show),
    *editing.routes,
    *saving.routes,
    *publishing.routes,
    *trying.routes,
    *what_if.routes,
)

__all__ = ["routes"]
