"""The list of everything that came: `filters.py` reads its URL, `listing.py` shows it, `export.py` gives it as a file,
and `chosen.py` does something to events that were chosen in it."""

from crossdock.ui.screens.events.chosen import do_to_chosen
from crossdock.ui.screens.events.export import export
from crossdock.ui.screens.events.listing import show_list, show_of_integration, show_refused
from crossdock.ui.visit import reads, writes

routes = (
    reads("/events", show_list),
    reads("/events/export", export),
    reads("/events/refused", show_refused),
    writes("/events/chosen", do_to_chosen),
    reads("/integrations/{integration_id}/events", show_of_integration),
)

__all__ = ["routes"]
