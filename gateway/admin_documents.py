"""Say what is shown of an admin, over HTTP and by the command alike."""

from typing import Self

from auth.admins import Admin
from gateway.schemas import Moment, ResponseSchema


class AdminDocument(ResponseSchema):
    """An admin, without anything that proves it."""

    admin_id: str
    username: str
    scopes: list[str]
    has_totp: bool
    created_at: Moment
    disabled_at: Moment | None
    password_changed_at: Moment
    last_log_in_at: Moment | None

    @classmethod
    def of(cls, admin: Admin) -> Self:
        """Show an admin."""
        fields = {name: getattr(admin, name) for name in cls.model_fields}
        return cls.model_validate({**fields, "scopes": sorted(admin.scopes)})
