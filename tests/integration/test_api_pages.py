"""The API describes itself: one document, typed by the loaded models, on pages served by us."""

import re

from tests.serving import Server


def test_each_model_is_an_operation_of_its_own(server: Server) -> None:
    """A customer sees the features, their ranges and a row that works."""
    document = server.call("GET", "/openapi.json").body
    operation = document["paths"]["/v1/models/housing:predict"]["post"]
    content = operation["requestBody"]["content"]["application/json"]
    row = content["schema"]["properties"]["instances"]["items"]
    assert row["properties"]["bedrooms"]["type"] == "integer"
    assert row["properties"]["airco"]["enum"] == ["no", "yes"]
    assert server.predict(server.demo["api_key"], content["example"]).status == 200


def test_each_version_is_an_operation_of_its_own(server: Server) -> None:
    """Clients that pin a version find it."""
    paths = server.call("GET", "/openapi.json").body["paths"]
    assert "/v1/models/housing/versions/1:predict" in paths


def test_pages_load_nothing_from_elsewhere(server: Server) -> None:
    """The pages work where there is no other host."""
    page = server.call("GET", "/docs").body.decode()
    references = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert references
    for reference in references:
        assert reference.startswith("/")
        assert server.call("GET", reference).status == 200
