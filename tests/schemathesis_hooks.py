"""Make generated requests mean something where JSON Schema cannot say what does.

Only requests that are meant to be valid are touched, and only the values named here: times in the
future, networks without host bits, one way of authenticating, a scope that the client has, tables,
an Idempotency-Key that is new for each request.
No check is told anything.
"""

import os
import tomllib
import uuid
from typing import Any

import schemathesis
from schemathesis.generation.modes import GenerationMode

from gateway.dataplane.codecs import ARROW, CSV
from tests.arrow_streams import columns_of, stream_of
from tests.serving import ROOT

Case = schemathesis.Case[Any]

NETWORKS = ("192.0.2.0/24", "2001:db8::/32", "198.51.100.7", "::ffff:203.0.113.0/120")
KEPT_VARIABLE = "FUZZING_KEEPS_KEYS"
_KEPT = os.environ.get(KEPT_VARIABLE, "-").split(",")
_NO_KEY = "0" * 16
_FUTURE = "2999-12-31T23:59:59Z"
_AUTHENTICATIONS = ("client_id", "client_secret", "client_assertion", "client_assertion_type")


@schemathesis.hook
def map_case(_context: schemathesis.HookContext, case: Case) -> Case:
    """Keep the callers' own keys alive, and repair what is meant to be valid."""
    if case.path_parameters and case.path_parameters.get("key_id") in _KEPT:
        case.path_parameters["key_id"] = _NO_KEY
    if case.meta is None or case.meta.generation.mode != GenerationMode.POSITIVE:
        return case
    if isinstance(case.body, dict):
        _repair_body(case.body)
    if case.headers and "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = uuid.uuid4().hex
    if case.media_type in (CSV, ARROW):
        case.body = _table(case.media_type)
    if case.path.startswith("/v1/usage") and case.query:
        _order_range(case.query)
    return case


def _repair_body(body: dict[str, Any]) -> None:
    """Keep to what a key or a client takes beside its schema."""
    for name in _AUTHENTICATIONS:
        body.pop(name, None)
    body.pop("jwks", None)
    body.pop("resource", None)
    if isinstance(body.get("scope"), str):
        body["scope"] = "predict"
    if isinstance(body.get("expires_at"), str):
        body["expires_at"] = _FUTURE
    if isinstance(body.get("networks"), list):
        wanted = len(body["networks"])
        body["networks"] = [NETWORKS[place % len(NETWORKS)] for place in range(wanted)]
    if isinstance(body.get("name"), str):
        body["name"] = "".join(filter(str.isprintable, body["name"])).strip() or "x"
    limits = body.get("limits")
    if isinstance(limits, dict) and limits.get("requests_per_second") is None:
        limits.pop("burst", None)


def _table(media_type: str) -> bytes | str:
    """Write the example of the demo model; JSON Schema cannot say what a table of it is."""
    manifest = ROOT / "examples" / "models" / "housing" / "model.toml"
    row = tomllib.loads(manifest.read_text())["example"]
    if media_type == ARROW:
        return stream_of(columns_of([row]))
    return "\n".join(",".join(map(str, line)) for line in (row, row.values()))


def _order_range(query: dict[str, Any]) -> None:
    """Ask for a range that begins before it ends, and is no longer than a report may be.

    Cursors come from answers alone.
    """
    for cursor in ("after", "through"):
        query.pop(cursor, None)
    if "from" in query or "to" in query:
        query |= {"from": "2026-11-01", "to": "2026-11-02T00:00:00Z"}
