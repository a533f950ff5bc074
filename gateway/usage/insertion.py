"""The SQL that takes a JSON array of records apart, in the words of either database.

The arrays are those of `UsageRecord`; journals of earlier versions hold shorter ones, without the
outcome and what is corrected.
"""

from typing import Final

from sqlalchemy import TextClause, text

from gateway.usage.record import UsageRecord
from gateway.usage.tables import usage_records

_NUMBERS: Final = ("occurred_at_us", "rows", "units", "queue_us", "compute_us")
_SIZES: Final = ("bytes_in", "bytes_out")
_OCCURRED: Final = UsageRecord._fields.index("occurred_at_us")
_SOURCES: Final = {
    "sqlite": "(SELECT value, key + 1 AS place FROM json_each(:records)) AS each",
    "postgresql": "jsonb_array_elements(CAST(:records AS jsonb))"
    " WITH ORDINALITY AS each (value, place)",
}
_KNOWN: Final = "SELECT 1 FROM usage_records AS known WHERE known.request_id"


def insert_all(dialect: str) -> TextClause:
    """Return the statement for records that are new.

    Numbers go from `last_sequence` on by the place in the array. What is there already is passed
    over, and what occurred before `pruned_through_us`, which leaves gaps.
    """
    return _insertion(dialect, "place", f"{_SOURCES[dialect]} WHERE {_kept(dialect)}")


def insert_new(dialect: str) -> TextClause:
    """Return the statement for records of which some are there, or stand in the array twice."""
    request_id = _member(dialect, 0, "request_id")
    turn = f"row_number() OVER (PARTITION BY {request_id} ORDER BY place)"
    return _insertion(
        dialect,
        "row_number() OVER (ORDER BY place)",
        f"(SELECT value, place, {turn} AS turn FROM {_SOURCES[dialect]}) AS each"  # noqa: S608 - names of our own # nosec B608
        f" WHERE turn = 1 AND {_kept(dialect)} AND NOT EXISTS ({_KNOWN} = {request_id})",
    )


def keep_conflicts(dialect: str) -> TextClause:
    """Return the statement that keeps what the ledger has with other content, each once.

    And what is still not there after `insert_new`: nobody knows whether it was before its month
    was pruned.
    """
    members = _members(dialect)
    request_id = members.pop("request_id")
    differences = (f"usage_records.{field} <> {member}" for field, member in members.items())
    return text(
        "INSERT INTO usage_conflicts (request_id, record, journal_id)"  # noqa: S608 - names of our own # nosec B608
        f" SELECT DISTINCT {request_id}, CAST(value AS text), CAST(:journal_id AS text)"
        f" FROM {_SOURCES[dialect]}"
        f" LEFT JOIN usage_records ON usage_records.request_id = {request_id}"
        f" WHERE usage_records.request_id IS NULL OR {' OR '.join(differences)}"
        " ON CONFLICT DO NOTHING RETURNING record"
    )


def _insertion(dialect: str, number: str, source: str) -> TextClause:
    """Put records in; only an id that is there is passed over, any other clash is an error."""
    values = _members(dialect)
    latest = "max" if dialect == "sqlite" else "greatest"
    values["sequence"] = f"CAST(:last_sequence AS bigint) + {number}"
    values["counted_at_us"] = f"{latest}({values['occurred_at_us']}, CAST(:open_from_us AS bigint))"
    values["period"] = _period(dialect, values["counted_at_us"])
    values["journal_id"] = "CAST(:journal_id AS text)"
    columns = [column.name for column in usage_records.columns]
    return text(
        f"INSERT INTO usage_records ({', '.join(columns)})"  # noqa: S608 - names of our own # nosec B608
        f" SELECT {', '.join(values[column] for column in columns)} FROM {source}"
        " ON CONFLICT (request_id) DO NOTHING"
    ).execution_options(preserve_rowcount=True)


def _kept(dialect: str) -> str:
    """Return the condition that a record cannot have been counted in a month that was pruned.

    Threat: its request id would tell, and is gone: a journal that comes back, or a copy of one,
    would be billed a second time.
    """
    occurred_at_us = _member(dialect, _OCCURRED, "occurred_at_us")
    return f"{occurred_at_us} >= CAST(:pruned_through_us AS bigint)"


def _members(dialect: str) -> dict[str, str]:
    return {
        field: _member(dialect, place, field) for place, field in enumerate(UsageRecord._fields)
    }


def _member(dialect: str, place: int, field: str) -> str:
    """Return SQL for one member of a record; SQLite's ``->>`` keeps the type, PostgreSQL's not."""
    member = f"value ->> {place}"
    if field in UsageRecord._field_defaults:
        return f"coalesce({member}, '{UsageRecord._field_defaults[field]}')"
    if dialect == "sqlite":
        return member
    if field == "is_test":
        return f"CAST({member} AS boolean)"
    return f"CAST({member} AS bigint)" if field in _NUMBERS + _SIZES else member


def _period(dialect: str, moment_us: str) -> str:
    if dialect == "sqlite":
        return f"CAST(strftime('%Y%m', ({moment_us}) / 1000000, 'unixepoch') AS INTEGER)"
    moment = f"to_timestamp(({moment_us}) / 1000000) AT TIME ZONE 'UTC'"
    return f"CAST(to_char({moment}, 'YYYYMM') AS integer)"
