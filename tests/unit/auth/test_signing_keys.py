"""Signing keys: their names, and what time makes of them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from joserfc.jwk import ECKey

from auth.signing_key_duties import ERASE_AFTER, FORGET_AFTER, duties_at
from auth.signing_keys import (
    MAX_TOKEN_SECONDS,
    PUBLISH_AHEAD,
    KeyRing,
    KeyState,
    SigningKey,
    generate_key_pair,
    private_jwk,
)

NOW = datetime(2026, 11, 5, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
MAX_AGE = timedelta(days=30)


def make_key(
    *, signs_from: datetime = NOW - DAY, signs_until: datetime | None = None
) -> SigningKey:
    """Make a key that signs."""
    pair = generate_key_pair()
    return SigningKey(
        kid=pair.kid,
        public_point=pair.public_point,
        sealed_private=b"sealed",
        created_at=signs_from,
        signs_from=signs_from,
        signs_until=signs_until,
        revoked_at=None,
    )


def test_name_is_the_thumbprint() -> None:
    """RFC 7638, as another library computes it."""
    pair = generate_key_pair()
    jwk: dict[str, str | list[str]] = {**private_jwk(pair.public_point, pair.private_scalar)}
    assert pair.kid == ECKey.import_key(jwk).thumbprint()


def test_public_part_says_what_it_is_for() -> None:
    """RFC 7517 section 4; nothing private is in it."""
    assert set(make_key().jwk()) == {"kty", "crv", "x", "y", "use", "alg", "kid"}


def test_representation_leaves_the_private_part_out() -> None:
    """Neither the sealed one nor the one in the open ends in a log."""
    pair = generate_key_pair()
    assert "sealed" not in repr(make_key()).replace("sealed_private", "")
    assert repr(pair.private_scalar) not in repr(pair)


@pytest.mark.parametrize(
    ("at", "state"),
    [
        (NOW - SECOND, KeyState.PUBLISHED),
        (NOW, KeyState.SIGNING),
        (NOW + DAY - SECOND, KeyState.SIGNING),
        (NOW + DAY, KeyState.RETIRED),
        (NOW + DAY + timedelta(seconds=MAX_TOKEN_SECONDS), KeyState.RETIRED),
        (NOW + DAY + timedelta(seconds=MAX_TOKEN_SECONDS + 11), KeyState.GONE),
    ],
)
def test_state_follows_from_the_time(at: datetime, state: KeyState) -> None:
    """Published, signing, retired until the last token has expired, gone."""
    assert make_key(signs_from=NOW, signs_until=NOW + DAY).state(at) is state


def test_revoked_key_is_gone_at_once() -> None:
    """Whatever its times say."""
    assert replace(make_key(), revoked_at=NOW).state(NOW) is KeyState.GONE


def test_key_signed_nothing_before_and_after_its_time() -> None:
    """A key that signs no more cannot be used to date new tokens."""
    key = make_key(signs_from=NOW, signs_until=NOW + DAY)
    began, ended = int(NOW.timestamp()), int((NOW + DAY).timestamp())
    assert key.may_have_signed(began)
    assert key.may_have_signed(ended)
    assert not key.may_have_signed(began - 11)
    assert not key.may_have_signed(ended + 11)


def test_ring_knows_who_signs_and_who_is_published() -> None:
    """The key set has all that are of use, oldest first; one of them signs."""
    gone = make_key(signs_from=NOW - 9 * DAY, signs_until=NOW - DAY)
    retired = make_key(signs_from=NOW - DAY, signs_until=NOW - SECOND)
    signing = make_key(signs_from=NOW - SECOND, signs_until=NOW + PUBLISH_AHEAD)
    published = make_key(signs_from=NOW + PUBLISH_AHEAD)
    ring = KeyRing()
    ring.apply([published, gone, signing, retired])
    at = NOW.timestamp()
    assert ring.signing(at) == signing
    kids = [key["kid"] for key in ring.public_keys(at)]
    assert kids == [retired.kid, signing.kid, published.kid]


def test_first_key_signs_where_the_clock_is_behind() -> None:
    """A server whose clock lags does not refuse to work for a second."""
    ring = KeyRing()
    assert ring.signing(NOW.timestamp()) is None
    first = make_key(signs_from=NOW + SECOND)
    ring.apply([first])
    assert ring.signing(NOW.timestamp()) == first


def test_nothing_is_due_for_a_young_key() -> None:
    """Most looks find nothing to do."""
    assert not duties_at(NOW, [make_key()], max_age=MAX_AGE)


def test_first_key_is_due_where_none_is_of_use() -> None:
    """At the first start, and after the last one was revoked."""
    assert duties_at(NOW, [], max_age=MAX_AGE).needs_first
    assert duties_at(NOW, [replace(make_key(), revoked_at=NOW)], max_age=MAX_AGE).needs_first


def test_successor_is_due_in_time_to_be_published() -> None:
    """The old key signs no longer than it may, and the new one is known before it signs."""
    key = make_key(signs_from=NOW)
    due_at = NOW + MAX_AGE - PUBLISH_AHEAD
    assert duties_at(due_at - SECOND, [key], max_age=MAX_AGE).ageing is None
    assert duties_at(due_at, [key], max_age=MAX_AGE).ageing == key
    successor = make_key(signs_from=due_at + PUBLISH_AHEAD)
    assert duties_at(due_at, [key, successor], max_age=MAX_AGE).ageing is None


def test_private_part_of_a_retired_key_is_due_to_be_erased() -> None:
    """It is of no use but to a thief."""
    old = make_key(signs_until=NOW)
    keys = [old, make_key(signs_from=NOW)]
    assert not duties_at(NOW, keys, max_age=MAX_AGE)
    assert duties_at(NOW + ERASE_AFTER, keys, max_age=MAX_AGE).to_erase == (old.kid,)
    keys[0] = replace(old, sealed_private=None)
    assert not duties_at(NOW + ERASE_AFTER, keys, max_age=MAX_AGE)
    assert duties_at(NOW + FORGET_AFTER, keys, max_age=MAX_AGE).to_forget == (old.kid,)
