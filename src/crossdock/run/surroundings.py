"""What the run stage needs of the node that it is part of."""

from __future__ import annotations

from dataclasses import dataclass, field

from crossdock.catalog import Catalog
from crossdock.clock import Sources
from crossdock.observe import Observe
from crossdock.run.outside import Outside
from crossdock.run.settling import Announce, Settling
from crossdock.store import Store
from crossdock.store.signals import Signals
from crossdock.tracing import Tracer


@dataclass(frozen=True, slots=True)
class Surroundings:
    store: Store
    catalog: Catalog
    outside: Outside
    settling: Settling
    announce: Announce
    observe: Observe
    sources: Sources
    signals: Signals = field(default_factory=Signals)
    tracer: Tracer | None = None
