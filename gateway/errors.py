"""What can be wrong with a request or a start before any pillar is asked.

GatewayError
├── RequestError
│   ├── RequestInvalid          the body or a parameter is not what the operation takes
│   ├── JsonInvalid             the body is not one JSON document
│   ├── ModelNameInvalid        the path does not name a model
│   ├── RouteNotFound           nothing is served under this path
│   ├── MethodNotAllowed        the path exists, the verb does not
│   ├── CredentialAmbiguous     more than one credential was sent
│   ├── CredentialInUrl         a credential stands in the query string
│   ├── HeadTooLarge            the request line and the headers are over the cap
│   ├── BodyTooLarge            the body is over the cap
│   ├── BodyTooSlow             the body did not arrive before the deadline
│   ├── EncodingUnsupported     the body has a Content-Encoding
│   ├── MediaTypeUnsupported    the body is in a form that is not read here
│   ├── NotAcceptable           the answer cannot be written in any form that is asked for
│   ├── CursorInvalid           a cursor that is none of this query
│   ├── AddressLimited          too many refused or public requests of one address
│   ├── ClientLimited           too many refused attempts in the name of one OAuth2 client
│   ├── LogInLimited            too many wrong passwords for one account
│   ├── IdempotencyKeyInvalid   the key of a request that may come again is malformed
│   ├── IdempotencyKeyReused    the key stands for another request
│   ├── IdempotencyInProgress   the request with the key is still running
│   ├── IdempotencyAnswerTooLarge  it was answered, and the answer could not be kept
│   ├── ClientDisconnected      nobody waits for the answer
│   └── TokenError              answered as RFC 6749 section 5.2 says
│       ├── TokenRequestInvalid the request is not what the endpoint takes
│       ├── ClientRefused       the client did not prove who it is
│       ├── ClientNotAllowed    the client did, and may not ask now or from here
│       ├── GrantUnsupported    another grant than client_credentials
│       ├── ScopeInvalid        a scope that the client does not hold
│       └── TargetInvalid       a resource that is not ours
├── PepperKept                  a step of the pepper's rotation that cannot be done
├── LogInFailed                 a server did not open a session, or end it
├── ExportFailed                records could not be written to a file
├── DeliveryFailed              a billing system does not take usage now
├── BackupFailed                a copy of the data could not be made, or is not whole
├── EvidenceUnreadable          receipts, keys, a statement or a log that cannot be read as such
├── OutputNotFinite             an output holds NaN or infinity, which JSON cannot carry
├── ModelChangeRefused
│   ├── VersionExists           the number of a version stands for other files
│   ├── VersionInUse            a version that a label stands for is not retired
│   ├── VersionUnavailable      a version that is retired, refused or not on every worker
│   ├── ContractIncompatible    a version would break the callers of the one before
│   ├── NothingBefore           a label that stood for nothing else before
│   └── RepositoryReadOnly      the folder of models cannot be written to
├── TrialNotFound               no two versions of the model were ever on trial
└── StartRefused
    ├── SettingInvalid          a setting has a value of the wrong kind
    └── RepositoryMissing       there is no folder of models
"""

from pathlib import Path
from typing import ClassVar


class GatewayError(Exception):
    """Something that the edge itself refuses."""


class RequestError(GatewayError):
    """A request that cannot be served as it was sent."""


class RequestInvalid(RequestError):
    """The body or a parameter is not what the operation takes."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class JsonInvalid(RequestError):
    """The body is not one JSON document; `message` never quotes it."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ModelNameInvalid(RequestError):
    """The path does not name a model."""


class RouteNotFound(RequestError):
    """Nothing is served under this path."""


class MethodNotAllowed(RequestError):
    """The path exists, the verb does not."""

    def __init__(self, allowed: str) -> None:
        super().__init__(f"allowed: {allowed}")
        self.allowed = allowed


class CredentialAmbiguous(RequestError):
    """More than one credential was sent, so nobody can say who calls."""


class CredentialInUrl(RequestError):
    """A credential stands in the query string, where proxies and histories keep it."""


class HeadTooLarge(RequestError):
    """The request line and the headers are over the cap of `limit_bytes`."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"the limit is {limit_bytes} bytes")
        self.limit_bytes = limit_bytes


class BodyTooLarge(RequestError):
    """The body is over the cap of `limit_bytes`."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"the limit is {limit_bytes} bytes")
        self.limit_bytes = limit_bytes


class BodyTooSlow(RequestError):
    """The body did not arrive before the deadline."""


class EncodingUnsupported(RequestError):
    """The body has a Content-Encoding, which this path does not inflate."""


class MediaTypeUnsupported(RequestError):
    """The body is in a form that is not read here, or not for this model; `message` is public."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class NotAcceptable(RequestError):
    """The answer cannot be written in any form that is asked for; `message` is public."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class CursorInvalid(RequestError):
    """A cursor that is none of this query: garbage, another query's, or somebody else's.

    Threat: an answer that told these apart would tell what others read.
    """

    def __init__(self) -> None:
        super().__init__("not a cursor of this query")
        self.message = "use `next` of a page that was read with the same parameters"


class AddressLimited(RequestError):
    """One address sent too many bad credentials, or asked for too many public pages."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(f"again in {retry_after_seconds} s")
        self.retry_after_seconds = retry_after_seconds


class ClientLimited(RequestError):
    """Too many attempts in the name of one OAuth2 client were refused."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(f"again in {retry_after_seconds} s")
        self.retry_after_seconds = retry_after_seconds


class LogInLimited(RequestError):
    """Too many wrong passwords were tried for one account, which may exist or not."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(f"again in {retry_after_seconds} s")
        self.retry_after_seconds = retry_after_seconds


class IdempotencyKeyInvalid(RequestError):
    """The idempotency key is malformed, or there is more than one."""

    message = (
        "Idempotency-Key is one string of 1 to 255 printable ASCII characters, in quotes; or"
        " without them, of letters, digits and ._~:/+=@-"
    )


class IdempotencyKeyReused(RequestError):
    """The idempotency key stands for another request of the last 24 hours."""

    message = "the idempotency key was used for another request: each request needs its own"


class IdempotencyInProgress(RequestError):
    """The first request with the idempotency key has not been answered yet."""

    message = "the request with this idempotency key is still running: send it again later"
    retry_after_seconds = 1


class IdempotencyAnswerTooLarge(RequestError):
    """The request was answered and billed, and its answer was too large to be kept."""

    message = (
        "the request with this idempotency key was answered and billed, and its answer was too"
        " large to be kept: it is not run again"
    )


class ClientDisconnected(RequestError):
    """Nobody waits for the answer any more."""


class TokenError(RequestError):
    """A refusal of the OAuth2 endpoints; `oauth_error` is its name in RFC 6749 section 5.2."""

    oauth_error: ClassVar[str]


class TokenRequestInvalid(TokenError):
    """The request is not what the endpoint takes; `message` never quotes it."""

    oauth_error = "invalid_request"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ClientRefused(TokenError):
    """The client did not prove who it is; `reason` is for the log alone.

    Threat: telling an unknown client from a wrong secret tells a guesser which clients there are.
    """

    oauth_error = "invalid_client"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ClientNotAllowed(TokenError):
    """The client proved who it is; its tenant is switched off, or it asks from elsewhere."""

    oauth_error = "unauthorized_client"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class GrantUnsupported(TokenError):
    """Another grant than `client_credentials` was asked for."""

    oauth_error = "unsupported_grant_type"


class ScopeInvalid(TokenError):
    """A scope that the client does not hold, or that there is not."""

    oauth_error = "invalid_scope"


class TargetInvalid(TokenError):
    """A resource that is not this API (RFC 8707 section 2)."""

    oauth_error = "invalid_target"


class PepperKept(GatewayError):
    """A step of the pepper's rotation that cannot be done; the pepper stays as it is."""


class LogInFailed(GatewayError):
    """A server did not open a session for this command, or end it; `status` 0 is no answer."""

    def __init__(self, message: str, *, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class ExportFailed(GatewayError):
    """Records could not be read for a file; what is written of it stays, to be gone on with."""


class DeliveryFailed(GatewayError):
    """A billing system does not take usage now; what it has not got is sent again later."""


class EvidenceUnreadable(GatewayError):
    """Receipts, keys, a statement or a log cannot be read as what they should be."""


class BackupFailed(GatewayError):
    """A copy of the data could not be made, or is not whole."""


class OutputNotFinite(GatewayError):
    """An output holds NaN or infinity, which JSON cannot carry."""

    def __init__(self, output: str, *, advice: str = "") -> None:
        super().__init__(output)
        self.output = output
        self.advice = advice
        """What its protocol offers instead, to be put behind the fact."""


class ModelChangeRefused(GatewayError):
    """The versions of a model stay as they are; `message` says why and never quotes files."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class VersionExists(ModelChangeRefused):
    """The number of a version stands for other files, which answers and bills have named."""


class VersionInUse(ModelChangeRefused):
    """A label stands for the version, so it is not withdrawn."""


class VersionUnavailable(ModelChangeRefused):
    """The version is retired or refused, or a worker has not got it in memory."""


class ContractIncompatible(ModelChangeRefused):
    """Requests or answers that are good with the running version would not be with this one."""


class NothingBefore(ModelChangeRefused):
    """The label stood for no other version before that is still served."""


class RepositoryReadOnly(ModelChangeRefused):
    """The folder of models cannot be written to, so nothing can be pushed."""


class TrialNotFound(GatewayError):
    """No challenger of the model was ever on trial."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no trial of {name!r}")
        self.message = "no challenger of this model was ever on trial"


class StartRefused(GatewayError):
    """The server does not start as it is set up; the message says what to change."""


class SettingInvalid(StartRefused):
    """A setting has a value of the wrong kind."""


class RepositoryMissing(StartRefused):
    """There is no folder of models at `path`."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"there is no model repository at {path}: TOLLGATE_MODEL_REPOSITORY names "
            "a folder of name/version/model.onnx"
        )
        self.path = path
