"""Whether a change was made from what is stored now: the revision that a patch carries."""

from __future__ import annotations

from crossdock.manage.refusals import invalid
from crossdock.model.errors import Conflict, FieldError
from crossdock.model.outcome import Json


def check_revision(patch: Json, revision: int, subject: str) -> None:
    """Conflict when `revision` in the patch is not the stored one any more; a patch without one is always good."""
    expected = patch.get("revision")
    if expected is None:
        return
    if not isinstance(expected, int) or isinstance(expected, bool):
        raise invalid("the change", (FieldError("revision", "must be a whole number"),))
    if expected != revision:
        raise Conflict(
            f"{subject} was changed since revision {expected} (it is at {revision}); "
            "read it again and repeat the change"
        )
