"""Split the time of a run over the requests in it, to the microsecond."""

from collections.abc import Sequence


def split_by_rows(total: int, rows: Sequence[int]) -> list[int]:
    """Split a whole number by rows, with the largest remainders rounded up; earlier ones first.

    The parts add up to the whole. Where nobody has a row, everybody has the same share.
    """
    if len(rows) == 1:
        return [total]
    weights = rows if any(rows) else [1] * len(rows)
    all_rows = sum(weights)
    parts = [total * weight // all_rows for weight in weights]
    left = total - sum(parts)
    if left:
        remainders = [total * weight % all_rows for weight in weights]
        for index in sorted(range(len(parts)), key=lambda one: -remainders[one])[:left]:
            parts[index] += 1
    return parts
