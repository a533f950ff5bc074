"""Show entries of the audit log, and to a tenant no more of the platform than that it acted."""

import json
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field

from auth.actor import ActorKind
from auth.audit import Entry
from auth.audit_log import AuditWish
from auth.principal import Principal
from auth.tenants import PLATFORM_TENANT_ID
from gateway.dependencies import DEFAULT_PAGE_ITEMS, MAX_PAGE_ITEMS
from gateway.moments import MomentText, microseconds, moment_of, parse_moment
from gateway.schemas import Moment, ResponseSchema


class AuditQuery(BaseModel):
    """Which entries are wanted; a parameter that is not known is refused."""

    model_config = ConfigDict(extra="forbid")

    after: Annotated[
        int, Field(ge=0, le=2**53, description="`next` of the page before; 0 for the first page")
    ] = 0
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE_ITEMS, description="Most items in one page")] = (
        DEFAULT_PAGE_ITEMS
    )
    tenant_id: Annotated[
        str | None, Field(max_length=64, description="Only what was changed of this tenant")
    ] = None
    action: Annotated[
        str | None, Field(max_length=64, description="Only this, such as `key.revoke`")
    ] = None
    target: Annotated[
        str | None, Field(max_length=64, description="Only what was changed of this record")
    ] = None
    start: Annotated[MomentText | None, Field(alias="from", description="First moment")] = None
    end: Annotated[MomentText | None, Field(alias="to", description="First moment not told")] = None

    def wish(self, tenant_id: str | None) -> AuditWish:
        """Say what is wished for, of one tenant if one is named.

        Raises:
            RangeInvalid: a moment has no meaning.
        """
        return AuditWish(
            tenant_id=tenant_id,
            action=self.action,
            target=self.target,
            start_us=_read(self.start, name="from"),
            end_us=_read(self.end, name="to"),
        )


class PrincipalDocument(ResponseSchema):
    """Who made a change; to a tenant, only that it was the platform if it was."""

    kind: ActorKind | None
    id: str | None
    tenant_id: str | None


class AuditDocument(ResponseSchema):
    """One entry of the audit log."""

    sequence: int
    occurred_at: Moment
    tenant_id: str
    principal: PrincipalDocument
    request_id: str | None
    action: str
    target: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    hash: str = Field(description="SHA-256 of this entry and the hash before it, hexadecimal")

    @classmethod
    def of(cls, entry: Entry, *, is_platform: bool) -> Self:
        """Show an entry.

        Threat: the ids of the platform's credentials and requests are nothing to a customer.
        """
        is_told = is_platform or entry.actor_tenant_id != PLATFORM_TENANT_ID
        return cls(
            sequence=entry.sequence,
            occurred_at=moment_of(entry.occurred_at_us),
            tenant_id=entry.tenant_id,
            principal=PrincipalDocument(
                kind=entry.actor_kind if is_told else None,
                id=(entry.actor_id or None) if is_told else None,
                tenant_id=entry.actor_tenant_id or None,
            ),
            request_id=(entry.request_id or None) if is_told else None,
            action=entry.action,
            target=entry.target,
            before=_members(entry.before),
            after=_members(entry.after),
            hash=entry.hash.hex(),
        )


class AuditPage(ResponseSchema):
    """A part of the audit log; `next` is the `after` of the next part."""

    data: list[AuditDocument]
    next: int | None


def audit_page(entries: list[Entry], caller: Principal, *, limit: int) -> AuditPage:
    """Show the first `limit` entries; one more says that there is a next page."""
    shown = [AuditDocument.of(entry, is_platform=caller.is_platform) for entry in entries[:limit]]
    return AuditPage(data=shown, next=shown[-1].sequence if len(entries) > limit else None)


def _members(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    members: dict[str, Any] = json.loads(text)
    return members


def _read(text: str | None, *, name: str) -> int | None:
    return None if text is None else microseconds(parse_moment(text, name=name))
