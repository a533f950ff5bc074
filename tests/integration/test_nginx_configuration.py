"""The templates make a configuration that nginx takes, whatever its version."""

import subprocess
from pathlib import Path

import pytest

from tests.edge import ask, open_client, running_edge
from tests.nginx_server import NginxServer, newer_nginx, render

NEEDED = {"NGINX_SERVER_NAMES": "api.example.com"}
NEWER = """#!/bin/sh
echo 'nginx version: nginx/1.29.3' >&2
echo 'built with OpenSSL 3.5.4 30 Sep 2025' >&2
echo 'configure arguments: --with-http_ssl_module --with-http_v2_module --with-http_v3_module' >&2
"""
HYBRID = "X25519MLKEM768:X25519:prime256v1:secp384r1"


def rendered(folder: Path, **variables: str) -> dict[str, str]:
    """Render with nothing else set, and read all files."""
    render(folder / "conf", NEEDED | {"NGINX_FOLDER": str(folder / "run")} | variables)
    return {path.name: path.read_text() for path in (folder / "conf").iterdir()}


def pretend(folder: Path, text: str) -> str:
    """Write a command that says which nginx it is."""
    command = folder / "nginx"
    command.write_text(text)
    command.chmod(0o755)
    return str(command)


@pytest.mark.parametrize("profile", ["intermediate", "modern"])
def test_nginx_takes_the_configuration(tmp_path: Path, profile: str) -> None:
    """Without as much as a warning."""
    nginx = NginxServer(tmp_path, tmp_path / "gateway.sock", NGINX_TLS_PROFILE=profile)
    nginx.render()
    said = nginx.check()
    assert "test is successful" in said
    assert "[warn]" not in said


def test_newer_nginx_gets_http3_and_the_hybrid_group(tmp_path: Path) -> None:
    """What 1.22 with OpenSSL 3.0 cannot do is asked only of those that can."""
    files = rendered(tmp_path, NGINX_BINARY=pretend(tmp_path, NEWER), NGINX_ADDRESSES="[::1]")
    assert files["listen-tls.conf"] == "listen [::1]:443 ssl;\nhttp2 on;\nlisten [::1]:443 quic;\n"
    assert "listen [::1]:443 quic default_server reuseport;" in files["listen-tls-default.conf"]
    assert 'h3=":443"' in files["tls.conf"]
    assert f"ssl_ecdh_curve {HYBRID};" in files["tls.conf"]


def test_older_nginx_is_refused(tmp_path: Path) -> None:
    """It would fail later, on a directive that it does not know."""
    binary = pretend(tmp_path, NEWER.replace("1.29.3", "1.18.0"))
    with pytest.raises(subprocess.CalledProcessError) as refused:
        rendered(tmp_path, NGINX_BINARY=binary)
    assert "1.22 or later" in refused.value.stderr


@pytest.mark.parametrize(
    "variable",
    [
        {"NGINX_SERVER_NAMES": "a; return 200"},
        {"NGINX_SERVER_NAMES": ""},
        {"NGINX_CERTIFICATE": "/a\n}"},
        {"NGINX_HSTS_SECONDS": "1' always; #"},
        {"NGINX_TLS_PROFILE": "old"},
        {"TOLLGATE_UNIX_SOCKET": "/run/$host"},
    ],
)
def test_value_that_would_be_configuration_is_refused(
    tmp_path: Path, variable: dict[str, str]
) -> None:
    """A variable is one value and nothing more."""
    with pytest.raises(subprocess.CalledProcessError) as refused:
        rendered(tmp_path, **variable)
    assert next(iter(variable)) in refused.value.stderr


def test_variable_without_a_value_is_an_error(tmp_path: Path) -> None:
    """Every variable of the templates is set by the script."""
    for content in rendered(tmp_path).values():
        assert "${" not in content


def test_everybody_is_an_operator_if_told_so(tmp_path: Path) -> None:
    """For those who keep others out elsewhere."""
    assert "default 1;" in rendered(tmp_path, NGINX_OPERATOR_NETWORKS="all")["operators.conf"]


def test_reload_changes_certificate_without_a_restart(tmp_path: Path) -> None:
    """The files are replaced and nginx is told."""
    with running_edge(tmp_path) as edge:
        edge.nginx.renew_certificate()
        assert ask(edge.nginx, "GET", "/v1/models").status == 200


@pytest.mark.soak
@pytest.mark.parametrize("suite", ["trixie", "forky"])
def test_newer_nginx_serves(tmp_path: Path, suite: str) -> None:
    """Debian's later ones, unpacked beside the system's: HTTP/3 and the hybrid group."""
    with running_edge(tmp_path, binary=newer_nginx(tmp_path / "newer", suite)) as edge:
        assert "[warn]" not in edge.nginx.check()
        with open_client(edge.nginx) as client:
            answer = client.get("/v1/models")
        assert (answer.status_code, answer.http_version) == (200, "HTTP/2")
        assert answer.headers["alt-svc"].startswith('h3=":')
