"""What the keyset keeps of one key: its principal and the digests that prove it."""

import math
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, TypeVar

from auth.credentials import Credential
from auth.errors import CredentialInvalid, TenantSuspended
from auth.networks import networks_of
from auth.principal import Principal
from auth.tenants import ALL_MODELS, PLATFORM_TENANT_ID, Plan, Tenant

T = TypeVar("T", int, float)


class StoredSecret(NamedTuple):
    """Hold a digest, the epoch second at which it stops counting (inf: never), and its pepper."""

    digest: bytes
    expires_at_seconds: float
    pepper_version: int

    def __repr__(self) -> str:
        """Leave the digest out."""
        return f"StoredSecret(expires_at_seconds={self.expires_at_seconds})"


@dataclass(frozen=True, slots=True)
class CredentialEntry:
    """Hold what `authenticate` compares; times are epoch seconds, inf for never."""

    principal: Principal
    secrets: tuple[StoredSecret, ...]
    expires_at_seconds: float
    is_revoked: bool
    is_suspended: bool


@dataclass(frozen=True, slots=True)
class CredentialRecord:
    """Join a credential with its secrets, as they were read together."""

    credential: Credential
    secrets: tuple[StoredSecret, ...]


def build_entry(record: CredentialRecord, tenant: Tenant, plan: Plan | None) -> CredentialEntry:
    """Resolve a credential, its tenant and its plan into what a request needs."""
    credential = record.credential
    return CredentialEntry(
        principal=Principal(
            tenant_id=tenant.tenant_id,
            credential_id=credential.credential_id,
            kind=credential.kind,
            scopes=frozenset(credential.scopes),
            models=_models(credential, tenant),
            is_platform=tenant.tenant_id == PLATFORM_TENANT_ID,
            is_test=credential.is_test,
            requests_per_second=_limit(
                credential,
                credential.requests_per_second,
                plan.requests_per_second if plan else None,
            ),
            burst=_limit(credential, credential.burst, plan.burst if plan else None),
            units_per_month=plan.units_per_month if plan else None,
            max_in_flight=plan.max_in_flight if plan else None,
            bound_models=None if credential.models is None else frozenset(credential.models),
            networks=networks_of(credential.networks),
            weight=plan.weight if plan else 1,
        ),
        secrets=record.secrets,
        expires_at_seconds=epoch_seconds(credential.expires_at),
        is_revoked=credential.revoked_at is not None or tenant.status == "deleted",
        is_suspended=tenant.status != "active",
    )


def check_usable(entry: CredentialEntry, *, now: float) -> None:
    """Pass a credential that is good at an epoch second.

    Raises:
        CredentialInvalid: it is revoked or has expired.
        TenantSuspended: its tenant is switched off.
    """
    if entry.is_revoked:
        raise CredentialInvalid("revoked")
    if now >= entry.expires_at_seconds:
        raise CredentialInvalid("expired")
    if entry.is_suspended:
        raise TenantSuspended("the tenant is suspended")


def _models(credential: Credential, tenant: Tenant) -> frozenset[str] | None:
    """Resolve the models: what the tenant may use, and of these what the credential is bound to."""
    granted = None if tenant.models == ALL_MODELS else frozenset(tenant.models)
    if credential.models is None:
        return granted
    bound = frozenset(credential.models)
    return bound if granted is None else bound & granted


def _limit(credential: Credential, own: T | None, planned: T | None) -> T | None:
    """Resolve a limit: the platform's own word for a key wins, a tenant's can only tighten."""
    return own if credential.may_exceed_plan and own is not None else lower(own, planned)


def lower(own: T | None, planned: T | None) -> T | None:
    """Return the stricter of two limits, None being no limit.

    Threat: were a key's own limit to win, a tenant that may make keys would lift its plan.
    """
    if own is None or planned is None:
        return own if planned is None else planned
    return min(own, planned)


def epoch_seconds(at: datetime | None) -> float:
    """Return a time as epoch seconds, and inf for none."""
    return math.inf if at is None else at.timestamp()
