"""Files that pages load: our styles, scripts and the libraries that lie beside them; nothing comes from another host.

Their addresses hold a digest of all of them, so browsers keep them for ever and a new version is loaded at once. The
styles are one file for the browser and several for whoever reads them.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.requests import Request
from starlette.responses import Response

from crossdock.model.errors import NotFound

STYLES = "app.css"
_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_FOR_EVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class _File:
    content_type: str
    body: bytes
    compressed: bytes


@dataclass(frozen=True, slots=True)
class _Files:
    version: str
    by_path: dict[str, _File]


def static_path(path: str) -> str:
    """Where browsers find a file; KeyError for one that does not exist."""
    loaded = _loaded()
    if path not in loaded.by_path:
        raise KeyError(path)
    return f"/static/{loaded.version}/{path}"


async def answer_static(request: Request) -> Response:
    """A file under whatever version: pages of the version before are still open while a new one starts."""
    path = request.path_params["path"]
    found = _loaded().by_path.get(path)
    if found is None:
        raise NotFound(f"There is no file {path[:100]} here.")
    is_current = request.path_params["version"] == _loaded().version
    headers = {
        "content-type": found.content_type,
        "cache-control": _FOR_EVER if is_current else "no-cache",
        "vary": "accept-encoding",
    }
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(found.compressed, headers={**headers, "content-encoding": "gzip"})
    return Response(found.body, headers=headers)


@cache
def _loaded() -> _Files:
    contents = dict(_walk(files("crossdock.ui").joinpath("static"), ""))
    styles = [contents.pop(path) for path in sorted(contents) if path.startswith("css/")]
    contents[STYLES] = b"\n".join(styles)
    digest = sha256()
    for path in sorted(contents):
        digest.update(path.encode() + b"\0" + contents[path])
    by_path = {path: _file(path, body) for path, body in contents.items()}
    return _Files(digest.hexdigest()[:12], by_path)


def _walk(folder: Traversable, prefix: str) -> list[tuple[str, bytes]]:
    found = []
    for entry in folder.iterdir():
        path = prefix + entry.name
        if entry.is_dir():
            found += _walk(entry, f"{path}/")
        elif path.rpartition(".")[2] in _TYPES:
            found.append((path, entry.read_bytes()))
    return found


def _file(path: str, body: bytes) -> _File:
    return _File(_TYPES[path.rpartition(".")[2]], body, gzip.compress(body, mtime=0))
