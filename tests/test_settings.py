"""Settings: where they come from, which one wins, and what is said about wrong ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from crossdock.model.errors import Misconfigured
from crossdock.settings import ALL_ROLES, SECRETS, load_settings


@pytest.fixture(autouse=True)
def no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("CROSSDOCK_")]:
        monkeypatch.delenv(name)


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "crossdock.toml"
    file.write_text(text)
    return file


def test_defaults_are_safe_for_a_first_start() -> None:
    settings = load_settings()

    assert (settings.host, settings.port, settings.roles) == ("127.0.0.1", 8420, ALL_ROLES)
    assert settings.database_url == f"sqlite:///{Path.cwd() / 'crossdock-data' / 'crossdock.db'}"
    assert settings.url_at(8420) == "http://127.0.0.1:8420"


def test_command_line_wins_over_environment_over_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(tmp_path, 'host = "file"\nport = 1\nthreads = 2')
    monkeypatch.setenv("CROSSDOCK_HOST", "environment")
    monkeypatch.setenv("CROSSDOCK_PORT", "2")

    settings = load_settings({"host": "option", "port": None}, file)

    assert (settings.host, settings.port, settings.threads) == ("option", 2, 2)


def test_the_file_may_be_named_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSDOCK_CONFIG", str(written(tmp_path, "port = 1")))

    assert load_settings().port == 1


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSDOCK_DATABASE", "")

    assert load_settings().database is None


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_may_stand_in_a_file_of_its_own(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text("postgresql://u:p@h/d\n")
    monkeypatch.setenv(f"CROSSDOCK_{name.upper()}_FILE", str(tmp_path / "secret"))

    assert load_settings().secret(name) == "postgresql://u:p@h/d"


def test_a_secret_given_twice_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSDOCK_ADMIN_TOKEN", "one")
    monkeypatch.setenv("CROSSDOCK_ADMIN_TOKEN_FILE", str(tmp_path / "other"))

    with pytest.raises(Misconfigured, match="both CROSSDOCK_ADMIN_TOKEN and CROSSDOCK_ADMIN_TOKEN_FILE"):
        load_settings()


def test_a_missing_secret_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSDOCK_MASTER_KEY_FILE", str(tmp_path / "missing"))

    with pytest.raises(Misconfigured, match="CROSSDOCK_MASTER_KEY_FILE: .*missing can't be read"):
        load_settings()


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS:
        monkeypatch.setenv(f"CROSSDOCK_{name.upper()}", "postgresql://u:hunter2@h/d")

    settings = load_settings()

    assert "hunter2" not in repr(settings) + str(settings) + settings.model_dump_json()


def test_every_wrong_setting_is_named_with_its_origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(tmp_path, 'heartbeat = "P1M"')
    monkeypatch.setenv("CROSSDOCK_LOG_LEVEL", "loud")

    with pytest.raises(Misconfigured) as refused:
        load_settings({"port": 99_999}, file)

    port, heartbeat, log_level = sorted(str(refused.value).splitlines(), key=lambda line: "phl".index(line[8]))
    assert port == "setting port 99999 (from --port): Input should be less than or equal to 65535"
    assert heartbeat.startswith(f"setting heartbeat 'P1M' (from heartbeat in {file}): years and months")
    assert log_level == (
        "setting log_level 'loud' (from CROSSDOCK_LOG_LEVEL): Input should be 'debug', 'info', 'warning' or 'error'"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prot = 1", "there is no setting 'prot'; did you mean 'port'?"),
        ("tls-cert = 1", "did you mean 'tls_cert'?"),
        ("zzz = 1", "there is no setting 'zzz'"),
        ("port = ", "is not TOML"),
    ],
)
def test_a_file_with_a_slip_is_refused_with_a_hint(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        load_settings({}, written(tmp_path, text))

    assert said in str(refused.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="can't be read"):
        load_settings({}, tmp_path / "missing.toml")


def test_a_wrong_database_address_does_not_show_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSDOCK_DATABASE", "mysql://root:hunter2@db/crossdock")

    with pytest.raises(Misconfigured, match="postgresql://USER:PASSWORD@HOST/NAME") as refused:
        load_settings()

    assert "hunter2" not in str(refused.value)


def test_allowed_targets_are_networks_addresses_and_hosts() -> None:
    targets = load_settings({"allowed_targets": "10.0.0.0/8, ::1, ERP.internal."}).allowed_targets

    assert str(targets) == "10.0.0.0/8,::1/128,erp.internal"


@pytest.mark.parametrize("wrong", ["10.0.0.5/8", "127.0.0.1:9000", "http://erp", "a b", "999.1.1.1", "*.erp"])
def test_a_wrong_allowed_target_is_refused(wrong: str) -> None:
    with pytest.raises(Misconfigured, match="setting allowed_targets"):
        load_settings({"allowed_targets": wrong})


@pytest.mark.parametrize(
    "options",
    [
        {"tls_cert": "cert.pem"},
        {"heartbeat": "PT5S", "lease_ttl": "PT9S"},
        {"roles": ""},
        {"roles": "receive,fly"},
        {"base_url": "hooks.example.com"},
        {"base_url": "https://user@hooks.example.com"},
        {"admin_token": "two words"},
        {"database": "sqlite:///:memory:"},
        {"queue_limit": 0},
    ],
)
def test_values_that_can_not_work_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(Misconfigured):
        load_settings(options)


def test_settings_describe_themselves_without_secrets() -> None:
    described = {entry["name"]: entry for entry in load_settings({"admin_token": "hunter2", "roles": "run"}).describe()}

    assert described["admin_token"]["value"] == "[set]"
    assert described["roles"]["value"] == "run"
    assert described["roles"]["default"] == "deliver,receive,run,web"
    assert described["retention"]["value"] == "P30D"
    assert described["demo"]["value"] is False


@pytest.mark.parametrize(
    ("options", "url"),
    [
        ({"host": "0.0.0.0"}, "http://127.0.0.1:80"),
        ({"host": "::1"}, "http://[::1]:80"),
        ({"tls_cert": "c", "tls_key": "k", "host": "erp.example"}, "https://erp.example:80"),
        ({"base_url": "https://hooks.example.com/"}, "https://hooks.example.com"),
    ],
)
def test_links_carry_an_address_that_callers_can_use(options: dict[str, object], url: str) -> None:
    assert load_settings(options).url_at(80) == url


# --- an OpenID provider --------------------------------------------------------------------------------------------


def test_a_provider_is_set_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSDOCK_OIDC_ISSUER", "https://id.example/")
    monkeypatch.setenv("CROSSDOCK_OIDC_CLIENT_ID", "crossdock")
    monkeypatch.setenv("CROSSDOCK_OIDC_ROLES", "admin=platform team, viewer=staff")

    settings = load_settings()

    assert settings.oidc_issuer == "https://id.example/"
    assert settings.oidc_roles.by_group == {"platform team": "admin", "staff": "viewer"}
    [told] = [entry["value"] for entry in settings.describe() if entry["name"] == "oidc_roles"]
    assert told == "admin=platform team,viewer=staff"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("OIDC_ISSUER", "https://id.example", "go together"),
        ("OIDC_CLIENT_ID", "crossdock", "go together"),
        ("OIDC_ISSUER", "id.example", "write it like"),
        ("OIDC_SCOPES", "email", "openid"),
        ("OIDC_ROLES", "root=staff", "ROLE=GROUP"),
        ("OIDC_ROLES", "admin", "ROLE=GROUP"),
        ("OIDC_DEFAULT_ROLE", "root", "viewer"),
    ],
)
def test_a_provider_that_is_half_set_up_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(f"CROSSDOCK_{name}", value)

    with pytest.raises(Misconfigured, match=said):
        load_settings()
