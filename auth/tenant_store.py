"""Create, read and change plans and tenants."""

from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import Any, Final

from sqlalchemy import Table, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from auth.actor import Actor
from auth.api_keys import random_base62
from auth.audit import Audited, Event, facts_of
from auth.catalogue import Catalogue
from auth.errors import InvalidChange, PlanNotFound, TenantNotFound
from auth.rows import AnyRow, plan_from, tenant_from
from auth.rules import (
    check_count,
    check_models,
    check_name,
    check_page,
    check_rate,
    check_weight,
    is_id,
)
from auth.tables import plans, tenants
from auth.tenants import PLATFORM_TENANT_ID, Plan, Tenant, TenantStatus

ID_CHARACTERS: Final = 16


class TenantStore(Catalogue):
    """Keep plans and tenants.

    Threat: server-owned fields (ids, times, a new tenant's status) are no parameters of any
    method, so no request body can assign them.
    """

    async def create_plan(
        self,
        *,
        actor: Actor,
        name: str,
        requests_per_second: float | None,
        burst: int | None,
        units_per_month: int | None,
        max_in_flight: int | None,
        weight: int = 1,
    ) -> Plan:
        """Offer a new plan; a limit of None is no limit, a rate without a burst gets one.

        Raises:
            InvalidChange: a value is out of range.
        """
        check_count(units_per_month, field="units_per_month", least=0)
        check_count(max_in_flight, field="max_in_flight", least=1)
        check_weight(weight)
        plan = Plan(
            plan_id="plan_" + random_base62(ID_CHARACTERS),
            name=check_name(name),
            requests_per_second=requests_per_second,
            burst=check_rate(requests_per_second, burst),
            units_per_month=units_per_month,
            max_in_flight=max_in_flight,
            weight=weight,
            created_at=self._now(),
        )

        async def change(connection: AsyncConnection, revision: int) -> Audited[None]:
            await connection.execute(insert(plans).values(**asdict(plan), revision=revision))
            created = Event(
                action="plan.create",
                tenant_id=PLATFORM_TENANT_ID,
                target=plan.plan_id,
                before=None,
                after=facts_of(plan),
            )
            return Audited(None, created)

        await self._write(change, actor=actor)
        return plan

    async def get_plan(self, plan_id: str) -> Plan:
        """Return a plan.

        Raises:
            PlanNotFound: there is none of this id.
        """
        return await self._read(lambda connection: plan_in(connection, plan_id))

    async def list_plans(self, *, after: str | None, limit: int) -> list[Plan]:
        """Return a page of plans in the order of their ids.

        Raises:
            InvalidChange: `after` or `limit` is unreasonable.
        """
        return [plan_from(row) for row in await self._page(plans, after=after, limit=limit)]

    async def create_tenant(
        self, *, actor: Actor, name: str, plan_id: str | None, models: Iterable[str]
    ) -> Tenant:
        """Take on a customer, active at once.

        Raises:
            InvalidChange: a value is not taken.
            PlanNotFound: there is no such plan.
        """
        tenant = Tenant(
            tenant_id="ten_" + random_base62(ID_CHARACTERS),
            name=check_name(name),
            plan_id=plan_id,
            models=tuple(check_models(models)),
            status="active",
            created_at=self._now(),
        )

        async def change(connection: AsyncConnection, revision: int) -> Audited[None]:
            if plan_id is not None:
                await plan_in(connection, plan_id)
            await connection.execute(insert(tenants).values(**asdict(tenant), revision=revision))
            return Audited(None, _event("tenant.create", None, tenant))

        await self._write(change, actor=actor)
        return tenant

    async def get_tenant(self, tenant_id: str) -> Tenant:
        """Return a tenant, also one that was deleted: bills name it still.

        Raises:
            TenantNotFound: there is none of this id.
        """
        return await self._read(lambda connection: _tenant_ever_in(connection, tenant_id))

    async def get_plan_of(self, tenant_id: str) -> Plan | None:
        """Return the plan of a tenant; None where it has none.

        Raises:
            TenantNotFound: there is no such tenant, or it was deleted.
        """

        async def operation(connection: AsyncConnection) -> Plan | None:
            tenant = await tenant_in(connection, tenant_id)
            return None if tenant.plan_id is None else await plan_in(connection, tenant.plan_id)

        return await self._read(operation)

    async def list_tenants(self, *, after: str | None, limit: int) -> list[Tenant]:
        """Return a page of tenants in the order of their ids, deleted ones too.

        Raises:
            InvalidChange: `after` or `limit` is unreasonable.
        """
        return [tenant_from(row) for row in await self._page(tenants, after=after, limit=limit)]

    async def update_tenant(
        self,
        tenant_id: str,
        *,
        actor: Actor,
        status: TenantStatus | None = None,
        plan_id: str | None = None,
        models: Iterable[str] | None = None,
    ) -> Tenant:
        """Change what is given and leave the rest.

        Raises:
            InvalidChange: a value is not taken, or the platform would be suspended.
            PlanNotFound: there is no such plan.
            TenantNotFound: there is no such tenant, or it was deleted.
        """
        values: dict[str, Any] = {}
        if status is not None:
            values["status"] = _checked_status(status, tenant_id=tenant_id)
        if models is not None:
            values["models"] = check_models(models)
        if plan_id is not None:
            values["plan_id"] = plan_id

        async def change(connection: AsyncConnection, revision: int) -> Audited[Tenant]:
            before = await tenant_in(connection, tenant_id)
            if plan_id is not None:
                await plan_in(connection, plan_id)
            changed = update(tenants).where(tenants.c.tenant_id == tenant_id)
            await connection.execute(changed.values(**values, revision=revision))
            after = await tenant_in(connection, tenant_id)
            return Audited(after, _event("tenant.update", before, after))

        return await self._write(change, actor=actor, tenant_id=tenant_id)

    async def delete_tenant(self, tenant_id: str, *, actor: Actor) -> None:
        """Delete a tenant for good, before this returns; once more changes nothing.

        Its credentials are unknown from then on. Its row stays, so that the ledger and the audit
        log keep their meaning, and nothing brings it back.

        Raises:
            InvalidChange: the platform would be deleted.
            TenantNotFound: there never was such a tenant.
        """
        if tenant_id == PLATFORM_TENANT_ID:
            raise InvalidChange("the platform cannot be deleted", "tenant_id")
        now = self._now()

        async def change(connection: AsyncConnection, revision: int) -> Audited[None]:
            before = await _tenant_ever_in(connection, tenant_id)
            if before.status == "deleted":
                return Audited(None)
            after = replace(before, status="deleted", deleted_at=now)
            deleted = update(tenants).where(tenants.c.tenant_id == tenant_id)
            stamped = deleted.values(status="deleted", deleted_at=now, revision=revision)
            await connection.execute(stamped)
            return Audited(None, _event("tenant.delete", before, after))

        await self._write(change, actor=actor, tenant_id=tenant_id)

    async def _page(self, table: Table, *, after: str | None, limit: int) -> list[AnyRow]:
        check_page(after, limit)
        [key] = table.primary_key.columns
        query = select(table).order_by(key).limit(limit)
        if after is not None:
            query = query.where(key > after)

        async def operation(connection: AsyncConnection) -> list[AnyRow]:
            return list(await connection.execute(query))

        return await self._read(operation)


def _event(action: str, before: Tenant | None, after: Tenant) -> Event:
    return Event(
        action=action,
        tenant_id=after.tenant_id,
        target=after.tenant_id,
        before=None if before is None else facts_of(before),
        after=facts_of(after),
    )


async def plan_in(connection: AsyncConnection, plan_id: str) -> Plan:
    """Return a plan within a transaction.

    Raises:
        PlanNotFound: there is none of this id.
    """
    row = None
    if is_id(plan_id):
        row = (await connection.execute(select(plans).where(plans.c.plan_id == plan_id))).first()
    if row is None:
        raise PlanNotFound("there is no such plan")
    return plan_from(row)


async def tenant_in(connection: AsyncConnection, tenant_id: str) -> Tenant:
    """Return a tenant within a transaction.

    Threat: a deleted tenant that is found here gets new keys, and is back.

    Raises:
        TenantNotFound: there is none of this id, or it was deleted.
    """
    tenant = await _tenant_ever_in(connection, tenant_id)
    if tenant.status == "deleted":
        raise TenantNotFound("the tenant was deleted")
    return tenant


async def _tenant_ever_in(connection: AsyncConnection, tenant_id: str) -> Tenant:
    row = None
    if is_id(tenant_id):
        query = select(tenants).where(tenants.c.tenant_id == tenant_id)
        row = (await connection.execute(query)).first()
    if row is None:
        raise TenantNotFound("there is no such tenant")
    return tenant_from(row)


def _checked_status(status: str, *, tenant_id: str) -> str:
    """Pass a status; the platform stays active, or nobody could undo it."""
    if status not in ("active", "suspended"):
        raise InvalidChange("must be active or suspended", "status")
    if tenant_id == PLATFORM_TENANT_ID and status != "active":
        raise InvalidChange("the platform cannot be suspended", "status")
    return status
