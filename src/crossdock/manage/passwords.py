"""Passwords: what one has to be like, and their Argon2id hashes.

A hash takes tens of milliseconds and 32 MiB on purpose (RFC 9106; OWASP asks for 19 MiB at least). So few of them are
made at once, and few more wait: whoever comes then is told to try again, before any account is looked at.
"""

from __future__ import annotations

import asyncio
import unicodedata
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Any, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from crossdock.model.errors import TooMany

T = TypeVar("T")

SHORTEST = 10
LONGEST = 1024
"""Characters of a password."""
AT_ONCE = 2
"""Hashes that are made at the same time."""
WAITING = 32
"""Hashes that wait for their turn: about a second of work."""

_MEMORY_KIB = 32 * 1024
_PASSES = 3

_GUESSES = """
0123456789 0987654321 1029384756 11223344556677 1122334455 123123123 1231231234 123321123321 1234512345 12345678910
1234567890 123456789a 1234567890a 123456789q 123qweasdzxc 147258369 1q2w3e4r5t 1q2w3e4r5t6y 1qaz2wsx3edc
1qazxsw23edc 9876543210 987654321a a123456789 abc1234567 abcd123456 abcd1234567 abcdefghij abcdefghijk admin12345
admin123456 adminadmin administrator asdf123456 asdfasdfasdf asdfghjkl1 asdfghjkl123 asdfghjkl; baseball123
basketball changeme12 changeme123 changemenow changethis christopher computer123 crossdock1 crossdock12 crossdock123
defaultpassword dragon12345 football123 hello12345 helloworld helloworld1 iloveyou12 iloveyou123 jennifer123
letmein123 letmein1234 letmeinnow liverpool1 manchester master12345 michael123 mypassword mypassword1 p@ssw0rd12
p@ssw0rd123 p@ssword123 passw0rd12 passw0rd123 passwort12 passwort123 password01 password10 password11 password12
password123 password1234 password12345 password123456 password1! password12! password123! password2024 password2025
password2026 passwordpassword pokemon123 princess12 princess123 q1w2e3r4t5 q1w2e3r4t5y6 qazwsxedc1 qazwsxedcrfv
qwe1234567 qwer123456 qwerasdfzxcv qwerty1234 qwerty12345 qwerty123456 qwertyqwerty qwertyuiop qwertyuiop1
qwertyuiop123 qwertyuiop[] root123456 secret12345 secretsecret starwars123 summer2024! summer2025! summer2026!
sunshine12 sunshine123 superman12 superman123 test123456 testtest12 testtest123 thisisapassword trustno1234
user123456 unknown123 webhook123 welcome123 welcome1234 welcome2024 welcome2025 welcome2026 whatever12 whatever123
zaq12wsxcde3 zxcvbnm123 zxcvbnm1234 zxcvbnm,./
"""
USUAL = frozenset(_GUESSES.split())
"""What is tried first by whoever guesses, of those long enough."""


def check_password(text: str, *names: str) -> str:
    """The password as it is hashed; ValueError says what is wrong. `names` are those of its owner."""
    if len(text) > LONGEST:  # first: bringing a long text into its normal form takes the square of its length
        raise ValueError(f"must be {LONGEST} characters at most, not {len(text)}")
    password = normalise(text)
    if len(password) < SHORTEST:
        raise ValueError(f"must be {SHORTEST} characters at least, not {len(password)}")
    if len(password) > LONGEST:
        raise ValueError(f"must be {LONGEST} characters at most, not {len(password)}")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in password):
        raise ValueError("must not contain control characters")
    plain = password.casefold()
    if plain.strip() in {part.casefold() for name in names for part in (name, name.partition("@")[0])}:
        raise ValueError("must not be the name of the user")
    if plain in USUAL or len(set(plain)) < 4:
        raise ValueError("is one of those that are guessed first; choose another one, a few words for example")
    return password


def normalise(text: str) -> str:
    """One form for what keyboards write in several (NFKC, as NIST SP 800-63B asks for)."""
    return unicodedata.normalize("NFKC", text)


def nobodys_hash(memory_kib: int, passes: int) -> str:
    """A hash that no password has, and that takes as long to compare as any other (a PHC string of Argon2id)."""
    salt, made_up = (b64encode(bytes(length)).decode().rstrip("=") for length in (16, 32))
    return f"$argon2id$v=19$m={memory_kib},t={passes},p=1${salt}${made_up}"


class Passwords:
    """Makes and compares hashes on threads of its own."""

    def __init__(self, memory_kib: int = _MEMORY_KIB, passes: int = _PASSES) -> None:
        self._hasher = PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=1)
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="password")
        self._under_way = 0
        self._counting = Lock()
        self._nobodys = nobodys_hash(memory_kib, passes)

    async def hash(self, password: str) -> str:
        """The Argon2id hash of a checked password, in its PHC string; TooMany when too many are asked for."""
        return await self._run(lambda: self._hasher.hash(password))

    async def matches(self, password_hash: str | None, text: str) -> bool:
        """Whether a text is the password. Without a hash it is not, which takes as long to find out."""
        password = normalise(text[: LONGEST + 1]).encode(errors="replace")
        is_sought = password_hash is not None and len(text) <= LONGEST
        wanted = password_hash if password_hash is not None else self._nobodys
        return await self._run(lambda: self._verify(wanted, password)) and is_sought

    def is_outdated(self, password_hash: str) -> bool:
        """Whether the hash was made with other parameters than those of today."""
        return self._hasher.check_needs_rehash(password_hash)

    def _verify(self, password_hash: str, password: bytes) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerifyMismatchError, VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], T]) -> T:
        with self._counting:
            if self._under_way >= AT_ONCE + WAITING:
                raise TooMany("too many people sign in at this moment; try again shortly", 2.0)
            self._under_way += 1
        future = self._threads.submit(work)
        future.add_done_callback(self._ended)  # not when the caller goes away: the thread is at it all the same
        return await asyncio.wrap_future(future)

    def _ended(self, _future: Future[Any]) -> None:
        with self._counting:
            self._under_way -= 1

    def close(self) -> None:
        self._threads.shutdown(wait=False)
