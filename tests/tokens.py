"""What signs and checks access tokens in tests that open no server."""

from collections.abc import Callable
from typing import Final

from auth.keyset import Keyset
from auth.token_gate import TokenGate
from auth.tokens import TokenRules, TokenVerifier

RULES: Final = TokenRules(
    issuer="https://tollgate.example", audience="https://api.example", lifetime_seconds=300
)


def token_gate(keyset: Keyset, now: Callable[[], float], *, most_cached: int = 4096) -> TokenGate:
    """Check tokens as a server does whose issuer and audience are made up."""
    verifier = TokenVerifier(keyset.ring, rules=RULES, now=now)
    return TokenGate(keyset, verifier, now=now, most_cached=most_cached)
