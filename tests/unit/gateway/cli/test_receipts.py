"""`tollgate receipts verify`: a customer's check, without the server."""

import csv
import gzip
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.receipt_books import Notary, make_notary, usage
from tests.unit.gateway.cli.terminal import Finished, Terminal

MID_MONTH = datetime(2026, 11, 15, tzinfo=UTC)


def line(request_id: str, **members: object) -> dict[str, Any]:
    """Return a record of a statement, as `GET /v1/usage/records` names its members."""
    record = {
        "id": request_id,
        "tenant": "tenant",
        "model": "housing",
        "version": "2",
        "rows": 1,
        "units": 3,
        "outcome": "ok",
        "corrects": "",
    }
    return record | members


class Case:
    """A folder with receipts, a statement and the published keys."""

    def __init__(self, folder: Path, *notaries: Notary) -> None:
        self.folder = folder
        self.keys = folder / "keys.json"
        published = [notary.published.historical_jwk() for notary in notaries]
        self.keys.write_text(json.dumps({"keys": published}))
        self.statement = folder / "statement.ndjson"
        self.receipts = folder / "receipts.txt"

    def verify(
        self, receipts: Iterable[str], statement: Iterable[Mapping[str, Any]], *options: str
    ) -> Finished:
        """Write both files and run the command."""
        self.receipts.write_text("".join(f"{receipt}\n" for receipt in receipts))
        self.statement.write_text("".join(json.dumps(record) + "\n" for record in statement))
        return self.run(*options)

    def run(self, *options: str) -> Finished:
        """Run the command over the files that are there."""
        named = ["--statement", str(self.statement), "--keys", str(self.keys)]
        return Terminal().run("receipts", "verify", str(self.receipts), *named, *options)

    def findings(
        self, receipts: Iterable[str], statement: Iterable[Mapping[str, Any]]
    ) -> tuple[int, list[tuple[str, str | None]]]:
        """Return the exit status, and each finding with its request id."""
        done = self.verify(receipts, statement, "--json")
        found = [(one["finding"], one["request_id"]) for one in done.document["data"]]
        return done.status, found


@pytest.fixture
def notary() -> Notary:
    """Make a key."""
    return make_notary()


@pytest.fixture
def case(tmp_path: Path, notary: Notary) -> Case:
    """Publish it."""
    return Case(tmp_path, notary)


def test_receipts_that_fit_are_told_in_one_line(case: Case, notary: Notary) -> None:
    """Alone on a line or in captured headers, and again after a retry, in any order."""
    first, second = notary.receipt("a"), notary.receipt("b", rows=2, units=6)
    captured = ["HTTP/2 200", f"Tollgate-Receipt: {second}", "content-length: 2", "", first, first]
    done = case.verify(captured, [line("a"), line("b", rows=2, units=6)])
    assert (done.status, done.out) == (
        0,
        (
            "3 receipts, 1 of them again and 0 of test keys; 2 lines of the statement, 0 of "
            "answers that were lost; 9 units on receipts and 9 on the statement, 0 of it of lost "
            "answers and 0 of corrections; all fit\n"
        ),
    )


def test_receipts_of_one_page_are_verified_each(case: Case, notary: Notary) -> None:
    """Sharing a signature proves nothing about another's facts."""
    book = notary.book()
    entered = [book.enter(usage(name), units_remaining=1) for name in ("a", "b")]
    a, b = (receipt.text for receipt in entered)
    stranger = notary.receipt("c").split("~")[1]
    mixed = f"{a.split('~')[0]}~{stranger}~"
    assert case.findings([a, b, mixed], [line("a"), line("b")]) == (1, [("forged", None)])


def test_statement_with_another_content_is_found(case: Case, notary: Notary) -> None:
    """Units, model, version, rows and tenant must be those that were signed."""
    names = ("units", "model", "version", "rows", "tenant")
    stated = [line(name, **{name: 7 if name in ("units", "rows") else "7"}) for name in names]
    status, found = case.findings([notary.receipt(name) for name in names], stated)
    assert (status, found) == (1, [("different", name) for name in names])


def test_receipt_that_is_not_on_the_statement_is_found(case: Case, notary: Notary) -> None:
    """Nor may it be there twice."""
    receipts = [notary.receipt("a"), notary.receipt("b")]
    found = case.findings(receipts, [line("b"), line("b")])
    assert found == (1, [("missing", "a"), ("billed_twice", "b")])


def test_line_without_a_receipt_has_a_status_of_its_own(case: Case, notary: Notary) -> None:
    """A mark is no answer, and explains the one that was lost."""
    statement = [
        line("a"),
        line("b"),
        line("c"),
        line("c.lost", outcome="lost", corrects="c", units=0, rows=0),
    ]
    done = case.verify([notary.receipt("a")], statement, "--json")
    assert (done.status, done.document["lost"], done.document["lost_units"]) == (3, 1, 3)
    assert [one["request_id"] for one in done.document["data"]] == ["b"]


def test_correction_that_takes_is_told_and_fits(case: Case, notary: Notary) -> None:
    """Nobody is billed for it; the sum says so."""
    fix = line("fix", outcome="correction", corrects="a", rows=0, units=-1)
    done = case.verify([notary.receipt("a")], [line("a"), fix])
    assert done.status == 0
    assert done.out.splitlines()[0] == (
        "fix is a correction that adds nothing: correction of a, 0 rows and -1 units"
    )
    assert "3 units on receipts and 2 on the statement" in done.out
    assert done.out.endswith("and -1 of corrections; all fit\n")


@pytest.mark.parametrize(
    "added",
    [
        {"outcome": "correction", "corrects": "a", "rows": 0, "units": 50},
        {"outcome": "correction", "corrects": "a", "rows": 1, "units": -1},
        {"outcome": "lost", "corrects": "a", "rows": 0, "units": 50},
        {"outcome": "ok", "corrects": "a"},
        {"outcome": "fee"},
    ],
    ids=str,
)
def test_whatever_adds_to_a_bill_needs_a_receipt(
    case: Case, notary: Notary, added: dict[str, object]
) -> None:
    """By whatever name it stands there, an inflated statement does not fit."""
    found = case.findings([notary.receipt("a")], [line("a"), line("x", **added)])
    assert found == (3, [("without_receipt", "x")])


def test_two_receipts_of_one_request_are_found(case: Case, notary: Notary) -> None:
    """Both are genuine, so the server said two things."""
    receipts = [notary.receipt("a"), notary.receipt("a", units=4)]
    assert case.findings(receipts, [line("a")]) == (1, [("contradicted", "a")])


def test_receipt_of_a_test_key_is_on_no_statement(case: Case, notary: Notary) -> None:
    """It cost nothing."""
    done = case.verify([notary.receipt("a", is_test=True, units=0)], [], "--json")
    assert (done.status, done.document["tests"], done.document["data"]) == (0, 1, [])


def forgeries(notary: Notary) -> dict[str, str]:
    """Write receipts that prove nothing."""
    genuine = notary.receipt("a")
    signed, disclosure, _ = genuine.split("~")
    head, payload, signature = signed.split(".")
    flipped = signature[:-2] + ("A" if signature[-2] != "A" else "B") + signature[-1]
    return {
        "signature": f"{head}.{payload}.{flipped}~{disclosure}~",
        "stranger": make_notary().receipt("a"),
        "facts": f"{signed}~{notary.receipt('b').split('~')[1]}~",
        "header": f"{make_notary().receipt('a').split('.')[0]}.{payload}.{signature}~{disclosure}~",
    }


@pytest.mark.parametrize("kind", ["signature", "stranger", "facts", "header"])
def test_forgery_is_found(case: Case, notary: Notary, kind: str) -> None:
    """Whatever was changed, nothing counts."""
    status, found = case.findings([forgeries(notary)[kind]], [])
    assert (status, found) == (1, [("forged", None)])


def test_token_of_the_same_key_is_no_receipt(tmp_path: Path) -> None:
    """The type in the header keeps one kind of document from passing for another."""
    notary = make_notary(media_type="at+jwt")
    assert Case(tmp_path, notary).findings([notary.receipt("a")], []) == (1, [("forged", None)])


def test_receipt_dated_after_its_key_was_revoked_is_refused(tmp_path: Path) -> None:
    """Whoever stole the key cannot make new ones; those from before count."""
    notary = make_notary(revoked_at=MID_MONTH)
    before = int(datetime(2026, 11, 10, tzinfo=UTC).timestamp()) * 1_000_000
    old, new = notary.receipt("a", occurred_at_us=before), notary.receipt("b")
    done = Case(tmp_path, notary).verify([old, new], [line("a")], "--json")
    assert [one["detail"] for one in done.document["data"]] == [
        "signed with a key that was revoked"
    ]


def test_cut_receipt_is_told_with_its_line(case: Case, notary: Notary) -> None:
    """A file that was cut is not passed over in silence."""
    done = case.verify(["", "date: today", f"tollgate-receipt: {notary.receipt('a')[:-9]}"], [])
    assert (done.status, done.out.splitlines()[0]) == (
        1,
        "line 3: receipt is unreadable: no whole receipt",
    )


@pytest.mark.parametrize("form", ["csv", "json", "ndjson.gz"])
def test_statement_is_read_in_every_form(case: Case, notary: Notary, form: str) -> None:
    """As the server hands it out."""
    case.receipts.write_text(notary.receipt("a") + "\n")
    case.statement = case.folder / f"statement.{form}"
    if form == "csv":
        with case.statement.open("w", newline="") as file:
            writer = csv.DictWriter(file, line("a"))
            writer.writeheader()
            writer.writerow(line("a"))
    elif form == "json":
        case.statement.write_text(json.dumps({"data": [line("a")], "next": "x"}))
    else:
        case.statement.write_bytes(gzip.compress(json.dumps(line("a")).encode() + b"\n"))
    assert case.run().status == 0


def test_statement_that_is_none_is_told_with_its_record(case: Case) -> None:
    """One line of the error says where to look."""
    done = case.verify([], [line("a"), {"id": "b"}])
    assert (done.status, done.err) == (
        1,
        f"tollgate: {case.statement}: record 2 is none of a statement\n",
    )


@pytest.mark.parametrize("keys", ["http://example.com/keys.json", "ftp://example.com/keys"])
def test_keys_are_not_fetched_in_the_clear(case: Case, keys: str) -> None:
    """Whoever stands between could put his own in."""
    case.receipts.touch()
    case.statement.touch()
    done = Terminal().run(
        *("receipts", "verify", str(case.receipts)),
        *("--statement", str(case.statement), "--keys", keys),
    )
    assert (done.status, "https://" in done.err) == (1, True)


def test_key_set_that_is_none_is_told(case: Case) -> None:
    """Private keys in it count as none either."""
    case.keys.write_text('{"keys": [{"kty": "oct", "k": "AAAA"}]}')
    done = case.verify([], [])
    assert (done.status, "no set of public keys" in done.err) == (1, True)
