"""`python -m crossdock`, and the `crossdock` command."""

from __future__ import annotations

import sys


def main() -> None:
    from crossdock.cli.program import run

    sys.exit(run())


if __name__ == "__main__":
    main()
