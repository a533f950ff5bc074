"""Say what the operations on admins and sessions take and give (rules: `gateway/schemas.py`)."""

from typing import Annotated, Final, Self

from pydantic import ConfigDict, Field, SecretStr, StringConstraints, model_validator

from auth.admins import IssuedSession, Session
from auth.devices import MAX_CHARACTERS
from auth.totp import base32_of, provisioning_uri
from gateway.admin_documents import AdminDocument
from gateway.log_ins import OpenedSession
from gateway.schemas import Moment, Page, RequestSchema, ResponseSchema, ScopeName

_MOST_TYPED: Final = 512
"""Bytes of work that a password may cause before its length in characters is judged."""

Username = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Password = Annotated[SecretStr, Field(min_length=1, max_length=_MOST_TYPED)]
Code = Annotated[str, StringConstraints(max_length=16)]
Scopes = Annotated[list[ScopeName], Field(min_length=1, max_length=64)]

_ISSUER: Final = "Tollgate"


class NewSession(RequestSchema):
    """A log-in: a password, the code of the authenticator if there is one, and the device."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"username": "ada", "password": "plum kettle on the roof"}}
    )

    username: Username
    password: Password
    totp: Code | None = None
    device_token: Annotated[str, StringConstraints(max_length=MAX_CHARACTERS)] | None = None


class SessionDocument(ResponseSchema):
    """A session, without its token."""

    session_id: str
    admin_id: str
    created_at: Moment
    expires_at: Moment
    idle_ends_at: Moment
    last_used_at: Moment
    revoked_at: Moment | None

    @classmethod
    def of(cls, session: Session) -> Self:
        """Show a session."""
        return cls.model_validate(session)


class OpenedSessionDocument(SessionDocument):
    """A session with its token, which is shown this once, and a token for the next log-in."""

    session_token: str = Field(repr=False)
    device_token: str = Field(repr=False)

    @classmethod
    def of_opened(cls, opened: OpenedSession) -> Self:
        """Show a session that was just opened."""
        issued: IssuedSession = opened.issued
        fields = SessionDocument.of(issued.session).model_dump()
        return cls(**fields, session_token=issued.token, device_token=opened.device_token)


class NewAdmin(RequestSchema):
    """An admin to make: a person with a password and scopes."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "username": "ada",
                "password": "plum kettle on the roof",
                "scopes": ["tenants:read", "tenants:write", "keys:write"],
            }
        }
    )

    username: Username
    password: Password
    scopes: Scopes


class AdminChange(RequestSchema):
    """What to change of an admin; members that are absent stay as they are.

    One's own password is changed with the one before, in `current_password`.
    """

    model_config = ConfigDict(json_schema_extra={"example": {"disabled": True}})

    disabled: bool | None = None
    scopes: Scopes | None = None
    password: Password | None = None
    current_password: Password | None = None

    @model_validator(mode="after")
    def _refuse_nothing(self) -> Self:
        if self.disabled is None and self.scopes is None and self.password is None:
            message = "name at least one of disabled, scopes and password"
            raise ValueError(message)
        return self


class TotpEnrolment(RequestSchema):
    """One's own password, without which a session alone could put another's telephone in."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"current_password": "plum kettle on the roof"}}
    )

    current_password: Password


class TotpConfirmation(RequestSchema):
    """The first code of a new authenticator."""

    model_config = ConfigDict(json_schema_extra={"example": {"totp": "492039"}})

    totp: Code


class TotpSecretDocument(ResponseSchema):
    """The secret of a new authenticator, which is shown this once."""

    secret: str = Field(repr=False)
    uri: str = Field(repr=False)

    @classmethod
    def of(cls, secret: bytes, *, username: str) -> Self:
        """Show a secret as authenticators read it."""
        uri = provisioning_uri(secret, username=username, issuer=_ISSUER)
        return cls(secret=base32_of(secret), uri=uri)


class AdminPage(Page[AdminDocument]):
    """A part of the list of admins."""


class SessionPage(Page[SessionDocument]):
    """A part of the list of sessions."""
