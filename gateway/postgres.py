"""Connect to PostgreSQL with psycopg 3 so that nothing waits on it for ever.

Every wait has a bound on both sides: the server gives up statements and locks (`statement_timeout`,
`lock_timeout`), and the client drops a connection that does not answer, as when the server hangs.
Statements are not prepared by name, so PgBouncer may pool them by transaction.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import psycopg
from psycopg import waiting
from psycopg.abc import PQGen
from sqlalchemy import URL

DRIVER: Final = "postgresql+psycopg"
APPLICATION_NAME: Final = "tollgate"
_NAMES: Final = ("postgresql", "postgres")
_LEAST_CONNECT_SECONDS: Final = 2
_GRACE_SECONDS: Final = 1.0
_POLL_SECONDS: Final = 0.1

Result = TypeVar("Result")


class BoundedConnection(psycopg.AsyncConnection[Any]):
    """A connection that waits for each answer so long and then is closed."""

    answer_seconds: float = math.inf

    async def wait(
        self,
        gen: PQGen[Result],
        interval: float = _POLL_SECONDS,
        timeout: float | None = None,  # noqa: ASYNC109, ARG002 (the signature is psycopg's)
    ) -> Result:
        """Wait for one answer; every exchange but the connecting passes here.

        Threat: after a wait that was given up, the next statement would read the answer of this
        one, so the connection is closed. psycopg itself would ask the server to cancel, and wait
        for a server that hangs.

        Raises:
            OperationalError: there was no answer in time.
        """
        bound = self.answer_seconds if math.isfinite(self.answer_seconds) else None
        try:
            async with asyncio.timeout(bound):
                return await waiting.wait_async(gen, self.pgconn.socket, interval=interval)
        except TimeoutError:
            self.pgconn.finish()
            raise psycopg.OperationalError(f"PostgreSQL gave no answer in {bound:g} s") from None
        except asyncio.CancelledError:
            self.pgconn.finish()
            raise
        except psycopg.Error as error:
            _hide_values(error)
            raise


def is_postgresql(url: URL) -> bool:
    """Tell whether the URL names PostgreSQL without a driver, or with ours."""
    return url.drivername in (*_NAMES, DRIVER)


def connect_arguments(url: URL, *, connect_seconds: float, answer_seconds: float) -> dict[str, Any]:
    """Return what SQLAlchemy hands to the driver; what the URL says itself is left to it."""
    milliseconds = max(1, round(answer_seconds * 1000))
    bounds = {
        "statement_timeout": milliseconds,
        "lock_timeout": milliseconds,
        "idle_in_transaction_session_timeout": 2 * milliseconds,
    }
    defaults = {
        "application_name": APPLICATION_NAME,
        "connect_timeout": max(_LEAST_CONNECT_SECONDS, math.ceil(connect_seconds)),
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": milliseconds,
        "options": " ".join(f"-c {name}={value}" for name, value in bounds.items()),
    }
    given = {name: value for name, value in defaults.items() if name not in url.query}
    connect = _connector(answer_seconds + _GRACE_SECONDS)
    return given | {"prepare_threshold": None, "async_creator_fn": connect}


def _connector(answer_seconds: float) -> Callable[..., Awaitable[BoundedConnection]]:
    async def connect(*arguments: Any, **options: Any) -> BoundedConnection:  # noqa: ANN401
        connection = await BoundedConnection.connect(*arguments, **options)
        connection.answer_seconds = answer_seconds
        return connection

    return connect


def _hide_values(error: psycopg.Error) -> None:
    """Cut an error to its first sentence.

    Threat: PostgreSQL quotes the row that it refused in the sentences after it.
    """
    if error.diag.message_primary is not None:
        error.args = (error.diag.message_primary,)
