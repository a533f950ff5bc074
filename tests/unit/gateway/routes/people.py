"""Admins who talk to the running app with passwords and sessions."""

from dataclasses import dataclass
from typing import Any

import httpx

from tests.actors import TESTER
from tests.unit.auth.cheap_passwords import cheap_hasher
from tests.unit.gateway.routes.control_plane import ControlPlane

PASSWORD = "plum kettle on the roof"
NEW_PASSWORD = "seven green bicycles"
POWERFUL = ("audit:read", "keys:write", "tenants:read", "tenants:write")


@dataclass
class Person:
    """An admin with a password, and the session that was opened last."""

    plane: ControlPlane
    admin_id: str
    username: str
    password: str = PASSWORD
    token: str = ""
    session_id: str = ""
    device_token: str | None = None

    async def log_in(self, **fields: Any) -> httpx.Response:  # noqa: ANN401 - any JSON
        """Log in and keep the session if that worked."""
        body = {"username": self.username, "password": self.password} | fields
        answer = await self.plane.client.post("/v1/sessions", json=body)
        if answer.status_code == 201:
            document = answer.json()
            self.token, self.session_id = document["session_token"], document["session_id"]
            self.device_token = document["device_token"]
        return answer

    async def call(self, method: str, path: str, body: object = None) -> httpx.Response:
        """Send a request with the session."""
        headers = {"Authorization": f"Bearer {self.token}"}
        return await self.plane.client.request(method, path, headers=headers, json=body)

    async def change(self, **fields: Any) -> httpx.Response:  # noqa: ANN401 - any JSON
        """Change oneself."""
        return await self.call("PATCH", f"/v1/admins/{self.admin_id}", fields)


async def person(
    plane: ControlPlane, username: str = "ada", *, scopes: tuple[str, ...] = POWERFUL
) -> Person:
    """Make an admin and log it in."""
    admin = await plane.services.store.create_admin(
        actor=TESTER,
        username=username,
        password_hash=cheap_hasher().hash(PASSWORD),
        scopes=scopes,
    )
    made = Person(plane, admin.admin_id, username)
    assert (await made.log_in()).status_code == 201
    return made
