"""Sealed secrets open for what they were sealed for, and for nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from auth.errors import SealBroken, SealingKeyMismatch
from auth.sealing import Sealer
from auth.secret_files import VersionedSecret
from auth.secret_marks import has_marks, keep_marks

ONE = b"the first sealing key of these tests"
TWO = b"a second one of them, made much later"
SEALER = Sealer(VersionedSecret({1: ONE}))


@given(plaintext=st.binary(max_size=200), context=st.text(max_size=30))
def test_what_was_sealed_opens(plaintext: bytes, context: str) -> None:
    """Whatever it is and whatever it is for."""
    assert SEALER.open(SEALER.seal(plaintext, context), context) == plaintext


@given(position=st.integers(0), bit=st.integers(0, 7))
def test_changed_bit_is_found(position: int, bit: int) -> None:
    """Version, nonce, ciphertext and tag are all covered."""
    sealed = bytearray(SEALER.seal(b"private", "signing-key:k"))
    sealed[position % len(sealed)] ^= 1 << bit
    with pytest.raises(SealBroken):
        SEALER.open(bytes(sealed), "signing-key:k")


def test_sealed_secret_of_another_record_does_not_open() -> None:
    """Moved from one row to another it is worth nothing."""
    sealed = SEALER.seal(b"private", "totp:adm_1")
    with pytest.raises(SealBroken):
        SEALER.open(sealed, "totp:adm_2")


@pytest.mark.parametrize(
    "sealed",
    [b"", b"\x01", bytes(28), SEALER.seal(b"", "c")[:-1]],
    ids=["nothing", "a version", "zeros", "all but a byte"],
)
def test_short_seal_is_refused(sealed: bytes) -> None:
    """Nothing is read beyond its end."""
    with pytest.raises(SealBroken):
        SEALER.open(sealed, "c")


def test_same_plaintext_is_sealed_in_two_ways() -> None:
    """Nobody sees in the database that two secrets are one."""
    assert SEALER.seal(b"private", "c") != SEALER.seal(b"private", "c")


def test_older_version_still_opens() -> None:
    """After a rotation new things are sealed with the newest."""
    both = Sealer(VersionedSecret({2: TWO, 1: ONE}))
    assert both.open(SEALER.seal(b"private", "c"), "c") == b"private"
    with pytest.raises(SealBroken, match="version 2"):
        SEALER.open(both.seal(b"private", "c"), "c")


@given(plaintext=st.binary(min_size=1, max_size=40), context=st.text(max_size=30))
def test_what_is_sealed_alike_opens_and_looks_the_same(plaintext: bytes, context: str) -> None:
    """Twice the same, and under another context something else that does not open here."""
    sealed = SEALER.seal_alike(plaintext, context)
    assert sealed == SEALER.seal_alike(plaintext, context)
    assert SEALER.open_alike(sealed, context) == plaintext
    with pytest.raises(SealBroken):
        SEALER.open_alike(SEALER.seal_alike(plaintext, context + "x"), context)


@given(position=st.integers(0), bit=st.integers(0, 7))
def test_changed_bit_is_found_in_what_is_sealed_alike(position: int, bit: int) -> None:
    """Version, nonce and ciphertext are all covered."""
    sealed = bytearray(SEALER.seal_alike(bytes(8), "cursor"))
    sealed[position % len(sealed)] ^= 1 << bit
    for changed in (sealed, sealed[:-1], sealed[:17], b""):
        with pytest.raises(SealBroken):
            SEALER.open_alike(bytes(changed), "cursor")


def test_what_an_older_version_sealed_alike_opens() -> None:
    """A cursor outlives the rotation of the key."""
    sealed = SEALER.seal_alike(b"place", "cursor")
    both = Sealer(VersionedSecret({2: TWO, 1: ONE}))
    assert both.open_alike(sealed, "cursor") == b"place"
    assert both.seal_alike(b"place", "cursor") != sealed


def test_key_is_in_no_text() -> None:
    """A traceback of a sealer shows nothing."""
    assert repr(SEALER) == "Sealer()"


async def test_first_start_keeps_a_mark(engine: AsyncEngine) -> None:
    """From then on no key is made anew."""
    assert not await has_marks(engine, "sealing")
    await keep_marks(engine, "sealing", VersionedSecret({1: ONE}))
    assert await has_marks(engine, "sealing")
    await keep_marks(engine, "sealing", VersionedSecret({1: ONE}))


@pytest.mark.parametrize("versions", [{1: TWO}, {2: TWO}, {2: ONE, 1: TWO}])
async def test_another_sealing_key_is_refused(
    engine: AsyncEngine, versions: dict[int, bytes]
) -> None:
    """Nothing that was sealed would open with it."""
    await keep_marks(engine, "sealing", VersionedSecret({1: ONE}))
    with pytest.raises(SealingKeyMismatch):
        await keep_marks(engine, "sealing", VersionedSecret(versions))


async def test_newer_version_is_welcome_beside_the_old(engine: AsyncEngine) -> None:
    """And is marked, so that it is known from then on."""
    await keep_marks(engine, "sealing", VersionedSecret({1: ONE}))
    await keep_marks(engine, "sealing", VersionedSecret({2: TWO, 1: ONE}))
    await keep_marks(engine, "sealing", VersionedSecret({2: TWO}))
    with pytest.raises(SealingKeyMismatch):
        await keep_marks(engine, "sealing", VersionedSecret({2: ONE}))
