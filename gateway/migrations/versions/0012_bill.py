"""Number the records of the ledger, say when each counts, and keep totals.

A step that has been released is never edited, so it names its columns itself. The records are
copied in the order in which they occurred, with one pass of each database over them.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision: str | None = "0011"

_TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")
_SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_KEPT = (
    "tenant_id, key_id, model, version, protocol, rows, units, is_test, queue_us, compute_us,"
    " bytes_in, bytes_out"
)
_KEYS = "tenant_id, key_id, model, version, is_test"
_SUMS = "count(*), sum(rows), sum(units), sum(compute_us), sum(bytes_in), sum(bytes_out)"
_TOTALS = "requests, rows, units, compute_us, bytes_in, bytes_out"


def upgrade() -> None:
    """Make the tables and fill them from the records that are there."""
    _make_book()
    _put_aside()
    _make_records()
    _copy_records()
    for name, column, width_us in (
        ("usage_hours", "hour_us", 3_600_000_000),
        ("usage_days", "day_us", 86_400_000_000),
        ("usage_months", "", 0),
    ):
        _make_totals(name, column)
        _fill_totals(name, column, width_us)
    op.execute(
        "INSERT INTO usage_book SELECT 1, (SELECT coalesce(max(sequence), 0) FROM usage_records),"
        " 0, (SELECT coalesce(max(hour_us) + 3600000000, 0) FROM usage_hours)"
    )


def downgrade() -> None:
    """Leave the records as they were, with the time that they occurred."""
    for name in ("usage_months", "usage_days", "usage_hours", "usage_conflicts", "usage_book"):
        op.drop_table(name)
    for columns in ("request_id", "tenant_id_counted_at_us", "tenant_id_sequence", "counted_at_us"):
        op.drop_index(f"ix_usage_records_{columns}", "usage_records")
    _rename()
    _make_old_records()
    op.execute(
        f"INSERT INTO usage_records (request_id, occurred_at_us, period, {_KEPT}, journal_id)"  # noqa: S608 - names of our own # nosec B608
        f" SELECT request_id, occurred_at_us, period, {_KEPT}, journal_id FROM usage_records_before"
        " WHERE outcome = 'ok'"
    )
    op.drop_table("usage_records_before")
    _index("tenant_id", "occurred_at_us")
    _index("occurred_at_us")


def _make_book() -> None:
    op.create_table(
        "usage_book",
        sa.Column("book_id", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("last_sequence", sa.BigInteger(), nullable=False),
        sa.Column("open_from_us", sa.BigInteger(), nullable=False),
        sa.Column("folded_through_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("book_id", name="pk_usage_book"),
    )
    op.create_table(
        "usage_conflicts",
        sa.Column("request_id", _TEXT, nullable=False),
        sa.Column("record", _TEXT, nullable=False),
        sa.Column("journal_id", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("request_id", "record", name="pk_usage_conflicts"),
    )


def _make_records() -> None:
    op.create_table(
        "usage_records",
        sa.Column("sequence", _SEQUENCE, nullable=False, autoincrement=False),
        sa.Column("counted_at_us", sa.BigInteger(), nullable=False),
        sa.Column("occurred_at_us", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("units", sa.BigInteger(), nullable=False),
        sa.Column("queue_us", sa.BigInteger(), nullable=False),
        sa.Column("compute_us", sa.BigInteger(), nullable=False),
        sa.Column("bytes_in", sa.BigInteger(), nullable=False),
        sa.Column("bytes_out", sa.BigInteger(), nullable=False),
        sa.Column("period", sa.Integer(), nullable=False),
        sa.Column("is_test", sa.Boolean(), nullable=False),
        sa.Column("request_id", _TEXT, nullable=False),
        sa.Column("tenant_id", _TEXT, nullable=False),
        sa.Column("key_id", _TEXT, nullable=False),
        sa.Column("model", _TEXT, nullable=False),
        sa.Column("version", _TEXT, nullable=False),
        sa.Column("protocol", _TEXT, nullable=False),
        sa.Column("outcome", _TEXT, nullable=False),
        sa.Column("corrects", _TEXT, nullable=False),
        sa.Column("journal_id", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_usage_records"),
    )


def _copy_records() -> None:
    """Number the records that were put aside; the indexes come after, as they are quicker then."""
    op.execute(
        "INSERT INTO usage_records (sequence, request_id, occurred_at_us, counted_at_us, period,"  # noqa: S608 - names of our own # nosec B608
        f" {_KEPT}, outcome, corrects, journal_id)"
        " SELECT row_number() OVER (ORDER BY occurred_at_us, request_id), request_id,"
        f" occurred_at_us, occurred_at_us, period, {_KEPT}, 'ok', '', journal_id"
        " FROM usage_records_before ORDER BY occurred_at_us, request_id"
    )
    op.drop_table("usage_records_before")
    _index("request_id", is_unique=True)
    _index("tenant_id", "counted_at_us")
    _index("tenant_id", "sequence")
    op.create_index(
        "ix_usage_records_counted_at_us",
        "usage_records",
        ["counted_at_us"],
        postgresql_using="brin",
    )


def _put_aside() -> None:
    op.drop_index("ix_usage_records_tenant_id_occurred_at_us", "usage_records")
    op.drop_index("ix_usage_records_occurred_at_us", "usage_records")
    _rename()


def _rename() -> None:
    """Make room for the new table, and in PostgreSQL for the name of its primary key."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER INDEX pk_usage_records RENAME TO pk_usage_records_before")
    op.rename_table("usage_records", "usage_records_before")


def _make_old_records() -> None:
    op.create_table(
        "usage_records",
        sa.Column("request_id", _TEXT, nullable=False),
        sa.Column("occurred_at_us", sa.BigInteger(), nullable=False),
        sa.Column("period", sa.Integer(), nullable=False),
        sa.Column("tenant_id", _TEXT, nullable=False),
        sa.Column("key_id", _TEXT, nullable=False),
        sa.Column("model", _TEXT, nullable=False),
        sa.Column("version", _TEXT, nullable=False),
        sa.Column("protocol", _TEXT, nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("units", sa.BigInteger(), nullable=False),
        sa.Column("is_test", sa.Boolean(), nullable=False),
        sa.Column("queue_us", sa.BigInteger(), nullable=False),
        sa.Column("compute_us", sa.BigInteger(), nullable=False),
        sa.Column("bytes_in", sa.BigInteger(), nullable=False),
        sa.Column("bytes_out", sa.BigInteger(), nullable=False),
        sa.Column("journal_id", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("request_id", name="pk_usage_records"),
    )


def _index(*columns: str, is_unique: bool = False) -> None:
    name = f"ix_usage_records_{'_'.join(columns)}"
    op.create_index(name, "usage_records", list(columns), unique=is_unique)


def _make_totals(name: str, column: str) -> None:
    starts = (sa.Column(column, sa.BigInteger(), nullable=False, autoincrement=False),)
    op.create_table(
        name,
        sa.Column("tenant_id", _TEXT, nullable=False),
        *(starts if column else ()),
        sa.Column("period", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("key_id", _TEXT, nullable=False),
        sa.Column("model", _TEXT, nullable=False),
        sa.Column("version", _TEXT, nullable=False),
        sa.Column("is_test", sa.Boolean(), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("units", sa.BigInteger(), nullable=False),
        sa.Column("compute_us", sa.BigInteger(), nullable=False),
        sa.Column("bytes_in", sa.BigInteger(), nullable=False),
        sa.Column("bytes_out", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            *("tenant_id", column or "period", "key_id", "model", "version", "is_test"),
            name=f"pk_{name}",
        ),
    )
    if column:
        op.create_index(f"ix_{name}_{column}", name, [column])


def _fill_totals(name: str, column: str, width_us: int) -> None:
    start = f"counted_at_us - counted_at_us % {width_us}, " if column else ""
    places = ", ".join(str(place) for place in range(1, 8 if column else 7))
    op.execute(
        f"INSERT INTO {name} ({f'{column}, ' if column else ''}period, {_KEYS}, {_TOTALS})"  # noqa: S608 - names of our own # nosec B608
        f" SELECT {start}period, {_KEYS}, {_SUMS} FROM usage_records GROUP BY {places}"
    )
