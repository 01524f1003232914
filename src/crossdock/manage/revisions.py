"""Whether a change was made from what is stored now: the revision that a patch carries."""

from __future__ import annotations

from crossdock.manage.refusals import invalid
from crossdock.model.errors import Conflict, FieldError
from crossdock.model.outcome import Json


def check_revision(patch: Json, revision: int, subject: str) -> None:
    """Conflict when `revision` in the patch is not the stored one any more; a patch without one is always good."""
    check_expected(written_revision(patch), revision, subject)


def written_revision(patch: Json) -> int | None:
    """The `revision` in a patch; Invalid when it is no number."""
    written = patch.get("revision")
    if written is not None and (not isinstance(written, int) or isinstance(written, bool)):
        raise invalid("the change", (FieldError("revision", "must be a whole number"),))
    return written


def check_expected(expected: int | None, revision: int, subject: str) -> None:
    """Conflict when the stored revision is not the expected one; none is always good."""
    if expected is not None and expected != revision:
        raise Conflict(
            f"{subject} was changed since revision {expected} (it is at {revision}); "
            "read it again and repeat the change"
        )
