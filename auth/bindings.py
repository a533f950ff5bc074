"""What a credential is bound to: some of its tenant's models, some networks to be used from."""

from dataclasses import dataclass
from typing import Final, Self

from auth.errors import InvalidChange
from auth.networks import check_networks
from auth.rules import check_models
from auth.tenants import ALL_MODELS


@dataclass(frozen=True, slots=True)
class Bindings:
    """Narrow what a credential may use; None narrows nothing.

    Attributes:
        models: of the models granted to the tenant, at each request, only these.
        networks: in CIDR form; requests from elsewhere are refused.
    """

    models: tuple[str, ...] | None = None
    networks: tuple[str, ...] | None = None

    def checked(self) -> Self:
        """Return the bindings in canonical form.

        A model need not exist, nor be granted: a refusal would tell which models others have.

        Raises:
            InvalidChange: a list is empty or too long, or an entry is no model or no network.
        """
        return type(self)(
            models=None if self.models is None else _checked_models(self.models),
            networks=check_networks(self.networks),
        )


UNBOUND: Final = Bindings()


def _checked_models(models: tuple[str, ...]) -> tuple[str, ...]:
    names = tuple(check_models(models))
    if not names or names == ALL_MODELS:
        raise InvalidChange("must be names of models, or absent for all of them", "models")
    return names
