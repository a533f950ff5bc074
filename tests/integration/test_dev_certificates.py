"""`scripts/dev-certificates.sh` makes what nginx and clients take, and overwrites nothing."""

import ssl
import stat
import subprocess
from pathlib import Path

import pytest

from tests.edge import ask, running_edge
from tests.serving import ROOT

SCRIPT = ROOT / "scripts" / "dev-certificates.sh"


def make(folder: Path, *names: str) -> subprocess.CompletedProcess[str]:
    """Run the script."""
    command = [str(SCRIPT), str(folder), *names]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


def test_clients_that_trust_the_authority_are_served(tmp_path: Path) -> None:
    """The certificate is for the names that were given."""
    made = tmp_path / "tls"
    assert make(made, "localhost", "127.0.0.1").returncode == 0
    with running_edge(tmp_path) as edge:
        for name in ("ca.pem", "server.pem", "server.key"):
            (made / name).replace(edge.nginx.certificates.authority.parent / name)
        edge.nginx.reload()
        assert ask(edge.nginx, "GET", "/v1/models").status == 200


def test_key_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    """Mode 0600."""
    make(tmp_path, "localhost")
    assert stat.S_IMODE((tmp_path / "server.key").stat().st_mode) == 0o600


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """Not even what only looks like a certificate."""
    (tmp_path / "server.key").write_text("precious")
    refused = make(tmp_path, "localhost")
    assert refused.returncode == 1
    assert "there already" in refused.stderr
    assert [path.read_text() for path in tmp_path.iterdir()] == ["precious"]


@pytest.mark.parametrize("name", ["a,DNS:b", "a b", "$(id)"])
def test_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    """It would write extensions of its own."""
    assert make(tmp_path, name).returncode == 1
    assert not list(tmp_path.iterdir())


def test_authority_signs_nothing_more(tmp_path: Path) -> None:
    """Its key is gone, so whoever finds the folder cannot make another certificate."""
    make(tmp_path, "localhost")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "ca.pem",
        "server.key",
        "server.pem",
    ]
    assert ssl.create_default_context(cafile=tmp_path / "ca.pem").cert_store_stats()["x509_ca"] == 1
