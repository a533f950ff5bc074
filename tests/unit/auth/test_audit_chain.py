"""Whatever is done to the audit log behind the server's back is found by walking its chain."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete, insert, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from auth.audit import (
    NO_ENTRY,
    Entry,
    Event,
    Head,
    canonical,
    follows,
    next_entry,
    read_head_text,
)
from auth.audit_log import append_events, audit_events, read_entries, verify_log
from auth.errors import AuditBroken, InvalidChange
from auth.store import Store
from auth.tenants import Tenant
from tests.actors import TESTER

ENTRIES = 6
COLUMNS = [column.name for column in audit_events.c]
EVENT = Event("key.create", "ten_1", "k", None, {"name": "n"})
OTHER_VALUES = {
    "hash": b"\x01" * 32,
    "previous_hash": b"\x01" * 32,
    "sequence": 77,
    "occurred_at_us": 77,
}
TEXTS = st.text(max_size=8)


def ignore(_head: Head) -> None:
    """Be told of progress and do nothing."""


@pytest.fixture
async def log(engine: AsyncEngine, store: Store, tenant: Tenant) -> AsyncEngine:
    """Fill a log, and take away what keeps the server from changing it."""
    for status in ("suspended", "active", "suspended", "active", "suspended"):
        await store.update_tenant(tenant.tenant_id, actor=TESTER, status=status)
    async with engine.begin() as connection:
        for statement in _unlocking(engine):
            await connection.execute(text(statement))
    return engine


def _unlocking(engine: AsyncEngine) -> list[str]:
    if engine.dialect.name == "sqlite":
        names = ("update", "delete", "replace")
        return [f"DROP TRIGGER audit_events_{name}" for name in names]
    return ["DROP TRIGGER audit_events_change ON audit_events"]


async def broken_at(engine: AsyncEngine, *, noted: Head = NO_ENTRY) -> int:
    """Return the first entry that does not fit."""
    with pytest.raises(AuditBroken) as found:
        await verify_log(engine, noted=noted, on_page=ignore)
    return found.value.sequence


async def test_untouched_log_is_whole(log: AsyncEngine) -> None:
    """Its head is the last entry."""
    head = await verify_log(log, on_page=ignore)
    assert head.sequence == ENTRIES
    assert await verify_log(log, noted=head, on_page=ignore) == head


@pytest.mark.parametrize("sequence", [1, 3, ENTRIES])
async def test_change_of_any_column_is_found(log: AsyncEngine, sequence: int) -> None:
    """In the first, in a middle and in the last entry."""
    for name in COLUMNS:
        other = OTHER_VALUES.get(name, "x")
        async with log.begin() as connection:
            entries = await read_entries(connection, after=0, limit=100)
            entry = next(entry for entry in entries if entry.sequence == sequence)
            row = update(audit_events).where(audit_events.c.sequence == sequence)
            await connection.execute(row.values({name: other}))
        assert await broken_at(log) == sequence, name
        async with log.begin() as connection:
            number = other if name == "sequence" else sequence
            row = update(audit_events).where(audit_events.c.sequence == number)
            await connection.execute(row.values({name: getattr(entry, name)}))
    await verify_log(log, on_page=ignore)


async def test_value_of_another_type_is_found_or_refused(log: AsyncEngine) -> None:
    """SQLite takes it into any column; PostgreSQL keeps the types itself."""
    for name in COLUMNS:
        value = "x'ff'" if name not in ("hash", "previous_hash") else "1000000000000"
        try:
            async with log.begin() as connection:
                await connection.execute(
                    text(f"UPDATE audit_events SET {name} = {value} WHERE sequence = 3")  # noqa: S608 - of constants
                )
        except DBAPIError:
            assert log.dialect.name == "postgresql"
        else:
            await broken_at(log)


@pytest.mark.parametrize("sequence", [1, 3])
async def test_removed_entry_is_found(log: AsyncEngine, sequence: int) -> None:
    """At the number that is not there."""
    async with log.begin() as connection:
        await connection.execute(delete(audit_events).where(audit_events.c.sequence == sequence))
    assert await broken_at(log) == sequence


async def test_swapped_entries_are_found(log: AsyncEngine) -> None:
    """Whose numbers say another order than the hashes."""
    number = audit_events.c.sequence
    async with log.begin() as connection:
        for before, after in ((2, 90), (4, 2), (90, 4)):
            await connection.execute(
                update(audit_events).where(number == before).values(sequence=after)
            )
    assert await broken_at(log) == 2


async def test_entry_before_the_first_is_found(log: AsyncEngine) -> None:
    """The chain begins at 1."""
    async with log.begin() as connection:
        first = (await read_entries(connection, after=0, limit=1))[0]
        await _insert(connection, replace(first, sequence=-5))
    assert await broken_at(log) == 1


async def test_cut_off_end_is_found_with_a_noted_head(log: AsyncEngine) -> None:
    """Without it a shorter log is as whole as it ever was."""
    head = await verify_log(log, on_page=ignore)
    async with log.begin() as connection:
        await connection.execute(delete(audit_events).where(audit_events.c.sequence > 4))
    assert (await verify_log(log, on_page=ignore)).sequence == 4
    assert await broken_at(log, noted=head) == 5


async def test_log_made_anew_is_found_with_a_noted_head(log: AsyncEngine) -> None:
    """Every hash fits, and the entry that was noted is another."""
    head = await verify_log(log, on_page=ignore)
    async with log.begin() as connection:
        entries = await read_entries(connection, after=0, limit=100)
        await connection.execute(delete(audit_events))
        end = NO_ENTRY
        for entry in entries:
            event = Event(entry.action, entry.tenant_id, "another", None, None)
            forged = next_entry(end, event, actor=TESTER, occurred_at_us=entry.occurred_at_us)
            await _insert(connection, forged)
            end = Head(forged.sequence, forged.hash)
    await verify_log(log, on_page=ignore)
    assert await broken_at(log, noted=head) == ENTRIES


async def test_log_that_went_on_still_has_the_noted_head(
    log: AsyncEngine, store: Store, tenant: Tenant
) -> None:
    """What was noted yesterday is in the middle today."""
    head = await verify_log(log, on_page=ignore)
    await store.update_tenant(tenant.tenant_id, actor=TESTER, status="active")
    assert (await verify_log(log, noted=head, on_page=ignore)).sequence == ENTRIES + 1


async def test_long_log_is_walked_in_pages(
    engine: AsyncEngine, store: Store, tenant: Tenant
) -> None:
    """And tells how far it has come."""
    events = [Event("key.create", tenant.tenant_id, f"k{n}", None, {}) for n in range(2100)]
    async with engine.begin() as connection:
        await append_events(connection, events, actor=TESTER, at=tenant.created_at)
    told: list[int] = []
    await verify_log(engine, on_page=lambda head: told.append(head.sequence))
    assert told == [1000, 2000, 2101]
    assert store is not None


@given(names=st.lists(TEXTS, min_size=1, max_size=6), data=st.data())
def test_no_changed_chain_passes(names: list[str], data: st.DataObject) -> None:
    """Any one member of any entry, made anything else, is found at that entry."""
    chain = _chain(names)
    index = data.draw(st.integers(0, len(chain) - 1))
    member = data.draw(st.sampled_from([field.name for field in fields(Entry)]))
    old = getattr(chain[index], member)
    new = data.draw(_others_of(old).filter(lambda value: value != old))
    changed: dict[str, Any] = {member: new}
    chain[index] = replace(chain[index], **changed)
    assert _first_break(chain) == index


@given(names=st.lists(TEXTS, min_size=2, max_size=6), data=st.data())
def test_no_reordered_chain_passes(names: list[str], data: st.DataObject) -> None:
    """A chain without one of its entries, or in another order, is no chain."""
    chain = _chain(names)
    order = data.draw(
        st.permutations(range(len(chain))).filter(lambda found: found != sorted(found))
    )
    assert _first_break([chain[place] for place in order]) is not None
    gone = data.draw(st.integers(0, len(chain) - 2))
    assert _first_break(chain[:gone] + chain[gone + 1 :]) == gone


@given(st.dictionaries(TEXTS, st.none() | st.integers() | TEXTS | st.booleans(), max_size=5))
def test_canonical_form_does_not_depend_on_the_order(members: dict[str, object]) -> None:
    """One record has one text, in ASCII."""
    backwards = dict(reversed(members.items()))
    assert canonical(members) == canonical(backwards)
    assert canonical(members).isascii()


@pytest.mark.parametrize(
    "written", ["", "5", "5:", "x:" + "0" * 64, "5:" + "0" * 63, "-1:" + "0" * 64]
)
def test_head_in_another_form_is_refused(written: str) -> None:
    """A head that cannot be read is not taken for none."""
    with pytest.raises(InvalidChange):
        read_head_text(written)


@given(st.integers(0, 10**17), st.binary(min_size=32, max_size=32))
def test_head_is_read_as_it_is_written(sequence: int, hashed: bytes) -> None:
    """By the command that printed it."""
    head = Head(sequence, hashed)
    assert read_head_text(str(head)) == head


async def _insert(connection: AsyncConnection, entry: Entry) -> None:
    row = {name: getattr(entry, name) for name in COLUMNS}
    await connection.execute(insert(audit_events).values(**row))


def _chain(names: list[str]) -> list[Entry]:
    chain: list[Entry] = []
    head = NO_ENTRY
    for name in names:
        event = replace(EVENT, after={"name": name})
        chain.append(next_entry(head, event, actor=TESTER, occurred_at_us=1))
        head = Head(chain[-1].sequence, chain[-1].hash)
    return chain


def _first_break(chain: list[Entry]) -> int | None:
    head = NO_ENTRY
    for index, entry in enumerate(chain):
        if not follows(entry, head):
            return index
        head = Head(entry.sequence, entry.hash)
    return None


def _others_of(value: object) -> st.SearchStrategy[object]:
    makers: dict[type, Callable[[], st.SearchStrategy[object]]] = {
        int: st.integers,
        bytes: lambda: st.binary(min_size=32, max_size=32),
    }
    return makers.get(type(value), lambda: st.none() | TEXTS)()
