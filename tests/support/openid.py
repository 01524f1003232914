"""A real OpenID provider, certified as such: idpyoidc, behind a web server of the standard library.

Everybody who comes is the person whose claims are set; it asks for PKCE.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from idpyoidc.server import Server
from idpyoidc.server.configure import OPConfiguration
from idpyoidc.server.user_authn.authn_context import INTERNETPROTOCOLPASSWORD

CLIENT_ID = "crossdock"
CLIENT_SECRET = "a-secret-of-thirty-two-characters"
CLAIMS = ("email", "email_verified", "name", "preferred_username", "groups")

_SIGNING = [{"type": "RSA", "use": ["sig"]}, {"type": "EC", "crv": "P-256", "use": ["sig"]}]
_SEALING = {
    "kwargs": {
        "keys": {"key_defs": [{"type": "OCT", "use": ["enc"], "kid": kid} for kid in ("password", "salt")]},
        "iterations": 1,
    }
}


@dataclass
class OpenIdProvider:
    """A running provider. `claims` are those of whoever signs in; `asked` are the paths of what came."""

    folder: Path
    claims: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def start(self) -> None:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider._answer(self, urlsplit(self.path).query)

            def do_POST(self) -> None:
                provider._answer(self, self.rfile.read(int(self.headers["content-length"])).decode())

            def log_message(self, *_: object) -> None:
                pass

        self._web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self._web.server_address[1]}"
        self._thread = threading.Thread(target=self._web.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def stop(self) -> None:
        self._web.shutdown()
        self._web.server_close()
        self._thread.join()

    def know(self, redirect_url: str) -> None:
        """Take Crossdock for a client that people are sent back to at this address."""
        configuration = OPConfiguration(conf=self._configuration(), base_path=str(self.folder))
        self._server = Server(configuration, cwd=str(self.folder))
        self._server.context.cdb[CLIENT_ID] = {
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "client_salt": "salt",
            "redirect_uris": [(redirect_url, {})],
            "token_endpoint_auth_method": "client_secret_basic",
            "response_types_supported": ["code"],
            "allowed_scopes": ["openid", "email", "profile"],
        }
        self._server.keyjar.add_symmetric(CLIENT_ID, CLIENT_SECRET)

    def be(self, **claims: Any) -> None:
        """Whoever comes from now on is somebody else in this."""
        self.claims.update(claims)
        self._server.context.userinfo.db["person"].update(claims)

    def change_keys(self) -> None:
        """Sign with new keys from now on; the old ones are not named any more."""
        redirect_url = self._server.context.cdb[CLIENT_ID]["redirect_uris"][0][0]
        self.know(redirect_url)

    def _answer(self, request: BaseHTTPRequestHandler, given: str) -> None:
        path = urlsplit(request.path).path.strip("/")
        self.asked.append(path)
        fields = {name: values[0] for name, values in parse_qs(given).items()}
        status, headers, body = self._told(path, fields, dict(request.headers))
        request.send_response(status)
        for name, value in headers:
            request.send_header(name, value)
        request.send_header("content-length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def _told(self, path: str, fields: dict[str, str], headers: dict[str, str]) -> tuple[int, list[Any], bytes]:
        kind = [("content-type", "application/json")]
        if path == "jwks.json":
            return 200, kind, self._server.keyjar.export_jwks_as_json().encode()
        if path == ".well-known/openid-configuration":
            document = {**self._server.context.provider_info, "jwks_uri": f"{self.issuer}/jwks.json"}
            document["authorization_response_iss_parameter_supported"] = True
            return 200, kind, json.dumps(document).encode()
        endpoint = self._server.get_endpoint({"authorization": "authorization", "token": "token"}[path])
        lower = {name.lower(): value for name, value in headers.items()}
        parsed = endpoint.parse_request(fields, http_info={"headers": lower})
        if "error" in parsed:
            return 400, kind, json.dumps(parsed.to_dict()).encode()
        found = endpoint.process_request(parsed, http_info={"headers": lower})
        if "error" in found:
            return 400, kind, json.dumps({"error": found["error"]}).encode()
        told = endpoint.do_response(request=parsed, **found)
        if path == "authorization":
            return 303, [("location", told["response"])], b""
        return 200, kind, told["response"].encode()

    def _configuration(self) -> dict[str, Any]:
        base_claims = dict.fromkeys(CLAIMS)
        oidc = "idpyoidc.server.oidc"
        return {
            "issuer": self.issuer,
            "key_conf": {"uri_path": "jwks.json", "key_defs": _SIGNING, "read_only": False},
            "token_handler_args": {
                "code": {"lifetime": 600, "kwargs": {"crypt_conf": _SEALING}},
                "token": {"class": "idpyoidc.server.token.jwt_token.JWTToken", "kwargs": {"lifetime": 3600}},
                "id_token": {
                    "class": "idpyoidc.server.token.id_token.IDToken",
                    "kwargs": {"lifetime": 3600, "base_claims": base_claims},
                },
            },
            "session_params": {"encrypter": _SEALING},
            "endpoint": {
                "provider_config": {
                    "path": ".well-known/openid-configuration",
                    "class": f"{oidc}.provider_config.ProviderConfiguration",
                    "kwargs": {},
                },
                "authorization": {
                    "path": "authorization",
                    "class": f"{oidc}.authorization.Authorization",
                    "kwargs": {"response_types_supported": ["code"]},
                },
                "token": {
                    "path": "token",
                    "class": f"{oidc}.token.Token",
                    "kwargs": {"client_authn_method": ["client_secret_post", "client_secret_basic"]},
                },
            },
            "userinfo": {
                "class": "idpyoidc.server.user_info.UserInfo",
                "kwargs": {"db": {"person": dict(self.claims)}},
            },
            "authentication": {
                "nobody-asks": {
                    "acr": INTERNETPROTOCOLPASSWORD,
                    "class": "idpyoidc.server.user_authn.user.NoAuthn",
                    "kwargs": {"user": "person"},
                }
            },
            "add_on": {
                "pkce": {
                    "function": "idpyoidc.server.oauth2.add_on.pkce.add_support",
                    "kwargs": {"essential": True, "code_challenge_method": "S256"},
                }
            },
            "template_dir": str(self.folder),
        }
