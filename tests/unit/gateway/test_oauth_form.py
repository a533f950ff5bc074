"""Forms of the OAuth2 endpoints are read in one way or not at all."""

from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import TokenRequestInvalid
from gateway.oauth_form import MAX_PARAMETERS, parse_form

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
NAMES = TEXT.filter(lambda name: name != "resource")


@given(sent=st.dictionaries(NAMES, TEXT, max_size=MAX_PARAMETERS))
def test_form_is_read_as_it_was_written(sent: dict[str, str]) -> None:
    """Whatever characters are in it."""
    assert parse_form(urlencode(sent).encode()).parameters == sent


@pytest.mark.parametrize(
    "body",
    [
        b"a=1&a=1",
        b"a=1&%61=2",
        b"a=1&a",
        b"a=%",
        b"a=%4",
        b"a=%zz",
        b"a=%ff",
        b"a=\xff",
        b"&".join(b"a%d=1" % number for number in range(MAX_PARAMETERS + 1)),
    ],
)
def test_form_that_could_be_read_in_two_ways_is_refused(body: bytes) -> None:
    """Twice the same name, broken escapes, no UTF-8, too many."""
    with pytest.raises(TokenRequestInvalid):
        parse_form(body)


def test_parameter_without_a_value_counts_as_not_sent() -> None:
    """RFC 6749, section 3.2."""
    form = parse_form(b"a=&b&resource=&=c&&")
    assert (form.get("a"), form.get("b"), form.get("c")) == ("", "", "")
    assert form.resources == ()
    with pytest.raises(TokenRequestInvalid):
        form.require("a")


def test_resource_may_stand_more_than_once() -> None:
    """RFC 8707, section 2."""
    assert parse_form(b"resource=a&resource=b").resources == ("a", "b")


def test_form_can_be_logged() -> None:
    """Its secrets are not in what is shown."""
    assert "hidden" not in repr(parse_form(b"client_secret=hidden"))
