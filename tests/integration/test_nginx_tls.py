"""What scanners find: Mozilla's profiles are met, and no known weakness.

Source: Mozilla Server Side TLS, guidelines 5.7 (sslyze's) and 6.0 (without DHE).
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sslyze.mozilla_tls_profile.tls_config_checker import (
    SCAN_COMMANDS_NEEDED_BY_MOZILLA_CHECKER,
    MozillaTlsConfiguration,
    TlsConfigurationEnum,
    check_server_against_tls_configuration,
)
from sslyze.plugins.certificate_info.implementation import CertificateInfoExtraArgument
from sslyze.scanner.models import (
    ScanCommandsExtraArguments,
    ServerScanRequest,
    ServerScanResult,
)
from sslyze.scanner.scanner import Scanner
from sslyze.server_setting import ServerNetworkLocation

from tests.certificates import NAME
from tests.edge import HERE, Edge, running_edge

SEVERE = {"LOW", "MEDIUM", "HIGH", "CRITICAL", "FATAL"}
OF_THE_CERTIFICATE = {"cert_revocation"}
"""A throw-away authority revokes nothing."""

TESTSSL_SECONDS = 600
PROFILES = [TlsConfigurationEnum.MOZILLA_INTERMEDIATE, TlsConfigurationEnum.MOZILLA_MODERN]


@pytest.fixture(scope="module", params=PROFILES, ids=lambda profile: profile.value)
def profile(request: pytest.FixtureRequest) -> TlsConfigurationEnum:
    """Take each profile in turn."""
    chosen: TlsConfigurationEnum = request.param
    return chosen


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory, profile: TlsConfigurationEnum) -> Iterator[Edge]:
    """Run an nginx with that profile."""
    folder = tmp_path_factory.mktemp("edge")
    with running_edge(folder, NGINX_TLS_PROFILE=profile.value) as running:
        yield running


def scan(edge: Edge) -> ServerScanResult:
    """Let sslyze look at the server, trusting its authority."""
    scanner = Scanner()
    where = ServerNetworkLocation(NAME, edge.nginx.tls_port, ip_address=HERE)
    authority = Path(edge.nginx.certificates.authority)
    extra = ScanCommandsExtraArguments(
        certificate_info=CertificateInfoExtraArgument(custom_ca_file=authority)
    )
    request = ServerScanRequest(
        where,
        scan_commands=SCAN_COMMANDS_NEEDED_BY_MOZILLA_CHECKER,
        scan_commands_extra_arguments=extra,
    )
    scanner.queue_scans([request])
    [result] = scanner.get_results()
    return result


@pytest.mark.filterwarnings("ignore:Parsed a serial number")  # of roots that sslyze brings along
def test_profile_of_mozilla_is_met(edge: Edge, profile: TlsConfigurationEnum) -> None:
    """As sslyze judges."""
    check_server_against_tls_configuration(scan(edge), MozillaTlsConfiguration.get(profile))


@pytest.mark.soak
def test_nothing_is_vulnerable(edge: Edge, tmp_path: Path) -> None:
    """As testssl.sh judges."""
    findings = tmp_path / "findings.json"
    trust = ["--add-ca", str(edge.nginx.certificates.authority)]
    quietly = ["--quiet", "--warnings", "off", "--color", "0", "--nodns", "none", "--ip", HERE]
    checks = ["-p", "-s", "-f", "-S", "-h", "-U"]
    where = f"{NAME}:{edge.nginx.tls_port}"
    subprocess.run(
        ["testssl", *quietly, *trust, *checks, "--jsonfile", str(findings), where],
        check=True,
        capture_output=True,
        timeout=TESTSSL_SECONDS,
    )
    found = {item["id"]: item for item in json.loads(findings.read_text())}
    assert {"heartbleed", "ROBOT", "LUCKY13", "BREACH", "cipherlist_NULL"} <= found.keys()
    severe = {name: item for name, item in found.items() if item["severity"] in SEVERE}
    assert severe.keys() <= OF_THE_CERTIFICATE, severe
