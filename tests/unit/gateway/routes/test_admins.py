"""Admins are made, changed and disabled over HTTP, by who holds no less than they do."""

import asyncio
import base64
from datetime import UTC, datetime

import pytest

from auth.bootstrap import issue_new_token
from auth.tenants import PLATFORM_TENANT_ID
from auth.totp import code_at
from tests.actors import TESTER
from tests.unit.gateway.routes.control_plane import Caller, ControlPlane
from tests.unit.gateway.routes.people import NEW_PASSWORD, PASSWORD, POWERFUL, Person, person

# Admins in either database are tested with the store.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
ADA = {"username": "Ada", "password": PASSWORD, "scopes": ["tenants:write"]}


async def bootstrapper(plane: ControlPlane) -> Caller:
    """Return who holds the bootstrap token."""
    now = datetime.now(UTC)
    issued = await issue_new_token(plane.services.engine, actor=TESTER, now=now)
    return Caller(plane.client, PLATFORM_TENANT_ID, "", issued.token)


async def test_bootstrap_token_makes_the_first_admin(plane: ControlPlane) -> None:
    """Who can then log in."""
    somebody = await bootstrapper(plane)
    made = await somebody.post("/v1/admins", ADA)
    assert made.status_code == 201
    assert made.json()["username"] == "ada"
    assert PASSWORD not in made.text
    ada = Person(plane, made.json()["admin_id"], "ada")
    assert (await ada.log_in()).status_code == 201
    assert (await somebody.post("/v1/admins", {**ADA, "username": "bob"})).status_code == 401


async def test_bootstrap_token_opens_nothing_else(plane: ControlPlane) -> None:
    """No other operation takes it."""
    somebody = await bootstrapper(plane)
    for path in ("/v1/admins", "/v1/tenants", "/v1/sessions", "/v1/models"):
        assert (await somebody.get(path)).status_code == 401


async def test_false_bootstrap_token_is_any_bad_credential(plane: ControlPlane) -> None:
    """Told before the body is looked at."""
    somebody = await bootstrapper(plane)
    await bootstrapper(plane)
    lost = await somebody.post("/v1/admins", {"broken": True})
    nobody = await plane.client.post("/v1/admins", json=ADA)
    assert lost.status_code == nobody.status_code == 401
    assert {**lost.json(), "request_id": ""} == {**nobody.json(), "request_id": ""}


async def test_of_two_requests_with_one_token_one_wins(plane: ControlPlane) -> None:
    """The race is decided in the database."""
    somebody = await bootstrapper(plane)
    names = ("ada", "bob", "cy")
    answers = await asyncio.gather(
        *(somebody.post("/v1/admins", {**ADA, "username": name}) for name in names)
    )
    assert sorted(answer.status_code for answer in answers) == [201, 401, 401]


async def test_weak_password_leaves_the_token(plane: ControlPlane) -> None:
    """It is told why, and tries again."""
    somebody = await bootstrapper(plane)
    refused = await somebody.post("/v1/admins", {**ADA, "password": "ada-ada-tollgate-1"})
    assert refused.status_code == 422
    assert refused.json()["detail"].startswith("password: ")
    assert (await somebody.post("/v1/admins", ADA)).status_code == 201


async def test_nobody_makes_an_admin_more_powerful_than_itself(plane: ControlPlane) -> None:
    """Neither a session nor a key of the platform."""
    ada = await person(plane, scopes=("tenants:write",))
    key = await plane.caller(PLATFORM_TENANT_ID, "tenants:write")
    wish = {**ADA, "username": "bob", "scopes": ["tenants:write", "plans:write"]}
    for refused in (await ada.call("POST", "/v1/admins", wish), await key.post("/v1/admins", wish)):
        assert refused.json()["code"] == "scope_not_grantable"
    made = await key.post("/v1/admins", {**wish, "scopes": ["tenants:write"]})
    assert made.status_code == 201


async def test_admin_never_predicts(plane: ControlPlane) -> None:
    """Not even if somebody holds the scope and gives it."""
    refused = await plane.admin.post("/v1/admins", {**ADA, "scopes": ["predict"]})
    assert refused.status_code == 422


async def test_less_powerful_admin_cannot_touch_a_more_powerful_one(plane: ControlPlane) -> None:
    """With the password of the other it would have the scopes of the other."""
    boss = await person(plane, "boss")
    lesser = await person(plane, "lesser", scopes=("tenants:write",))
    path = f"/v1/admins/{boss.admin_id}"
    wishes = [{"password": NEW_PASSWORD}, {"disabled": True}, {"scopes": ["tenants:write"]}]
    for wish in wishes:
        assert (await lesser.call("PATCH", path, wish)).json()["code"] == "scope_not_grantable"
    assert (await lesser.call("DELETE", path + "/totp")).status_code == 403
    assert (await boss.log_in()).status_code == 201


async def test_nobody_widens_its_own_scopes(plane: ControlPlane) -> None:
    """Fewer are taken."""
    ada = await person(plane)
    assert (await ada.change(scopes=[*POWERFUL, "plans:write"])).status_code == 403
    assert (await ada.change(scopes=["tenants:write"])).status_code == 200
    assert (await ada.call("GET", "/v1/tenants")).json()["code"] == "scope_missing"


async def test_disabled_admin_is_out_at_once(plane: ControlPlane) -> None:
    """Its session, and its next log-in, until somebody enables it."""
    ada, bob = await person(plane), await person(plane, "bob")
    path = f"/v1/admins/{bob.admin_id}"
    assert (await ada.call("PATCH", path, {"disabled": True})).json()["disabled_at"] is not None
    assert (await bob.call("GET", "/v1/tenants")).status_code == 401
    assert (await bob.log_in()).status_code == 401
    assert (await ada.call("PATCH", path, {"disabled": False})).json()["disabled_at"] is None
    assert (await bob.log_in()).status_code == 201


async def test_own_password_needs_the_one_before(plane: ControlPlane) -> None:
    """And ends every session, the one that asked included."""
    ada = await person(plane, scopes=("tenants:read",))
    for wish in ({}, {"current_password": NEW_PASSWORD}):
        refused = await ada.change(password=NEW_PASSWORD, **wish)
        assert refused.json()["detail"].startswith("current_password: ")
    weak = await ada.change(password="ada", current_password=PASSWORD)
    assert weak.status_code == 422
    changed = await ada.change(password=NEW_PASSWORD, current_password=PASSWORD)
    assert changed.status_code == 200
    assert (await ada.call("GET", "/v1/tenants")).status_code == 401
    assert (await ada.log_in()).status_code == 401
    assert (await ada.log_in(password=NEW_PASSWORD)).status_code == 201


async def test_stolen_session_does_not_find_the_password_out(plane: ControlPlane) -> None:
    """Wrong ones are counted."""
    ada = await person(plane)
    limit = plane.services.settings.failed_log_ins_per_hour
    answers = [
        await ada.change(password=NEW_PASSWORD, current_password=f"guess {number}")
        for number in range(limit + 1)
    ]
    assert [answer.status_code for answer in answers] == [422] * limit + [429]
    assert int(answers[-1].headers["retry-after"]) > 0
    right = await ada.change(password=NEW_PASSWORD, current_password=PASSWORD)
    assert right.status_code == 429


async def test_forgotten_password_is_set_by_another_admin(plane: ControlPlane) -> None:
    """Who holds all its scopes."""
    ada, bob = await person(plane), await person(plane, "bob")
    path = f"/v1/admins/{bob.admin_id}"
    assert (await ada.call("PATCH", path, {"password": NEW_PASSWORD})).status_code == 200
    assert (await bob.call("GET", "/v1/tenants")).status_code == 401
    assert (await bob.log_in(password=NEW_PASSWORD)).status_code == 201


async def test_admins_are_read(plane: ControlPlane) -> None:
    """Everybody oneself, the others with the right to read."""
    ada, bob = await person(plane), await person(plane, "bob", scopes=("plans:write",))
    listed = (await ada.call("GET", "/v1/admins")).json()["data"]
    assert {admin["username"] for admin in listed} == {"ada", "bob"}
    assert set(listed[0]) >= {"admin_id", "scopes", "has_totp", "disabled_at", "last_log_in_at"}
    assert (await bob.call("GET", f"/v1/admins/{bob.admin_id}")).json()["username"] == "bob"
    assert (await bob.call("GET", f"/v1/admins/{ada.admin_id}")).status_code == 403
    assert (await bob.call("GET", "/v1/admins")).status_code == 403


async def test_authenticator_is_enrolled_confirmed_and_needed(plane: ControlPlane) -> None:
    """From then on the password alone is not enough."""
    ada = await person(plane)
    path = f"/v1/admins/{ada.admin_id}/totp"
    refused = await ada.call("POST", path, {"current_password": NEW_PASSWORD})
    assert refused.status_code == 422
    enrolled = (await ada.call("POST", path, {"current_password": PASSWORD})).json()
    assert enrolled["uri"].startswith("otpauth://totp/Tollgate%3Aada?secret=" + enrolled["secret"])
    assert (await ada.log_in()).status_code == 201
    code = code_now(enrolled["secret"])
    wrong = f"{(int(code) + 500_000) % 1_000_000:06}"
    assert (await ada.call("POST", path + "/confirm", {"totp": wrong})).status_code == 422
    confirmed = await ada.call("POST", path + "/confirm", {"totp": code})
    assert confirmed.json()["has_totp"]
    assert (await ada.log_in()).status_code == 401
    assert (await ada.log_in(totp=code)).status_code == 401  # it was shown once already
    assert (await ada.log_in(totp=code_now(enrolled["secret"], later=1))).status_code == 201


async def test_lost_authenticator_is_taken_out_by_another_admin(plane: ControlPlane) -> None:
    """A session alone cannot take its own second factor away."""
    ada, bob = await person(plane), await person(plane, "bob")
    path = f"/v1/admins/{bob.admin_id}/totp"
    enrolled = (await bob.call("POST", path, {"current_password": PASSWORD})).json()
    code = code_now(enrolled["secret"])
    assert (await bob.call("POST", path + "/confirm", {"totp": code})).status_code == 200
    assert (await bob.call("DELETE", path)).status_code == 422
    assert (await ada.call("DELETE", path)).status_code == 204
    assert (await bob.log_in()).status_code == 201


async def test_authenticator_of_somebody_else_is_not_to_be_had(plane: ControlPlane) -> None:
    """Whoever asks: a session, or a key of the platform."""
    ada, bob = await person(plane), await person(plane, "bob")
    path = f"/v1/admins/{bob.admin_id}/totp"
    assert (await ada.call("POST", path, {"current_password": PASSWORD})).status_code == 404
    assert (await plane.admin.post(path, {"current_password": PASSWORD})).status_code == 404


def code_now(secret: str, *, later: int = 0) -> str:
    """Read the code off an authenticator that knows the secret."""
    step = int(datetime.now(UTC).timestamp()) // 30
    return code_at(base64.b32decode(secret), step + later)
