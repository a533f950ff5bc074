"""Tell how final a reading is: up to when all is counted, and which months may still change.

It stands beside what is read, since it changes while that does not.
"""

from dataclasses import dataclass
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.moments import moment_of, rfc3339
from gateway.usage.ledger import read_only
from gateway.usage.period_records import State
from gateway.usage.period_states import period_states
from gateway.usage.periods import wall_clock_us
from gateway.usage.promises import complete_through

COMPLETE_THROUGH: Final = "Usage-Complete-Through"
PERIOD_STATE: Final = "Usage-Period-State"
_LEAST_FINAL_FIRST: Final[tuple[State, ...]] = ("open", "closing", "closed")


@dataclass(frozen=True, slots=True)
class Standing:
    """How final a reading of a range is.

    Attributes:
        complete_through_us: everything before this moment is in the ledger.
        period_state: of the months that were asked about, that of the one furthest from closed.
    """

    complete_through_us: int
    period_state: State

    def headers(self) -> dict[str, str]:
        """Write it as header fields."""
        complete = rfc3339(moment_of(self.complete_through_us))
        return {COMPLETE_THROUGH: complete, PERIOD_STATE: self.period_state}


async def read_standing(engine: AsyncEngine, start_us: int | None, end_us: int | None) -> Standing:
    """Read it; a bound that is not given is the beginning, or now.

    Raises:
        LedgerUnavailable: the database did not answer.
    """
    async with read_only(engine) as connection:
        complete_us = await complete_through(connection)
    now_us = wall_clock_us()
    last_us = now_us + 1 if end_us is None else end_us
    first_us = min(last_us - 1, start_us or 0)
    states = {one.state for one in await period_states(engine, first_us, last_us)}
    least: State = next((state for state in _LEAST_FINAL_FIRST if state in states), "open")
    return Standing(complete_us, least)
