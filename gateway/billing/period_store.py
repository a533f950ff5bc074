"""Close months and correct what was recorded, with the entry of the audit log in the same write."""

from collections.abc import Callable, Mapping
from dataclasses import asdict

from sqlalchemy.ext.asyncio import AsyncConnection

from auth.actor import Actor
from auth.audit import Audited, Event
from auth.catalogue import Catalogue
from auth.tenants import PLATFORM_TENANT_ID
from gateway.billing.documents import seal_statement
from gateway.moments import microseconds
from gateway.usage.chain import Link
from gateway.usage.closing import (
    begin_closing,
    finish_closing,
    hash_lot,
    holding_back,
    is_hashed,
    reached,
    seal,
)
from gateway.usage.corrections import Corrected, Correction, add_correction
from gateway.usage.errors import PeriodWaits
from gateway.usage.ledger import translated
from gateway.usage.period_records import PeriodRecord
from gateway.usage.pruning import mark_pruned, remove_records


class PeriodStore(Catalogue):
    """Keep the months of the ledger.

    `PeriodStore(engine, *, pepper, sealer, generation, now, announce)`: see `Catalogue`.
    """

    async def close(
        self,
        period: int,
        *,
        actor: Actor,
        on_lot: Callable[[PeriodRecord, Link], None],
        may_go_on: Callable[[], bool],
    ) -> PeriodRecord:
        """Close a month, or come as far as `may_go_on` allows; call it again to go on.

        Nothing is lost if this ends anywhere: see `gateway.usage.closing`.

        Raises:
            PeriodNotFound, PeriodNotOver, EarlierPeriodOpen: it cannot be closed now.
            PeriodWaits: it is closing, and a journal has not delivered all of it.
        """
        with translated():
            record = await self._begin_close(period, actor=actor)
        if record.state == "closed":
            return record
        if record.sealed_at_us is None:
            if waiting := await holding_back(self._engine, period):
                raise PeriodWaits(period, tuple(promise.journal_id for promise in waiting))
            record = await seal(self._engine, period, now_us=microseconds(self._now()))
        link = await reached(self._engine, record)
        while not is_hashed(record, link):
            on_lot(record, link)
            if not may_go_on():
                return record
            link = await hash_lot(self._engine, record, link)
        on_lot(record, link)
        with translated():
            return await self._finish_close(period, actor=actor)

    async def correct(
        self, correction: Correction, *, reason: str, is_forced: bool, actor: Actor
    ) -> Corrected:
        """Put a correction on the bill of the open month; one that is there already stays alone.

        Raises:
            RecordNotFound, CorrectionExists, CorrectionRefused: see `add_correction`.
        """

        async def change(connection: AsyncConnection, _revision: int) -> Audited[Corrected]:
            now_us = microseconds(self._now())
            corrected = await add_correction(
                connection, correction, now_us=now_us, is_forced=is_forced
            )
            if not corrected.is_new:
                return Audited(corrected)
            after = asdict(correction) | {"reason": reason, "period": corrected.period}
            event = Event(
                "usage.correct", corrected.tenant_id, correction.correction_id, None, after
            )
            return Audited(corrected, event)

        with translated():
            return await self._write(change, actor=actor)

    async def prune(
        self,
        period: int,
        *,
        actor: Actor,
        on_lot: Callable[[int], None],
        is_forced: bool = False,
    ) -> PeriodRecord:
        """Remove the records of a closed month; its statement and all totals stay.

        Raises:
            PeriodOpen, PeriodUndelivered: see `mark_pruned`.
        """

        async def change(connection: AsyncConnection, _revision: int) -> Audited[PeriodRecord]:
            now_us = microseconds(self._now())
            before, after = await mark_pruned(
                connection, period, now_us=now_us, is_forced=is_forced
            )
            if before == after:
                return Audited(after)
            facts = {"record_count": after.record_count, "root": after.root}
            return Audited(after, _event("period.prune", period, facts))

        with translated():
            record = await self._write(change, actor=actor)
        await remove_records(self._engine, record, on_lot=on_lot)
        return record

    async def _begin_close(self, period: int, *, actor: Actor) -> PeriodRecord:
        async def change(connection: AsyncConnection, _revision: int) -> Audited[PeriodRecord]:
            before, after = await begin_closing(
                connection, period, now_us=microseconds(self._now())
            )
            if before == after:
                return Audited(after)
            return Audited(after, _event("period.closing", period, {"state": "closing"}))

        return await self._write(change, actor=actor)

    async def _finish_close(self, period: int, *, actor: Actor) -> PeriodRecord:
        async def change(connection: AsyncConnection, _revision: int) -> Audited[PeriodRecord]:
            before, after = await finish_closing(
                connection,
                period,
                now_us=microseconds(self._now()),
                seal_document=seal_statement,
            )
            if before == after:
                return Audited(after)
            names = ("state", "record_count", "requests", "rows", "units", "root", "digest")
            facts = {name: getattr(after, name) for name in names}
            return Audited(after, _event("period.close", period, facts))

        return await self._write(change, actor=actor)


def _event(action: str, period: int, facts: Mapping[str, object]) -> Event:
    return Event(action, PLATFORM_TENANT_ID, str(period), None, facts)
