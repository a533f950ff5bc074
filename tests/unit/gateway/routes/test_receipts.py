"""Receipts of a running server: on every answer, and checked with what it publishes."""

import httpx

from auth.signing_keys import Purpose
from gateway.evidence.receipt_keys import ReceiptKey, read_key_set
from gateway.evidence.receipt_text import ReceiptFacts, ReceiptVerifier, find_receipt
from tests.actors import TESTER
from tests.unit.gateway.routes.control_plane import ControlPlane

PREDICT = "/v1/models/double:predict"
BODY = {"instances": [{"amount": 1.0}, {"amount": 2.0}]}
KEYS = "/.well-known/tollgate-receipt-keys.json"


async def predict(plane: ControlPlane) -> httpx.Response:
    """Ask for two rows."""
    answer = await plane.customer.post(PREDICT, BODY)
    assert answer.status_code == 200, answer.text
    return answer


async def published(plane: ControlPlane) -> dict[str, ReceiptKey]:
    """Read the keys as anybody can."""
    answer = await plane.client.get(KEYS)
    return read_key_set(answer.content, KEYS)


async def facts_of(plane: ControlPlane, answer: httpx.Response) -> ReceiptFacts:
    """Verify the receipt of an answer."""
    parts = find_receipt(answer.headers["tollgate-receipt"])
    assert parts is not None
    return ReceiptVerifier(await published(plane)).verify(*parts)


async def test_receipt_is_the_record_of_the_answer(plane: ControlPlane) -> None:
    """What the caller holds is, fact by fact, what the ledger gets."""
    answer = await predict(plane)
    facts = await facts_of(plane, answer)
    await plane.services.shipper.ship()
    query = (
        "SELECT request_id, occurred_at_us, tenant_id, model, version, rows, units, is_test"
        " FROM usage_records"
    )
    async with plane.services.engine.connect() as connection:
        [row] = await connection.exec_driver_sql(query)
    assert facts == ReceiptFacts(**row._asdict() | {"is_test": bool(row.is_test)})
    assert (facts.request_id, facts.rows) == (answer.headers["x-request-id"], 2)


async def test_refusal_has_no_receipt(plane: ControlPlane) -> None:
    """Nothing is on the bill."""
    answer = await plane.customer.post(PREDICT, {"instances": [{"amount": "one"}]})
    assert (answer.status_code, "tollgate-receipt" in answer.headers) == (422, False)


async def test_receipt_outlives_the_key_that_signed_it(plane: ControlPlane) -> None:
    """A key that was replaced long ago is published all the same, without its private part."""
    answer = await predict(plane)
    store = plane.services.store
    await store.rotate_signing_key(actor=TESTER, at_once=True, purpose=Purpose.RECEIPT)
    renewed = await predict(plane)
    assert (await facts_of(plane, answer)).units == (await facts_of(plane, renewed)).units
    keys = (await plane.client.get(KEYS)).json()["keys"]
    assert [("exp" in key, "d" in key) for key in keys] == [(True, False), (False, False)]


async def test_keys_of_receipts_and_of_tokens_are_apart(plane: ControlPlane) -> None:
    """What one signs, the other does not verify."""
    tokens = (await plane.client.get("/.well-known/jwks.json")).json()["keys"]
    receipts = (await plane.client.get(KEYS)).json()["keys"]
    assert not {key["kid"] for key in tokens} & {key["kid"] for key in receipts}
    [receipt_key] = await plane.services.store.list_signing_keys(Purpose.RECEIPT)
    assert plane.services.keyset.ring.find(receipt_key.kid) is None
