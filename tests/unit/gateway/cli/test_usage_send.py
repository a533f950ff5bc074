"""Usage sent to a billing system from the command line."""

from pathlib import Path

import orjson
import pytest

from gateway.database import create_engine
from gateway.usage.ledger import Ledger
from gateway.usage.segment_file import Segments
from tests.billing_receiver import running_billing_receiver
from tests.unit.gateway.cli.terminal import Terminal
from tests.unit.gateway.usage.conftest import record_of


@pytest.fixture
async def terminal(terminal: Terminal, migrated_sqlite: str) -> Terminal:
    """A terminal over a ledger of three records."""
    engine = create_engine(migrated_sqlite)
    records = [record_of(f"r{n}", units=n) for n in (1, 2, 3)]
    segments = Segments(1, 1, orjson.dumps([tuple(one) for one in records]).decode(), 3)
    await Ledger(engine).take("j", segments, position=1, complete_through_us=0)
    await engine.dispose()
    return Terminal(terminal.settings | {"TOLLGATE_DATABASE_URL": migrated_sqlite})


def test_usage_is_sent_listed_and_sent_again(terminal: Terminal, tmp_path: Path) -> None:
    """What is refused is listed with the reason, and tried again when told to."""
    path = tmp_path / "destinations.toml"
    wish = ("--to", "there", "--destinations", str(path), "--json")
    with running_billing_receiver() as receiver:
        path.write_text(f'[there]\nkind = "cloudevents"\nurl = "{receiver.url}"\n')
        receiver.refused_ids = {"r2"}
        sent = terminal.run("usage", "send", *wish)
        assert sent.document == {"delivered": 2, "put_aside": 1, "failures": 0}, sent.err
        [state] = terminal.run("usage", "deliveries", "--json").document["data"]
        assert (state["destination"], state["position"], state["undelivered"]) == ("there", 3, 1)
        [left] = terminal.run("usage", "undelivered", "--to", "there", "--json").document["data"]
        assert (left["request_id"], left["reason"]) == ("r2", "refused: status 400")
        receiver.refused_ids = set()
        again = terminal.run("usage", "send", *wish, "--again")
        assert again.document == {"delivered": 1, "put_aside": 0, "failures": 0}
        assert receiver.by_id().keys() == {"r1", "r2", "r3"}


def test_unknown_destination_is_told(terminal: Terminal) -> None:
    """Nothing is sent anywhere else."""
    refused = terminal.run("usage", "send", "--to", "nowhere")
    assert (refused.status, refused.err) == (1, "tollgate: no file of destinations names nowhere\n")
