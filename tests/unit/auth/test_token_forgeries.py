"""Forged tokens, named and random, against all that stands before a server; nothing is accepted."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from auth.errors import CredentialError
from auth.keyset import Keyset
from auth.token_gate import TokenGate
from tests.forgeries import FORGERIES, Forge
from tests.forgeries.mutations import mutations
from tests.tokens import Office, set_up_forge, token_gate
from tests.unit.auth.conftest import FakeClock

MUTATIONS = 100_000
ROOT = Path(__file__).parents[3]

# What a token is worth does not depend on the database.
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
async def forge(office: Office, clock: FakeClock) -> Forge:
    """Return a forger who knows everything."""
    clock.advance(0.5)
    forge = await set_up_forge(office, clock.now)
    await office.keyset.refresh()
    return forge


@pytest.fixture
def gate(keyset: Keyset, clock: FakeClock) -> TokenGate:
    """Return what stands before a server."""
    return token_gate(keyset, clock.seconds)


def is_accepted(check: Callable[[str], object], token: str) -> bool:
    """Tell whether a token is taken; any error but the constant one is a failure."""
    try:
        check(token)
    except CredentialError:
        return False
    return True


@on_sqlite
async def test_what_the_forgeries_are_made_of_is_good(forge: Forge, gate: TokenGate) -> None:
    """Whatever is refused is refused for its own fault."""
    assert is_accepted(gate.authenticate, forge.valid)


@on_sqlite
async def test_no_forgery_is_accepted(forge: Forge, gate: TokenGate) -> None:
    """Hundreds by name, also those that no header could carry; and nothing else is raised."""
    accepted = [
        name for name, make in FORGERIES.items() if is_accepted(gate.authenticate, make(forge))
    ]
    assert accepted == []


@on_sqlite
async def test_nested_texts_recurse_nowhere(forge: Forge, gate: TokenGate) -> None:
    """Depths around every limit of the interpreter, in a header and in signed claims."""
    nested = [b"[" * depth for depth in range(100, 2500, 100)]
    tokens = [forge.token(header=text) for text in nested]
    tokens += [forge.token(claims=text) for text in nested]
    assert not any(is_accepted(gate.authenticate, token) for token in tokens)


@on_sqlite
async def test_only_the_original_is_accepted_of_its_mutations(
    forge: Forge, gate: TokenGate
) -> None:
    """A hundred thousand random changes of a good token; nothing else is raised."""
    valid = forge.valid
    mutants = mutations(valid, random.Random(7519), MUTATIONS)  # noqa: S311 - repeatable
    assert [text for text in mutants if is_accepted(gate.authenticate, text)] == []
    assert is_accepted(gate.authenticate, valid)


def test_one_module_knows_python_jose() -> None:
    """What it lets pass is dealt with in one place."""
    knowing = [
        path.name
        for package in ("auth", "gateway", "inference")
        for path in (ROOT / package).rglob("*.py")
        if "from jose" in path.read_text(encoding="utf-8")
    ]
    assert knowing == ["tokens.py"]
