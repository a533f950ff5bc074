"""What only the platform may do is refused to whoever comes from elsewhere, whatever he holds.

The operations are those of the OpenAPI document and the methods those of the table of access, so
that a new one cannot slip past.
"""

from collections.abc import Iterator

import pytest

from tests.edge import Edge, ask, running_edge
from tests.grpc_door import SERVICE, grpc_caller
from tests.integration.access_table import GRPC_TABLE, cells
from tests.integration.id_places import PATH_IDS, Request, requests_of
from tests.serving import Server

OPERATOR = "127.0.0.9"
PLATFORM_ONLY = 403
"""What the table says of a key with every scope that tenants may hold."""

BY_NETWORK = {"logIn"}
"""Open to the world in the gateway, and not here."""

OTHER = {"tenant_id": "ten_x", "model": "housing", "version": "1", "label": "champion"}
PLATFORM = OTHER | {"tenant_id": "platform"}


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """Run an nginx with one operator."""
    settings = {"NGINX_OPERATOR_NETWORKS": f"{OPERATOR}/32"}
    with running_edge(tmp_path_factory.mktemp("edge"), **settings) as running:
        yield running


def operations(server: Server, ids: dict[str, str]) -> list[Request]:
    """Make a request for each operation, with these ids in its path."""
    document = server.call("GET", "/openapi.json").body
    return [request for request, _ in requests_of(document, dict.fromkeys(PATH_IDS, "x") | ids)]


def answered(edge: Edge, request: Request, source: str = "127.0.0.1") -> tuple[str, int]:
    """Send it, and say how it was answered."""
    target = request.path.format(**request.path_values)
    status = ask(edge.nginx, request.method, target, source=source).status
    return f"{request.operation}: {request.method} {target}", status


def is_of_the_platform(operation: str) -> bool:
    """Tell whether no tenant's credential can be good for it."""
    return operation in BY_NETWORK or cells()[operation]["other"] == PLATFORM_ONLY


def test_operation_of_the_platform_is_refused_from_elsewhere(edge: Edge, server: Server) -> None:
    """Each of them, and no other."""
    of_the_platform = 0
    for request in operations(server, OTHER):
        expected = 403 if is_of_the_platform(request.operation) else 200
        told = answered(edge, request)
        assert told == (told[0], expected)
        of_the_platform += expected == 403
    assert of_the_platform > 30


def test_platform_itself_is_refused_from_elsewhere(edge: Edge, server: Server) -> None:
    """Its keys, clients and limits are those of operators."""
    of_a_tenant = [each for each in operations(server, PLATFORM) if "tenant_id" in each.path_values]
    assert {"createKey", "createClient"} <= {each.operation for each in of_a_tenant}
    assert {answered(edge, request)[1] for request in of_a_tenant} == {403}


def test_operator_reaches_every_operation(edge: Edge, server: Server) -> None:
    """From the network that was named."""
    told = [answered(edge, request, OPERATOR) for request in operations(server, PLATFORM)]
    assert [operation for operation, status in told if status != 200] == []


EVASIONS = [
    ("POST", "/v1/tenants/%70latform/keys"),
    ("POST", "/v1/tenants/platform%2fkeys"),
    ("POST", "/v1/x/%2e%2e/tenants/platform/keys"),
    ("POST", "/v1/tenants/ten_x/../platform/keys/x/rotate"),
    ("PUT", "/v1/models/housing/labels/.."),
    ("PUT", "/v1/models/housing/labels%2f%2e%2e"),
    ("PUT", "/v1/models/housing/versions/1?x=:predict"),
    ("PUT", "/v1/models/housing/versions/1%0a"),
    ("DELETE", "/v1/%6dodels/housing/versions/1"),
    ("GET", "/v1/models/housing/versions/"),
    ("GET", "/v1/./periods"),
    ("POST", "/v1/models/housing:predict/../housing/promote"),
    ("POST", "http://localhost/v2/repository/models/housing/unload"),
]


@pytest.mark.parametrize(("method", "target"), EVASIONS)
def test_spelling_of_the_target_changes_nothing(edge: Edge, method: str, target: str) -> None:
    """Nginx judges the path that the gateway reads."""
    answer = ask(edge.nginx, method, target)
    assert (answer.status, answer.body["code"]) == (403, "network_not_allowed")


@pytest.mark.parametrize(
    "target", ["//v1/plans", "/V1/plans", "/v1/Tenants", "/v2//repository/models/x/load"]
)
def test_what_is_let_through_by_its_spelling_is_no_operation(
    edge: Edge, server: Server, target: str
) -> None:
    """The gateway reads slashes and case as they are."""
    assert ask(edge.nginx, "GET", target).status == 200
    admin_key = server.demo["admin_key"]
    assert server.call("GET", target, key=admin_key).status == 404


@pytest.mark.parametrize("method", cells(GRPC_TABLE))
async def test_method_of_the_platform_is_refused_from_elsewhere(edge: Edge, method: str) -> None:
    """As gRPC says it; what is let through finds nobody on the gateway's socket for gRPC."""
    target = edge.nginx.url.removeprefix("https://")
    authority = edge.nginx.certificates.authority.read_bytes()
    async with grpc_caller(target, authority=authority, own_connection=True) as caller:
        told = await caller.call(f"/{SERVICE}/{method}")
    is_refused = cells(GRPC_TABLE)[method]["other"] == PLATFORM_ONLY
    expected = "network_not_allowed" if is_refused else "gateway_unreachable"
    assert told.metadata["tollgate-code"] == expected
