"""What a worker process inherits of the server's environment: what Python and its libraries need, and no secret."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Mapping
from pathlib import Path

INHERITED = frozenset(
    {
        "HOME", "LANG", "LANGUAGE", "LD_LIBRARY_PATH", "LOGNAME", "PATH", "PYTHONHOME", "PYTHONUTF8",
        "REQUESTS_CA_BUNDLE", "SSL_CERT_DIR", "SSL_CERT_FILE", "TMPDIR", "TZ", "TZDIR", "USER", "VIRTUAL_ENV",
    }
)  # fmt: skip


def reduced(environment: Mapping[str, str], also: Collection[str] = ()) -> dict[str, str]:
    """The variables that a worker process gets: those above, LC_*, those named in `also`, and where modules are."""
    kept = {
        name: value
        for name, value in environment.items()
        if name in INHERITED or name.startswith("LC_") or name in also
    }
    # An arena of the allocator for each thread would be reserved from the memory limit without being used.
    kept.setdefault("MALLOC_ARENA_MAX", "2")
    kept["PYTHONPATH"] = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
    return kept
