"""The authenticated caller, as every later step sees it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from auth.bindings import UNBOUND, Bindings
from auth.credentials import CredentialKind
from auth.errors import (
    BindingNotGrantable,
    NetworkNotAllowed,
    ScopeMissing,
    ScopeNotGrantable,
    TestKeyNotGrantable,
)
from auth.networks import Address, Network, is_narrower, is_within, networks_of
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
    """Names of the models granted to the tenant, of them those that the credential is bound to;
    None is all of them."""
    is_platform: bool
    is_test: bool
    requests_per_second: float | None
    burst: int | None
    units_per_month: int | None
    max_in_flight: int | None
    kind: CredentialKind = "api_key"
    bound_models: frozenset[str] | None = None
    """Models that the credential itself is bound to, granted or not; None is no binding."""
    networks: tuple[Network, ...] | None = None
    """Networks that the credential may be used from; None is anywhere."""
    weight: int = 1
    """Share of a model's time beside other tenants that wait for it."""

    def require(self, scope: str) -> None:
        """Pass if the credential holds `scope`.

        Raises:
            ScopeMissing: it does not.
        """
        if scope not in self.scopes:
            raise ScopeMissing(scope)

    def require_network(self, source: Callable[[], Address | None]) -> None:
        """Pass if the credential may be used from where the request comes from.

        `source` is asked only for a credential that is bound to networks.

        Raises:
            NetworkNotAllowed: it comes from elsewhere, or nobody can tell from where.
        """
        if self.networks is not None and not is_within(source(), self.networks):
            raise NetworkNotAllowed

    def require_grantable(self, scopes: Iterable[str], bindings: Bindings = UNBOUND) -> None:
        """Pass if this caller may hand somebody a credential with `scopes`, new or rotated.

        The platform hands out tenants' scopes without holding them itself. What this caller is
        bound to, the other credential must be bound to as well, or to less.

        Threat: without it a key with `keys:write` mints, or rotates, itself into an admin, or one
        that was stolen from the office makes another that works from anywhere.

        Raises:
            ScopeNotGrantable: naming the scopes that the caller does not hold.
            BindingNotGrantable: the credential would reach models or networks that this one cannot.
        """
        excess = frozenset(scopes) - self.scopes
        if self.is_platform:
            excess &= PLATFORM_SCOPES
        if excess:
            raise ScopeNotGrantable(tuple(sorted(excess)))
        self._require_no_looser(bindings)

    def _require_no_looser(self, bindings: Bindings) -> None:
        models, networks = bindings.models, networks_of(bindings.networks)
        if self.bound_models is not None and (
            models is None or not self.bound_models.issuperset(models)
        ):
            raise BindingNotGrantable("models")
        if self.networks is not None and (
            networks is None or not is_narrower(networks, self.networks)
        ):
            raise BindingNotGrantable("networks")

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
