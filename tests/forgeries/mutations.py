"""Random changes of a text, each a text of its own."""

import random
from collections.abc import Iterator

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_STRANGE = "=.+/ !\t\"'\\{}[]:,%\x00\n\r\x7f\u00e9\u00ff"
_MOST_CHANGES = 3


def mutations(text: str, chance: random.Random, count: int) -> Iterator[str]:
    """Change a text in one to three places, so many times; never to itself."""
    made = 0
    while made < count:
        mutant = text
        for _ in range(chance.randint(1, _MOST_CHANGES)):
            mutant = _changed(mutant, chance)
        if mutant != text:
            made += 1
            yield mutant


def _changed(text: str, chance: random.Random) -> str:
    place = chance.randrange(len(text) + 1) if text else 0
    other = chance.randrange(len(text) + 1) if text else 0
    low, high = sorted((place, other))
    character = chance.choice(_ALPHABET if chance.random() < 0.7 else _STRANGE)
    return chance.choice(
        (
            text[:place] + character + text[place + 1 :],
            text[:place] + character + text[place + 1 :],
            text[:place] + character + text[place:],
            text[:place] + text[place + 1 :],
            text[:low] + text[high:],
            text[:high] + text[low:high] + text[high:],
            text[:low] + text[low:high].swapcase() + text[high:],
            text[:low] + text[low:high][::-1] + text[high:],
            text[high:] + text[:high],
        )
    )
