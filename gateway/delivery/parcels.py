"""Pack records for a destination: as CloudEvents, or as meter events of Stripe. Pure.

Source: CloudEvents 1.0.2 with its HTTP binding and JSON format (structured and batched content);
OpenMeter, "Ingest events"; Stripe API, "Create a billing meter event".
"""

from collections.abc import Sequence
from typing import Final, NamedTuple
from urllib.parse import urlencode

import orjson

from gateway.delivery.destinations import CloudEventsDestination, StripeDestination
from gateway.reading.columns import moment_text
from gateway.usage.deliveries import PutAside
from gateway.usage.reading import LedgerRecord

BATCH: Final = "application/cloudevents-batch+json"
SINGLE: Final = "application/cloudevents+json"
_FORM: Final = "application/x-www-form-urlencoded"
_STRIPE_PATH: Final = "/v1/billing/meter_events"
_SECOND_US: Final = 1_000_000


class Parcel(NamedTuple):
    """One request: where it goes, what it holds, and which records that is."""

    url: str
    headers: dict[str, str]
    body: bytes
    records: Sequence[LedgerRecord]


class Packed(NamedTuple):
    """What can be sent, and what cannot."""

    parcels: list[Parcel]
    put_aside: list[PutAside]


def pack_cloud_events(
    destination: CloudEventsDestination, records: Sequence[LedgerRecord]
) -> Packed:
    """Pack every record; a correction has negative numbers, and a mark none."""
    parcels = []
    for first in range(0, len(records), destination.batch):
        some = records[first : first + destination.batch]
        events = [_event(destination, record) for record in some]
        is_batch = destination.batch > 1
        headers = {"Content-Type": BATCH if is_batch else SINGLE}
        body = orjson.dumps(events if is_batch else events[0])
        parcels.append(Parcel(destination.url, headers, body, some))
    return Packed(parcels, [])


def _event(destination: CloudEventsDestination, record: LedgerRecord) -> dict[str, object]:
    """Write an event; its time is the one that decides the period."""
    return {
        "specversion": "1.0",
        "id": record.request_id,
        "source": destination.source,
        "type": destination.type,
        "subject": destination.customers.get(record.tenant_id, record.tenant_id),
        "time": moment_text(record.counted_at_us),
        "datacontenttype": "application/json",
        "data": {
            "tenant": record.tenant_id,
            "key": record.key_id,
            "model": record.model,
            "version": record.version,
            "protocol": record.protocol,
            "requests": int(record.outcome == "ok"),
            "rows": record.rows,
            "units": record.units,
            "outcome": record.outcome,
            "corrects": record.corrects,
            "occurred_at": moment_text(record.occurred_at_us),
        },
    }


def pack_meter_events(destination: StripeDestination, records: Sequence[LedgerRecord]) -> Packed:
    """Pack each record with units; a correction that takes back is an adjustment made by hand.

    Threat: a negative value lowers a sum that an invoice may have been drawn from already.
    """
    packed = Packed([], [])
    for record in records:
        customer = destination.customers.get(record.tenant_id)
        if record.units < 0:
            packed.put_aside.append(PutAside(record, "negative: adjust it there by hand"))
        elif record.units > 0 and customer is None:
            packed.put_aside.append(PutAside(record, "the tenant has no customer"))
        elif record.units > 0:
            packed.parcels.append(_meter_event(destination, record, str(customer)))
    return packed


def _meter_event(destination: StripeDestination, record: LedgerRecord, customer: str) -> Parcel:
    form = {
        "event_name": destination.event_name,
        "identifier": record.request_id,
        "timestamp": str(record.counted_at_us // _SECOND_US),
        "payload[stripe_customer_id]": customer,
        "payload[value]": str(record.units),
    }
    headers = {"Content-Type": _FORM, "Idempotency-Key": record.request_id}
    url = f"{destination.url}{_STRIPE_PATH}"
    return Parcel(url, headers, urlencode(form).encode(), [record])
