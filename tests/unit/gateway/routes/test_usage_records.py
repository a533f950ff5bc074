"""The ledger record by record over HTTP: every page once, the same for ever, nobody else's."""

import base64
import csv
import gzip
import hashlib
import io
import itertools
import json
import re
from typing import Any

import httpx
import pytest
from pyarrow import parquet

from auth.scopes import PREDICT, USAGE_READ
from tests.unit.gateway.routes.control_plane import Caller, ControlPlane

PATH = "/v1/usage/records"
ROW = {"amount": 1}
MEDIA_TYPES = (
    "application/json",
    "application/x-ndjson",
    "text/csv",
    "application/vnd.apache.parquet",
)
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""What does not depend on the database."""


async def predict(caller: Caller, *rows: int, model: str = "double") -> list[str]:
    """Ask for predictions one after the other, of so many rows each; return their ids."""
    ids = []
    for count in rows:
        answer = await caller.post(f"/v1/models/{model}:predict", {"instances": [ROW] * count})
        assert answer.status_code == 200, answer.text
        ids.append(answer.headers["x-request-id"])
    return ids


async def fetch(caller: Caller, path: str, **headers: str) -> httpx.Response:
    """Read an address with the caller's key."""
    given = {"Authorization": f"Bearer {caller.api_key}", "Accept-Encoding": "identity"}
    return await caller.client.get(path, headers=given | headers)


def links_of(answer: httpx.Response) -> dict[str, str]:
    """Read the Link header."""
    pairs = re.findall(r'<([^>]*)>; rel="(\w+)"', answer.headers["link"])
    return {name: address for address, name in pairs}


async def pages_of(caller: Caller, path: str) -> list[Any]:
    """Read page after page until one is empty."""
    pages: list[Any] = []
    while True:
        answer = await fetch(caller, path)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        if not page["data"]:
            return pages
        pages.append(page)
        path = links_of(answer)["next"]


async def test_pages_together_are_the_ledger_in_order(plane: ControlPlane) -> None:
    """Each record once, in the order in which it was served; the server delivers first."""
    ids = await predict(plane.customer, 1, 2, 3, 4, 5)
    pages = await pages_of(plane.customer, f"{PATH}?limit=2")
    assert [len(page["data"]) for page in pages] == [2, 2, 1]
    records = [record for page in pages for record in page["data"]]
    assert [record["id"] for record in records] == ids
    assert [record["units"] for record in records] == [1, 2, 3, 4, 5]
    assert {record["tenant"] for record in records} == {plane.customer.tenant_id}


async def test_last_page_reads_the_same_after_more_has_come(plane: ControlPlane) -> None:
    """A page is named by both its ends in each form, so what comes later is on the next one."""
    await predict(plane.customer, 1, 2, 3)
    pages = []
    for accept in MEDIA_TYPES:
        first = await fetch(plane.customer, f"{PATH}?limit=2", Accept=accept)
        last = await fetch(plane.customer, links_of(first)["next"], Accept=accept)
        pages += [(accept, first), (accept, last)]
    await predict(plane.customer, 4)
    for accept, page in pages:
        again = await fetch(plane.customer, links_of(page)["self"], Accept=accept)
        assert again.content == page.content
        assert again.headers["repr-digest"] == page.headers["repr-digest"]
        assert links_of(again) == links_of(page)
    later = await fetch(plane.customer, links_of(pages[-1][1])["next"])
    assert [record["units"] for record in later.json()["data"]] == [4]


async def test_empty_page_is_named_as_well(plane: ControlPlane) -> None:
    """Nothing stays nothing under its name, and goes on when there is something."""
    empty = await fetch(plane.customer, PATH)
    assert empty.json()["data"] == []
    await predict(plane.customer, 1)
    assert (await fetch(plane.customer, empty.json()["self"])).content == empty.content
    assert len((await fetch(plane.customer, links_of(empty)["next"])).json()["data"]) == 1


async def test_cursor_does_not_move_with_what_others_do(plane: ControlPlane) -> None:
    """A tenant cannot tell from its pages whether anybody else was there."""
    await predict(plane.customer, 1)
    before = await fetch(plane.customer, PATH)
    await predict(plane.stranger, 1, 2, 3)
    assert (await fetch(plane.customer, PATH)).content == before.content
    behind = links_of(before)["next"]
    assert (await fetch(plane.customer, behind)).json()["next"] == before.json()["next"]


@on_sqlite
async def test_cursors_of_others_are_as_garbage(plane: ControlPlane) -> None:
    """Another tenant's, another query's, cut, changed or invented: one answer."""
    await predict(plane.customer, 1)
    await predict(plane.stranger, 1)
    own = (await fetch(plane.customer, PATH)).json()["next"]
    others = (await fetch(plane.stranger, PATH)).json()["next"]
    narrower = (await fetch(plane.customer, f"{PATH}?model=double")).json()["next"]
    everybody = (await fetch(plane.admin, PATH)).json()["next"]
    bad = [others, narrower, everybody, own[:-1], own + "A", own.swapcase(), "0", "", "ü", "=" * 9]
    answers = [
        await plane.customer.get(PATH, **{name: cursor})
        for name in ("after", "through")
        for cursor in bad
    ]
    assert {answer.status_code for answer in answers} == {422}
    assert len({json.dumps(answer.json() | {"request_id": ""}) for answer in answers}) == 1
    assert answers[0].json()["code"] == "invalid_cursor"
    assert (await plane.customer.get(PATH, after=own)).status_code == 200


async def test_tenant_and_platform_read_the_same(plane: ControlPlane) -> None:
    """One query, so one truth: the same records, and what is not the tenant's is not in them."""
    await predict(plane.customer, 1, 2)
    await predict(plane.stranger, 3)
    own = (await plane.customer.get(PATH)).json()
    told = (await plane.admin.get(PATH, tenant_id=plane.customer.tenant_id)).json()
    assert told["data"] == own["data"]
    assert told["next"] == own["next"]
    everybody = (await plane.admin.get(PATH)).json()["data"]
    assert [record["rows"] for record in everybody] == [1, 2, 3]


@on_sqlite
async def test_other_tenants_records_are_as_if_they_were_not(plane: ControlPlane) -> None:
    """A real tenant and one that never was get the same answer."""
    answers = [
        await plane.stranger.get(PATH, tenant_id=tenant_id)
        for tenant_id in (plane.customer.tenant_id, "ten_0000000000000000")
    ]
    assert [answer.status_code for answer in answers] == [404, 404]


async def test_narrower_wishes_are_heard(plane: ControlPlane) -> None:
    """By model, key, range and test."""
    await predict(plane.customer, 1)
    await predict(plane.customer, 2, model="secret-sauce")
    tester = await plane.caller(plane.customer.tenant_id, PREDICT, USAGE_READ, is_test=True)
    await predict(tester, 3)

    async def rows(**params: str | int) -> list[int]:
        answer = await plane.customer.get(PATH, **params)
        return [record["rows"] for record in answer.json()["data"]]

    assert await rows() == [1, 2]
    assert await rows(model="secret-sauce") == [2]
    assert await rows(key_id=tester.key_id, test="true") == [3]
    assert await rows(to="2026-01-01") == []
    for unknown in ({"model": "none"}, {"key_id": plane.stranger.key_id}):
        assert (await plane.customer.get(PATH, **unknown)).status_code == 404
    assert await rows(**{"from": "2026-01-01"}) == [1, 2]


@on_sqlite
async def test_forms_tell_the_same(plane: ControlPlane) -> None:
    """JSON, lines of JSON, CSV and Parquet hold the same cells."""
    await predict(plane.customer, 1, 2)
    answers = {media: await fetch(plane.customer, PATH, Accept=media) for media in MEDIA_TYPES}
    as_json = answers["application/json"].json()["data"]
    lines = answers["application/x-ndjson"].text.splitlines()
    assert [json.loads(line) for line in lines] == as_json
    cells = list(csv.DictReader(io.StringIO(answers["text/csv"].text)))
    assert [row["id"] for row in cells] == [record["id"] for record in as_json]
    assert [row["test"] for row in cells] == ["false", "false"]
    table = parquet.read_table(io.BytesIO(answers["application/vnd.apache.parquet"].content))
    assert table.column("units").to_pylist() == [1, 2]
    assert table.column_names == list(as_json[0])


@on_sqlite
async def test_checksum_is_that_of_what_was_sent(plane: ControlPlane) -> None:
    """RFC 9530: both fields, over the bytes as they are on the way, compressed or not."""
    await predict(plane.customer, 1, 2)
    wishes = itertools.product((PATH, "/v1/usage"), MEDIA_TYPES, ("identity", "gzip, br"))
    for path, accept, coding in wishes:
        headers = {
            "Authorization": f"Bearer {plane.customer.api_key}",
            "Accept": accept,
            "Accept-Encoding": coding,
        }
        request = plane.client.build_request("GET", path, headers=headers)
        answer = await plane.client.send(request, stream=True)
        sent = b"".join([piece async for piece in answer.aiter_raw()])
        digest = base64.b64encode(hashlib.sha256(sent).digest()).decode()
        assert answer.headers["repr-digest"] == f"sha-256=:{digest}:"
        assert answer.headers["content-digest"] == f"sha-256=:{digest}:"
        assert int(answer.headers["content-length"]) == len(sent)
        is_gzip = answer.headers.get("content-encoding") == "gzip"
        assert is_gzip == (coding != "identity" and "parquet" not in accept)
        assert not is_gzip or gzip.decompress(sent)


@on_sqlite
async def test_what_changes_stands_in_headers(plane: ControlPlane) -> None:
    """How far the ledger is complete, and that the month is open."""
    answer = await plane.customer.get(PATH)
    assert answer.headers["usage-complete-through"].endswith("Z")
    assert answer.headers["usage-period-state"] == "open"
    report = await plane.customer.get("/v1/usage")
    assert report.headers["usage-complete-through"] == report.json()["complete_through"]
    assert report.json()["period_state"] == "open"


@on_sqlite
async def test_form_that_cannot_be_written_is_refused(plane: ControlPlane) -> None:
    """406 says what there is."""
    accepts = ("image/png", "text/csv;q=0", "application/xml, text/html")
    for path, accept in itertools.product((PATH, "/v1/usage"), accepts):
        answer = await fetch(plane.customer, path, Accept=accept)
        assert (answer.status_code, answer.json()["code"]) == (406, "not_acceptable")
        assert "text/csv" in answer.json()["detail"]


@on_sqlite
async def test_large_pages_are_for_the_platform(plane: ControlPlane) -> None:
    """A tenant reads up to ten thousand at a time."""
    assert (await plane.customer.get(PATH, limit=10_000)).status_code == 200
    assert (await plane.customer.get(PATH, limit=10_001)).status_code == 403
    assert (await plane.admin.get(PATH, limit=100_000)).status_code == 200
    assert (await plane.admin.get(PATH, limit=100_001)).status_code == 422


@on_sqlite
async def test_wish_without_meaning_is_refused(plane: ControlPlane) -> None:
    """422, and never an empty page that looks like no usage."""
    wishes = (
        {"from": "yesterday"},
        {"from": "2026-11-02", "to": "2026-11-02"},
        {"limit": "0"},
        {"test": "perhaps"},
        {"bucket": "day"},
        {"from": "0001-01-01"},
    )
    for wish in wishes:
        assert (await plane.customer.get(PATH, **wish)).status_code == 422, wish


@on_sqlite
async def test_report_has_the_same_forms(plane: ControlPlane) -> None:
    """Buckets as lines and as CSV, with the group keys that were asked for."""
    await predict(plane.customer, 1, 2)
    report = (await plane.customer.get("/v1/usage", group_by="model")).json()["data"]
    lines = await fetch(plane.customer, "/v1/usage?group_by=model", Accept="application/x-ndjson")
    assert [json.loads(line) for line in lines.text.splitlines()] == report
    table = await fetch(plane.customer, "/v1/usage?group_by=model", Accept="text/csv")
    assert table.text.splitlines()[0] == "start,end,model,requests,rows,units"
