"""What a user is called when signing in: a name or an e-mail address, in lower case, so that there is one way only."""

from __future__ import annotations

import re
import unicodedata

from crossdock.manage.fields import check_line

LONGEST_LOGIN = 100
NAME_LENGTH = 120

_LOGIN = re.compile(rf"[a-z0-9][a-z0-9._+@-]{{0,{LONGEST_LOGIN - 1}}}")


def normalise_login(text: str) -> str:
    """The login as it is stored; '' for a text that can't be one."""
    login = unicodedata.normalize("NFKC", text[: 4 * LONGEST_LOGIN]).strip().lower()
    return login if _LOGIN.fullmatch(login) else ""


def check_login(text: str) -> str:
    """The login as it is stored; ValueError says what it may consist of."""
    login = normalise_login(text)
    if not login:
        raise ValueError(
            f"must be 1 to {LONGEST_LOGIN} letters without accents, digits, '.', '_', '+', '@' and '-', and begin with "
            "a letter or digit"
        )
    return login


def check_person(text: str) -> str:
    """The name under which a user is shown."""
    return check_line(text, NAME_LENGTH)
