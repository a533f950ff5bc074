"""Write log lines to standard error, the same in every process of a server."""

import logging.config
from typing import Any


def set_up_logging(level: str) -> None:
    """Log from `level` on, one line for each message."""
    logging.config.dictConfig(_logging(level))


def _logging(level: str) -> dict[str, Any]:
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "loggers": {"alembic": {"level": "WARNING"}, "asyncio": {"level": "WARNING"}},
        "root": {"level": level.upper(), "handlers": ["stderr"]},
    }
