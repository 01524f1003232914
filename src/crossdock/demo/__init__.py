"""What `--demo` adds: four integrations that do something, a key for them, a place where replies arrive, some history.

- `documents` are the integrations: one to try with the shown call, one that answers, one whose replies fail, one in
  order;
- `sink` takes the replies;
- `history` calls the newly made ones a few times, so that there is something to look at;
- `example` puts them together.

The integrations are ordinary ones: they may be looked at, changed and deleted; the next start with `--demo` makes them
anew.
"""

from crossdock.demo.documents import NAME, ORDER, PATH
from crossdock.demo.example import Demo

__all__ = ["NAME", "ORDER", "PATH", "Demo"]
