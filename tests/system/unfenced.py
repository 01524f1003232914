"""The program without its fence, which Crossdock never leaves out: it shows that the zombie test can fail."""

from __future__ import annotations

from crossdock.__main__ import main
from crossdock.model.epoch import Epoch


def _may_always_act(self: Epoch) -> bool:
    return True


Epoch.may_act = _may_always_act  # type: ignore[method-assign]

if __name__ == "__main__":
    main()
