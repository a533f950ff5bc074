"""Turn rows of the tables of models into plain values, and plain values into audit events."""

import hashlib
from collections.abc import Mapping
from typing import Any, Final, cast

from sqlalchemy import Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from auth.audit import Event
from auth.rows import AnyRow
from auth.tenants import PLATFORM_TENANT_ID
from gateway.models.records import (
    LabelRecord,
    ModelBook,
    ModelChanges,
    ModelRecord,
    ModelShelf,
    VersionRecord,
    VersionState,
)
from gateway.models.tables import model_labels, model_versions, models
from inference.version_policy import VersionPolicy

_TARGET_CHARACTERS: Final = 64
_SHORTENED_CHARACTERS: Final = 47


async def read_model_changes(connection: AsyncConnection, *, since: int) -> ModelChanges:
    """Read what changed after a revision (0: all)."""
    model_rows = await _changed(connection, models, since)
    version_rows = await _changed(connection, model_versions, since)
    label_rows = await _changed(connection, model_labels, since)
    return ModelChanges(
        revision=max(
            (row.revision for row in (*model_rows, *version_rows, *label_rows)), default=0
        ),
        models=tuple(map(model_from, model_rows)),
        versions=tuple(map(version_from, version_rows)),
        labels=tuple(map(label_from, label_rows)),
    )


async def read_book(connection: AsyncConnection, name: str) -> ModelBook:
    """Read the rows of one model, in the transaction that will change them."""
    shelf = ModelShelf()
    model_rows, version_rows, label_rows = [
        (await connection.execute(select(table).where(table.c.name == name))).all()
        for table in (models, model_versions, model_labels)
    ]
    shelf.apply(
        ModelChanges(
            revision=0,
            models=tuple(map(model_from, model_rows)),
            versions=tuple(map(version_from, version_rows)),
            labels=tuple(map(label_from, label_rows)),
        )
    )
    return shelf.book_of(name)


def model_from(row: AnyRow) -> ModelRecord:
    """Read a row of `models`."""
    return ModelRecord(row.name, VersionPolicy.model_validate(row.policy), row.is_loaded)


def version_from(row: AnyRow) -> VersionRecord:
    """Read a row of `model_versions`."""
    return VersionRecord(
        name=row.name,
        version=row.version,
        digest=row.digest,
        state=cast("VersionState", row.state),
        reason=row.reason,
        pushed_at=row.pushed_at,
        pushed_by=row.pushed_by,
    )


def label_from(row: AnyRow) -> LabelRecord:
    """Read a row of `model_labels`."""
    return LabelRecord(
        name=row.name,
        label=row.label,
        version=row.version,
        pending=row.pending,
        is_return=row.is_return,
        history=tuple(row.history),
    )


def version_event(action: str, before: VersionRecord | None, after: VersionRecord) -> Event:
    """Tell of a change of a version."""
    earlier = None if before is None else _version_facts(before)
    return _event(action, after.name, before=earlier, after=_version_facts(after))


def label_event(before: LabelRecord | None, after: LabelRecord) -> Event:
    """Tell that a label was moved, given or taken away."""
    earlier = None if before is None else {"label": before.label, "version": before.version}
    facts = {"label": after.label, "version": after.version}
    return _event("model.label", after.name, before=earlier, after=facts)


def loading_event(before: ModelRecord, after: ModelRecord) -> Event:
    """Tell that a model is served or not, or by another policy."""
    earlier = _model_facts(before)
    return _event("model.change", after.name, before=earlier, after=_model_facts(after))


def target_of(name: str) -> str:
    """Name a model as the audit log does: a name that is too long for it ends in its hash."""
    if len(name) <= _TARGET_CHARACTERS:
        return name
    return f"{name[:_SHORTENED_CHARACTERS]}~{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def _event(
    action: str, name: str, *, before: Mapping[str, Any] | None, after: Mapping[str, Any]
) -> Event:
    return Event(
        action=action,
        tenant_id=PLATFORM_TENANT_ID,
        target=target_of(name),
        before=before,
        after=after,
    )


def _version_facts(record: VersionRecord) -> dict[str, Any]:
    facts = {"version": record.version, "digest": record.digest, "state": record.state}
    return facts | ({"reason": record.reason} if record.reason else {})


def _model_facts(record: ModelRecord) -> dict[str, Any]:
    policy = record.policy.model_dump(exclude_none=True)
    return {"version_policy": policy, "loaded": record.is_loaded}


async def _changed(connection: AsyncConnection, table: Table, since: int) -> list[AnyRow]:
    rows = await connection.execute(select(table).where(table.c.revision > since))
    return list(rows.all())
