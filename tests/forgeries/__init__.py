"""Forged access tokens, each by its name: what no verifier of ours may ever accept."""

from collections.abc import Callable

from tests.forgeries.claims import CLAIMS
from tests.forgeries.forge import Forge
from tests.forgeries.headers import HEADERS
from tests.forgeries.texts import TEXTS

__all__ = ["FORGERIES", "Forge"]

FORGERIES: dict[str, Callable[[Forge], str]] = {**HEADERS, **CLAIMS, **TEXTS}
"""How each is made; a name says what is wrong, and all else about the token is right."""
