"""Find what an OAuth2 client sent to prove who it is (RFC 6749 section 2.3, RFC 7523 section 2.2).

Nothing is decided here about whether the proof is good.

Threat: a request with two proofs can be read as two clients by two programs on its way.
"""

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from auth.errors import CredentialInvalid, CredentialMissing
from gateway.errors import TokenRequestInvalid
from gateway.oauth_form import Form, decode_component

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
METHODS: Final = ("client_secret_basic", "client_secret_post", "private_key_jwt")
"""As the metadata names them (RFC 8414 section 2)."""


@dataclass(frozen=True, slots=True)
class SecretProof:
    """A client id with a secret that may be its own."""

    client_id: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AssertionProof:
    """A client id, empty where only the assertion names it, with a signed assertion."""

    client_id: str
    assertion: str = field(repr=False)


def find_proof(headers: Iterable[tuple[bytes, bytes]], form: Form) -> SecretProof | AssertionProof:
    """Return the one proof of a request.

    Args:
        headers: names in lower case, as ASGI delivers them.
        form: the body.

    Raises:
        TokenRequestInvalid: there is more than one, or the client is named differently twice.
        CredentialMissing: there is none.
        CredentialInvalid: it cannot be read.
    """
    values = [value for name, value in headers if name == b"authorization"]
    secret, assertion = form.get("client_secret"), form.get("client_assertion")
    if len(values) + bool(secret) + bool(assertion or form.get("client_assertion_type")) > 1:
        raise TokenRequestInvalid("more than one client authentication")
    if values:
        return _of_header(values[0], form)
    if secret:
        return SecretProof(form.get("client_id"), secret)
    if assertion:
        return _of_assertion(assertion, form)
    raise CredentialMissing


def _of_header(value: bytes, form: Form) -> SecretProof:
    """Read HTTP Basic, whose two halves are form-urlencoded once more (section 2.3.1)."""
    scheme, _, encoded = value.partition(b" ")
    if scheme.lower() != b"basic":
        raise CredentialInvalid("not the scheme Basic")
    try:
        client_id, separator, secret = base64.b64decode(encoded.strip(), validate=True).partition(
            b":"
        )
    except binascii.Error:
        raise CredentialInvalid("Basic is not base64") from None
    if not separator:
        raise CredentialInvalid("Basic without a colon")
    try:
        proof = SecretProof(decode_component(client_id), decode_component(secret))
    except TokenRequestInvalid:
        raise CredentialInvalid("Basic is not form-urlencoded") from None
    if form.get("client_id") not in ("", proof.client_id):
        raise TokenRequestInvalid("two clients are named")
    return proof


def _of_assertion(assertion: str, form: Form) -> AssertionProof:
    if form.get("client_assertion_type") != ASSERTION_TYPE:
        raise TokenRequestInvalid("client_assertion_type is not known")
    return AssertionProof(form.get("client_id"), assertion)
