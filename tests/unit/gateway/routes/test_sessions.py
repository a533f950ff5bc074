"""People log in, look at their sessions and end them, over HTTP."""

import pytest

from auth.admins import ADMIN_SCOPES
from tests.unit.gateway.routes.control_plane import ControlPlane
from tests.unit.gateway.routes.people import PASSWORD, person

# Sessions in either database are tested with the store.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


async def test_session_opens_what_its_admin_may(plane: ControlPlane) -> None:
    """It is a bearer token like a key, and one for no predictions."""
    ada = await person(plane, scopes=tuple(sorted(ADMIN_SCOPES)))
    assert (await ada.call("GET", "/v1/tenants")).status_code == 200
    path = f"/v1/tenants/{plane.customer.tenant_id}/keys"
    made = await ada.call("POST", path, {"name": "production", "scopes": ["predict"]})
    assert made.status_code == 201
    refused = await ada.call("POST", "/v1/models/double:predict", {"instances": [1]})
    assert refused.json()["code"] == "scope_missing"


async def test_everything_wrong_gets_one_answer(plane: ControlPlane) -> None:
    """Unknown name, wrong password, disabled admin, missing code: the same bytes but for the id."""
    ada, bob = await person(plane), await person(plane, "bob")
    assert (await ada.call("PATCH", f"/v1/admins/{bob.admin_id}", {"disabled": True})).is_success
    wrong = [
        await ada.log_in(password="not the password"),
        await ada.log_in(username="nobody", password=PASSWORD),
        await ada.log_in(username="no\x00body \U0001f980", password=PASSWORD),
        await bob.log_in(),
    ]
    bodies = [{**answer.json(), "request_id": ""} for answer in wrong]
    assert [answer.status_code for answer in wrong] == [401] * 4
    assert all(body == bodies[0] for body in bodies)
    names = [sorted(answer.headers) for answer in wrong]
    assert all(name == names[0] for name in names)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"username": "ada"},
        {"username": "ada", "password": ""},
        {"username": "ada", "password": "x" * 513},
        {"username": "ada", "password": PASSWORD, "grant_type": "password"},
        {"username": ["ada"], "password": PASSWORD},
    ],
)
async def test_malformed_log_in_is_told_why_and_never_quoted(
    plane: ControlPlane, body: dict[str, object]
) -> None:
    """Before anything is counted or hashed."""
    answer = await plane.client.post("/v1/sessions", json=body)
    assert answer.status_code == 422
    assert PASSWORD not in answer.text


async def test_session_is_refused_after_log_out(plane: ControlPlane) -> None:
    """From the next request on."""
    ada = await person(plane)
    assert (await ada.call("DELETE", f"/v1/sessions/{ada.session_id}")).status_code == 204
    assert (await ada.call("GET", "/v1/tenants")).status_code == 401


async def test_own_sessions_are_listed(plane: ControlPlane) -> None:
    """Who may no more sees its own and ends its own; another's is as if it were not."""
    ada, bob = await person(plane), await person(plane, "bob", scopes=("tenants:read",))
    listed = (await bob.call("GET", "/v1/sessions")).json()["data"]
    assert [session["session_id"] for session in listed] == [bob.session_id]
    assert "session_token" not in listed[0]
    others = await bob.call("DELETE", f"/v1/sessions/{ada.session_id}")
    unknown = await bob.call("DELETE", "/v1/sessions/ses_0000000000000000")
    assert others.status_code == unknown.status_code == 404
    assert {**others.json(), "request_id": ""} == {**unknown.json(), "request_id": ""}
    assert (await ada.call("GET", "/v1/sessions")).status_code == 200


async def test_administrator_puts_others_out(plane: ControlPlane) -> None:
    """With `tenants:write` everybody's sessions are listed, and can be ended."""
    ada, bob = await person(plane), await person(plane, "bob", scopes=("tenants:read",))
    listed = (await ada.call("GET", "/v1/sessions")).json()["data"]
    assert {session["session_id"] for session in listed} == {ada.session_id, bob.session_id}
    assert (await ada.call("DELETE", f"/v1/sessions/{bob.session_id}")).status_code == 204
    assert (await bob.call("GET", "/v1/sessions")).status_code == 401


async def test_list_of_sessions_has_pages(plane: ControlPlane) -> None:
    """In the order of their ids."""
    ada = await person(plane)
    await ada.log_in()
    first = (await ada.call("GET", "/v1/sessions?limit=1")).json()
    rest = (await ada.call("GET", f"/v1/sessions?limit=1&after={first['next']}")).json()
    found = [first["data"][0]["session_id"], rest["data"][0]["session_id"]]
    assert found == sorted(found)
    assert rest["next"] is None
