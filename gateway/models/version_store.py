"""Register versions by their content, and decide which are served."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy import Table, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from auth.actor import Actor
from auth.audit import Audited, Event
from auth.catalogue import EVERY_TENANT
from gateway.errors import VersionExists, VersionInUse, VersionUnavailable
from gateway.models.holding_store import HoldingStore, live_workers
from gateway.models.records import (
    CHAMPION,
    LabelRecord,
    ModelBook,
    ModelChanges,
    ModelRecord,
    VersionRecord,
    VersionState,
)
from gateway.models.rows import (
    label_event,
    loading_event,
    model_from,
    read_book,
    read_model_changes,
    version_event,
    version_from,
)
from gateway.models.tables import REASON_CHARACTERS, model_labels, model_versions, models
from inference.errors import ModelNotFound
from inference.version_policy import VersionPolicy


@dataclass(frozen=True, slots=True)
class FoundVersion:
    """A version as it lies in the repository, and what its model's author says of versions."""

    name: str
    version: str
    digest: str
    policy: VersionPolicy


class VersionStore(HoldingStore):
    """Keep what is known of versions.

    Invariant: the digest of a version that ever served never changes, so that the version that an
    answer and a bill name says which files made it.
    """

    async def read_changes(self, *, since: int) -> ModelChanges:
        """Read what changed after a revision (0: all)."""
        return await self._read(lambda connection: read_model_changes(connection, since=since))

    async def read_book(self, name: str) -> ModelBook:
        """Read everything about one model; an unknown one has no versions."""
        return await self._read(lambda connection: read_book(connection, name))

    async def list_versions(self) -> list[VersionRecord]:
        """Read every version, by name; refused ones too."""

        async def operation(connection: AsyncConnection) -> list[VersionRecord]:
            rows = await connection.execute(select(model_versions).order_by(model_versions.c.name))
            return [version_from(row) for row in rows]

        found = await self._read(operation)
        return sorted(found, key=lambda item: (item.name, int(item.version)))

    async def register_found(
        self, found: Sequence[FoundVersion], *, actor: Actor, worker_id: str
    ) -> None:
        """Register what a start found in the repository and nobody knew: first sight is trusted.

        It serves at once, unless its model is served already and others serve beside: then they
        prepare it first, as if it had been pushed.
        """
        missing = await self._read(lambda connection: _unknown(connection, found))
        if not missing:
            return

        async def change(connection: AsyncConnection, revision: int) -> Audited[None]:
            others = await live_workers(connection, now=self._now()) - {worker_id}
            events: list[Event] = []
            for item in missing:
                book = await read_book(connection, item.name)
                events += await _keep_policy(connection, book, item.policy, revision=revision)
                known = book.versions.get(item.version)
                if known is None or known.state == "refused":
                    is_served = any(one.state == "serving" for one in book.versions.values())
                    state: VersionState = "registered" if others and is_served else "serving"
                    record = self._record(item, state=state, actor=actor)
                    await put_version(connection, record, revision=revision)
                    events.append(version_event("model.register", known, record))
            return Audited(None, *events)

        await self._write(change, actor=actor, tenant_id=EVERY_TENANT)

    async def push(self, found: FoundVersion, *, actor: Actor) -> VersionRecord:
        """Register a version whose files are in place, for the workers to prepare.

        What answers where no version is named stays what it is: until somebody promotes, the
        champion is the version that answered so far. The same files once more change nothing, or
        bring a retired version back.

        Raises:
            VersionExists: the number stands for other files.
        """

        async def change(connection: AsyncConnection, revision: int) -> Audited[VersionRecord]:
            book = await read_book(connection, found.name)
            known = book.versions.get(found.version)
            check_free(book, found.version, digest=found.digest)
            if known is not None and known.state in ("registered", "serving"):
                return Audited(known)
            events = await _keep_policy(connection, book, found.policy, revision=revision)
            events += await _pin_champion(connection, book, revision=revision)
            record = self._record(found, state="registered", actor=actor)
            await put_version(connection, record, revision=revision)
            return Audited(record, *events, version_event("model.push", known, record))

        return await self._write(change, actor=actor, tenant_id=EVERY_TENANT)

    async def refuse(self, found: FoundVersion, reason: str, *, actor: Actor) -> None:
        """Note that a version was not taken, unless its number stands for one that was."""

        async def change(connection: AsyncConnection, revision: int) -> Audited[None]:
            book = await read_book(connection, found.name)
            known = book.versions.get(found.version)
            if known is not None and known.state not in ("registered", "refused"):
                return Audited(None)
            record = self._record(found, state="refused", actor=actor)
            record = replace(record, reason=reason[:REASON_CHARACTERS])
            await put_version(connection, record, revision=revision)
            return Audited(None, version_event("model.refuse", known, record))

        await self._write(change, actor=actor)

    async def retire(self, name: str, version: str, *, actor: Actor) -> VersionRecord:
        """Withdraw a version; its files stay, and pushing them again brings it back.

        Raises:
            ModelNotFound: there is no such version.
            VersionInUse: a label stands for it.
            VersionUnavailable: it was refused.
        """

        async def change(connection: AsyncConnection, revision: int) -> Audited[VersionRecord]:
            book = await read_book(connection, name)
            record = version_in(book, version)
            if record.state == "refused":
                raise VersionUnavailable(f"version {version} was refused and never served")
            for label in book.labels.values():
                if version in (label.version, label.pending):
                    raise VersionInUse(f"the label {label.label} stands for version {version}")
            if record.state == "retired":
                return Audited(record)
            retired = replace(record, state="retired")
            await put_version(connection, retired, revision=revision)
            return Audited(retired, version_event("model.retire", record, retired))

        return await self._write(change, actor=actor, tenant_id=EVERY_TENANT)

    async def set_loaded(self, name: str, *, is_loaded: bool, actor: Actor) -> None:
        """Take a whole model out of service, or bring it back as it was.

        Raises:
            ModelNotFound: there is no such model.
        """
        await self._change_model(
            name, lambda record: replace(record, is_loaded=is_loaded), actor=actor
        )

    async def set_policy(self, name: str, policy: VersionPolicy, *, actor: Actor) -> None:
        """Take over what `model.toml` says of versions.

        Raises:
            ModelNotFound: there is no such model.
        """
        await self._change_model(name, lambda record: replace(record, policy=policy), actor=actor)

    def _record(self, found: FoundVersion, *, state: VersionState, actor: Actor) -> VersionRecord:
        return VersionRecord(
            name=found.name,
            version=found.version,
            digest=found.digest,
            state=state,
            reason="",
            pushed_at=self._now(),
            pushed_by=actor.credential_id,
        )

    async def _change_model(
        self, name: str, edit: Callable[[ModelRecord], ModelRecord], *, actor: Actor
    ) -> None:
        async def change(connection: AsyncConnection, revision: int) -> Audited[None]:
            book = await read_book(connection, name)
            if not book.versions:
                raise ModelNotFound(name)
            before = ModelRecord(name, book.policy, book.is_loaded)
            after = edit(before)
            if after == before:
                return Audited(None)
            await _put_model(connection, after, revision=revision)
            return Audited(None, loading_event(before, after))

        await self._write(change, actor=actor, tenant_id=EVERY_TENANT)


def check_free(book: ModelBook, version: str, *, digest: str) -> None:
    """Pass if a number may stand for files of this digest.

    Raises:
        VersionExists: it stands for others.
    """
    known = book.versions.get(version)
    if known is not None and known.state != "refused" and known.digest != digest:
        raise VersionExists(
            f"version {version} of {book.name} is registered with other files: push these under "
            "another number"
        )


def version_in(book: ModelBook, version: str) -> VersionRecord:
    """Find a version.

    Raises:
        ModelNotFound: there is none.
    """
    record = book.versions.get(version)
    if record is None:
        raise ModelNotFound(book.name, version)
    return record


async def put_version(connection: AsyncConnection, record: VersionRecord, *, revision: int) -> None:
    """Write a version's row."""
    keys = {"name": record.name, "version": record.version}
    values = asdict(record) | {"revision": revision}
    await _put(connection, model_versions, keys=keys, values=values)


async def put_label(connection: AsyncConnection, record: LabelRecord, *, revision: int) -> None:
    """Write a label's row."""
    keys = {"name": record.name, "label": record.label}
    values = asdict(record) | {"history": list(record.history), "revision": revision}
    await _put(connection, model_labels, keys=keys, values=values)


async def _put_model(connection: AsyncConnection, record: ModelRecord, *, revision: int) -> None:
    policy = record.policy.model_dump(exclude_none=True)
    values = {"name": record.name, "policy": policy, "is_loaded": record.is_loaded}
    values["revision"] = revision
    await _put(connection, models, keys={"name": record.name}, values=values)


async def _put(
    connection: AsyncConnection, table: Table, *, keys: dict[str, str], values: dict[str, Any]
) -> None:
    """Write a row anew; the lock on the catalogue's revision keeps others away."""
    same = [table.c[name] == value for name, value in keys.items()]
    await connection.execute(delete(table).where(*same))
    await connection.execute(insert(table).values(**values))


async def _unknown(
    connection: AsyncConnection, found: Iterable[FoundVersion]
) -> list[FoundVersion]:
    """Choose what is not registered, or whose model has another policy by now."""
    versions = [version_from(row) for row in await connection.execute(select(model_versions))]
    known = {(item.name, item.version) for item in versions if item.state != "refused"}
    records = map(model_from, await connection.execute(select(models)))
    policies = {record.name: record.policy for record in records}
    return [
        item
        for item in found
        if (item.name, item.version) not in known or policies.get(item.name) != item.policy
    ]


async def _keep_policy(
    connection: AsyncConnection, book: ModelBook, policy: VersionPolicy, *, revision: int
) -> list[Event]:
    """Take over a model's policy, which lies beside its versions."""
    before = ModelRecord(book.name, book.policy, book.is_loaded)
    after = replace(before, policy=policy)
    if after == before and book.versions:
        return []
    await _put_model(connection, after, revision=revision)
    return [loading_event(before, after)] if after != before else []


async def _pin_champion(
    connection: AsyncConnection, book: ModelBook, *, revision: int
) -> list[Event]:
    """Make the version that answers so far the champion, where nobody has said which is."""
    label = book.labels.get(CHAMPION)
    default = book.view().default
    if default is None or (label is not None and label.version is not None):
        return []
    pinned = LabelRecord(book.name, CHAMPION, default)
    await put_label(connection, pinned, revision=revision)
    return [label_event(label, pinned)]
