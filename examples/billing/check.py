"""Check that invoices say what the closed month says, and that every amount is the price.

    check.py invoices.json --prices prices.toml --statement november.json

The statement is what `tollgate periods show 202611 --json` or `GET /v1/periods/202611` answered.
Its digest is made anew from it; give `--digest` what was noted elsewhere. Invoices must name the
same month, root and digest, one of them for each tenant, in the currency of the prices. Nothing
here is shared with the script that made the invoices, and nothing but the standard library is
needed.
"""

import argparse
import hashlib
import json
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

COUNTS = ("requests", "rows", "units")
HEADS = ("period", "start", "end", "root", "digest", "currency")


def main() -> int:
    """Print what differs and exit 1, or say that nothing does."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("invoices", type=Path)
    parser.add_argument("--prices", type=Path, required=True)
    parser.add_argument("--statement", type=Path, required=True)
    parser.add_argument("--digest", help="of the statement, as it was noted elsewhere")
    wish = parser.parse_args()

    document = json.loads(wish.statement.read_text())
    made = json.loads(wish.invoices.read_text())
    prices = tomllib.loads(wish.prices.read_text(), parse_float=Decimal)
    noted = wish.digest or document["digest"]
    faults = [
        *faults_of_statement(document, noted=noted),
        *faults_of_heads(
            {**(document["statement"] or {}), "digest": noted, "currency": prices["currency"]}, made
        ),
        *faults_of_usage(document["statement"] or {"tenants": []}, made),
        *faults_of_amounts(made, prices),
    ]
    for fault in faults:
        print(fault)
    if not faults:
        print(f"{made['period']}: {len(made['invoices'])} invoices, {made['total']} in all, agree")
    return 1 if faults else 0


def faults_of_statement(document: dict[str, Any], *, noted: str) -> Iterator[str]:
    """Compare the digest of a statement with the one that was noted, and its sums with each other.

    The digest is the SHA-256 of its JSON with sorted members, without blanks, in ASCII.
    """
    statement = document["statement"]
    if document["state"] != "closed" or statement is None:
        yield f"{document['period']} is not closed"
        return
    text = json.dumps(statement, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    if hashlib.sha256(text.encode()).hexdigest() != noted:
        yield f"{document['period']}: the statement is not the one of this digest"
    for name in COUNTS:
        tenants = sum(tenant[name] for tenant in statement["tenants"])
        models = sum(line[name] for one in statement["tenants"] for line in one["models"])
        if not statement[name] == tenants == models:
            yield f"{document['period']}: the {name} of the tenants are not those of the month"


def faults_of_heads(wanted: dict[str, Any], made: dict[str, Any]) -> Iterator[str]:
    """Compare what stands above the invoices: which month, of which books, in which money."""
    for name in HEADS:
        if made.get(name) != wanted.get(name):
            yield f"all: {name} {made.get(name)} instead of {wanted.get(name)}"
    invoices = Counter(invoice["tenant"] for invoice in made["invoices"])
    for tenant, count in invoices.items():
        if count > 1:
            yield f"{tenant}: {count} invoices"


def faults_of_usage(statement: dict[str, Any], made: dict[str, Any]) -> Iterator[str]:
    """Compare what is invoiced with what was used, tenant by tenant and model by model."""
    used = {
        (tenant["tenant_id"], line["model"]): tuple(line[name] for name in COUNTS)
        for tenant in statement["tenants"]
        for line in tenant["models"]
    }
    invoiced: dict[tuple[str, str], tuple[int, ...]] = {}
    for invoice in made["invoices"]:
        for line in invoice["lines"]:
            place = (invoice["tenant"], line["model"])
            if place in invoiced:
                yield f"{' '.join(place)}: invoiced twice"
            invoiced[place] = tuple(line[name] for name in COUNTS)
    for place in sorted(used.keys() | invoiced.keys()):
        if used.get(place) != invoiced.get(place):
            yield f"{' '.join(place)}: used {used.get(place)}, invoiced {invoiced.get(place)}"


def faults_of_amounts(made: dict[str, Any], prices: dict[str, Any]) -> Iterator[str]:
    """Price every line anew, and add up."""
    cent = Decimal(1).scaleb(-prices["decimals"])
    total = Decimal(0)
    for invoice in made["invoices"]:
        whole = Decimal(0)
        for line in invoice["lines"]:
            price = price_of(line["model"], prices["prices"])
            if price is None:
                yield f"{invoice['tenant']} {line['model']}: the model has no price"
                whole += Decimal(line["amount"])
                continue
            amount = (price * line["units"]).quantize(cent, ROUND_HALF_UP)
            whole += amount
            if (Decimal(line["unit_price"]), Decimal(line["amount"])) != (price, amount):
                yield f"{invoice['tenant']} {line['model']}: {line['amount']} instead of {amount}"
        total += whole
        if Decimal(invoice["total"]) != whole:
            yield f"{invoice['tenant']}: {invoice['total']} instead of {whole}"
    if Decimal(made["total"]) != total:
        yield f"all: {made['total']} instead of {total}"


def price_of(model: str, prices: dict[str, Any]) -> Decimal | None:
    """Return the price of a unit of a model; None where there is neither its own nor one of all."""
    price = prices.get(model, prices.get("*"))
    return None if price is None else Decimal(str(price))


if __name__ == "__main__":
    sys.exit(main())
