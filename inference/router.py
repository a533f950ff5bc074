"""Find the version that answers: the one that is named, else the champion or its challenger."""

from collections.abc import Mapping

from inference.errors import ModelNotFound, ModelNotReady
from inference.loading import ModelVersion
from inference.registry import Registry
from inference.routing import UNNAMED, Route, Selection, is_for_challenger


class Router:
    """Resolve requests over a registry; used from one event loop.

    Cost where a model has no trial: one look-up in a dictionary.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.routes: Mapping[str, Route] = {}
        """The trials that are on, by the model's name; replaced as a whole, never changed."""

    def resolve(
        self, name: str, selection: Selection, *, tenant: str, request_id: str
    ) -> ModelVersion:
        """Find a version.

        A challenger that is not ready here takes no request: the champion answers.

        Raises:
            ModelNotFound: there is no such model, version or label.
            ModelNotReady: it is there, and did not load.
        """
        route = self.routes.get(name)
        if (
            route is not None
            and selection == UNNAMED
            and is_for_challenger(route, tenant=tenant, request_id=request_id)
            and (challenger := self.challenger(route)) is not None
        ):
            return challenger
        return self._registry.resolve(name, selection)

    def champion(self, route: Route) -> ModelVersion | None:
        """Find the version that answers without a trial; None where none is ready."""
        return self._ready(route.name, UNNAMED)

    def challenger(self, route: Route) -> ModelVersion | None:
        """Find the version on trial; None where it is not ready."""
        return self._ready(route.name, Selection(version=route.challenger))

    def other(self, route: Route, served: ModelVersion) -> ModelVersion | None:
        """Find the one of the two that did not answer; None where there are not two."""
        is_challenger = served.version == route.challenger
        other = self.champion(route) if is_challenger else self.challenger(route)
        return None if other is served else other

    def _ready(self, name: str, selection: Selection) -> ModelVersion | None:
        try:
            return self._registry.resolve(name, selection)
        except (ModelNotFound, ModelNotReady):
            return None
