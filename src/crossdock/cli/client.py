"""Talking to a running server. Every failure becomes one line that says what to do.

On the standard library alone: a command should start at once, follows no redirect (it would carry the token to
another place) and goes through no proxy.
"""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote, urlencode, urlsplit

from crossdock.model.errors import CrossdockError
from crossdock.model.outcome import Json

TIMEOUT_SECONDS = 90.0
"""Longer than a caller in request-response mode is kept waiting by default."""

Query = Mapping[str, str | int | None]


class CommandFailed(CrossdockError):
    """The command can't do what it was asked to; the message is shown, and the exit code is 1."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`headers` have their names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def document(self) -> Json:
        return json.loads(self.body) if self.body else None


class Server:
    """One connection to one server, used for one request after another."""

    def __init__(self, url: str) -> None:
        """CommandFailed when `url` is not an address of a web server."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise CommandFailed(f"{url!r} is not the address of a server; write it like http://127.0.0.1:8420")
        self.url = url.rstrip("/")
        self._prefix = parts.path.rstrip("/")
        try:
            port = parts.port
        except ValueError:
            raise CommandFailed(f"{url!r} has a port that does not exist") from None
        self._connection = (
            http.client.HTTPSConnection(parts.hostname, port, timeout=TIMEOUT_SECONDS)
            if parts.scheme == "https"
            else http.client.HTTPConnection(parts.hostname, port, timeout=TIMEOUT_SECONDS)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connection; the next request makes a new one."""
        self._connection.close()

    def send(
        self, method: str, path: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Any answer, whatever its status; CommandFailed when none came. `path` begins with / and has its query."""
        try:
            self._connection.request(method, self._prefix + path, body, dict(headers or {}))
            response = self._connection.getresponse()
            content = response.read()
        except ssl.SSLCertVerificationError as error:
            raise CommandFailed(
                f"the certificate of {self.url} is not trusted ({error.verify_message}); "
                "name its authority's file in SSL_CERT_FILE"
            ) from None
        except ConnectionRefusedError:
            raise CommandFailed(
                f"no server answers at {self.url}; start it with `crossdock serve`, or name another one with --url"
            ) from None
        except TimeoutError:
            raise CommandFailed(f"{self.url} did not answer within {TIMEOUT_SECONDS:.0f} seconds") from None
        except (OSError, http.client.HTTPException) as error:
            raise CommandFailed(f"{self.url} can't be reached: {str(error) or type(error).__name__}") from None
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, content)


class Api:
    """The admin API of a server, as whoever `token` belongs to."""

    def __init__(self, server: Server, token: str | None) -> None:
        self.server = server
        self._headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.server.__exit__()

    def get(self, *path: str, query: Query | None = None) -> Json:
        return self._ask("GET", path, query=query)

    def post(self, *path: str, document: Json = None) -> Json:
        return self._ask("POST", path, document=document)

    def put(self, *path: str, document: Json) -> Json:
        return self._ask("PUT", path, document=document)

    def patch(self, *path: str, document: Json) -> Json:
        return self._ask("PATCH", path, document=document)

    def delete(self, *path: str) -> None:
        self._ask("DELETE", path)

    def items(self, *path: str, query: Query | None = None, limit: int | None = None) -> Iterator[Json]:
        """The items of a list, page after page, up to `limit`."""
        wanted, cursor, shown = dict(query or {}), None, 0
        while True:
            page_size = 200 if limit is None else min(200, limit - shown)
            page = self._ask("GET", path, query={**wanted, "limit": page_size, "cursor": cursor})
            for item in page["items"]:
                yield item
                shown += 1
                if shown == limit:
                    return
            cursor = page["next"]
            if cursor is None:
                return

    def _ask(self, method: str, path: tuple[str, ...], *, query: Query | None = None, document: Json = None) -> Json:
        target = "/api/v1/" + "/".join(quote(part, safe="") for part in path)
        given = {name: value for name, value in (query or {}).items() if value is not None}
        if given:
            target += "?" + urlencode(given)
        body, headers = None, self._headers
        if document is not None:
            body, headers = json.dumps(document).encode(), {**headers, "Content-Type": "application/json"}
        answer = self.server.send(method, target, body=body, headers=headers)
        if answer.status >= 300:
            raise CommandFailed(explain(answer, self.server.url))
        try:
            return answer.document()
        except ValueError:
            raise CommandFailed(
                f"{self.server.url} answered with something that is not JSON; is it Crossdock?"
            ) from None


def explain(answer: Answer, url: str) -> str:
    """A refusal in words: the problem's detail, and a line for each field that is wrong."""
    if answer.status == 401:
        return f"{url} does not know this token; give one with --token or CROSSDOCK_TOKEN"
    problem = _problem(answer)
    if problem is None:
        return f"{url} answered {answer.status} {http.client.responses.get(answer.status, '')}".rstrip()
    said = str(problem.get("detail") or problem.get("title") or f"the server answered {answer.status}")
    faults = problem.get("errors") or []
    if len(faults) == 1 and str(faults[0].get("message")) in said:  # it has been said
        return said
    return "\n".join([said, *(f"  {fault.get('field')}: {fault.get('message')}" for fault in faults)])


def _problem(answer: Answer) -> dict[str, Any] | None:
    try:
        document = answer.document()
    except ValueError:
        return None
    return document if isinstance(document, dict) else None
