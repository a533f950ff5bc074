"""Make the tables of closed months, and keep what is closed as it is.

A step that has been released is never edited, so it names its columns itself.

Threat: a defect of the server, or a statement that somebody runs by hand, would change a bill that
was sent. The triggers refuse it; the owner of the database can drop them, and is found out by the
chain of hashes.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision: str | None = "0012"

_TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")
_LEDGER = "records of usage are never changed, and those of a closed month not removed"
_PERIOD = "a closed month is never changed"
_BOOK = "the book of usage only goes on"
_DETAILS = ("usage_checkpoints", "usage_period_totals")
_OPEN = "(SELECT open_from_us FROM usage_book)"
_KEPT = (
    "EXISTS (SELECT 1 FROM usage_periods WHERE period = OLD.period AND pruned_at_us IS NOT NULL)"
)
_IS_CLOSED = "EXISTS (SELECT 1 FROM usage_periods WHERE period = {}.period AND state = 'closed')"
_SAID = (
    *("period", "state", "closing_at_us", "after_sequence", "previous_root", "sealed_at_us"),
    *("last_sequence", "closed_at_us", "record_count", "requests", "rows", "units", "root"),
    *("next_after", "digest", "signature"),
)
_ANOTHER = {
    "sqlite": " OR ".join(f"NEW.{name} IS NOT OLD.{name}" for name in _SAID),
    "postgresql": " OR ".join(f"NEW.{name} IS DISTINCT FROM OLD.{name}" for name in _SAID),
}
_CHANGES = "OLD.state = 'closed' AND (OLD.pruned_at_us IS NOT NULL OR {})"
_BACKWARDS = (
    "NEW.open_from_us < OLD.open_from_us"
    " OR NEW.last_sequence < (SELECT coalesce(max(last_sequence), 0) FROM usage_periods)"
)


def upgrade() -> None:
    """Create the tables, an index for corrections, and the triggers."""
    _make_tables()
    op.create_index(
        "ix_usage_records_corrects",
        "usage_records",
        ["corrects"],
        sqlite_where=sa.text("corrects <> ''"),
        postgresql_where=sa.text("corrects <> ''"),
    )
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in _sqlite_triggers() if is_sqlite else _postgresql_triggers():
        op.execute(statement)


def downgrade() -> None:
    """Drop everything again."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    if is_sqlite:
        for name in ("usage_records_add", "usage_records_update", "usage_records_delete"):
            op.execute(f"DROP TRIGGER {name}")
        op.execute("DROP TRIGGER usage_book_update")
    else:
        for function in ("ledger_update", "ledger_delete", "ledger_insert", "book_change"):
            op.execute(f"DROP FUNCTION refuse_{function}() CASCADE")
    op.drop_index("ix_usage_records_corrects", "usage_records")
    for table in (*_DETAILS, "usage_periods"):
        op.drop_table(table)
    if not is_sqlite:
        for function in ("period_change", "detail_change"):
            op.execute(f"DROP FUNCTION refuse_{function}()")


def _make_tables() -> None:
    op.create_table(
        "usage_periods",
        sa.Column("period", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("closing_at_us", sa.BigInteger(), nullable=False),
        sa.Column("after_sequence", sa.BigInteger(), nullable=False),
        sa.Column("previous_root", sa.String(64), nullable=False),
        sa.Column("sealed_at_us", sa.BigInteger()),
        sa.Column("last_sequence", sa.BigInteger()),
        sa.Column("closed_at_us", sa.BigInteger()),
        sa.Column("record_count", sa.BigInteger()),
        sa.Column("requests", sa.BigInteger()),
        sa.Column("rows", sa.BigInteger()),
        sa.Column("units", sa.BigInteger()),
        sa.Column("root", sa.String(64)),
        sa.Column("next_after", sa.BigInteger()),
        sa.Column("digest", sa.String(64)),
        sa.Column("signature", _TEXT),
        sa.Column("pruned_at_us", sa.BigInteger()),
        sa.PrimaryKeyConstraint("period", name="pk_usage_periods"),
    )
    op.create_table(
        "usage_checkpoints",
        sa.Column("period", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("through_sequence", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("record_count", sa.BigInteger(), nullable=False),
        sa.Column("head", sa.String(64), nullable=False),
        sa.Column("later_sequence", sa.BigInteger()),
        sa.Column("marks", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("period", "through_sequence", name="pk_usage_checkpoints"),
    )
    op.create_table(
        "usage_period_totals",
        sa.Column("period", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("tenant_id", _TEXT, nullable=False),
        sa.Column("model", _TEXT, nullable=False),
        sa.Column("is_test", sa.Boolean(), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("units", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            *("period", "tenant_id", "model", "is_test"), name="pk_usage_period_totals"
        ),
    )


def _sqlite_triggers() -> list[str]:
    changes = _CHANGES.format(_ANOTHER["sqlite"])
    triggers = [
        ("usage_records_update", "UPDATE ON usage_records", "true", _LEDGER),
        (
            "usage_records_delete",
            "DELETE ON usage_records",
            f"OLD.counted_at_us < {_OPEN} AND NOT {_KEPT}",
            _LEDGER,
        ),
        ("usage_records_add", "INSERT ON usage_records", f"NEW.counted_at_us < {_OPEN}", _LEDGER),
        ("usage_book_update", "UPDATE ON usage_book", _BACKWARDS, _BOOK),
        ("usage_periods_update", "UPDATE ON usage_periods", changes, _PERIOD),
        ("usage_periods_delete", "DELETE ON usage_periods", "true", _PERIOD),
        # INSERT OR REPLACE removes a row without the trigger above.
        (
            "usage_periods_add",
            "INSERT ON usage_periods",
            "EXISTS (SELECT 1 FROM usage_periods WHERE period = NEW.period)",
            _PERIOD,
        ),
    ]
    for table in _DETAILS:
        triggers += [
            (f"{table}_add", f"INSERT ON {table}", _IS_CLOSED.format("NEW"), _PERIOD),
            (f"{table}_update", f"UPDATE ON {table}", _IS_CLOSED.format("OLD"), _PERIOD),
            (
                f"{table}_delete",
                f"DELETE ON {table}",
                f"{_IS_CLOSED.format('OLD')} AND NOT {_KEPT}",
                _PERIOD,
            ),
        ]
    return [
        f"CREATE TRIGGER {name} BEFORE {event} FOR EACH ROW WHEN {condition}"
        f" BEGIN SELECT RAISE(ABORT, '{refusal}'); END"
        for name, event, condition, refusal in triggers
    ]


def _postgresql_functions() -> list[str]:
    """Say what is refused; what is about records looks at a whole statement once."""
    changes = _CHANGES.format(_ANOTHER["postgresql"])
    sealed = f"counted_at_us < {_OPEN}"
    pruned = "SELECT period FROM usage_periods WHERE pruned_at_us IS NOT NULL"
    functions = {
        "ledger_update": (f"RAISE EXCEPTION '{_LEDGER}';", "NULL"),
        "ledger_delete": (
            (
                f"IF EXISTS (SELECT 1 FROM gone WHERE {sealed} AND period NOT IN ({pruned}))"  # noqa: S608 - of constants alone # nosec B608
                f" THEN RAISE EXCEPTION '{_LEDGER}'; END IF;"
            ),
            "NULL",
        ),
        "ledger_insert": (
            (
                f"IF EXISTS (SELECT 1 FROM added WHERE {sealed})"  # noqa: S608 - of constants alone # nosec B608
                f" THEN RAISE EXCEPTION '{_LEDGER}'; END IF;"
            ),
            "NULL",
        ),
        "book_change": (f"IF {_BACKWARDS} THEN RAISE EXCEPTION '{_BOOK}'; END IF;", "NEW"),
        "period_change": (
            (
                f"IF TG_OP <> 'UPDATE' THEN RAISE EXCEPTION '{_PERIOD}'; END IF;"
                f" IF {changes} THEN RAISE EXCEPTION '{_PERIOD}'; END IF;"
            ),
            "NEW",
        ),
        "detail_change": (
            (
                f"IF TG_OP IN ('INSERT', 'UPDATE') AND {_IS_CLOSED.format('NEW')}"
                f" OR TG_OP <> 'INSERT' AND {_IS_CLOSED.format('OLD')}"
                f" AND NOT (TG_OP = 'DELETE' AND {_KEPT})"
                f" THEN RAISE EXCEPTION '{_PERIOD}'; END IF;"
            ),
            "coalesce(NEW, OLD)",
        ),
    }
    return [
        f"CREATE FUNCTION refuse_{name}() RETURNS trigger LANGUAGE plpgsql"
        f" AS $$ BEGIN {body} RETURN {result}; END $$"
        for name, (body, result) in functions.items()
    ]


def _postgresql_triggers() -> list[str]:
    """Let the functions look at what is done; deliveries have hundreds of records."""
    made = _postgresql_functions()
    by_row = ("UPDATE OR DELETE ON usage_periods", "period_change")
    triggers = [
        ("usage_records_update", "BEFORE UPDATE OR TRUNCATE ON usage_records", "", "ledger_update"),
        (
            "usage_records_delete",
            "AFTER DELETE ON usage_records",
            "REFERENCING OLD TABLE AS gone",
            "ledger_delete",
        ),
        (
            "usage_records_add",
            "AFTER INSERT ON usage_records",
            "REFERENCING NEW TABLE AS added",
            "ledger_insert",
        ),
        ("usage_periods_empty", "BEFORE TRUNCATE ON usage_periods", "", "period_change"),
    ]
    made += [
        f"CREATE TRIGGER {name} {event} {tables} FOR EACH STATEMENT EXECUTE FUNCTION"
        f" refuse_{function}()"
        for name, event, tables, function in triggers
    ]
    rows = [
        ("usage_periods_change", *by_row),
        ("usage_book_update", "UPDATE ON usage_book", "book_change"),
        *(
            (f"{one}_change", f"INSERT OR UPDATE OR DELETE ON {one}", "detail_change")
            for one in _DETAILS
        ),
    ]
    made += [
        f"CREATE TRIGGER {name} BEFORE {event} FOR EACH ROW EXECUTE FUNCTION refuse_{function}()"
        for name, event, function in rows
    ]
    return made
