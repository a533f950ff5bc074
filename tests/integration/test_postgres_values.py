"""No value of a caller's is an error of PostgreSQL: it is refused before, or stored as it is."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from gateway.settings import Settings
from tests.postgres_server import PostgresServer
from tests.unit.gateway.routes.control_plane import ControlPlane, open_control_plane
from tests.unit.gateway.routes.doubling import write_doubling_model

TEXTS = (
    "\x00",
    "a\x00b",
    "\ud800",
    "%00",
    "'; DROP TABLE tenants; --",
    ":tenant*{}\n",
    "\\",
    "%s",
    "$1",
    "\u202e",
    "é" * 200,
    "x" * 10_000,
)
NUMBERS = (2**31, 2**63 - 1, 2**63, 2**64, 10**30, -1, 1e308, 1e-320)


@pytest.fixture
async def plane(migrated_postgres: str, tmp_path: Path) -> AsyncIterator[ControlPlane]:
    """The running app over PostgreSQL."""
    write_doubling_model(tmp_path / "models" / "double")
    settings = Settings(
        data_dir=tmp_path / "var",
        model_repository=tmp_path / "models",
        database_url=SecretStr(migrated_postgres),
    )
    (tmp_path / "var").mkdir(mode=0o700)
    async with open_control_plane(settings) as control_plane:
        yield control_plane


@pytest.fixture
def is_quiet(postgres: PostgresServer) -> Iterator[None]:
    """Hold PostgreSQL's own log to the promise that it refused nothing."""
    before = postgres.log().count("ERROR:")
    yield
    assert postgres.log().count("ERROR:") == before


def bodies(plane: ControlPlane, value: object) -> dict[str, dict[str, object]]:
    """Put a value in every place of every body that the control plane takes."""
    keys = f"/v1/tenants/{plane.customer.tenant_id}/keys"
    tenant = {"name": "t", "models": ["*"]}
    return {
        f"/v1/plans {field}": {"name": "p", "requests_per_second": 1, field: value}
        for field in (
            *("name", "requests_per_second", "burst", "units_per_month", "max_in_flight"),
            "weight",
        )
    } | {
        "/v1/tenants name": {**tenant, "name": value},
        "/v1/tenants plan_id": {**tenant, "plan_id": value},
        "/v1/tenants models": {**tenant, "models": [value]},
        f"{keys} name": {"name": value, "scopes": ["predict"]},
        f"{keys} scopes": {"name": "k", "scopes": [value]},
        f"{keys} expires_at": {"name": "k", "scopes": ["predict"], "expires_at": value},
        f"{keys} limits": {"name": "k", "scopes": ["predict"], "limits": {"burst": value}},
    }


@pytest.mark.parametrize("values", [TEXTS, NUMBERS], ids=["texts", "numbers"])
@pytest.mark.usefixtures("is_quiet")
async def test_value_in_a_body_is_taken_or_refused(
    plane: ControlPlane, values: tuple[object, ...]
) -> None:
    """With a 2xx or a 4xx, wherever it stands."""
    for value in values:
        for place, body in bodies(plane, value).items():
            sent = json.dumps(body)  # which escapes a lone surrogate
            answer = await plane.admin.call("POST", place.split(" ")[0], content=sent)
            assert answer.status_code < 500, (place, answer.text)


@pytest.mark.usefixtures("is_quiet")
async def test_text_in_a_query_is_refused(plane: ControlPlane) -> None:
    """Ids that cannot be are not looked up."""
    lists = ("/v1/tenants", "/v1/plans", f"/v1/tenants/{plane.customer.tenant_id}/keys")
    for text in TEXTS:
        sent = text.encode("utf-8", "surrogatepass").decode("latin-1")
        for path in lists:
            assert (await plane.admin.get(path, after=sent)).status_code == 422
        for caller in (plane.admin, plane.customer):
            assert (await caller.get("/v1/usage", tenant_id=sent)).status_code in (404, 422)
