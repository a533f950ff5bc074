"""The public pages are guarded per address, by slowapi over memory of our own."""

from pathlib import Path

import pytest
from limits.storage import storage_from_string
from starlette.requests import Request

from gateway.attempts import AttemptWindows
from gateway.errors import AddressLimited
from gateway.public_doors import STORAGE_SCHEME, Guard, WindowStorage, create_guard


class Clock:
    """Monotonic seconds that the test moves."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        """Say what time it is."""
        return self.seconds


def _guard(clock: Clock, limit: int = 2, *, max_keys: int = 100) -> Guard:
    windows = AttemptWindows(now=clock, max_keys=max_keys)
    return create_guard(limit, windows, trusts_proxy=False)


def _request(path: str = "/docs", address: str = "192.0.2.7") -> Request:
    return Request(
        {"type": "http", "method": "GET", "path": path, "headers": [], "client": (address, 1)}
    )


async def test_requests_beyond_the_limit_are_told_to_wait() -> None:
    """The wait is until the minute that began with the first request is over."""
    clock = Clock()
    guard = _guard(clock)
    await guard(_request())
    clock.seconds += 20
    await guard(_request())
    with pytest.raises(AddressLimited) as caught:
        await guard(_request())
    assert caught.value.retry_after_seconds == 40
    clock.seconds += 40
    await guard(_request())


async def test_all_pages_share_one_count() -> None:
    """Made-up paths are no way to more requests."""
    guard = _guard(Clock())
    await guard(_request("/docs"))
    await guard(_request("/docs-assets/1"))
    with pytest.raises(AddressLimited):
        await guard(_request("/docs-assets/2"))


async def test_addresses_are_counted_apart() -> None:
    """One caller shuts nobody else out."""
    guard = _guard(Clock(), limit=1)
    await guard(_request(address="192.0.2.7"))
    await guard(_request(address="192.0.2.8"))


async def test_full_table_refuses_newcomers_together() -> None:
    """A flood of addresses is let in no more than one is."""
    guard = _guard(Clock(), limit=1, max_keys=1)
    await guard(_request(address="192.0.2.1"))
    await guard(_request(address="192.0.2.2"))
    with pytest.raises(AddressLimited):
        await guard(_request(address="192.0.2.3"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RATELIMIT_ENABLED", "false"),
        ("RATELIMIT_STORAGE_URL", "redis://127.0.0.1:1"),
        ("RATELIMIT_SWALLOW_ERRORS", "true"),
        ("RATELIMIT_DEFAULT", "1000000/second"),
    ],
)
async def test_environment_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """Variables of slowapi neither turn the guard off nor point it to Redis."""
    monkeypatch.setenv(name, value)
    guard = _guard(Clock(), limit=1)
    await guard(_request())
    with pytest.raises(AddressLimited):
        await guard(_request())


async def test_env_file_changes_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nor does a file in the folder where the server was started."""
    (tmp_path / ".env").write_text("RATELIMIT_ENABLED=false\n")
    monkeypatch.chdir(tmp_path)
    guard = _guard(Clock(), limit=1)
    await guard(_request())
    with pytest.raises(AddressLimited):
        await guard(_request())


def test_storage_keeps_the_contract_of_its_library() -> None:
    """`limits` makes it by its scheme and counts, reads and clears with it."""
    windows = AttemptWindows(now=Clock())
    storage = storage_from_string(f"{STORAGE_SCHEME}://", windows=windows)  # type: ignore[arg-type]
    assert isinstance(storage, WindowStorage)
    assert (storage.check(), storage.incr("a", 60), storage.incr("a", 60, 2)) == (True, 1, 3)
    assert storage.get("a") == 3
    storage.clear("a")
    assert storage.get("a") == 0
    storage.incr("b", 60)
    storage.reset()
    assert storage.get("b") == 0
