"""Move labels between versions, and let everybody see a change at the same moment.

A change is prepared first: every process that serves loads the version, and says so. Whoever sees
that the last one has done it writes the one row that makes the change visible; its revision is the
catalogue's, so every process sees it with the next request that it takes.
"""

import re
from dataclasses import replace
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from auth.actor import Actor
from auth.audit import Audited, Event
from auth.catalogue import EVERY_TENANT
from auth.errors import InvalidChange
from gateway.errors import NothingBefore, VersionUnavailable
from gateway.models.holding_store import live_workers, reports_of
from gateway.models.records import CHAMPION, LabelRecord, ModelBook, VersionRecord, VersionState
from gateway.models.rows import label_event, read_book, version_event
from gateway.models.tables import REASON_CHARACTERS
from gateway.models.trial_rows import end_trial_in
from gateway.models.version_store import VersionStore, put_label, put_version, version_in

_MAX_HISTORY: Final = 16
_is_label: Final = re.compile(r"[A-Za-z_][A-Za-z0-9._-]{0,63}").fullmatch


class ModelStore(VersionStore):
    """Keep the versions of models and their labels.

    `ModelStore(engine, *, pepper, sealer, generation, now, announce)`: see `Catalogue`.
    """

    async def set_label(self, name: str, label: str, *, version: str, actor: Actor) -> LabelRecord:
        """Let a label stand for a version: at once where every worker has it, else when they do.

        Raises:
            InvalidChange: that is no label.
            ModelNotFound: there is no such version.
            VersionUnavailable: it is retired or was refused.
        """
        check_label(label)

        async def change(connection: AsyncConnection, revision: int) -> Audited[LabelRecord]:
            book = await read_book(connection, name)
            record = version_in(book, version)
            if record.state not in ("registered", "serving"):
                raise VersionUnavailable(f"version {version} is {record.state}")
            before = _label_in(book, label)
            if before.version == version and before.pending is None:
                return Audited(before)
            wished = replace(before, pending=version, is_return=False)
            return await self._move(connection, book, wished, revision=revision)

        return await self._write(change, actor=actor, tenant_id=EVERY_TENANT)

    async def roll_back(self, name: str, label: str, *, actor: Actor) -> LabelRecord:
        """Let a label stand again for what it stood for before.

        Raises:
            ModelNotFound: there is no such model.
            NothingBefore: it stood for nothing else that is still served.
        """

        async def change(connection: AsyncConnection, revision: int) -> Audited[LabelRecord]:
            book = await read_book(connection, name)
            version_in(book, max(book.versions, default=""))
            before = _label_in(book, label)
            earlier = [
                version
                for version in before.history
                if version_in(book, version).state == "serving"
            ]
            if not earlier:
                raise NothingBefore(f"{label} stood for no other version that is still served")
            wished = replace(before, pending=earlier[-1], is_return=True)
            return await self._move(connection, book, wished, revision=revision)

        return await self._write(change, actor=actor, tenant_id=EVERY_TENANT)

    async def remove_label(self, name: str, label: str, *, actor: Actor) -> None:
        """Take a label away; one that is not there is no fault.

        Raises:
            ModelNotFound: there is no such model.
        """

        async def change(connection: AsyncConnection, revision: int) -> Audited[None]:
            book = await read_book(connection, name)
            version_in(book, max(book.versions, default=""))
            before = _label_in(book, label)
            if before.version is None and before.pending is None:
                return Audited(None)
            after = LabelRecord(name, label, None)
            await put_label(connection, after, revision=revision)
            return Audited(None, label_event(before, after))

        await self._write(change, actor=actor, tenant_id=EVERY_TENANT)

    async def settle(self, name: str, *, actor: Actor) -> None:
        """Make visible what every worker has in memory by now, and refuse what one cannot load."""

        async def change(connection: AsyncConnection, revision: int) -> Audited[None]:
            book = await read_book(connection, name)
            events: list[Event] = []
            for record in [one for one in book.versions.values() if one.state == "registered"]:
                events += await self._settle_version(connection, book, record, revision=revision)
            for label in [one for one in book.labels.values() if one.pending is not None]:
                events += (await self._move(connection, book, label, revision=revision)).events
            return Audited(None, *events)

        if await self._read(lambda connection: self._may_settle(connection, name)):
            await self._write(change, actor=actor, tenant_id=EVERY_TENANT)

    async def progress_of(self, name: str) -> str | None:
        """Say how far the workers are with all that callers see of a model.

        None while one is at it, empty when all have it in memory, else why one cannot.
        """

        async def operation(connection: AsyncConnection) -> str | None:
            book = await read_book(connection, name)
            outcomes = [
                await self._outcome(connection, book, version) for version in book.view().visible
            ]
            if any(outcomes):
                return next(reason for reason in outcomes if reason)
            return None if None in outcomes else ""

        return await self._read(operation)

    async def abandon(self, name: str, label: str, *, actor: Actor) -> None:
        """Give up a move of a label that has not happened."""

        async def change(connection: AsyncConnection, revision: int) -> Audited[None]:
            before = _label_in(await read_book(connection, name), label)
            if before.pending is not None:
                after = replace(before, pending=None, is_return=False)
                await put_label(connection, after, revision=revision)
            return Audited(None)

        await self._write(change, actor=actor)

    async def _may_settle(self, connection: AsyncConnection, name: str) -> bool:
        book = await read_book(connection, name)
        outcomes = [
            await self._outcome(connection, book, version) for version in book.view().preparing
        ]
        return any(outcome is not None for outcome in outcomes)

    async def _settle_version(
        self, connection: AsyncConnection, book: ModelBook, record: VersionRecord, *, revision: int
    ) -> list[Event]:
        reason = await self._outcome(connection, book, record.version)
        if reason is None:
            return []
        state: VersionState = "refused" if reason else "serving"
        settled = replace(record, state=state, reason=reason[:REASON_CHARACTERS])
        book.versions[record.version] = settled
        await put_version(connection, settled, revision=revision)
        return [version_event("model.refuse" if reason else "model.serve", record, settled)]

    async def _move(
        self, connection: AsyncConnection, book: ModelBook, wished: LabelRecord, *, revision: int
    ) -> Audited[LabelRecord]:
        """Move a label to its pending version if every worker has it; else note the wish."""
        version = wished.pending or ""
        before = book.labels.get(wished.label)
        reason = await self._outcome(connection, book, version)
        is_serving = book.versions[version].state == "serving"
        if reason:
            after = replace(wished, pending=None, is_return=False)
        elif reason is None or not is_serving:
            after = wished
        else:
            after = _moved(wished, before_champion=book.view().default)
        if after != before:
            await put_label(connection, after, revision=revision)
        if before is not None and after.version == before.version:
            return Audited(after)
        events = [label_event(before, after)]
        if wished.label == CHAMPION:
            events += await end_trial_in(connection, book.name, revision=revision, now=self._now())
        return Audited(after, *events)

    async def _outcome(
        self, connection: AsyncConnection, book: ModelBook, version: str
    ) -> str | None:
        """Say how preparing went: None while somebody is at it, empty when everybody has it."""
        live = await live_workers(connection, now=self._now())
        reports = await reports_of(
            connection, book.name, version, digest=book.versions[version].digest
        )
        told = {worker: reason for worker, reason in reports.items() if worker in live}
        if any(told.values()):
            return next(reason for reason in told.values() if reason)
        return "" if told.keys() >= live else None


def check_label(label: str) -> None:
    """Pass what can be a label: a word that cannot be taken for a number.

    Raises:
        InvalidChange: it cannot.
    """
    if _is_label(label) is None:
        raise InvalidChange("must be letters, digits, '.', '_' or '-', no digit first", "label")


def _label_in(book: ModelBook, label: str) -> LabelRecord:
    return book.labels.get(label, LabelRecord(book.name, label, None))


def _moved(wished: LabelRecord, *, before_champion: str | None) -> LabelRecord:
    """Let a label stand for its pending version, and remember what it stood for."""
    version = wished.pending
    current = wished.version
    if current is None and wished.label == CHAMPION:
        current = before_champion
    history = wished.history
    if wished.is_return:
        place = len(history) - 1 - history[::-1].index(version or "")
        history = history[:place]
    elif current is not None and current != version:
        history = (*history, current)[-_MAX_HISTORY:]
    return replace(wished, version=version, pending=None, is_return=False, history=history)
