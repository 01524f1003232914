"""The API's description and its pages, served from this package: no other host is asked for anything."""

from __future__ import annotations

import mimetypes
from functools import cache
from importlib.resources import files

import msgspec
from fastapi import FastAPI, Request, Response

from crossdock.api.describing import describe
from crossdock.model.errors import NotFound

_FILES = {
    "swagger-ui-bundle.js": "swagger-ui/swagger-ui-bundle.js",
    "swagger-ui.css": "swagger-ui/swagger-ui.css",
    "favicon-32x32.png": "swagger-ui/favicon-32x32.png",
    "docs.js": "docs.js",
}
DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def add_docs(api: FastAPI) -> None:
    """`/api/openapi.json`, `/api/docs` and the files of that page. None of them needs a token: they tell no data."""
    described: list[bytes] = []

    async def openapi(_request: Request) -> Response:
        if not described:
            described.append(msgspec.json.encode(describe(api)))
        return Response(described[0], media_type="application/json")

    api.add_route("/api/openapi.json", openapi, methods=["GET"], include_in_schema=False)
    api.add_route("/api/docs", _page, methods=["GET"], include_in_schema=False)
    api.add_route("/api/docs/{name}", _file, methods=["GET"], include_in_schema=False)


async def _page(_request: Request) -> Response:
    return Response(_read("docs.html"), media_type="text/html", headers={"content-security-policy": DOCS_POLICY})


async def _file(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _FILES:
        raise NotFound(f"there is no file {name[:100]} here")
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return Response(_read(_FILES[name]), media_type=kind, headers={"cache-control": "max-age=3600"})


@cache
def _read(name: str) -> bytes:
    return files("crossdock.api").joinpath("static", *name.split("/")).read_bytes()
