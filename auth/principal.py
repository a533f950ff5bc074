"""The authenticated caller, as every later step sees it."""

from collections.abc import Iterable
from dataclasses import dataclass

from auth.credentials import CredentialKind
from auth.errors import ScopeMissing, ScopeNotGrantable, TestKeyNotGrantable
from auth.scopes import PLATFORM_SCOPES


@dataclass(frozen=True, slots=True)
class Principal:
    """Say who calls, what they may do and under which limits.

    Built once when the keyset loads and reused for every request of the key, so that a request
    pays for a dictionary look-up and nothing more. A limit of None is no limit.
    """

    tenant_id: str
    credential_id: str
    scopes: frozenset[str]
    models: frozenset[str] | None
    """Names of the models granted to the tenant; None is all of them."""
    is_platform: bool
    is_test: bool
    requests_per_second: float | None
    burst: int | None
    units_per_month: int | None
    max_in_flight: int | None
    kind: CredentialKind = "api_key"
    networks: tuple[str, ...] | None = None
    """Networks (CIDR) that the credential may be used from; None is anywhere."""

    def require(self, scope: str) -> None:
        """Pass if the credential holds `scope`.

        Raises:
            ScopeMissing: it does not.
        """
        if scope not in self.scopes:
            raise ScopeMissing(scope)

    def require_grantable(self, scopes: Iterable[str]) -> None:
        """Pass if this caller may hand a key with `scopes` to somebody, new or rotated.

        The platform hands out tenants' scopes without holding them itself.

        Threat: without it a key with `keys:write` mints, or rotates, itself into an admin.

        Raises:
            ScopeNotGrantable: naming the scopes that the caller does not hold.
        """
        excess = frozenset(scopes) - self.scopes
        if self.is_platform:
            excess &= PLATFORM_SCOPES
        if excess:
            raise ScopeNotGrantable(tuple(sorted(excess)))

    def require_may_issue_test_keys(self) -> None:
        """Pass if this caller may issue keys whose calls are not billed.

        Threat: a tenant that could make its own would never pay for a prediction again.

        Raises:
            TestKeyNotGrantable: the caller is a customer.
        """
        if not self.is_platform:
            raise TestKeyNotGrantable

    def may_use(self, model: str) -> bool:
        """Tell whether the model is granted to the caller's tenant."""
        return self.models is None or model in self.models

    def may_act_for(self, tenant_id: str) -> bool:
        """Tell whether the caller may touch what belongs to `tenant_id`."""
        return self.is_platform or self.tenant_id == tenant_id
