"""What every credential has in common, whatever kind it is: the ground of a principal."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from auth.tenants import ApiKey

CredentialKind = Literal["api_key", "client", "session"]

SESSION_PREFIX: Final = "ses_"
"""What the ids of sessions begin with."""


@dataclass(frozen=True, slots=True)
class Credential:
    """Describe what a credential may do and until when; times are aware.

    A limit of None is no limit of its own; models or networks of None bind it to none. Ids of
    different kinds never collide, because each kind but the keys has a prefix of its own.
    """

    credential_id: str
    kind: CredentialKind
    tenant_id: str
    scopes: tuple[str, ...]
    expires_at: datetime | None
    revoked_at: datetime | None
    is_test: bool = False
    requests_per_second: float | None = None
    burst: int | None = None
    may_exceed_plan: bool = False
    models: tuple[str, ...] | None = None
    networks: tuple[str, ...] | None = None


def credential_of_key(key: ApiKey) -> Credential:
    """Look at an API key as at any credential."""
    return Credential(
        credential_id=key.key_id,
        kind="api_key",
        tenant_id=key.tenant_id,
        scopes=key.scopes,
        expires_at=key.expires_at,
        revoked_at=key.revoked_at,
        is_test=key.is_test,
        requests_per_second=key.requests_per_second,
        burst=key.burst,
        may_exceed_plan=key.may_exceed_plan,
        models=key.models,
        networks=key.networks,
    )
