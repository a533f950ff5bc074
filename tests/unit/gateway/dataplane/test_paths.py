"""A path of a prediction says which operation it is, before anybody knows who asks."""

import pytest

from gateway.dataplane.paths import route_of

ROUTES = {
    b"/v1/models/housing:predict": "/v1/models/{model}:predict",
    b"/v1/models/housing/versions/1:predict": "/v1/models/{model}/versions/{version}:predict",
    b"/v2/models/housing/infer": "/v2/models/{model}/infer",
    b"/v2/models/housing/labels/new/infer?x": "/v2/models/{model}/labels/{label}/infer",
    b"/v1/models/a%2fb:predict": "/v1/models/{model}:predict",
    b"/v2/models/a%2fb/infer": "/v2/models/{model}/infer",
    b"/v2/models/housing/versions/none/infer": "/v2/models/{model}/infer",
}


@pytest.mark.parametrize("path", ROUTES)
def test_route_is_that_of_the_protocol(path: bytes) -> None:
    """A name that is none changes nothing about that."""
    assert route_of(path) == ROUTES[path]
