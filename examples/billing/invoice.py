"""Turn a closed month into one invoice for each tenant.

    invoice.py 202611 --prices prices.toml --url https://api.example.com --out invoices.json
    invoice.py 202611 --prices prices.toml --export november.ndjson --statement november.json

With `--url` it asks the server, with the API key in BILLING_KEY, which needs the scope
`usage:read:all`. Without, it adds up the records that `tollgate usage export` wrote, and takes the
month from `tollgate periods show 202611 --json`. It needs the standard library alone. Amounts are
decimal from the price to the total, and never a float.
"""

import argparse
import json
import os
import sys
import tomllib
import urllib.request
from collections import defaultdict
from collections.abc import Iterable, Iterator
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

Line = tuple[str, str]
"""A tenant and a model."""
Usage = dict[Line, dict[str, int]]
"""Requests, rows and units of each."""

COUNTS = ("requests", "rows", "units")


def main() -> int:
    """Write the invoices; exit 1 where the month is not closed or a model has no price."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("period", type=int, help="the month, such as 202611")
    parser.add_argument("--prices", type=Path, required=True)
    parser.add_argument("--url", help="of the server; without it, --export and --statement")
    parser.add_argument("--export", type=Path, help="records as NDJSON")
    parser.add_argument("--statement", type=Path, help="the month as JSON")
    parser.add_argument("--out", type=Path, help="where to write; standard output if absent")
    wish = parser.parse_args()

    if not wish.url and not (wish.export and wish.statement):
        parser.error("name --url, or --export and --statement")
    if wish.url:
        document = ask(wish.url, f"/v1/periods/{wish.period}")
    else:
        document = json.loads(wish.statement.read_text())
    if document["state"] != "closed" or document["period"] != wish.period:
        sys.stderr.write(f"{wish.period} is not closed: close it first\n")
        return 1
    if wish.url:
        usage = reported(wish.url, document)
    else:
        usage = added_up(records_of(wish.export, document["start"], document["end"]))
    prices = tomllib.loads(wish.prices.read_text(), parse_float=Decimal)
    missing = sorted({model for _, model in usage} - prices["prices"].keys())
    if missing and "*" not in prices["prices"]:
        sys.stderr.write(f"no price for {', '.join(missing)}\n")
        return 1
    text = json.dumps(invoices(document, usage, prices), indent=2) + "\n"
    if wish.out:
        wish.out.write_text(text)
    else:
        sys.stdout.write(text)
    return 0


def reported(url: str, document: dict[str, Any]) -> Usage:
    """Ask the server what each tenant used of each model in the month."""
    bounds = f"from={document['start']}&to={document['end']}"
    answer = ask(url, f"/v1/usage?{bounds}&bucket=month&group_by=tenant,model")
    return {
        (line["tenant"], line["model"]): {name: line[name] for name in COUNTS}
        for line in answer["data"]
    }


def records_of(path: Path, start: str, end: str) -> Iterator[dict[str, Any]]:
    """Read the records of an export that count in the month, one by one."""
    with path.open() as lines:
        for line in lines:
            record = json.loads(line)
            if start[:10] <= record["counted_at"][:10] < end[:10]:
                yield record


def added_up(records: Iterable[dict[str, Any]]) -> Usage:
    """Add records up; corrections are no requests, and what test keys did is not billed."""
    usage: Usage = defaultdict(lambda: dict.fromkeys(COUNTS, 0))
    for record in records:
        if record["test"] or record["outcome"] == "lost":
            continue
        sums = usage[record["tenant"], record["model"]]
        sums["requests"] += record["outcome"] == "ok"
        sums["rows"] += record["rows"]
        sums["units"] += record["units"]
    return dict(usage)


def invoices(document: dict[str, Any], usage: Usage, prices: dict[str, Any]) -> dict[str, Any]:
    """Price what was used, by tenant."""
    cent = Decimal(1).scaleb(-prices["decimals"])
    by_tenant: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for (tenant, model), sums in sorted(usage.items()):
        price = Decimal(str(prices["prices"].get(model, prices["prices"].get("*"))))
        amount = (price * sums["units"]).quantize(cent, ROUND_HALF_UP)
        line = {"model": model, **sums, "unit_price": str(price), "amount": str(amount)}
        by_tenant[tenant].append(line)
    made = [
        {
            "tenant": tenant,
            "lines": lines,
            "total": total_of(line["amount"] for line in lines),
        }
        for tenant, lines in by_tenant.items()
    ]
    return {
        "period": document["period"],
        "start": document["start"],
        "end": document["end"],
        "root": document["root"],
        "digest": document["digest"],
        "currency": prices["currency"],
        "invoices": made,
        "total": total_of(str(invoice["total"]) for invoice in made),
    }


def total_of(amounts: Iterable[str]) -> str:
    """Add amounts up."""
    return str(sum(map(Decimal, amounts), Decimal(0)))


def ask(url: str, path: str) -> Any:  # noqa: ANN401 - any JSON
    """Ask the server for a document."""
    if not url.startswith(("https://", "http://")):
        raise SystemExit("--url must begin with https:// or http://")
    request = urllib.request.Request(url.rstrip("/") + path)  # noqa: S310 - checked above
    request.add_header("Authorization", f"Bearer {os.environ['BILLING_KEY']}")
    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310 # nosec B310
        return json.load(response)


if __name__ == "__main__":
    sys.exit(main())
