"""Who gets in: known names over TLS, operators from their networks, nobody too often."""

import contextlib
import socket
import ssl
from collections.abc import Iterator

import pytest

from tests.certificates import NAME
from tests.echo_upstream import HANG
from tests.edge import HERE, Edge, ask, open_client, parse_answer, running_edge, send_tls
from tests.wire import ANSWER_SECONDS, send_raw

OPERATOR = "127.0.0.9"
BURST, CONNECTIONS, DOOR_BURST = 20, 4, 3


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """Run an nginx with one operator and tight limits for each address."""
    settings = {
        "NGINX_OPERATOR_NETWORKS": f"{OPERATOR}/32 192.0.2.0/24",
        "NGINX_ADDRESS_RATE": "1",
        "NGINX_ADDRESS_BURST": str(BURST),
        "NGINX_ADDRESS_CONNECTIONS": str(CONNECTIONS),
        "NGINX_DOOR_RATE": "1",
        "NGINX_DOOR_BURST": str(DOOR_BURST),
    }
    with running_edge(tmp_path_factory.mktemp("edge"), **settings) as running:
        yield running


def plain(edge: Edge, method: str, *lines: str, host: str = NAME, target: str = "/a?b") -> bytes:
    """Send a request without TLS."""
    head = [f"{method} {target} HTTP/1.1", f"Host: {host}", "Connection: close", *lines, "", ""]
    return send_raw(edge.nginx.plain_port, "\r\n".join(head).encode())


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_reader_without_tls_is_sent_on(edge: Edge, method: str) -> None:
    """Somebody who typed the name into a browser."""
    answer = parse_answer(plain(edge, method))
    assert answer.status == 308
    assert answer.headers["location"] == f"{edge.nginx.url}/a?b"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_writer_without_tls_is_refused(edge: Edge, method: str) -> None:
    """A redirect would hide for ever that the key travels in the clear."""
    assert parse_answer(plain(edge, method)).body["code"] == "tls_required"


def test_credential_without_tls_is_refused(edge: Edge) -> None:
    """For reading as well."""
    answer = parse_answer(plain(edge, "GET", "Authorization: Bearer x"))
    assert (answer.status, answer.body["code"]) == (403, "tls_required")


def test_plain_answer_has_no_hsts(edge: Edge) -> None:
    """RFC 6797, section 7.2."""
    assert "strict-transport-security" not in parse_answer(plain(edge, "GET")).headers


@pytest.mark.parametrize("target", ["/", "/v1/models"])
def test_every_answer_over_tls_has_hsts(edge: Edge, target: str) -> None:
    """Two years, as Mozilla asks."""
    answer = ask(edge.nginx, "GET", target, source="127.0.0.21")
    assert answer.headers["strict-transport-security"] == "max-age=63072000"


@pytest.mark.parametrize("host", ["192.0.2.1", "other.example", "localhost.evil"])
def test_unknown_host_without_tls_is_dropped(edge: Edge, host: str) -> None:
    """Not one byte comes back."""
    assert plain(edge, "GET", host=host) == b""


@pytest.mark.parametrize("name", [None, "other.example"])
def test_unknown_name_gets_no_certificate(edge: Edge, name: str | None) -> None:
    """Whoever scans addresses learns no names."""
    with pytest.raises(ssl.SSLError, match=r"unrecognized name|UNRECOGNIZED_NAME"):
        send_tls(edge.nginx, b"GET / HTTP/1.0\r\n\r\n", name=name)


OPERATORS_ONLY = [
    "/metrics",
    "/v1/plans",
    "/v1/plans/plan_x",
    "/v1/tenants",
    "/v1/tenants/",
    "/v1/tenants/ten_x",
    "/v1/%74enants",
    "/v1/models/../plans",
    "/v1/models/%2e%2e/plans",
    "/v1/./tenants",
    "http://localhost/v1/plans",
    "/v1/plans?a=/v1/models",
    "/v1/admins",
    "/v1/admins/adm_x/totp",
    "/v1/sessions",
    "/v1/sessions/ses_x",
]


@pytest.mark.parametrize("target", OPERATORS_ONLY)
def test_operation_of_the_platform_is_refused_from_elsewhere(edge: Edge, target: str) -> None:
    """However the target is spelt; `test_nginx_operators.py` asks for all of them."""
    answer = ask(edge.nginx, "GET", target, source=f"127.0.1.{OPERATORS_ONLY.index(target)}")
    assert (answer.status, answer.body["code"]) == (403, "network_not_allowed")


def test_operator_reaches_the_platform(edge: Edge) -> None:
    """From one of the networks that were named."""
    assert ask(edge.nginx, "GET", "/v1/plans", source=OPERATOR).body["target"] == "/v1/plans"


@pytest.mark.parametrize(
    "target",
    [
        "/v1/tenants/ten_x/keys",
        "/v1/tenants/ten_x/keys/key_y",
        "/v1/tenants/ten_x/clients",
        "/v1/tenants/ten_x/clients/cli_y/rotate",
    ],
)
def test_tenant_reaches_its_keys_and_clients_from_anywhere(edge: Edge, target: str) -> None:
    """Customers manage them themselves."""
    assert ask(edge.nginx, "GET", target, source="127.0.0.22").status == 200


def test_address_that_asks_too_often_gets_429(edge: Edge) -> None:
    """In JSON, with the time to come back, and only the one address."""
    with open_client(edge.nginx, source="127.0.0.23") as client:
        answers = [client.get("/v1/models") for _ in range(2 * BURST)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) in range(BURST - 3, BURST)
    assert refused[0].json()["code"] == "address_limited"
    assert refused[0].headers["retry-after"] == "1"
    assert ask(edge.nginx, "GET", "/v1/models", source="127.0.0.24").status == 200


DOORS = ["/oauth2/token", "/.well-known/jwks.json", "/v1/models/../../oauth2/token"]


@pytest.mark.parametrize("target", DOORS)
def test_door_without_a_credential_is_limited_sooner(edge: Edge, target: str) -> None:
    """For an address that knocks too often; what it does with a credential goes on."""
    source = f"127.0.2.{DOORS.index(target)}"
    statuses = [ask(edge.nginx, "GET", target, source=source).status for _ in range(2 * BURST)]
    assert statuses[: DOOR_BURST + 1] == [200] * (DOOR_BURST + 1)
    assert 429 in statuses
    other = f"127.0.3.{DOORS.index(target)}"
    statuses = [ask(edge.nginx, "GET", "/v1/models", source=other).status for _ in range(BURST)]
    assert statuses == [200] * BURST


def test_address_with_too_many_requests_at_once_gets_429(edge: Edge) -> None:
    """Those that wait are counted, and nobody else is concerned."""
    busy = "127.0.0.25"
    with contextlib.ExitStack() as stack:
        for _ in range(CONNECTIONS):
            stack.enter_context(waiting(edge, busy))
        assert ask(edge.nginx, "GET", "/v1/models", source=busy).body["code"] == "address_limited"
        assert ask(edge.nginx, "GET", "/v1/models", source=HERE).status == 200


@contextlib.contextmanager
def waiting(edge: Edge, source: str) -> Iterator[None]:
    """Hold a request open that the gateway does not answer."""
    before = len(edge.echo.requests)
    address = (HERE, edge.nginx.tls_port)
    with (
        socket.create_connection(address, ANSWER_SECONDS, (source, 0)) as bare,
        edge.nginx.certificates.context().wrap_socket(bare, server_hostname=NAME) as connection,
    ):
        connection.sendall(f"GET {HANG} HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
        edge.echo.wait_for(before + 1)
        yield
