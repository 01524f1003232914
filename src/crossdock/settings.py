"""Every setting of the program: its name, default, limits and help, once.

A setting `port` is `--port` on the command line where the command offers it, `CROSSDOCK_PORT` in the environment and
`port` in the TOML file of `--config`, in this order of precedence; after them comes the default. Secrets may also be
read from a file that `CROSSDOCK_<NAME>_FILE` names, as container platforms hand them over. Durations are ISO 8601.

`load_settings` reads all of them and raises Misconfigured with a line for each wrong one: which setting, where it
came from, and what is allowed. Nothing else in the program reads the environment.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Literal, TypeAlias, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from crossdock.model.errors import Misconfigured
from crossdock.model.integration import DEFAULT_RETENTION_SECONDS
from crossdock.model.outcome import Json
from crossdock.model.time import format_duration, parse_duration

ENV_PREFIX = "CROSSDOCK_"
CONFIG_VARIABLE = "CROSSDOCK_CONFIG"
SECRETS = ("database", "database_direct", "admin_token", "master_key", "metrics_token", "oidc_client_secret")

Role: TypeAlias = Literal["receive", "run", "deliver", "web"]
UserRole: TypeAlias = Literal["viewer", "operator", "admin"]
ALL_ROLES: frozenset[Role] = frozenset({"receive", "run", "deliver", "web"})

Duration = Annotated[float, BeforeValidator(parse_duration)]
"""Seconds inside, ISO 8601 outside."""

LONGEST_WAIT = 86_400.0


_HOST_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_](?:[a-z0-9_-]{0,62}))*")


@dataclass(frozen=True, slots=True)
class AllowedTargets:
    """Private targets that outgoing calls may reach. `hosts` are in lower case."""

    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    hosts: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return ",".join([*map(str, self.networks), *sorted(self.hosts)])


@dataclass(frozen=True, slots=True)
class RoleGroups:
    """Roles with the groups of an OpenID provider that give them."""

    pairs: tuple[tuple[UserRole, str], ...] = ()

    def __str__(self) -> str:
        return ",".join(f"{role}={group}" for role, group in self.pairs)

    @property
    def by_group(self) -> dict[str, UserRole]:
        return {group: role for role, group in self.pairs}


def split_words(value: object) -> object:
    """`a, b` as ["a", "b"]; lists stay as they are."""
    if isinstance(value, str):
        return [word.strip() for word in value.split(",") if word.strip()]
    return value


def parse_networks(value: object) -> object:
    words = split_words(value)
    if not isinstance(words, list):
        return words
    return tuple(_parse_network(word) for word in words)


def parse_allowed_targets(value: object) -> object:
    words = split_words(value)
    if not isinstance(words, list):
        return words
    networks: list[IPv4Network | IPv6Network] = []
    hosts: set[str] = set()
    for word in words:
        if isinstance(word, str) and not _looks_like_network(word):
            hosts.add(_parse_host(word))
        else:
            networks.append(_parse_network(word))
    return AllowedTargets(tuple(networks), frozenset(hosts))


def check_base_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError("write it like https://hooks.example.com, without query, fragment or user")
    return value.rstrip("/")


def check_issuer(value: str) -> str:
    """As it stands: a slash at its end is part of its name."""
    check_base_url(value)
    return value


def check_database_url(value: SecretStr) -> SecretStr:
    """The text itself never appears in the error: it may hold a password."""
    text = value.get_secret_value()
    if text.startswith("sqlite:///") and len(text) > len("sqlite:///") and ":memory:" not in text:
        return value
    parts = urlsplit(text)
    is_place = (parts.hostname is not None or "host=" in parts.query) and parts.path.strip("/")
    if parts.scheme in ("postgresql", "postgres") and (is_place or "service=" in parts.query):
        return SecretStr("postgresql" + text[len(parts.scheme) :])
    raise ValueError("write it like sqlite:////var/lib/crossdock/crossdock.db or postgresql://USER:PASSWORD@HOST/NAME")


def check_token(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("a token is printable ASCII without spaces; make one with: openssl rand -hex 32")
    return value


def _looks_like_network(word: str) -> bool:
    return "/" in word or ":" in word or re.fullmatch(r"[0-9.]+", word) is not None


def _parse_network(word: object) -> IPv4Network | IPv6Network:
    try:
        return ip_network(str(word))
    except ValueError as error:
        raise ValueError(f"{error}; write 10.1.0.0/16, 192.168.1.7, fd00::/8 (no port)") from None


def _parse_host(word: str) -> str:
    host = word.lower().rstrip(".")
    if _HOST_NAME.fullmatch(host) is None:
        raise ValueError(f"{word!r} is neither a CIDR, an address nor a host name")
    return host


def check_names(value: frozenset[str]) -> frozenset[str]:
    for name in value:
        if name.startswith(ENV_PREFIX):
            raise ValueError(f"{name} is this program's own; functions are not to know it")
    return value


Names = Annotated[frozenset[str], NoDecode, BeforeValidator(split_words), AfterValidator(check_names)]


def parse_groups(value: object) -> object:
    words = split_words(value)
    if not isinstance(words, list):
        return words
    return RoleGroups(tuple(_parse_group(str(word)) for word in words))


def _parse_group(word: str) -> tuple[UserRole, str]:
    role, separator, group = (part.strip() for part in word.partition("="))
    known = next((each for each in get_args(UserRole) if each == role), None)
    if known is None or not separator or not group:
        raise ValueError(f"{word!r} is not ROLE=GROUP; write admin=platform-team, viewer=staff")
    return known, group


Groups = Annotated[RoleGroups, NoDecode, BeforeValidator(parse_groups)]
Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(parse_networks)]
Targets = Annotated[AllowedTargets, NoDecode, BeforeValidator(parse_allowed_targets)]
Roles = Annotated[frozenset[Role], NoDecode, BeforeValidator(split_words), Field(min_length=1)]
BaseUrl = Annotated[str, AfterValidator(check_base_url)]
Issuer = Annotated[str, AfterValidator(check_issuer)]
DatabaseUrl = Annotated[SecretStr, AfterValidator(check_database_url)]
Token = Annotated[SecretStr, AfterValidator(check_token)]
Level = Literal["debug", "info", "warning", "error"]
Format = Literal["auto", "human", "json"]
Traces = Literal["none", "otlp"]


class Settings(BaseSettings):
    """All settings; made by `load_settings`. Durations are in seconds here."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_ignore_empty=True, extra="forbid", frozen=True, validate_default=False
    )

    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on; 0.0.0.0 for all of them.")
    port: int = Field(8420, ge=0, le=65_535, description="Port to listen on; 0 takes a free one.")
    base_url: BaseUrl | None = Field(
        None, description="Address under which callers reach this server, for links. Default: made from host and port."
    )
    tls_cert: Path | None = Field(None, description="PEM file with the certificate chain; switches HTTPS on.")
    tls_key: Path | None = Field(None, description="PEM file with the certificate's private key.")
    trusted_proxies: Networks = Field(
        (), description="Comma-separated CIDRs of reverse proxies whose X-Forwarded-For and -Proto are believed."
    )
    roles: Roles = Field(
        ALL_ROLES, description="Comma-separated parts that this process plays: receive, run, deliver, web."
    )

    data: Path = Field(Path("crossdock-data"), description="Folder for the database, the key file and the lock.")
    database: DatabaseUrl | None = Field(
        None,
        description="`sqlite:///FILE` or `postgresql://USER:PASSWORD@HOST/NAME`. Default: SQLite in the data folder.",
    )
    database_direct: DatabaseUrl | None = Field(
        None,
        description="Where `database` leads to a pooler such as PgBouncer: the way past it to the same PostgreSQL "
        "database, for signals between nodes and for migrations.",
    )
    retention: Duration = Field(
        DEFAULT_RETENTION_SECONDS,
        gt=0,
        description="How long the events of integrations that were deleted are kept; each integration has its own.",
    )
    audit_retention: Duration = Field(
        400 * 86_400.0,
        gt=0,
        description="How long the audit log is kept: who changed what.",
    )

    sqlite_folder: Path | None = Field(
        None,
        description="Folder of the SQLite files that `sql` steps may use. Default: `databases` in the data folder.",
    )
    workflows: Path | None = Field(None, description="Folder with the modules that `python` steps call.")
    threads: int = Field(16, ge=1, le=512, description="Threads for `python` steps that are plain functions.")
    processes: int = Field(
        2,
        ge=1,
        le=128,
        description="Processes for `python` steps with `isolation: process`, at once; as many again for JSONata.",
    )
    process_memory: int = Field(512, ge=128, le=1_048_576, description="MiB of memory for each of these processes.")
    process_environment: Names = Field(
        frozenset(),
        description="Comma-separated environment variables that functions in these processes may read. Default: "
        "only those that Python needs.",
    )
    queue_limit: int = Field(
        100_000,
        ge=1,
        description="Runs of one integration from which on its calls are answered 503 with Retry-After. Counted are "
        "those outside of lanes that wait for a free slot or their next attempt, and all in lanes that have not ended.",
    )
    demo: bool = Field(False, description="Add examples, a few calls of them, and a sink for their replies.")

    admin_token: Token | None = Field(
        None, description="A token with all rights on the admin API of the default workspace."
    )
    master_key: SecretStr | None = Field(
        None,
        description="Key of the secret store: 32 bytes in base64. Several, comma-separated: the first seals, all open. "
        "Default: a key file in the data folder.",
    )
    metrics_token: Token | None = Field(
        None, description="The bearer token that /metrics asks for. Default: only this machine may read it."
    )
    allowed_targets: Targets = Field(
        AllowedTargets(),
        description="Comma-separated CIDRs, addresses and host names of private targets that replies and steps may "
        "reach, plain HTTP included.",
    )

    oidc_issuer: Issuer | None = Field(
        None, description="The OpenID provider that people may sign in with: its issuer, as the provider writes it."
    )
    oidc_client_id: str | None = Field(None, min_length=1, description="Who Crossdock is for the OpenID provider.")
    oidc_client_secret: SecretStr | None = Field(
        None, description="The client's secret at the OpenID provider; none for a public client."
    )
    oidc_name: str = Field(
        "your organisation", min_length=1, max_length=60, description="What people call the provider: Sign in with ..."
    )
    oidc_scopes: str = Field("openid email profile", description="What the provider is asked for; with `openid`.")
    oidc_default_role: UserRole | None = Field(
        None,
        description="The role in the workspace default of whoever comes from the provider and is no user yet. Default: "
        "strangers are refused.",
    )
    oidc_roles_claim: str = Field("groups", min_length=1, description="The claim of the ID token that names groups.")
    oidc_roles: Groups = Field(
        RoleGroups(),
        description="Comma-separated `ROLE=GROUP`: the role in the workspace default that each group gives, at each "
        "sign-in. Whoever is in none of them is refused, or gets oidc_default_role.",
    )

    head_timeout: Duration = Field(10.0, gt=0, le=LONGEST_WAIT, description="For a caller to send the whole head.")
    body_timeout: Duration = Field(30.0, gt=0, le=LONGEST_WAIT, description="For a caller to send the whole body.")
    stop_grace: Duration = Field(
        30.0, ge=0, le=LONGEST_WAIT, description="For running work to finish at a stop, before it is handed back."
    )
    heartbeat: Duration = Field(2.0, gt=0, le=60, description="How often a process tells the database that it lives.")
    lease_ttl: Duration = Field(
        10.0, gt=0, le=600, description="How long without a heartbeat until others take over; at least two heartbeats."
    )

    notification_damping: Duration = Field(
        60.0,
        ge=0,
        le=86_400,
        description="A notification webhook is told the same state of an integration once within this time; what comes "
        "sooner is held, and the last state is told. PT0S: nothing is held for that.",
    )

    log_level: Level = Field("info", description="The least level that is logged.")
    log_format: Format = Field("auto", description="auto: human on a terminal, json elsewhere.")
    traces: Traces = Field(
        "none",
        description="otlp: send spans to an OpenTelemetry collector, by its own `OTEL_` variables; needs the extra "
        "`otel`.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `load_settings` hands in: it merges the sources itself, to know where each value came from."""
        return (init_settings,)

    @model_validator(mode="after")
    def _fits_together(self) -> Settings:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key go together; set both or neither")
        if (self.oidc_issuer is None) != (self.oidc_client_id is None):
            raise ValueError("oidc_issuer and oidc_client_id go together; set both or neither")
        if "openid" not in self.oidc_scopes.split():
            raise ValueError("oidc_scopes has to contain openid, or there is no ID token")
        if self.lease_ttl < 2 * self.heartbeat:
            raise ValueError("lease_ttl has to be at least two heartbeats, or a slow moment costs a process its work")
        return self

    @property
    def database_url(self) -> str:
        if self.database is not None:
            return self.database.get_secret_value()
        return f"sqlite:///{self.data.absolute() / 'crossdock.db'}"

    @property
    def sqlite_path(self) -> Path:
        return (self.sqlite_folder or self.data / "databases").absolute()

    @property
    def scheme(self) -> str:
        return "https" if self.tls_cert is not None else "http"

    def url_at(self, port: int) -> str:
        """The address for links when listening on `port` (which differs from the setting when that is 0)."""
        if self.base_url is not None:
            return self.base_url
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"{self.scheme}://{f'[{host}]' if ':' in host else host}:{port}"

    def describe(self) -> list[Json]:
        """Every setting: name, value and default as people write them, help; of secrets only whether they are set."""
        return [
            {
                "name": name,
                "value": _shown(name, getattr(self, name)),
                "default": _shown(name, field.default),
                "help": field.description,
                "secret": name in SECRETS,
            }
            for name, field in type(self).model_fields.items()
        ]

    def secret(self, name: str) -> str | None:
        """The plain text of one of the SECRETS."""
        value: SecretStr | None = getattr(self, name)
        return None if value is None else value.get_secret_value()


def _shown(name: str, value: object) -> Json:
    if name in SECRETS:
        return "[set]" if value is not None else None
    if isinstance(value, float):
        return format_duration(value)
    if isinstance(value, frozenset | tuple):
        return ",".join(sorted(map(str, value)))
    return value if value is None or isinstance(value, bool | int) else str(value)


def load_settings(options: Mapping[str, object] | None = None, config: Path | None = None) -> Settings:
    """Read all settings; `options` are those of the command line, None values left out.

    Misconfigured names every setting that is wrong, where it came from, and what is allowed.
    """
    if config is None and os.environ.get(CONFIG_VARIABLE):
        config = Path(os.environ[CONFIG_VARIABLE])
    values: dict[str, object] = {}
    origins: dict[str, str] = {}
    for name, value, origin in [*_from_file(config), *_from_environment(), *_from_options(options or {})]:
        values[name] = value
        origins[name] = origin
    try:
        return Settings(**values)  # type: ignore[arg-type]
    except ValidationError as error:
        raise Misconfigured(_explain(error, values, origins)) from None


_Sourced: TypeAlias = list[tuple[str, object, str]]


def _from_options(options: Mapping[str, object]) -> _Sourced:
    return [(name, value, f"--{name.replace('_', '-')}") for name, value in options.items() if value is not None]


def _from_environment() -> _Sourced:
    found = [(name, value, ENV_PREFIX + name.upper()) for name, value in EnvSettingsSource(Settings)().items()]
    named = {name for name, _, _ in found}
    for name in SECRETS:
        variable = f"{ENV_PREFIX}{name.upper()}_FILE"
        path = os.environ.get(variable)
        if not path:
            continue
        if name in named:
            raise Misconfigured(f"both {ENV_PREFIX}{name.upper()} and {variable} are set; keep one of them")
        try:
            found.append((name, Path(path).read_text(encoding="utf-8").strip(), variable))
        except (OSError, UnicodeDecodeError) as error:
            raise Misconfigured(f"{variable}: {path} can't be read: {error}") from None
    return found


def _from_file(config: Path | None) -> _Sourced:
    if config is None:
        return []
    try:
        document = tomllib.loads(config.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"the configuration file {config} can't be read: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise Misconfigured(f"the configuration file {config} is not TOML: {error}") from None
    for key in document:
        if key not in Settings.model_fields:
            raise Misconfigured(f"{config}: there is no setting {key!r}{_suggestion(key)}")
    return [(name, value, f"{name} in {config}") for name, value in document.items()]


def _suggestion(key: str) -> str:
    near = difflib.get_close_matches(key.lower().replace("-", "_"), Settings.model_fields, n=1)
    return f"; did you mean {near[0]!r}?" if near else "; `docs/reference/settings.md` lists all of them"


def _explain(error: ValidationError, values: Mapping[str, object], origins: Mapping[str, str]) -> str:
    lines = []
    for fault in error.errors():
        reason = fault["msg"].removeprefix("Value error, ")
        name = str(fault["loc"][0]) if fault["loc"] else ""
        if name not in values:
            lines.append(f"the settings do not fit together: {reason}" if not name else f"setting {name}: {reason}")
            continue
        shown = "" if name in SECRETS else f" {values[name]!r}"
        lines.append(f"setting {name}{shown} (from {origins[name]}): {reason}")
    return "\n".join(lines)
