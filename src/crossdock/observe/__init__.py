"""What the program says about itself: every metric and every log event, named once.

Rules that hold here:

- Counting on the hot path costs one dictionary update. What Prometheus wants to see is put together when it asks.
- A metric or log event that is not in `METRICS` or `LOG_EVENTS` does not exist; the reference lists exactly these.
- Secrets do not get out: facts with telling names are hidden, and so is every value given to `conceal`, wherever in
  a line it stands.
- One line for each event at debug, none at info.
"""

from __future__ import annotations

from crossdock.observe.counting import Observe as Observe

# All names of these two, which hold nothing else: a list of them here would have to be kept beside theirs.
from crossdock.observe.log_events import *  # noqa: F403
from crossdock.observe.logs import conceal as conceal
from crossdock.observe.logs import configure_logging as configure_logging
from crossdock.observe.logs import emit as emit
from crossdock.observe.logs import is_debugging as is_debugging
from crossdock.observe.logs import redact as redact
from crossdock.observe.metrics import *  # noqa: F403
