"""Files that the browser is to keep, never to show: what others sent must not run here, whatever it says it is."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

from starlette.responses import Response, StreamingResponse

_EXTENSIONS = {
    "application/json": "json",
    "application/pdf": "pdf",
    "application/x-www-form-urlencoded": "txt",
    "application/xml": "xml",
    "application/zip": "zip",
    "image/jpeg": "jpg",
    "image/png": "png",
    "text/csv": "csv",
    "text/plain": "txt",
    "text/xml": "xml",
}
"""Those that no system runs when it is clicked; everything else is `.bin`."""
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def body_file(event_id: str, content_type: str) -> str:
    """What a body is called as a file."""
    media_type = content_type.partition(";")[0].strip().lower()
    ending = "json" if media_type.endswith("+json") else _EXTENSIONS.get(media_type, "bin")
    return f"{_UNSAFE.sub('_', event_id)}.{ending}"


def download(content: bytes, file_name: str) -> Response:
    return Response(content, headers=_headers(file_name), media_type="application/octet-stream")


def stream(parts: AsyncIterator[bytes], file_name: str) -> Response:
    """A file that is made while it is sent."""
    return StreamingResponse(parts, headers=_headers(file_name), media_type="application/octet-stream")


def _headers(file_name: str) -> dict[str, str]:
    name = _UNSAFE.sub("_", file_name)
    return {
        "content-disposition": f'attachment; filename="{name}"',
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
    }
