"""Read which billing systems usage is sent to from a TOML file.

One table for each: `[NAME]` with `kind`, `url` and what that kind needs. Secrets stand in files of
their own, named by `token_file` from the folder of this one.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    TypeAdapter,
    ValidationError,
    field_validator,
)

from gateway.addresses import is_loopback
from gateway.errors import SettingInvalid

Name = Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,64}$")]
Text = Annotated[str, Field(min_length=1, max_length=200)]


class Destination(BaseModel):
    """What every kind of destination has."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    url: str
    token: SecretStr | None = None
    """Sent as a bearer token. Read from `token_file`."""

    customers: dict[str, Text] = {}
    """What a tenant is called there, by its tenant id."""

    timeout_seconds: float = Field(default=10.0, ge=0.1, le=300)

    @field_validator("url")
    @classmethod
    def _check_url(cls, value: str) -> str:
        """Threat: over plain HTTP everybody on the way reads the token and the bill."""
        parts = urlsplit(value)
        is_here = parts.scheme == "http" and is_loopback(parts.hostname or "")
        if not parts.hostname or not (parts.scheme == "https" or is_here):
            raise ValueError("must be https://, or http:// on this machine")
        if parts.username is not None or parts.query or parts.fragment:
            raise ValueError("must have no user, query or fragment")
        return value.rstrip("/")


class CloudEventsDestination(Destination):
    """Takes CloudEvents 1.0 over HTTP, as OpenMeter does under `/api/v1/events`."""

    kind: Literal["cloudevents"]
    source: Text = "tollgate"
    """With the id of the record it names an event, for ever."""

    type: Text = "prediction"
    batch: int = Field(default=100, ge=1, le=1000)
    """Events in one request; 1 sends each as a document of its own."""


class StripeDestination(Destination):
    """Takes meter events of Stripe, one in each request."""

    kind: Literal["stripe"]
    url: str = "https://api.stripe.com"
    event_name: Annotated[str, Field(min_length=1, max_length=100)]
    at_once: int = Field(default=8, ge=1, le=50)
    """Requests at the same time."""


AnyDestination = Annotated[CloudEventsDestination | StripeDestination, Field(discriminator="kind")]
_DESTINATIONS = TypeAdapter[dict[str, AnyDestination]](dict[Name, AnyDestination])


def read_destinations(path: Path) -> Mapping[str, AnyDestination]:
    """Read the file, and the secrets that it names.

    Raises:
        SettingInvalid: it cannot be read, or is not what it should be; no value is repeated.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        return _DESTINATIONS.validate_python(
            {name: _with_token(table, path.parent) for name, table in tables.items()}
        )
    except OSError as error:
        raise SettingInvalid(f"destinations: {error.strerror}: {error.filename}") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingInvalid(f"{path} is not TOML: {error}") from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise SettingInvalid(f"{path}: {place}: {first['msg']}") from None


def _with_token(table: object, folder: Path) -> object:
    if not isinstance(table, dict) or "token_file" not in table:
        return table
    rest = {name: value for name, value in table.items() if name != "token_file"}
    token = (folder / str(table["token_file"])).read_text(encoding="utf-8").strip()
    return rest | {"token": token}
