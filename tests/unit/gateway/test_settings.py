"""Settings come from the environment, secrets also from files, and bad values are named."""

from pathlib import Path

import pytest

from gateway.errors import SettingInvalid
from gateway.settings import Settings, environment_with, load_settings


def test_defaults_serve_the_demo_on_loopback() -> None:
    """Nothing listens beyond loopback unless somebody says so."""
    settings = Settings()
    assert (settings.host, settings.port, settings.workers) == ("127.0.0.1", 8000, 1)
    assert settings.resolved_database_url == "sqlite+aiosqlite:///var/tollgate.db"


def test_environment_overrides_a_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """The prefix and upper case name a setting."""
    monkeypatch.setenv("TOLLGATE_PORT", "9001")
    assert load_settings().port == 9001


def test_empty_variable_means_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose files pass unset variables on as empty ones."""
    monkeypatch.setenv("TOLLGATE_PORT", "")
    assert load_settings().port == 8000


def test_secret_is_read_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A mounted secret need not stand in the environment."""
    secret = tmp_path / "pepper"
    secret.write_text("p" * 31 + "q\n")
    monkeypatch.setenv("TOLLGATE_KEY_PEPPER_FILE", str(secret))
    settings = load_settings()
    assert settings.key_pepper is not None
    assert settings.key_pepper.get_secret_value() == "p" * 31 + "q"
    assert "ppp" not in repr(settings)


def test_missing_file_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The operator learns which variable points to nothing."""
    monkeypatch.setenv("TOLLGATE_KEY_PEPPER_FILE", str(tmp_path / "none"))
    with pytest.raises(SettingInvalid, match="TOLLGATE_KEY_PEPPER_FILE"):
        load_settings()


def test_bad_value_is_named_and_not_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value may be a secret in the wrong variable."""
    monkeypatch.setenv("TOLLGATE_PORT", "hunter2")
    with pytest.raises(SettingInvalid, match="TOLLGATE_PORT") as caught:
        load_settings()
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("TOLLGATE_PROT", "TOLLGATE_PORT"),
        ("TOLLGATE_DATADIR", "TOLLGATE_DATA_DIR"),
        ("TOLLGATE_PEPPER_FILE", "TOLLGATE_KEY_PEPPER"),
        ("TOLLGATE_", "TOLLGATE_"),
    ],
)
def test_unknown_variable_is_told_with_the_nearest(
    *, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str, nearest: str
) -> None:
    """A misspelt setting would do nothing in silence; its value may be a secret."""
    monkeypatch.setenv(name, "hunter2")
    assert load_settings() == Settings()
    [warning] = caplog.messages
    assert warning.startswith(f"{name} ")
    assert nearest in warning
    assert "hunter2" not in warning


def test_known_variables_are_not_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """Every setting, and every one from a file, is known."""
    (tmp_path / "url").write_text("sqlite://")
    monkeypatch.setenv("TOLLGATE_DATABASE_URL_FILE", str(tmp_path / "url"))
    monkeypatch.setenv("TOLLGATE_ALLOW_PLAINTEXT", "1")
    assert load_settings().database_url.get_secret_value() == "sqlite://"
    assert caplog.messages == []


def test_proxy_is_trusted_on_a_unix_socket_alone() -> None:
    """Anybody on the machine reaches a port, and could claim any address."""
    assert not Settings().trusts_proxy
    assert Settings(unix_socket=Path("/run/tollgate/http.sock")).trusts_proxy


def test_child_gets_the_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Options go before the environment and before files; what is no setting is not told twice."""
    monkeypatch.setenv("TOLLGATE_KEY_PEPPER_FILE", "/run/secrets/pepper")
    monkeypatch.setenv("TOLLGATE_REDIS_URL_FILE", "/run/secrets/redis")
    monkeypatch.setenv("TOLLGATE_PROT", "1")
    environment = environment_with(redis_url="redis://localhost", workers=4)
    given = {name: value for name, value in environment.items() if name.startswith("TOLLGATE_")}
    assert given == {
        "TOLLGATE_KEY_PEPPER_FILE": "/run/secrets/pepper",
        "TOLLGATE_REDIS_URL": "redis://localhost",
        "TOLLGATE_WORKERS": "4",
    }


@pytest.mark.parametrize("issuer", ["", "https://api.example", "https://api.example:8443/"])
def test_issuer_is_the_root_of_a_server(issuer: str) -> None:
    """Where its metadata is, below `/.well-known/`."""
    assert Settings(issuer=issuer).issuer == issuer


@pytest.mark.parametrize(
    "issuer",
    ["api.example", "ftp://api.example", "https://", "https://a/b", "https://a?b", "https://a#b"],
)
def test_issuer_that_clients_could_not_find_is_refused(
    monkeypatch: pytest.MonkeyPatch, issuer: str
) -> None:
    """RFC 8414, sections 2 and 3: no query, no fragment, and no path, which we do not serve."""
    monkeypatch.setenv("TOLLGATE_ISSUER", issuer)
    with pytest.raises(SettingInvalid, match="TOLLGATE_ISSUER"):
        load_settings()
