"""A model's author says which of its versions are served."""

import pytest

from inference.errors import ModelRefused
from inference.manifest import parse_manifest
from inference.version_policy import VersionPolicy


def test_all_versions_are_served_by_default() -> None:
    """By rising number."""
    assert VersionPolicy().choose(["10", "9", "1"]) == ["1", "9", "10"]


def test_latest_are_those_with_the_highest_numbers() -> None:
    """Ten is higher than nine."""
    assert VersionPolicy(latest=2).choose(["9", "10", "1"]) == ["9", "10"]


def test_specific_ones_are_served_where_they_are() -> None:
    """One that is not there is none."""
    assert VersionPolicy(specific=["1", "7"]).choose(["1", "2"]) == ["1"]


def test_policy_stands_in_the_manifest() -> None:
    """As a table of `model.toml`."""
    manifest = parse_manifest("m", b"[version_policy]\nlatest = 3\n")
    assert manifest.version_policy == VersionPolicy(latest=3)


@pytest.mark.parametrize("line", ["latest = 0", 'latest = 1\nspecific = ["1"]', 'specific = ["x"]'])
def test_policy_without_a_meaning_is_refused(line: str) -> None:
    """With the place where it stands."""
    with pytest.raises(ModelRefused, match="version_policy"):
        parse_manifest("m", f"[version_policy]\n{line}\n".encode())
