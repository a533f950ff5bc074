"""What signs receipts: the key whose turn it is, and a clear refusal where there is none."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from auth.document_signer import DocumentSigner
from auth.errors import SigningKeyMissing
from auth.signing_keys import (
    KeyRing,
    KeyState,
    Purpose,
    SigningKey,
    generate_key_pair,
    sealing_context,
)
from tests.unit.auth.conftest import SEALER, FakeClock


def sealed_key(signs_from: datetime) -> SigningKey:
    """Make a key of receipts."""
    pair = generate_key_pair()
    return SigningKey(
        kid=pair.kid,
        public_point=pair.public_point,
        sealed_private=SEALER.seal(pair.private_scalar, sealing_context(pair.kid)),
        created_at=signs_from,
        signs_from=signs_from,
        signs_until=None,
        revoked_at=None,
        purpose=Purpose.RECEIPT,
    )


def signer_of(clock: FakeClock, *keys: SigningKey) -> tuple[KeyRing, DocumentSigner]:
    """Sign with some keys."""
    ring = KeyRing()
    ring.apply(keys)
    return ring, DocumentSigner(ring, media_type="x+sd-jwt", sealer=SEALER, now=clock.seconds)


def test_successor_signs_when_its_turn_comes(clock: FakeClock) -> None:
    """Nobody has to tell: the time alone decides."""
    first = sealed_key(clock.now)
    turn = clock.now + timedelta(hours=1)
    second = sealed_key(turn)
    _, signer = signer_of(clock, replace(first, signs_until=turn), second)
    assert signer.key().kid == first.kid
    clock.advance(3600)
    assert signer.key().kid == second.kid


def test_nothing_is_signed_without_a_key(clock: FakeClock) -> None:
    """Whoever asks is told, before anything is billed."""
    _, signer = signer_of(clock)
    with pytest.raises(SigningKeyMissing, match="no key"):
        signer.key()


def test_key_that_does_not_open_is_no_key(clock: FakeClock) -> None:
    """As after a change of the sealing key that left it behind."""
    broken = replace(sealed_key(clock.now), sealed_private=b"\1" * 64)
    _, signer = signer_of(clock, broken)
    with pytest.raises(SigningKeyMissing, match="does not open"):
        signer.key()


def test_key_of_receipts_stays_good_for_good() -> None:
    """A receipt is shown years later; a revoked key says until when it is believed."""
    begun = datetime(2026, 1, 1, tzinfo=UTC)
    ended = begun + timedelta(days=30)
    key = replace(sealed_key(begun), signs_until=ended)
    assert key.state(begun + timedelta(days=3650)) is KeyState.RETIRED
    revoked = replace(key, revoked_at=ended).historical_jwk()
    assert (revoked["exp"], revoked["revoked"]) == (
        int(ended.timestamp()),
        {"revoked_at": int(ended.timestamp())},
    )
