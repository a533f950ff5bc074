"""What was found out about credentials: remembered while they are used, and never their texts."""

from auth.seen import Seen

MOST = 4


def remember(seen: Seen[int], *numbers: int) -> None:
    """Remember numbers by their texts."""
    for number in numbers:
        seen.add(seen.digest(str(number)), number)


def known(seen: Seen[int], *numbers: int) -> list[int | None]:
    """Look numbers up by their texts."""
    return [seen.find(seen.digest(str(number))) for number in numbers]


def test_what_was_added_is_found() -> None:
    """And nothing else is."""
    seen = Seen[int](MOST)
    remember(seen, 1, 2)
    assert known(seen, 1, 2, 3) == [1, 2, None]


def test_what_is_used_stays() -> None:
    """However many others come; those that nobody uses go, and never many are kept."""
    seen = Seen[int](MOST)
    remember(seen, 1)
    for number in range(2, 50):
        remember(seen, number)
        assert known(seen, 1) == [1]
        assert len(seen) <= 2 * MOST
    assert known(seen, 2) == [None]


def test_digests_of_two_processes_have_nothing_in_common() -> None:
    """What a dump shows of one tells nothing, not even of the same text elsewhere."""
    text = "tg_live_secret"
    assert Seen[int](MOST).digest(text) != Seen[int](MOST).digest(text)


def test_text_that_is_no_unicode_has_a_digest() -> None:
    """A caller may send anything."""
    seen = Seen[int](MOST)
    assert seen.digest("\ud800") != seen.digest("?")
