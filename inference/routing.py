"""Say which version of a model a request asks for."""

from typing import NamedTuple


class Selection(NamedTuple):
    """A version by number, by label, or neither: then the model's own choice. Never both."""

    version: str | None = None
    label: str | None = None


UNNAMED = Selection()
"""The request names the model alone."""
