"""What every limiter must do; the local one and the shared one run the same suite."""

from abc import ABC, abstractmethod
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.limits.errors import QuotaExceeded, RateLimited, TooManyInFlight
from gateway.limits.limiter import Grant, Limiter, Outcome
from gateway.limits.policy import Policy, Standing
from tests.unit.gateway.limits.callers import (
    DECEMBER,
    HOSTILE_IDS,
    LAST_SECOND_US,
    LEASE_SECONDS,
    NOVEMBER,
    SECOND_US,
    Clocks,
    admitted,
    attempt,
    policy,
    refusal,
)

_Test = TypeVar("_Test")


def law(test: _Test) -> _Test:
    """Mark a property that several limiters share."""
    return settings(
        max_examples=60, deadline=None, suppress_health_check=[HealthCheck.differing_executors]
    )(test)


class LimiterContract(ABC):
    """Subclass it as `Test...` and say how the limiter is made."""

    @abstractmethod
    async def make(self, clocks: Clocks) -> Limiter:
        """Return an empty limiter on these clocks, with leases of `LEASE_SECONDS`."""

    @pytest.fixture
    def clocks(self) -> Clocks:
        """Return clocks in the middle of November."""
        return Clocks()

    @pytest.fixture
    async def limiter(self, clocks: Clocks) -> Limiter:
        """Return an empty limiter."""
        return await self.make(clocks)

    # Rate

    @law
    @given(
        rate=st.sampled_from([0.3, 1.0, 3.0, 7.0, 1000.0]),
        burst=st.integers(1, 6),
        gaps=st.lists(st.floats(0, 3), min_size=1, max_size=60),
    )
    async def test_admitted_is_exactly_what_gcra_allows(
        self, rate: float, burst: int, gaps: list[float]
    ) -> None:
        """A request gets in if and only if no window of time would then hold too many."""
        clocks = Clocks()
        limiter, limits = await self.make(clocks), policy(rate=rate, burst=burst)
        interval_us = limits.interval_us
        past: list[int] = []
        for gap in gaps:
            clocks.advance(int(gap * interval_us))
            now_us = clocks.monotonic_us
            allowed = all(
                (count + 1) * interval_us - (now_us - moment_us) <= burst * interval_us
                for count, moment_us in enumerate(reversed(past), start=1)
            )
            assert await admitted(limiter, limits) == allowed
            if allowed:
                past.append(now_us)

    @law
    @given(data=st.data())
    async def test_refunds_never_let_a_key_exceed_its_rate(self, data: st.DataObject) -> None:
        """What was admitted and not given back stays within rate and burst in every window."""
        clocks = Clocks()
        limiter, limits = await self.make(clocks), policy(rate=1.0, burst=3)
        held: list[tuple[int, Grant]] = []
        for _ in range(data.draw(st.integers(1, 40))):
            clocks.advance(data.draw(st.integers(0, 2 * SECOND_US)))
            gives_back: bool = data.draw(st.booleans())
            if held and gives_back:
                grant = held.pop(data.draw(st.integers(0, len(held) - 1)))[1]
                limiter.release(grant, Outcome.REFUSED)
            elif admission := await attempt(limiter, limits):
                held.append((clocks.monotonic_us, admission))
        times = [moment_us for moment_us, _ in held]
        for first, begin_us in enumerate(times):
            for count, end_us in enumerate(times[first:], start=1):
                assert count <= 3 + (end_us - begin_us) / SECOND_US

    async def test_refused_by_the_server_gives_the_rate_back(self, limiter: Limiter) -> None:
        """A caller does not pay for our full queue."""
        limits = policy(rate=1.0, burst=1)
        grant = await limiter.admit(limits, units=1, billed=True)
        limiter.release(grant, Outcome.REFUSED)
        assert await admitted(limiter, limits)

    @pytest.mark.parametrize("outcome", [Outcome.COMPLETED, Outcome.FAILED])
    async def test_what_ran_keeps_its_rate(self, limiter: Limiter, outcome: Outcome) -> None:
        """A request that reached the model counts against the rate, however it ended."""
        limits = policy(rate=1.0, burst=1)
        limiter.release(await limiter.admit(limits, units=1, billed=True), outcome)
        assert not await admitted(limiter, limits)

    async def test_wall_clock_jump_leaves_the_rate_alone(
        self, limiter: Limiter, clocks: Clocks
    ) -> None:
        """An hour forward gives no credit, an hour back takes none."""
        limits = policy(rate=1.0, burst=1)
        assert await admitted(limiter, limits)
        clocks.wall_us += 3600 * SECOND_US
        assert not await admitted(limiter, limits)
        clocks.wall_us -= 7200 * SECOND_US
        clocks.advance(SECOND_US)
        assert await admitted(limiter, limits)

    async def test_rates_are_per_key(self, limiter: Limiter) -> None:
        """One key's flood is not its sibling's."""
        assert await admitted(limiter, policy(rate=1.0, burst=1, key="key_a"))
        assert await admitted(limiter, policy(rate=1.0, burst=1, key="key_b"))

    async def test_rate_without_burst_allows_one_second_at_once(self, limiter: Limiter) -> None:
        """The default burst is the rate, rounded up."""
        limits = policy(rate=2.5)
        assert [await admitted(limiter, limits) for _ in range(4)] == [True, True, True, False]

    # Quota

    async def test_quota_admits_up_to_its_last_unit(self, limiter: Limiter) -> None:
        """The quota is not exceeded by one unit, and not short of one."""
        limits = policy(units=10)
        results = [await admitted(limiter, limits, units=units) for units in (7, 4, 3, 1)]
        assert results == [True, False, True, False]

    async def test_quota_is_shared_by_the_keys_of_a_tenant(self, limiter: Limiter) -> None:
        """More keys are not more units."""
        assert await admitted(limiter, policy(units=5, key="key_a"), units=5)
        assert not await admitted(limiter, policy(units=5, key="key_b"))

    async def test_quota_starts_anew_with_the_month(self, limiter: Limiter, clocks: Clocks) -> None:
        """The calendar month ends at midnight UTC, to the microsecond."""
        limits = policy(units=5)
        clocks.wall_us = LAST_SECOND_US
        assert await admitted(limiter, limits, units=5)
        clocks.advance(SECOND_US - 1)
        assert not await admitted(limiter, limits)
        clocks.advance(1)
        assert await admitted(limiter, limits, units=5)

    async def test_clock_set_back_over_the_month_end_gives_no_second_quota(
        self, limiter: Limiter, clocks: Clocks
    ) -> None:
        """A month that was counted is remembered when the clock returns to it."""
        limits = policy(units=5)
        clocks.wall_us = LAST_SECOND_US
        assert await admitted(limiter, limits, units=5)
        clocks.wall_us += 3600 * SECOND_US
        assert await admitted(limiter, limits, units=5)
        clocks.wall_us = LAST_SECOND_US
        assert not await admitted(limiter, limits)

    @pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.REFUSED])
    async def test_failed_and_refused_give_units_back(
        self, limiter: Limiter, outcome: Outcome
    ) -> None:
        """Only an answer is paid for."""
        limits = policy(units=5)
        limiter.release(await limiter.admit(limits, units=5, billed=True), outcome)
        assert await admitted(limiter, limits, units=5)

    async def test_completed_keeps_its_units(self, limiter: Limiter) -> None:
        """An answer is paid for."""
        limits = policy(units=5)
        limiter.release(await limiter.admit(limits, units=5, billed=True), Outcome.COMPLETED)
        assert not await admitted(limiter, limits)

    async def test_units_go_back_to_the_month_they_came_from(
        self, limiter: Limiter, clocks: Clocks
    ) -> None:
        """A failure after midnight is no credit in the new month."""
        limits = policy(units=5)
        clocks.wall_us = LAST_SECOND_US
        grant = await limiter.admit(limits, units=5, billed=True)
        clocks.advance(SECOND_US)
        assert await admitted(limiter, limits, units=5)
        limiter.release(grant, Outcome.FAILED)
        assert not await admitted(limiter, limits)

    async def test_second_release_does_nothing(self, limiter: Limiter) -> None:
        """Units are given back once."""
        limits = policy(units=10)
        assert await admitted(limiter, limits, units=5)
        grant = await limiter.admit(limits, units=5, billed=True)
        limiter.release(grant, Outcome.FAILED)
        limiter.release(grant, Outcome.FAILED)
        assert not await admitted(limiter, limits, units=6)

    async def test_unbilled_request_leaves_the_quota_alone(self, limiter: Limiter) -> None:
        """A test key neither uses nor needs units."""
        limits = policy(units=5)
        assert await admitted(limiter, limits, units=9, billed=False)
        assert await admitted(limiter, limits, units=5)
        assert await admitted(limiter, limits, units=1, billed=False)

    async def test_loaded_quota_counts(self, limiter: Limiter) -> None:
        """A restart gives nothing back."""
        limiter.load_quota("ten_a", NOVEMBER, 4)
        assert not await admitted(limiter, policy(units=5), units=2)
        assert await admitted(limiter, policy(units=5), units=1)

    async def test_loaded_quota_of_another_month_does_not_count(self, limiter: Limiter) -> None:
        """What is loaded belongs to its period."""
        limiter.load_quota("ten_a", DECEMBER, 5)
        assert await admitted(limiter, policy(units=5), units=5)

    # In flight

    async def test_in_flight_cap_holds_until_a_release(self, limiter: Limiter) -> None:
        """A place is free again when its request ends."""
        limits = policy(in_flight=1)
        grant = await limiter.admit(limits, units=1, billed=True)
        assert isinstance(await refusal(limiter, limits), TooManyInFlight)
        limiter.release(grant, Outcome.COMPLETED)
        assert await admitted(limiter, limits)

    async def test_lost_lease_expires(self, limiter: Limiter, clocks: Clocks) -> None:
        """A request that was never released holds its place for a while, not for ever."""
        limits = policy(in_flight=2)
        assert await admitted(limiter, limits)
        clocks.advance(LEASE_SECONDS * SECOND_US - 1)
        assert await admitted(limiter, limits)
        assert not await admitted(limiter, limits)
        clocks.advance(1)
        assert await admitted(limiter, limits)
        assert not await admitted(limiter, limits)

    async def test_late_release_frees_nobody_elses_place(
        self, limiter: Limiter, clocks: Clocks
    ) -> None:
        """The place of an expired lease is taken; its old holder has none to give."""
        limits = policy(in_flight=1)
        late = await limiter.admit(limits, units=1, billed=True)
        clocks.advance(LEASE_SECONDS * SECOND_US)
        assert await admitted(limiter, limits)
        limiter.release(late, Outcome.COMPLETED)
        assert not await admitted(limiter, limits)

    # All of them

    async def test_refusal_by_quota_consumes_no_rate(self, limiter: Limiter) -> None:
        """All or nothing."""
        limits = policy(rate=1.0, burst=1, units=5)
        assert isinstance(await refusal(limiter, limits, units=6), QuotaExceeded)
        assert await admitted(limiter, limits, units=5)

    async def test_refusal_by_rate_consumes_no_units(
        self, limiter: Limiter, clocks: Clocks
    ) -> None:
        """All or nothing."""
        limits = policy(rate=1.0, burst=1, units=2)
        assert await admitted(limiter, limits)
        assert isinstance(await refusal(limiter, limits), RateLimited)
        clocks.advance(SECOND_US)
        assert await admitted(limiter, limits)

    async def test_refusal_by_flight_consumes_neither(
        self, limiter: Limiter, clocks: Clocks
    ) -> None:
        """All or nothing."""
        limits = policy(rate=1.0, burst=2, units=2, in_flight=1)
        grant = await limiter.admit(limits, units=1, billed=True)
        clocks.advance(SECOND_US)
        for _ in range(5):
            assert isinstance(await refusal(limiter, limits), TooManyInFlight)
        limiter.release(grant, Outcome.COMPLETED)
        assert await admitted(limiter, limits)

    async def test_refusal_by_rate_holds_no_place_in_flight(
        self, limiter: Limiter, clocks: Clocks
    ) -> None:
        """All or nothing."""
        limits = policy(rate=1.0, burst=1, in_flight=2)
        assert await admitted(limiter, limits)
        await refusal(limiter, limits)
        clocks.advance(SECOND_US)
        assert await admitted(limiter, limits)

    async def test_limit_that_binds_longest_is_named(self, limiter: Limiter) -> None:
        """Waiting one second for the rate would only meet the empty quota."""
        limits = policy(rate=1.0, burst=1, units=1)
        assert await admitted(limiter, limits)
        error = await refusal(limiter, limits)
        assert (error.policy_name, error.retry_after_seconds) == ("month", 16 * 86_400)

    async def test_hostile_ids_are_kept_apart(self, limiter: Limiter) -> None:
        """No id can be written so that it meets another tenant's counters."""
        pairs = [(tenant, key) for tenant in HOSTILE_IDS for key in HOSTILE_IDS]
        for tenant, key in pairs:
            limits = policy(tenant=tenant, key=key, rate=1.0, burst=1)
            assert [await admitted(limiter, limits) for _ in range(2)] == [True, False]
        for tenant in HOSTILE_IDS:
            limits = policy(tenant=tenant, units=1, key="fresh")
            assert not await admitted(limiter, limits)
            assert await admitted(limiter, policy(tenant=tenant + "!", units=1, key="fresh"))

    async def test_unlimited_is_never_refused(self, limiter: Limiter) -> None:
        """None means no limit."""
        limits = policy()
        assert all([await admitted(limiter, limits, units=10**12) for _ in range(200)])

    # What the caller is told

    @law
    @given(data=st.data())
    async def test_obedient_client_is_never_refused(self, data: st.DataObject) -> None:
        """Stay within `r`, else wait `t`; after a refusal, wait `Retry-After`."""
        clocks = Clocks(wall_us=LAST_SECOND_US - 40 * SECOND_US)
        limits = policy(
            rate=data.draw(st.sampled_from([0.3, 1.0, 7.0])),
            burst=data.draw(st.integers(1, 4)),
            units=data.draw(st.integers(1, 30)),
        )
        limiter = await self.make(clocks)
        for _ in range(data.draw(st.integers(1, 30))):
            standing = (await limiter.admit(limits, units=1, billed=True)).standing
            if data.draw(st.booleans()) and not await admitted(limiter, limits):
                assert standing.burst_remaining == 0 or standing.month_remaining == 0
                error = await refusal(limiter, limits)
                clocks.advance(error.retry_after_seconds * SECOND_US)
                continue
            standing = await self._standing(limiter, limits)
            waits = [
                standing.burst_reset_seconds if not standing.burst_remaining else 0,
                standing.month_reset_seconds if not standing.month_remaining else 0,
            ]
            clocks.advance(max(waits) * SECOND_US)

    async def _standing(self, limiter: Limiter, limits: Policy) -> Standing:
        """Ask where the caller stands without consuming: by a request that no quota covers."""
        return (await refusal(limiter, limits, units=10**9)).standing

    @law
    @given(burst=st.integers(1, 8), spent=st.integers(0, 8), pause_us=st.integers(0, 3 * SECOND_US))
    async def test_remaining_is_exact(self, burst: int, spent: int, pause_us: int) -> None:
        """Exactly `r` more requests get in now, and after `t` seconds a whole burst does."""
        clocks = Clocks()
        limiter, limits = await self.make(clocks), policy(rate=2.0, burst=burst)
        for _ in range(min(spent, burst - 1)):
            assert await admitted(limiter, limits)
        clocks.advance(pause_us)
        standing = (await limiter.admit(limits, units=1, billed=True)).standing
        results = [await admitted(limiter, limits) for _ in range(standing.burst_remaining + 1)]
        assert results == [True] * standing.burst_remaining + [False]
        reset = (await refusal(limiter, limits)).standing.burst_reset_seconds
        clocks.advance(reset * SECOND_US)
        assert [await admitted(limiter, limits) for _ in range(burst)] == [True] * burst

    async def test_retry_after_is_at_least_one_second(
        self, limiter: Limiter, clocks: Clocks
    ) -> None:
        """Zero would be an invitation to spin."""
        limits = policy(rate=1000.0, burst=1, in_flight=1)
        await limiter.admit(limits, units=1, billed=True)
        assert (await refusal(limiter, limits)).retry_after_seconds == 1
        clocks.advance(SECOND_US)
        assert (await refusal(limiter, limits)).retry_after_seconds == 1
