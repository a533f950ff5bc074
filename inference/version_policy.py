"""Choose which of a model's versions are served, as its author wrote in `model.toml`."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

VersionNumber = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,17}$")]


class VersionPolicy(BaseModel):
    """Serve the `latest` so many, the `specific` ones, or, where neither is said, all."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    latest: int | None = Field(default=None, ge=1, le=1000)
    """Serve so many versions, those with the highest numbers."""

    specific: list[VersionNumber] | None = Field(default=None, min_length=1, max_length=1000)
    """Serve these versions; numbers as text, as their folders are called."""

    @model_validator(mode="after")
    def _only_one_is_said(self) -> Self:
        if self.latest is not None and self.specific is not None:
            raise ValueError("say latest or specific, not both")
        return self

    def choose(self, versions: Iterable[str]) -> list[str]:
        """Choose among versions; by rising number."""
        rising = rising_versions(versions)
        if self.specific is not None:
            return [version for version in rising if version in self.specific]
        return rising if self.latest is None else rising[-self.latest :]


def rising_versions(versions: Iterable[str]) -> list[str]:
    """Put versions in the order of their numbers."""
    return sorted(versions, key=int)


def newest_version(versions: Sequence[str]) -> str | None:
    """Return the one with the highest number; None of none."""
    return max(versions, key=int, default=None)
