"""The file of destinations is understood exactly, or refused without repeating a secret."""

from pathlib import Path

import pytest

from gateway.delivery.destinations import (
    CloudEventsDestination,
    StripeDestination,
    read_destinations,
)
from gateway.errors import SettingInvalid
from tests.documentation import read_blocks

GOOD = """
[openmeter]
kind = "cloudevents"
url = "https://openmeter.example/api/v1/events/"
token_file = "secret"

[stripe]
kind = "stripe"
event_name = "units"

[stripe.customers]
ten_a = "cus_a"
"""


def test_destinations_and_their_secrets_are_read(tmp_path: Path) -> None:
    """A token stands in a file of its own, beside this one, and in no text."""
    (tmp_path / "secret").write_text("a-secret-token\n")
    path = tmp_path / "destinations.toml"
    path.write_text(GOOD)
    read = read_destinations(path)
    openmeter, stripe = read["openmeter"], read["stripe"]
    assert isinstance(openmeter, CloudEventsDestination)
    assert openmeter.url == "https://openmeter.example/api/v1/events"
    assert openmeter.token is not None
    assert openmeter.token.get_secret_value() == "a-secret-token"
    assert isinstance(stripe, StripeDestination)
    assert stripe.url == "https://api.stripe.com"
    assert stripe.customers == {"ten_a": "cus_a"}
    assert "a-secret-token" not in repr(read)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[x", "is not TOML"),
        ('[x]\nkind = "pigeon"\nurl = "https://x"', "x: "),
        ('[x]\nkind = "cloudevents"\nurl = "http://receiver.example"', "must be https://"),
        ('[x]\nkind = "cloudevents"\nurl = "https://u:hidden@x"', "must have no user"),
        ('[x]\nkind = "cloudevents"\nurl = "https://x"\nbatch = 0', "batch"),
        ('[x]\nkind = "cloudevents"\nurl = "https://x"\ntokn = "hidden"', "tokn"),
        ('[X y]\nkind = "cloudevents"\nurl = "https://x"', "is not TOML"),
        ('[x]\nkind = "cloudevents"\nurl = "https://x"\ntoken_file = "none"', "No such file"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    """With its place, and not with what stands there."""
    path = tmp_path / "destinations.toml"
    path.write_text(text)
    with pytest.raises(SettingInvalid, match=message) as refusal:
        read_destinations(path)
    assert "hidden" not in str(refusal.value)


def test_documented_file_is_read(tmp_path: Path) -> None:
    """It has every member that there is."""
    [block] = [one for one in read_blocks("docs/billing.md") if one.info.endswith(".toml")]
    for name in ("openmeter.token", "stripe.token"):
        (tmp_path / name).write_text("a-secret-token")
    path = tmp_path / "destinations.toml"
    path.write_text(block.text)
    openmeter, stripe = read_destinations(path).values()
    given = openmeter.model_fields_set | stripe.model_fields_set
    assert given == {*type(openmeter).model_fields, *type(stripe).model_fields}
