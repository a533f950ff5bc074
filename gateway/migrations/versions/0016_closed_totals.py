"""Keep the totals of closed months as they are, and the book; remember how far months were pruned.

A step that has been released is never edited, so it names its columns itself.

Threat: reports read the totals, so whoever changed those of a closed month would change a bill that
was sent; and without the book no trigger would know any more what is closed.
"""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision: str | None = "0015"

_PERIOD: Final = "a closed month is never changed"
_BOOK: Final = "the book of usage only goes on"
_DETAILS: Final = ("usage_checkpoints", "usage_period_totals")
_NEXT_MONTH: Final = {
    "sqlite": (
        "CAST(strftime('%s', printf('%04d-%02d-01', max(period) / 100, max(period) % 100),"
        " '+1 month') AS INTEGER)"
    ),
    "postgresql": (
        "CAST(extract(epoch FROM make_timestamp(max(period) / 100, max(period) % 100, 1, 0, 0, 0)"
        " + interval '1 month') AS bigint)"
    ),
}
_MONTH_OF: Final = {
    "sqlite": "CAST(strftime('%Y%m', ({}) / 1000000, 'unixepoch') AS INTEGER)",
    "postgresql": (
        "CAST(to_char(to_timestamp(({}) / 1000000) AT TIME ZONE 'UTC', 'YYYYMM') AS integer)"
    ),
}
_LEAST: Final = {"sqlite": "min", "postgresql": "least"}
_WIDTHS_US: Final = {
    "usage_hours": ("hour_us", 3_600_000_000),
    "usage_days": ("day_us", 86_400_000_000),
    "usage_months": ("", 0),
}
_BACKWARDS: Final = (
    "NEW.open_from_us < OLD.open_from_us"
    " OR NEW.last_sequence < (SELECT coalesce(max(last_sequence), 0) FROM usage_periods)"
)
_ALL_BACKWARDS: Final = (
    f"{_BACKWARDS} OR NEW.folded_through_us < OLD.folded_through_us"
    " OR NEW.pruned_through_us < OLD.pruned_through_us"
)


def upgrade() -> None:
    """Add the column, write down what was pruned already, and make the triggers."""
    dialect = op.get_bind().dialect.name
    pruned = sa.Column("pruned_through_us", sa.BigInteger(), nullable=False, server_default="0")
    op.add_column("usage_book", pruned)
    op.execute(
        f"UPDATE usage_book SET pruned_through_us = coalesce((SELECT {_NEXT_MONTH[dialect]}"  # noqa: S608 - of constants alone # nosec B608
        " * 1000000 FROM usage_periods WHERE pruned_at_us IS NOT NULL), 0)"
    )
    for statement in _in_sqlite() if dialect == "sqlite" else _in_postgresql():
        op.execute(statement)


def downgrade() -> None:
    """Drop the triggers and the column again."""
    if op.get_bind().dialect.name == "sqlite":
        names = [
            f"{table}_{event}" for table in _WIDTHS_US for event in ("add", "update", "delete")
        ]
        for name in (*names, "usage_book_add", "usage_book_update", "usage_book_delete"):
            op.execute(f"DROP TRIGGER {name}")
        op.execute(_refused(("usage_book_update", "UPDATE ON usage_book", _BACKWARDS, _BOOK)))
    else:
        op.execute(_function("book_change", f"IF {_BACKWARDS} THEN {_raised(_BOOK)} END IF;"))
        for function in (*_WIDTHS_US, "book_end", "book_truncate", "truncate"):
            op.execute(f"DROP FUNCTION refuse_{function}() CASCADE")
    op.drop_column("usage_book", "pruned_through_us")


def _closed(table: str, dialect: str, row: str) -> str:
    """Return the condition that a row of totals is of a closed month, and as it will stay.

    Days and months are closed when all of their hours are in them, which may be after the month is.
    """
    column, width_us = _WIDTHS_US[table]
    limit = f"{_LEAST[dialect]}(open_from_us, folded_through_us)"
    limit = "open_from_us" if table == "usage_hours" else limit
    month = _MONTH_OF[dialect].format(limit)
    is_before = f"{row}period < (SELECT {month} FROM usage_book)"  # noqa: S608 - of constants alone # nosec B608
    if not column:
        return is_before
    is_over = f"{row}{column} + {width_us} <= (SELECT {limit} FROM usage_book)"  # noqa: S608 - of constants alone # nosec B608
    return f"({is_before} OR {is_over})"


def _in_sqlite() -> list[str]:
    triggers = []
    for table in _WIDTHS_US:
        old, new = (_closed(table, "sqlite", row) for row in ("OLD.", "NEW."))
        triggers += [
            (f"{table}_add", f"INSERT ON {table}", new, _PERIOD),
            (f"{table}_update", f"UPDATE ON {table}", f"{old} OR {new}", _PERIOD),
            (f"{table}_delete", f"DELETE ON {table}", old, _PERIOD),
        ]
    triggers += [
        # INSERT OR REPLACE removes a row without a trigger of its own.
        ("usage_book_add", "INSERT ON usage_book", "EXISTS (SELECT 1 FROM usage_book)", _BOOK),
        ("usage_book_update", "UPDATE ON usage_book", _ALL_BACKWARDS, _BOOK),
        ("usage_book_delete", "DELETE ON usage_book", "true", _BOOK),
    ]
    return ["DROP TRIGGER usage_book_update", *map(_refused, triggers)]


def _refused(trigger: tuple[str, str, str, str]) -> str:
    name, event, condition, refusal = trigger
    return (
        f"CREATE TRIGGER {name} BEFORE {event} FOR EACH ROW WHEN {condition}"
        f" BEGIN SELECT RAISE(ABORT, '{refusal}'); END"
    )


def _in_postgresql() -> list[str]:
    """Look at a whole statement once, as every delivery adds to the totals."""
    has_book = "TG_OP = 'DELETE' OR EXISTS (SELECT 1 FROM usage_book)"
    made = [
        _function("book_change", f"IF {_ALL_BACKWARDS} THEN {_raised(_BOOK)} END IF;"),
        _function("book_end", f"IF {has_book} THEN {_raised(_BOOK)} END IF;"),
        _function("book_truncate", _raised(_BOOK)),
        _function("truncate", _raised(_PERIOD)),
        (
            "CREATE TRIGGER usage_book_end BEFORE INSERT OR DELETE ON usage_book"
            " FOR EACH ROW EXECUTE FUNCTION refuse_book_end()"
        ),
    ]
    emptied = dict.fromkeys((*_WIDTHS_US, *_DETAILS), "truncate") | {"usage_book": "book_truncate"}
    made += [
        f"CREATE TRIGGER {table}_empty BEFORE TRUNCATE ON {table}"
        f" FOR EACH STATEMENT EXECUTE FUNCTION refuse_{function}()"
        for table, function in emptied.items()
    ]
    for table in _WIDTHS_US:
        made += _totals_in_postgresql(table)
    return made


def _totals_in_postgresql(table: str) -> list[str]:
    closed = _closed(table, "postgresql", "")
    looks = "".join(
        f"IF TG_OP <> '{other}' THEN IF EXISTS (SELECT 1 FROM {rows} WHERE {closed})"  # noqa: S608 - of constants alone # nosec B608
        f" THEN {_raised(_PERIOD)} END IF; END IF; "
        for rows, other in (("gone", "INSERT"), ("added", "DELETE"))
    )
    events = {
        "INSERT": "NEW TABLE AS added",
        "UPDATE": "OLD TABLE AS gone NEW TABLE AS added",
        "DELETE": "OLD TABLE AS gone",
    }
    return [
        _function(table, looks),
        *(
            f"CREATE TRIGGER {table}_{event.lower()} AFTER {event} ON {table}"
            f" REFERENCING {rows} FOR EACH STATEMENT EXECUTE FUNCTION refuse_{table}()"
            for event, rows in events.items()
        ),
    ]


def _raised(refusal: str) -> str:
    return f"RAISE EXCEPTION '{refusal}';"


def _function(name: str, body: str) -> str:
    """Return a function for triggers; what it returns matters to those before a row alone."""
    return (
        f"CREATE OR REPLACE FUNCTION refuse_{name}() RETURNS trigger LANGUAGE plpgsql"
        f" AS $$ BEGIN {body} RETURN coalesce(NEW, OLD); END $$"
    )
