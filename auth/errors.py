"""What can be wrong with a credential or with a change of the catalogue.

AuthError
├── CredentialError
│   ├── CredentialMissing       no credential was sent
│   ├── AssertionReplayed       a client's assertion was accepted before
│   └── CredentialInvalid       malformed, unknown, wrong, expired or revoked: all alike outside
├── ScopeMissing                the credential lacks the scope that the operation needs
├── ScopeNotGrantable           a key may not pass on more than it holds
├── TestKeyNotGrantable         only the platform issues keys that cost nothing
├── BindingNotGrantable         a key may not be bound less than the one that makes it
├── NetworkNotAllowed           the credential is good, and bound to other networks
├── TenantSuspended             the credential is good, its tenant is switched off
├── NotFound
│   ├── TenantNotFound          no such tenant
│   ├── PlanNotFound            no such plan
│   ├── KeyNotFound             no such key, or another tenant's
│   ├── ClientNotFound          no such OAuth2 client, or another tenant's
│   ├── SigningKeyNotFound      no such signing key
│   ├── AdminNotFound           no such admin
│   └── SessionNotFound         no such session, or another admin's
├── SigningKeyMissing           there is no key to sign access tokens with
├── CredentialEnded             what is to be changed was revoked or has expired
├── RotationMismatch            a rotation does not fit how the client proves itself
├── KeysetUnavailable           the keys in memory are known to be stale, the database is away
├── PasswordWorkFull            too many passwords wait to be verified
├── InvalidChange               a value that the catalogue does not take
├── AuditBroken                 the audit log is not as it was written
└── SecretError
    ├── SecretMissing           a secret of the server is not there
    ├── SecretMalformed         the lines of a secret with versions are not in order
    ├── WeakSecret              a secret of the server can be guessed
    ├── PepperMismatch          the keys in the database were made with another pepper
    ├── SealingKeyMismatch      the secrets in the database were sealed with another key
    └── SealBroken              a sealed secret does not open
"""

from pathlib import Path


class AuthError(Exception):
    """Something that the pillar `auth` refuses."""


class CredentialError(AuthError):
    """The caller is not known; every leaf gets the same answer."""


class CredentialMissing(CredentialError):
    """No credential was sent."""


class CredentialInvalid(CredentialError):
    """The credential is malformed, unknown, wrong, expired or revoked.

    Threat: telling these apart in an answer tells a guesser which key ids exist.
    `reason` is for the log alone; `is_unknown` says that the credential is well formed and not in
    memory, as one that another machine made a moment ago would be.
    """

    def __init__(self, reason: str, *, is_unknown: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_unknown = is_unknown


class AssertionReplayed(CredentialError):
    """An assertion of a client was accepted before, on this server or on another."""


class ScopeMissing(AuthError):
    """The credential lacks the scope that the operation needs."""

    def __init__(self, scope: str) -> None:
        super().__init__(f"the credential lacks the scope {scope}")
        self.scope = scope


class ScopeNotGrantable(AuthError):
    """A key may not pass on scopes that it does not hold."""

    def __init__(self, scopes: tuple[str, ...]) -> None:
        super().__init__(f"not held by the credential: {', '.join(scopes)}")
        self.scopes = scopes


class TestKeyNotGrantable(AuthError):
    """Only the platform issues keys whose calls are not billed."""

    __test__ = False  # not a test class, whatever its name looks like


class BindingNotGrantable(AuthError):
    """A key may not be bound less than the one that makes it; `bound_to` says to what."""

    def __init__(self, bound_to: str) -> None:
        self.message = f"the credential is bound to {bound_to}, and can grant no others"
        super().__init__(self.message)
        self.bound_to = bound_to


class NetworkNotAllowed(AuthError):
    """The credential is good, and bound to networks that the request does not come from.

    Threat: whoever has stolen the key learns that it is good. It proved the secret already, and
    has nothing to guess; a customer whose address changed would look for the fault elsewhere.
    """


class TenantSuspended(AuthError):
    """The credential is good, its tenant is switched off."""


class NotFound(AuthError):
    """Nothing of this id belongs to whom it was asked for."""


class TenantNotFound(NotFound):
    """There is no such tenant."""


class PlanNotFound(NotFound):
    """There is no such plan."""


class KeyNotFound(NotFound):
    """There is no such key, or it is another tenant's: never told apart."""


class ClientNotFound(NotFound):
    """There is no such OAuth2 client, or it is another tenant's: never told apart."""


class SigningKeyNotFound(NotFound):
    """There is no such signing key."""


class SigningKeyMissing(AuthError):
    """There is no key to sign access tokens with."""


class AdminNotFound(NotFound):
    """There is no such admin."""


class SessionNotFound(NotFound):
    """There is no such session, or it is another admin's: never told apart."""


class CredentialEnded(AuthError):
    """What is to be changed was revoked or has expired; `message` says which."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class RotationMismatch(AuthError):
    """A rotation does not fit how the client proves itself; `message` says what would."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class KeysetUnavailable(AuthError):
    """The keys in memory are known to be stale and the database cannot be read."""


class PasswordWorkFull(AuthError):
    """Too many passwords wait to be verified: what is bounded is the memory and the delay."""


class InvalidChange(AuthError):
    """A value that the catalogue does not take; `message` never quotes it."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(f"{field}: {message}")
        self.message = message
        self.field = field


class AuditBroken(AuthError):
    """The audit log is not as it was written; `sequence` is the first entry that shows it."""

    def __init__(self, sequence: int, problem: str) -> None:
        super().__init__(f"the audit log is broken at {sequence}: {problem}")
        self.sequence = sequence
        self.problem = problem


class SecretError(AuthError):
    """A secret of the server cannot be used; the start is refused."""


class SecretMissing(SecretError):
    """A secret of the server is not there."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"there is no secret in {path}")
        self.path = path


class SecretMalformed(SecretError):
    """The lines of a secret with versions are not in order; `problem` never quotes them."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


class WeakSecret(SecretError):
    """A secret of the server can be guessed; `problem` never quotes it."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


class PepperMismatch(SecretError):
    """The keys in the database were made with another pepper, so none of them would work."""


class SealingKeyMismatch(SecretError):
    """The secrets in the database were sealed with another key, so none of them would open."""


class SealBroken(SecretError):
    """A sealed secret was changed, moved, or sealed with a key that is not here."""
