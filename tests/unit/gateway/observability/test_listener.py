"""Metrics are served on one path of an address of their own, which strangers cannot reach."""

import http.client

import pytest

from gateway.errors import StartRefused
from gateway.observability.listener import metrics_board
from gateway.settings import Settings
from tests.serving import free_port


def ask(port: int, method: str, path: str, **headers: str) -> http.client.HTTPResponse:
    """Send one request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/metrics", 200), ("GET", "/", 404), ("POST", "/metrics", 501)],
)
def test_one_path_is_answered(method: str, path: str, status: int) -> None:
    """Nothing else is there to be found."""
    port = free_port()
    with metrics_board(Settings(metrics_listen=f"127.0.0.1:{port}")) as board:
        assert board is not None
        assert ask(port, method, path).status == status


def test_scraper_gets_the_format_that_it_prefers() -> None:
    """Prometheus asks for OpenMetrics; people get text."""
    port = free_port()
    with metrics_board(Settings(metrics_listen=f"localhost:{port}")):
        kind = ask(port, "GET", "/metrics", Accept="application/openmetrics-text; version=1.0.0")
        assert (kind.getheader("content-type") or "").startswith("application/openmetrics-text")
        assert (ask(port, "GET", "/metrics").getheader("content-type") or "").startswith(
            "text/plain"
        )


def test_without_an_address_nothing_is_counted() -> None:
    """Off costs nothing."""
    with metrics_board(Settings()) as board:
        assert board is None


@pytest.mark.parametrize("address", ["9464", "localhost", "127.0.0.1:http", "127.0.0.1:99999", ":"])
def test_address_that_is_none_is_refused(address: str) -> None:
    """The message shows one that is."""
    with (
        pytest.raises(StartRefused, match=r"127\.0\.0\.1:9464"),
        metrics_board(Settings(metrics_listen=address)),
    ):
        pass


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "example.org:9464"])
def test_address_beyond_loopback_is_refused(address: str) -> None:
    """Unless somebody says that the network is his own."""
    with (
        pytest.raises(StartRefused, match="TOLLGATE_ALLOW_PLAINTEXT"),
        metrics_board(Settings(metrics_listen=address)),
    ):
        pass


def test_address_beyond_loopback_can_be_allowed() -> None:
    """As in a stack of containers."""
    with metrics_board(Settings(metrics_listen="0.0.0.0:0", allow_plaintext=True)) as board:
        assert board is not None


def test_address_that_is_taken_is_told() -> None:
    """In one line, before anything else starts."""
    address = f"127.0.0.1:{free_port()}"
    with (
        metrics_board(Settings(metrics_listen=address)),
        pytest.raises(StartRefused, match="TOLLGATE_METRICS_LISTEN"),
        metrics_board(Settings(metrics_listen=address)),
    ):
        pass
