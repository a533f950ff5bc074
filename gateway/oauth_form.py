"""Read the forms of the OAuth2 endpoints, strictly (RFC 6749 section 3.2 and appendix B).

Threat: a parameter that stands twice is read differently by two programs on its way.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote_to_bytes

from starlette.requests import Request

from gateway.bodies import read_bounded
from gateway.errors import TokenRequestInvalid

MAX_FORM_BYTES: Final = 16 * 1024
MAX_PARAMETERS: Final = 32
MEDIA_TYPE: Final = "application/x-www-form-urlencoded"
RESOURCE: Final = "resource"
"""The one parameter that may stand more than once (RFC 8707 section 2)."""


@dataclass(frozen=True, slots=True)
class Form:
    """What was sent: parameters without a value count as not sent, unknown ones are ignored."""

    parameters: Mapping[str, str] = field(repr=False)
    resources: tuple[str, ...] = ()

    def get(self, name: str) -> str:
        """Return a parameter, empty where it was not sent."""
        return self.parameters.get(name, "")

    def require(self, name: str) -> str:
        """Return a parameter that must be there.

        Raises:
            TokenRequestInvalid: it is not.
        """
        value = self.get(name)
        if not value:
            raise TokenRequestInvalid(f"the parameter {name} is missing")
        return value


async def read_form(request: Request) -> Form:
    """Read the form that a request carries.

    Threat: parameters in the URL end in logs and histories, so there must be none.

    Raises:
        TokenRequestInvalid: it is not a form, or not one that all read alike.
        BodyTooLarge: it is over the cap.
    """
    if request.scope["query_string"]:
        raise TokenRequestInvalid("parameters belong in the body, not in the URL")
    media_type, _, _ = request.headers.get("content-type", "").partition(";")
    if media_type.strip().lower() != MEDIA_TYPE:
        raise TokenRequestInvalid(f"the body must be {MEDIA_TYPE}")
    return parse_form(await read_bounded(request, max_bytes=MAX_FORM_BYTES))


def parse_form(body: bytes) -> Form:
    """Parse a form.

    Raises:
        TokenRequestInvalid: a parameter stands twice, there are too many, or one is not UTF-8.
    """
    pairs = [pair for pair in body.split(b"&") if pair]
    if len(pairs) > MAX_PARAMETERS:
        raise TokenRequestInvalid(f"more than {MAX_PARAMETERS} parameters")
    parameters: dict[str, str] = {}
    resources = []
    for pair in pairs:
        name, _, value = (decode_component(part) for part in pair.partition(b"="))
        if name == RESOURCE:
            resources.append(value)
        elif name in parameters:
            raise TokenRequestInvalid("a parameter stands twice")
        else:
            parameters[name] = value
    return Form(parameters, tuple(filter(None, resources)))


def decode_component(component: bytes) -> str:
    """Decode one name or value.

    Raises:
        TokenRequestInvalid: a percent sign that begins nothing, or no UTF-8.
    """
    escapes = component.split(b"%")[1:]
    if not all(len(rest) >= 2 and _is_hex(rest[:2]) for rest in escapes):  # noqa: PLR2004
        raise TokenRequestInvalid("the body is not form-urlencoded")
    try:
        return unquote_to_bytes(component.replace(b"+", b" ")).decode()
    except UnicodeDecodeError:
        raise TokenRequestInvalid("the body is not UTF-8") from None


def _is_hex(digits: bytes) -> bool:
    return all(digit in b"0123456789abcdefABCDEF" for digit in digits)
