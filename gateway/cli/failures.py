"""Turn every foreseen failure of a command into one line."""

from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from auth.errors import AuthError
from gateway.errors import GatewayError
from gateway.usage.errors import UsageError
from inference.errors import InferenceError

USER_ERRORS = (
    AuthError,
    GatewayError,
    InferenceError,
    UsageError,
    SQLAlchemyError,
    OSError,
)
"""What an operator can cause and cure; anything else is a defect and keeps its traceback."""


def one_line(error: BaseException) -> str:
    """Say what went wrong in one line."""
    if isinstance(error, ArgumentError):
        return f"TOLLGATE_DATABASE_URL: {error}"
    if isinstance(error, SQLAlchemyError):
        return f"the database cannot be used: {_flat(error.__cause__) or type(error).__name__}"
    text = _flat(error)
    return text or type(error).__name__


def _flat(error: BaseException | None) -> str:
    return "" if error is None else " ".join(str(error).split())
