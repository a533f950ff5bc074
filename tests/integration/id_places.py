"""Every place of the OpenAPI document where an id can stand, and requests that put one there.

What is generated here is a matrix: a new route is in it without anybody's doing, and a parameter
or a member that nobody has classified is an error.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote, urlencode

PATH_IDS = {
    *("tenant_id", "key_id", "client_id", "plan_id", "model", "version", "label"),
    *("admin_id", "session_id", "period"),
}
QUERY_IDS = {"tenant_id", "key_id", "model", "after", "through", "target"}
QUERY_VALUES = {"limit", "test", "from", "to", "bucket", "group_by", "action", "force"}
BODY_IDS = {"plan_id", "models", "scopes", "client_id", "token", "version", "request_id"}
BODY_VALUES = {
    *("name", "status", "requests_per_second", "burst", "units_per_month", "max_in_flight"),
    *("expires_at", "test", "limits", "networks", "overlap_seconds", "instances", "signature_name"),
    *("api_key", "weight"),
    *("challenger", "sticky", "budget", "tolerance", "force"),
    *("jwks", "grant_type", "resource", "scope", "token_type_hint"),
    *("client_secret", "client_assertion_type", "client_assertion"),
    *("inputs", "outputs", "id", "ready", "parameters"),
    *("correction_id", "rows", "units", "reason"),
    *("jwks", "username", "password", "totp", "device_token", "disabled", "current_password"),
}
SMUGGLED = ("tenant_id", "key_id", "client_id")
"""Members and parameters that no operation has, which must not be heard."""

HEADERS = ("Idempotency-Key", "X-Tenant-Id", "X-Request-Id", "Cookie", "X-Forwarded-User")
BODIES: dict[str, dict[str, Any]] = {
    "createPlan": {"name": "x"},
    "createTenant": {"name": "x", "plan_id": "plan_0", "models": ["*"]},
    "changeTenant": {"status": "suspended"},
    "createKey": {"name": "x", "scopes": ["no such scope"]},
    "rotateKey": {"overlap_seconds": -1},
    "createClient": {"name": "x", "scopes": ["no such scope"]},
    "rotateClient": {"overlap_seconds": -1},
    "issueToken": {"grant_type": "client_credentials"},
    "revokeToken": {"token": "none"},
    "introspectToken": {"token": "none"},
    "logIn": {"username": "nobody", "password": ""},
    "createAdmin": {"username": "x", "password": "", "scopes": ["no such scope"]},
    "changeAdmin": {"disabled": True},
    "enrolTotp": {"current_password": "x"},
    "confirmTotp": {"totp": "000000"},
    "reportLeak": {"api_key": "no key"},
    "predict": {"instances": ["no number"]},
    "beginTrial": {"challenger": "999", "weight": 0.5},
    "infer": {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": ["no number"]}]},
    "listRepository": {"ready": True},
    "loadModel": {"parameters": {}},
    "unloadModel": {"parameters": {}},
    "pushModelVersion": {"no": "model"},
    "promoteModelVersion": {"version": "999"},
    "setModelLabel": {"version": "999"},
    "createCorrection": {"request_id": "none", "rows": -1, "reason": "x"},
}
"""A body for each operation that has one; where it would change the caller's own, a bad one."""

FORMS = {"issueToken", "revokeToken", "introspectToken"}
"""Operations whose body is a form; the caller is refused there as no client."""

UPLOADS = {"pushModelVersion"}
"""Operations whose body is a file; what is sent here is none that is taken."""

GOOD_BODIES = BODIES | {
    "createKey": {"name": "x", "scopes": ["predict"]},
    "rotateKey": {"overlap_seconds": 0},
    "createClient": {"name": "x", "scopes": ["predict"]},
    "rotateClient": {"overlap_seconds": 0},
    "predict": {"instances": [1]},
    "infer": {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [1]}]},
}
"""A body that would be taken, for a path that must not be."""

_PREDICTION = re.compile(r"/(v[12])/models/[^{/]+?(/versions/[^/]+?)?(:predict|/infer)")


@dataclass(frozen=True)
class Request:
    """A request that can be changed in one place."""

    operation: str
    method: str
    path: str
    path_values: dict[str, str]
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] | None = None

    def to_bytes(self, api_key: str) -> bytes:
        """Write the request as it goes over the wire, on a connection of its own."""
        values = {name: quote(value, safe="") for name, value in self.path_values.items()}
        target = self.path.format(**values)
        if self.query:
            pairs = (f"{name}={quote(value, safe='')}" for name, value in self.query.items())
            target += "?" + "&".join(pairs)
        body = b"" if self.body is None else json.dumps(self.body).encode()
        form = {}
        if self.operation in FORMS and self.body is not None:
            body = urlencode(self.body, doseq=True).encode()
            form = {"Content-Type": "application/x-www-form-urlencoded"}
        elif self.operation in UPLOADS:
            form = {"Content-Type": "application/octet-stream"}
        headers = {
            "Host": "localhost",
            "Authorization": f"Bearer {api_key}",
            "Connection": "close",
            "Content-Length": str(len(body)),
            **form,
            **self.headers,
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"{self.method} {target} HTTP/1.1\r\n{head}\r\n".encode() + body


@dataclass(frozen=True)
class Place:
    """One place of one operation where an id can stand."""

    kind: str
    name: str
    request: Request

    def holding(self, identifier: str) -> Request:
        """Put an id into the place and leave everything else as it is."""
        value = {self.name: identifier}
        if self.kind == "path":
            values = self.request.path_values | value
            body = GOOD_BODIES.get(self.request.operation)
            return replace(self.request, path_values=values, body=body)
        if self.kind == "query":
            return replace(self.request, query=self.request.query | value)
        if self.kind == "header":
            return replace(self.request, headers=self.request.headers | value)
        member = [identifier] if self.name in ("models", "scopes") else identifier
        return replace(self.request, body=(self.request.body or {}) | {self.name: member})


def requests_of(document: dict[str, Any], own: dict[str, str]) -> Iterator[tuple[Request, Any]]:
    """Make a request for each operation of the document, with the caller's own ids in its path.

    The document has a prediction path for every model; they are one operation.
    """
    seen: set[tuple[str, str]] = set()
    for literal, methods in document["paths"].items():
        path = _PREDICTION.sub(_template, literal)
        for method, operation in methods.items():
            if (method, path) in seen:
                continue
            seen.add((method, path))
            names = re.findall(r"\{(\w+)\}", path)
            assert set(names) <= PATH_IDS, f"unclassified: {path}"
            name = next(filter(path.endswith, ("predict", "infer")), operation["operationId"])
            values = {name: own[name] for name in names}
            yield Request(name, method.upper(), path, values, body=BODIES.get(name)), operation


def _template(found: "re.Match[str]") -> str:
    return f"/{found[1]}/models/{{model}}{'/versions/{version}' if found[2] else ''}{found[3]}"


def places_of(request: Request, operation: dict[str, Any]) -> Iterator[Place]:
    """List the places of an operation where an id can stand."""
    yield from (Place("path", name, request) for name in request.path_values)
    for name in _query_names(operation) & QUERY_IDS | set(SMUGGLED):
        yield Place("query", name, request)
    yield from (Place("header", name, request) for name in HEADERS)
    if request.body is not None:
        for name in _body_names(operation) & BODY_IDS | set(SMUGGLED):
            yield Place("body", name, request)


def _query_names(operation: dict[str, Any]) -> set[str]:
    parameters = operation.get("parameters", [])
    names = {item["name"] for item in parameters if item["in"] == "query"}
    assert names <= QUERY_IDS | QUERY_VALUES, f"unclassified: {names}"
    assert {item["in"] for item in parameters} <= {"path", "query", "header"}, "unclassified place"
    headers = {item["name"] for item in parameters if item["in"] == "header"}
    assert headers <= set(HEADERS), f"unclassified: {headers}"
    return names


def _body_names(operation: dict[str, Any]) -> set[str]:
    names: set[str] = set()
    for media in operation["requestBody"]["content"].values():
        names |= set(media["schema"].get("properties", ()))
    assert names <= BODY_IDS | BODY_VALUES, f"unclassified: {names}"
    return names
