"""One walk over every operation: who is let in, and who is told what.

The walk is over the OpenAPI document, so an operation without a row here fails.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

import pytest

from auth.scopes import (
    ALL_SCOPES,
    AUDIT_READ,
    KEYS_READ,
    KEYS_WRITE,
    MODELS_READ,
    MODELS_WRITE,
    PLANS_WRITE,
    PLATFORM_SCOPES,
    PREDICT,
    TENANTS_READ,
    TENANTS_WRITE,
    USAGE_READ,
    USAGE_READ_ALL,
    USAGE_WRITE,
)
from auth.tenants import PLATFORM_TENANT_ID
from tests.unit.gateway.routes.control_plane import Caller, ControlPlane

# What is refused to whom does not depend on the database.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
PUBLIC = {
    *("getLiveness", "getReadiness", "getServerMetadata", "getKeySet", "getReceiptKeySet"),
    *("logIn", "reportLeak"),
    *("getInferenceLiveness", "getInferenceReadiness"),
}
OF_CLIENTS = {"issueToken", "revokeToken", "introspectToken"}
"""Operations that OAuth2 clients prove themselves to in the request itself."""
_MODEL = "/v1/models/double"
_KEYS = "/v1/tenants/{tenant_id}/keys"
_ADMIN = "/v1/admins/adm_0000000000000000"
_CLIENTS = "/v1/tenants/{tenant_id}/clients"


@dataclass(frozen=True)
class Operation:
    """How an operation is called and which scopes open it."""

    method: str
    path: str
    scopes: frozenset[str]
    body: Any = None
    is_of_a_tenant: bool = False


OPERATIONS = {
    "listModels": Operation("GET", "/v1/models", frozenset({PREDICT, MODELS_READ})),
    "getModel": Operation("GET", "/v1/models/double", frozenset({PREDICT, MODELS_READ})),
    "getModelMetadata": Operation(
        "GET", "/v1/models/double/metadata", frozenset({PREDICT, MODELS_READ})
    ),
    "getModelVersion": Operation(
        "GET", "/v1/models/double/versions/1", frozenset({PREDICT, MODELS_READ})
    ),
    "getModelVersionMetadata": Operation(
        "GET", "/v1/models/double/versions/1/metadata", frozenset({PREDICT, MODELS_READ})
    ),
    "getModelLabel": Operation(
        "GET", "/v1/models/double/labels/champion", frozenset({PREDICT, MODELS_READ})
    ),
    "getModelLabelMetadata": Operation(
        "GET", "/v1/models/double/labels/champion/metadata", frozenset({PREDICT, MODELS_READ})
    ),
    "compareVersions": Operation("GET", "/v1/models/double/comparison", frozenset({MODELS_WRITE})),
    "beginTrial": Operation(
        "PUT",
        "/v1/models/double/trial",
        frozenset({MODELS_WRITE}),
        {"challenger": "9", "weight": 0.5},
    ),
    "endTrial": Operation("DELETE", "/v1/models/double/trial", frozenset({MODELS_WRITE})),
    "listModelVersions": Operation("GET", f"{_MODEL}/versions", frozenset({MODELS_WRITE})),
    "pushModelVersion": Operation("PUT", f"{_MODEL}/versions/2", frozenset({MODELS_WRITE}), {}),
    "retireModelVersion": Operation("DELETE", f"{_MODEL}/versions/9", frozenset({MODELS_WRITE})),
    "promoteModelVersion": Operation(
        "POST", f"{_MODEL}/promote", frozenset({MODELS_WRITE}), {"version": "9"}
    ),
    "rollBackModel": Operation("POST", f"{_MODEL}/rollback", frozenset({MODELS_WRITE})),
    "setModelLabel": Operation(
        "PUT", f"{_MODEL}/labels/own", frozenset({MODELS_WRITE}), {"version": "9"}
    ),
    "removeModelLabel": Operation("DELETE", f"{_MODEL}/labels/own", frozenset({MODELS_WRITE})),
    "listAudit": Operation("GET", "/v1/audit", frozenset({AUDIT_READ})),
    "getUsage": Operation("GET", "/v1/usage", frozenset({USAGE_READ, USAGE_READ_ALL})),
    "listUsageRecords": Operation(
        "GET", "/v1/usage/records", frozenset({USAGE_READ, USAGE_READ_ALL})
    ),
    "listPeriods": Operation("GET", "/v1/periods", frozenset({USAGE_READ_ALL, USAGE_WRITE})),
    "getPeriod": Operation("GET", "/v1/periods/197001", frozenset({USAGE_READ_ALL, USAGE_WRITE})),
    "closePeriod": Operation("POST", "/v1/periods/197001/close", frozenset({USAGE_WRITE})),
    "createCorrection": Operation(
        "POST",
        "/v1/usage/corrections",
        frozenset({USAGE_WRITE}),
        {"request_id": "none", "rows": -1, "reason": "x"},
    ),
    "createPlan": Operation("POST", "/v1/plans", frozenset({PLANS_WRITE}), {"name": "x"}),
    "listPlans": Operation("GET", "/v1/plans", frozenset({TENANTS_READ, PLANS_WRITE})),
    "getPlan": Operation("GET", "/v1/plans/plan_0", frozenset({TENANTS_READ, PLANS_WRITE})),
    "createTenant": Operation(
        "POST",
        "/v1/tenants",
        frozenset({TENANTS_WRITE}),
        {"name": "x", "plan_id": "plan_0", "models": ["*"]},
    ),
    "listTenants": Operation("GET", "/v1/tenants", frozenset({TENANTS_READ})),
    "getTenant": Operation("GET", "/v1/tenants/{tenant_id}", frozenset({TENANTS_READ})),
    "changeTenant": Operation(
        "PATCH", "/v1/tenants/{tenant_id}", frozenset({TENANTS_WRITE}), {"status": "suspended"}
    ),
    "deleteTenant": Operation("DELETE", "/v1/tenants/{tenant_id}", frozenset({TENANTS_WRITE})),
    "getLimits": Operation(
        "GET",
        "/v1/tenants/{tenant_id}/limits",
        frozenset({USAGE_READ, USAGE_READ_ALL}),
        is_of_a_tenant=True,
    ),
    "createKey": Operation(
        "POST",
        _KEYS,
        frozenset({KEYS_WRITE}),
        {"name": "x", "scopes": ["predict"]},
        is_of_a_tenant=True,
    ),
    "listKeys": Operation("GET", _KEYS, frozenset({KEYS_READ}), is_of_a_tenant=True),
    "getKey": Operation("GET", _KEYS + "/{key_id}", frozenset({KEYS_READ}), is_of_a_tenant=True),
    "revokeKey": Operation(
        "DELETE", _KEYS + "/{key_id}", frozenset({KEYS_WRITE}), is_of_a_tenant=True
    ),
    "rotateKey": Operation(
        "POST",
        _KEYS + "/{key_id}/rotate",
        frozenset({KEYS_WRITE}),
        {"overlap_seconds": 0},
        is_of_a_tenant=True,
    ),
}
OPERATIONS |= {
    "createClient": Operation(
        "POST",
        _CLIENTS,
        frozenset({KEYS_WRITE}),
        {"name": "x", "scopes": ["predict"]},
        is_of_a_tenant=True,
    ),
    "listClients": Operation("GET", _CLIENTS, frozenset({KEYS_READ}), is_of_a_tenant=True),
    "getClient": Operation(
        "GET", _CLIENTS + "/{client_id}", frozenset({KEYS_READ}), is_of_a_tenant=True
    ),
    "revokeClient": Operation(
        "DELETE", _CLIENTS + "/{client_id}", frozenset({KEYS_WRITE}), is_of_a_tenant=True
    ),
    "rotateClient": Operation(
        "POST",
        _CLIENTS + "/{client_id}/rotate",
        frozenset({KEYS_WRITE}),
        {"overlap_seconds": 0},
        is_of_a_tenant=True,
    ),
    "createAdmin": Operation(
        "POST",
        "/v1/admins",
        frozenset({TENANTS_WRITE}),
        {
            "username": "ada",
            "password": "plum kettle on the roof",
            "scopes": ["tenants:write", "audit:read"],
        },
    ),
    "listAdmins": Operation("GET", "/v1/admins", frozenset({TENANTS_READ, TENANTS_WRITE})),
    "getAdmin": Operation("GET", _ADMIN, frozenset({TENANTS_READ, TENANTS_WRITE})),
    "changeAdmin": Operation("PATCH", _ADMIN, frozenset({TENANTS_WRITE}), {"disabled": True}),
    "enrolTotp": Operation(
        "POST", _ADMIN + "/totp", frozenset({TENANTS_WRITE}), {"current_password": "x"}
    ),
    "confirmTotp": Operation(
        "POST", _ADMIN + "/totp/confirm", frozenset({TENANTS_WRITE}), {"totp": "000000"}
    ),
    "removeTotp": Operation("DELETE", _ADMIN + "/totp", frozenset({TENANTS_WRITE})),
    "listSessions": Operation("GET", "/v1/sessions", frozenset({TENANTS_WRITE})),
    "revokeSession": Operation(
        "DELETE", "/v1/sessions/ses_0000000000000000", frozenset({TENANTS_WRITE})
    ),
}
OPERATIONS |= {
    name: Operation("GET", path, frozenset({PREDICT, MODELS_READ}))
    for name, path in {
        "getInferenceServer": "/v2",
        "listInferenceStats": "/v2/models/stats",
        "getInferenceModel": "/v2/models/double",
        "getInferenceModelReady": "/v2/models/double/ready",
        "getInferenceModelConfig": "/v2/models/double/config",
        "getInferenceModelStats": "/v2/models/double/stats",
        "getInferenceVersion": "/v2/models/double/versions/1",
        "getInferenceVersionReady": "/v2/models/double/versions/1/ready",
        "getInferenceVersionConfig": "/v2/models/double/versions/1/config",
        "getInferenceVersionStats": "/v2/models/double/versions/1/stats",
    }.items()
}
OPERATIONS["listRepository"] = Operation(
    "POST", "/v2/repository/index", frozenset({PREDICT, MODELS_READ})
)
OPERATIONS |= {
    name: Operation("POST", f"/v2/repository/models/double/{verb}", frozenset({MODELS_WRITE}))
    for name, verb in (("loadModel", "load"), ("unloadModel", "unload"))
}
OF_A_TENANT = sorted(name for name, operation in OPERATIONS.items() if operation.is_of_a_tenant)

per_operation = pytest.mark.parametrize("name", sorted(OPERATIONS))
per_tenant_operation = pytest.mark.parametrize("name", OF_A_TENANT)


async def _documented(plane: ControlPlane) -> dict[str, tuple[str, str, dict[str, Any]]]:
    document = (await plane.client.get("/openapi.json")).json()
    return {
        operation["operationId"]: (method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if not operation["operationId"].startswith(("predict_", "infer_"))
    }


def _path(operation: Operation, target: Caller) -> str:
    ids = {"tenant_id": target.tenant_id, "key_id": target.key_id, "client_id": target.key_id}
    return operation.path.format(**ids)


async def test_every_operation_has_a_row(plane: ControlPlane) -> None:
    """A new operation is either public by name, or walked."""
    documented = await _documented(plane)
    assert set(documented) == PUBLIC | OF_CLIENTS | set(OPERATIONS)
    for name, operation in OPERATIONS.items():
        method, path, _ = documented[name]
        assert method == operation.method
        assert re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), operation.path), name


async def test_refused_method_is_told_all_that_there_are(plane: ControlPlane) -> None:
    """Each method is a route of its own; Allow names those of the path (RFC 9110 10.2.1)."""
    document = (await plane.client.get("/openapi.json")).json()
    for path, methods in document["paths"].items():
        answer = await plane.customer.call("OPTIONS", path)
        told = answer.headers["allow"].split(", ")
        assert (answer.status_code, told) == (405, sorted(map(str.upper, methods))), path


async def test_every_operation_documents_its_problems(plane: ControlPlane) -> None:
    """The document tells of 401 and 403, and how to authenticate."""
    for name, (_, _, operation) in (await _documented(plane)).items():
        if name in PUBLIC:
            assert "security" not in operation, name
            continue
        if name in OF_CLIENTS:
            assert operation["security"] == [{"ClientSecretBasic": []}, {}], name
            continue
        assert {"401", "403"} <= set(operation["responses"]), name
        schemes = [next(iter(item)) for item in operation["security"]]
        assert schemes == ["HTTPBearer", "APIKeyHeader", "OAuth2"], name


async def test_every_reference_of_the_document_resolves(plane: ControlPlane) -> None:
    """Generators of clients read the document as it stands."""
    document = (await plane.client.get("/openapi.json")).json()
    references = set(re.findall(r'"\$ref": ?"#/([^"]+)"', json.dumps(document)))
    assert "components/schemas/Problem" in references
    for reference in references:
        node = document
        for part in reference.split("/"):
            node = node[part]


@per_operation
async def test_nobody_is_told_anything_without_a_credential(plane: ControlPlane, name: str) -> None:
    """Missing and wrong credentials get the same 401, even before a broken body."""
    operation = OPERATIONS[name]
    path = _path(operation, plane.customer)
    wrong = {"Authorization": "Bearer " + plane.admin.api_key[:-1] + "?"}
    answers = [
        await plane.client.request(operation.method, path),
        await plane.client.request(operation.method, path, content=b"{broken"),
        await plane.client.request(operation.method, path, headers=wrong),
    ]
    bodies = [answer.json() for answer in answers]
    assert [answer.status_code for answer in answers] == [401, 401, 401]
    assert {body.pop("request_id") for body in bodies} == {
        answer.headers["x-request-id"] for answer in answers
    }
    assert bodies[0] == bodies[1] == bodies[2]
    assert all(answer.headers["www-authenticate"].startswith("Bearer") for answer in answers)


@per_operation
async def test_every_other_scope_is_not_enough(plane: ControlPlane, name: str) -> None:
    """A key with all scopes but those of the operation gets 403, even before a broken body."""
    operation = OPERATIONS[name]
    caller = await plane.caller(PLATFORM_TENANT_ID, *(ALL_SCOPES - operation.scopes))
    answer = await caller.call(
        operation.method, _path(operation, plane.customer), content=b"{broken"
    )
    assert answer.status_code == 403
    assert answer.json()["code"] == "scope_missing"


@per_operation
async def test_each_scope_of_the_operation_is_enough(plane: ControlPlane, name: str) -> None:
    """Whoever holds one of the scopes is past the gate."""
    operation = OPERATIONS[name]
    for scope in sorted(operation.scopes):
        owner = PLATFORM_TENANT_ID if scope in PLATFORM_SCOPES else plane.customer.tenant_id
        caller = await plane.caller(owner, scope)
        answer = await caller.call(
            operation.method, _path(operation, plane.customer), json=operation.body
        )
        assert answer.status_code in (200, 201, 204, 404, 409, 415) or (
            answer.json()["code"] == "scope_not_grantable"
        ), answer.text


@per_tenant_operation
async def test_another_tenant_is_as_if_it_were_not(plane: ControlPlane, name: str) -> None:
    """A real tenant of somebody else and one that never was get the same 404, byte for byte."""
    operation = OPERATIONS[name]
    unknown = Caller(plane.client, "ten_0000000000000000", "0000000000000000", "")
    answers = [
        await plane.stranger.call(operation.method, _path(operation, target), json=operation.body)
        for target in (plane.customer, plane.admin, unknown)
    ]
    bodies = [{**answer.json(), "request_id": ""} for answer in answers]
    assert [answer.status_code for answer in answers] == [404, 404, 404]
    assert bodies[0] == bodies[1] == bodies[2]


@per_tenant_operation
async def test_another_tenants_key_is_as_if_it_were_not(plane: ControlPlane, name: str) -> None:
    """One's own tenant with somebody else's key id is the same 404 as an unknown key id."""
    operation = OPERATIONS[name]
    if "{key_id}" not in operation.path:
        return
    own = plane.stranger.tenant_id
    answers = [
        await plane.stranger.call(
            operation.method,
            operation.path.format(tenant_id=own, key_id=key_id),
            json=operation.body,
        )
        for key_id in (plane.customer.key_id, "0000000000000000")
    ]
    bodies = [{**answer.json(), "request_id": ""} for answer in answers]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert bodies[0] == bodies[1]
    assert (await plane.customer.get("/v1/models")).status_code == 200


async def test_every_security_scheme_is_described(plane: ControlPlane) -> None:
    """Whoever reads the document knows how to get a token, and what its scopes open."""
    document = (await plane.client.get("/openapi.json")).json()
    schemes = document["components"]["securitySchemes"]
    assert set(schemes) == {"HTTPBearer", "APIKeyHeader", "OAuth2", "ClientSecretBasic"}
    flow = schemes["OAuth2"]["flows"]["clientCredentials"]
    assert flow["tokenUrl"] in document["paths"]
    assert set(flow["scopes"]) == ALL_SCOPES


@pytest.mark.parametrize(
    "path",
    [
        "/healthz/live",
        "/healthz/ready",
        "/v2/health/live",
        "/v2/health/ready",
        "/.well-known/oauth-authorization-server",
        "/.well-known/jwks.json",
        "/.well-known/tollgate-receipt-keys.json",
    ],
)
async def test_public_operations_need_no_credential(plane: ControlPlane, path: str) -> None:
    """Health is asked by machines without keys, and where to get a token by everybody."""
    assert (await plane.client.get(path)).status_code == 200
