"""Usage at a billing system that misbehaves: after its de-duplication it has the ledger exactly."""

import asyncio
import logging
import random
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from pydantic import SecretStr

from gateway.delivery.deliverer import Deliverer
from gateway.delivery.destinations import CloudEventsDestination, StripeDestination
from gateway.delivery.receiver import Verdict, judge
from gateway.errors import DeliveryFailed
from gateway.usage.errors import DeliveryTaken
from gateway.usage.ledger import Ledger
from gateway.usage.periods import wall_clock_us
from gateway.usage.record import UsageRecord
from gateway.usage.segment_file import Segments
from tests.billing_receiver import BillingReceiver, running_billing_receiver
from tests.unit.gateway.usage.conftest import Bill, bill, clock, record_of

__all__ = ["bill", "clock"]

TOKEN = "a-token-of-the-receiver"
CUSTOMERS = {"ten_a": "cus_a", "ten_b": "cus_b"}


@pytest.fixture
def receiver() -> Iterator[BillingReceiver]:
    """Run a billing system."""
    with running_billing_receiver() as running:
        yield running


async def put(bill: Bill, *records: UsageRecord) -> None:
    """Put records into the ledger."""
    segments = Segments(1, 1, orjson.dumps([tuple(one) for one in records]).decode(), len(records))
    await Ledger(bill.engine).take("j", segments, position=1, complete_through_us=0)


def some(count: int, *, first: int = 0) -> list[UsageRecord]:
    """Make records of two tenants and a test key."""
    return [
        record_of(
            f"r{number:04}",
            tenant_id=("ten_a", "ten_b")[number % 2],
            units=number,
            is_test=number % 7 == 3,
        )
        for number in range(first, first + count)
    ]


def billed(records: list[UsageRecord]) -> dict[str, int]:
    """Return the units of what is no test, by id."""
    return {one.request_id: one.units for one in records if not one.is_test}


class Pauses:
    """Pauses that take no time."""

    def __init__(self) -> None:
        self.asked: list[float] = []

    async def __call__(self, seconds: float) -> None:
        """Note how long it would have been."""
        self.asked.append(seconds)
        await asyncio.sleep(0)


def cloud_events(receiver: BillingReceiver, **changes: Any) -> CloudEventsDestination:  # noqa: ANN401
    """Describe the receiver as one of CloudEvents."""
    given = {"kind": "cloudevents", "url": f"{receiver.url}/api/v1/events", "batch": 10}
    given |= {"token": SecretStr(TOKEN), "timeout_seconds": 0.2} | changes
    return CloudEventsDestination.model_validate(given)


def stripe(receiver: BillingReceiver) -> StripeDestination:
    """Describe the receiver as one of Stripe's."""
    given = {"kind": "stripe", "url": receiver.url, "event_name": "units", "at_once": 3}
    return StripeDestination.model_validate(
        given | {"customers": CUSTOMERS, "timeout_seconds": 0.2}
    )


def deliverer_to(bill: Bill, destination: Any, **changes: Any) -> Deliverer:  # noqa: ANN401
    """Return a sender that does not pause."""
    given: dict[str, Any] = {"holder": "one", "pause": Pauses()} | changes
    return Deliverer(bill.engine, "there", destination, **given)


@pytest.mark.parametrize("batch", [1, 10])
async def test_receiver_that_misbehaves_has_the_ledger(
    bill: Bill, receiver: BillingReceiver, batch: int
) -> None:
    """Errors, silence, answers that got lost and repetitions change nothing about the set."""
    records = some(120)
    await put(bill, *records)
    words = ["ok", "500", "503", "429", "lost", "deaf", "late", "401", "hang"]
    chances = [20, 2, 2, 2, 3, 3, 3, 1, 1]
    drawn = random.Random(7).choices(words, chances, k=60)  # noqa: S311 - no secret
    receiver.script = [*reversed(words), *drawn]
    sender = deliverer_to(bill, cloud_events(receiver, batch=batch))
    assert await sender.deliver()
    events = receiver.by_id()
    assert {name: event["data"]["units"] for name, event in events.items()} == billed(records)
    assert len(receiver.taken) > len(events)
    assert (sender.delivered, sender.put_aside, sender.waiting) == (len(events), 0, 0)


async def test_event_says_all_that_is_billed(bill: Bill, receiver: BillingReceiver) -> None:
    """CloudEvents 1.0, structured; the id, the tenant's name there and the token."""
    await put(bill, record_of("r1", rows=3, units=6))
    destination = cloud_events(receiver, batch=1, customers={"ten_a": "acme"})
    await deliverer_to(bill, destination).deliver()
    [event] = receiver.taken
    assert event == {
        "specversion": "1.0",
        "id": "r1",
        "source": "tollgate",
        "type": "prediction",
        "subject": "acme",
        "time": "2026-11-15T00:00:00Z",
        "datacontenttype": "application/json",
        "data": {
            "tenant": "ten_a",
            "key": "key_a",
            "model": "housing",
            "version": "1",
            "protocol": "v1",
            "requests": 1,
            "rows": 3,
            "units": 6,
            "outcome": "ok",
            "corrects": "",
            "occurred_at": "2026-11-15T00:00:00Z",
        },
    }
    [(path, headers)] = receiver.requests
    assert path == "/api/v1/events"
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert headers["Content-Type"] == "application/cloudevents+json"


async def test_stripe_gets_meter_events(bill: Bill, receiver: BillingReceiver) -> None:
    """One form for each record, its id twice; what Stripe cannot have is put aside."""
    await put(bill, *some(20), record_of("lonely", tenant_id="ten_c", units=5))
    receiver.script = ["lost", "ok", "500", "deaf", "ok"]
    sender = deliverer_to(bill, stripe(receiver))
    await sender.deliver()
    values = {name: int(event["payload[value]"]) for name, event in receiver.by_id().items()}
    assert values == {name: units for name, units in billed(some(20)).items() if units}
    event = receiver.by_id()["r0001"]
    assert event["payload[stripe_customer_id]"] == "cus_b"
    assert (event["event_name"], event["timestamp"]) == ("units", "1794700800")
    ids = {headers["Idempotency-Key"] for _, headers in receiver.requests}
    assert ids == set(values)
    [left] = await sender.book.undelivered()
    assert (left.request_id, left.reason) == ("lonely", "the tenant has no customer")


async def test_negative_units_are_left_to_people(bill: Bill, receiver: BillingReceiver) -> None:
    """A correction goes to CloudEvents as it is, and to Stripe not at all."""
    await put(bill, record_of("r1", units=-5, outcome="correction", corrects="r0"))
    await deliverer_to(bill, cloud_events(receiver)).deliver()
    [event] = receiver.taken
    assert (event["data"]["units"], event["data"]["requests"]) == (-5, 0)
    sender = Deliverer(bill.engine, "stripe", stripe(receiver), holder="one")
    await sender.deliver()
    assert len(receiver.taken) == 1
    assert [one.units for one in await sender.book.undelivered()] == [-5]


async def test_refused_record_is_put_aside_alone(
    bill: Bill, receiver: BillingReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    """Its neighbours in the batch are taken; the log has no secret; repaired, it is sent again."""
    records = some(30)
    await put(bill, *records)
    receiver.refused_ids = {"r0004", "r0025"}
    sender = deliverer_to(bill, cloud_events(receiver))
    with caplog.at_level(logging.DEBUG):
        await sender.deliver()
    assert receiver.by_id().keys() == billed(records).keys() - receiver.refused_ids
    left = await sender.book.undelivered()
    assert [(one.request_id, one.reason) for one in left] == [
        ("r0004", "refused: status 400"),
        ("r0025", "refused: status 400"),
    ]
    assert "2 usage records are put aside" in caplog.text
    assert TOKEN not in caplog.text
    receiver.refused_ids = {"r0004"}
    assert await sender.send_again() == 1
    assert [one.request_id for one in await sender.book.undelivered()] == ["r0004"]
    assert "r0025" in receiver.by_id()


def test_answers_are_understood() -> None:
    """What is taken, what is refused for good, and what may be better later."""
    again = (300, 302, 401, 403, 404, 405, 408, 409, 415, 425, 429, 500, 502, 503, 599)
    assert {judge(status, b"", None).verdict for status in (200, 202, 204)} == {Verdict.TAKEN}
    assert {judge(status, b"", None).verdict for status in (400, 413, 422)} == {Verdict.REFUSED}
    assert {judge(status, b"", None).verdict for status in again} == {Verdict.AGAIN}
    there = b'{"error": {"message": "An event already exists with identifier r1."}}'
    assert judge(400, there, None).verdict is Verdict.TAKEN
    waits = {"7": 7.0, "100000": 60.0, "-1": 0.0, "soon": 0.0, "\u0663": 0.0, None: 0.0}
    assert {text: judge(503, b"", text).wait_seconds for text in waits} == waits


async def test_only_what_is_new_is_sent(bill: Bill, receiver: BillingReceiver) -> None:
    """The position is kept in the database, for whoever sends next."""
    await put(bill, *some(5))
    await deliverer_to(bill, cloud_events(receiver)).deliver()
    receiver.taken.clear()
    await put(bill, *some(5, first=5))
    await deliverer_to(bill, cloud_events(receiver)).deliver()
    assert receiver.by_id().keys() == billed(some(5, first=5)).keys()
    requests = len(receiver.requests)
    await deliverer_to(bill, cloud_events(receiver)).deliver()
    assert len(receiver.requests) == requests


async def test_receiver_that_is_away_stops_the_command(
    bill: Bill, receiver: BillingReceiver
) -> None:
    """After its tries it says so, and nothing counts as sent; pauses grow, or are as asked."""
    await put(bill, *some(3))
    receiver.script = ["500", "500", "429", "500"]
    pauses = Pauses()
    sender = deliverer_to(bill, cloud_events(receiver), most_tries=4, pause=pauses)
    with pytest.raises(DeliveryFailed, match="status 500"):
        await sender.deliver()
    assert pauses.asked == [0.5, 1.0, 2.5, 2.5, 2.0]
    await sender.deliver()
    assert receiver.by_id().keys() == billed(some(3)).keys()


async def test_one_sender_works_at_a_time(bill: Bill, receiver: BillingReceiver) -> None:
    """A second one waits its turn, and one that lost its turn moves nothing."""
    await put(bill, *some(3))
    first = deliverer_to(bill, cloud_events(receiver))
    second = deliverer_to(bill, cloud_events(receiver), holder="two")
    position = await first.book.claim(now_us=wall_clock_us())
    assert not await second.deliver()
    await first.let_go()
    assert await second.deliver()
    assert position == 0
    with pytest.raises(DeliveryTaken):
        await first.book.move(0, 3, delivered=3, put_aside=[], now_us=wall_clock_us())
