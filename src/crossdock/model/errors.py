"""Everything that Crossdock raises on purpose.

    CrossdockError
    ├── Refused                 the request can't be served as it is; the sender has to change something
    │   ├── Malformed           400  unreadable
    │   ├── Unauthenticated     401  no credential, or a wrong one
    │   ├── Forbidden           403  known, but not allowed
    │   ├── NotFound            404
    │   ├── MethodNotAllowed    405  carries the allowed methods
    │   ├── Conflict            409  somebody else changed it first, or it exists already
    │   ├── TooLarge            413
    │   ├── UnsupportedMedia    415
    │   ├── Invalid             422  readable, but not acceptable; carries the fields
    │   └── TooMany             429  carries when to try again
    ├── StoreUnavailable        503  the record can't be written or read now; carries when to try again
    ├── Unrecordable            the record refuses the change itself; trying again can't help
    ├── WrongTransition         a state change that the tables in `states` do not have
    └── Misconfigured           the program can't start like this; the message says what to change

`server.problems` alone maps them to HTTP.
"""

from __future__ import annotations

from dataclasses import dataclass


class CrossdockError(Exception):
    """The root. `str(error)` is fit to be shown to whoever made the request."""


class Refused(CrossdockError):
    pass


class Malformed(Refused):
    pass


class Unauthenticated(Refused):
    pass


class Forbidden(Refused):
    pass


class NotFound(Refused):
    pass


class MethodNotAllowed(Refused):
    def __init__(self, message: str, allowed: tuple[str, ...]) -> None:
        super().__init__(message)
        self.allowed = allowed


class Conflict(Refused):
    pass


class TooLarge(Refused):
    pass


class UnsupportedMedia(Refused):
    pass


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong with one field: its path in the document (`trigger.request_timeout`) and what to do."""

    field: str
    message: str


class Invalid(Refused):
    def __init__(self, message: str, errors: tuple[FieldError, ...] = ()) -> None:
        super().__init__(message)
        self.errors = errors


class TooMany(Refused):
    def __init__(self, message: str, retry_after_seconds: float) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class StoreUnavailable(CrossdockError):
    def __init__(self, message: str, retry_after_seconds: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Unrecordable(CrossdockError):
    pass


class WrongTransition(CrossdockError):
    pass


class Misconfigured(CrossdockError):
    pass
