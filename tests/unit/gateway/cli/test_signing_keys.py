"""The keys that sign access tokens, from the command line."""

from tests.unit.gateway.cli.terminal import Terminal


def states(terminal: Terminal) -> list[str]:
    """List what the keys are good for, in the order in which they sign."""
    listed = terminal.run("signing-keys", "list", "--json").document["data"]
    return [key["state"] for key in listed]


def test_rotation_publishes_the_next_key(migrated: Terminal) -> None:
    """The first key signs at once, as there is none before it; the next one waits."""
    assert migrated.run("signing-keys", "rotate", "--json").document["state"] == "signing"
    successor = migrated.run("signing-keys", "rotate", "--json").document
    assert successor["state"] == "published"
    assert states(migrated) == ["signing", "published"]
    again = migrated.run("signing-keys", "rotate")
    assert (again.status, successor["kid"] in again.err) == (1, True)


def test_rotation_at_once_retires_the_last_key(migrated: Terminal) -> None:
    """Its tokens go on until they expire."""
    migrated.run("signing-keys", "rotate")
    migrated.run("signing-keys", "rotate", "--now")
    assert states(migrated) == ["retired", "signing"]


def test_stolen_key_is_gone_and_replaced(migrated: Terminal) -> None:
    """One command is enough, and says what became of the key."""
    kid = migrated.run("signing-keys", "rotate", "--json").document["kid"]
    revoked = migrated.run("signing-keys", "revoke", kid)
    assert (revoked.status, "gone" in revoked.out) == (0, True)
    assert states(migrated) == ["gone", "signing"]


def test_unknown_key_is_told_in_one_line(migrated: Terminal) -> None:
    """A slip of the pen revokes nothing."""
    refused = migrated.run("signing-keys", "revoke", "unknown")
    assert (refused.status, refused.err) == (1, "tollgate: there is no such signing key\n")


def test_no_command_shows_anything_private(migrated: Terminal) -> None:
    """Public members only, for people and for programs."""
    migrated.run("signing-keys", "rotate")
    document = migrated.run("signing-keys", "list", "--json").document["data"][0]
    assert document.keys() == {
        "kid",
        "state",
        "created_at",
        "signs_from",
        "signs_until",
        "revoked_at",
    }
