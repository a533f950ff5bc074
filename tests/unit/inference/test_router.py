"""Which version a request gets."""

from typing import cast

from inference.errors import ModelNotReady
from inference.loading import ModelVersion
from inference.registry import Registry
from inference.router import Router
from inference.routing import UNNAMED, Route, Selection, is_for_challenger
from tests.unit.inference.trials import FakeRegistry, route_with


def answering(router: Router, *, tenant: str = "t", request_id: str = "r") -> str:
    """Name the version that a request without a choice gets."""
    return router.resolve("m", UNNAMED, tenant=tenant, request_id=request_id).version


def chosen(route: Route, *, tenants: int = 4000) -> set[int]:
    """List the tenants whom the challenger answers."""
    return {
        number
        for number in range(tenants)
        if is_for_challenger(route, tenant=f"ten_{number}", request_id="r")
    }


def test_weight_is_the_share_of_tenants() -> None:
    """A quarter is a quarter, within four standard deviations."""
    assert 890 < len(chosen(route_with(weight=0.25))) < 1110


def test_tenants_stay_when_the_weight_is_raised() -> None:
    """Nobody is sent back and forth while a challenger gets more and more."""
    assert chosen(route_with(weight=0.1)) < chosen(route_with(weight=0.3))


def test_next_challenger_gets_other_tenants() -> None:
    """Not always the same customers try what is new."""
    first, second = route_with(weight=0.1), route_with(weight=0.1, challenger="3")
    assert len(chosen(first) & chosen(second)) < 80


def test_requests_are_split_one_by_one() -> None:
    """Without a sticky tenant each request is a draw of its own."""
    route = route_with(weight=0.5, sticky="request")
    drawn = [
        is_for_challenger(route, tenant="same", request_id=f"{number:032x}")
        for number in range(4000)
    ]
    assert 1870 < sum(drawn) < 2130


def test_shadow_answers_nobody() -> None:
    """A weight of 0 leaves every answer to the champion."""
    assert chosen(route_with(weight=0.0)) == set()


def test_unnamed_request_gets_the_champion_without_a_trial() -> None:
    """The registry decides."""
    assert answering(Router(cast("Registry", FakeRegistry()))) == "1"


def test_challenger_answers_its_share() -> None:
    """All of it, where the weight is 1."""
    router = Router(cast("Registry", FakeRegistry()))
    router.routes = {"m": route_with(weight=1.0)}
    assert answering(router) == "2"


def test_named_version_is_never_exchanged() -> None:
    """Whoever names a version or a label gets it."""
    router = Router(cast("Registry", FakeRegistry()))
    router.routes = {"m": route_with(weight=1.0)}
    for selection in (Selection(version="1"), Selection(label="champion")):
        assert router.resolve("m", selection, tenant="t", request_id="r").version == "1"


def test_challenger_that_is_not_there_costs_nobody_an_answer() -> None:
    """The champion stands in until it is loaded."""
    router = Router(cast("Registry", FakeRegistry(missing=ModelNotReady("m"))))
    router.routes = {"m": route_with(weight=1.0)}
    assert answering(router) == "1"


def test_other_version_of_a_promoted_challenger_is_none() -> None:
    """Once the challenger is the champion there are not two to compare."""
    registry = FakeRegistry()
    router = Router(cast("Registry", registry))
    promoted = cast("ModelVersion", registry.versions["1"])
    assert router.other(route_with(challenger="1"), promoted) is None
