"""A database that cannot take much at once gets it in smaller lots."""

import pytest
from sqlalchemy import text

from gateway.usage.errors import LedgerUnavailable
from gateway.usage.journal import Journal
from tests.unit.gateway.usage.conftest import Bill, record_of

REFUSE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF (SELECT count(*) FROM added) > 10 THEN RAISE 'too much at once'; END IF;
  RETURN NULL;
END $$
"""
WATCH = """
CREATE TRIGGER refuse AFTER INSERT ON usage_records REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION refuse()
"""


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_lot_that_is_too_large_gets_smaller(bill: Bill, journal: Journal) -> None:
    """Until it fits, however much waits in the journal."""
    shipper = bill.shipper(journal)
    await shipper.start()
    async with bill.engine.begin() as connection:
        for statement in (REFUSE, WATCH):
            await connection.execute(text(statement))
    for name in bill.names(100):
        await journal.record(record_of(name))
    for _ in range(2):
        with pytest.raises(LedgerUnavailable, match="too much at once"):
            await shipper.ship()
    with pytest.raises(LedgerUnavailable):
        await shipper.ship()
    assert len(await bill.records()) == 8
    async with bill.engine.begin() as connection:
        await connection.execute(text("DROP TRIGGER refuse ON usage_records"))
    await shipper.ship()
    assert len(await bill.records()) == 100
    await shipper.close()
