"""Describe what the OAuth2 endpoints take and give, for the OpenAPI document."""

from typing import Any, Final

from pydantic import ConfigDict

from auth.scopes import ALL_SCOPES
from gateway.client_proof import ASSERTION_TYPE
from gateway.oauth_form import MAX_PARAMETERS, MEDIA_TYPE
from gateway.oauth_metadata import GRANT_TYPE
from gateway.routes.responses import Responses, problem_responses
from gateway.schemas import ResponseSchema

JsonSchema = dict[str, Any]

CLIENT_SECURITY: Final[list[dict[str, list[str]]]] = [{"ClientSecretBasic": []}, {}]
"""HTTP Basic, or what the form carries, which OpenAPI has no word for."""

_PROOF: Final[JsonSchema] = {
    "client_id": {"type": "string", "description": "Without HTTP Basic"},
    "client_secret": {"type": "string", "format": "password", "description": "client_secret_post"},
    "client_assertion_type": {"const": ASSERTION_TYPE, "description": "private_key_jwt"},
    "client_assertion": {"type": "string", "description": "A signed JWT (RFC 7523)"},
}
_TOKEN: Final[JsonSchema] = {
    "token": {"type": "string", "minLength": 1, "description": "An access token"},
    "token_type_hint": {"type": "string", "description": "Ignored: there is one type"},
}


class TokenDocument(ResponseSchema):
    """An access token (RFC 6749 section 5.1)."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "access_token": "(a signed JWT)",
                "token_type": "Bearer",
                "expires_in": 300,
                "scope": "models:read predict",
            }
        }
    )

    access_token: str
    token_type: str
    expires_in: int
    scope: str


class IntrospectionDocument(ResponseSchema):
    """What a token is good for (RFC 7662 section 2.2); one that is not active has no more."""

    active: bool
    scope: str | None = None
    client_id: str | None = None
    token_type: str | None = None
    exp: int | None = None
    iat: int | None = None
    sub: str | None = None
    aud: str | None = None
    iss: str | None = None
    jti: str | None = None
    tenant_id: str | None = None


class TokenErrorDocument(ResponseSchema):
    """A refusal (RFC 6749 section 5.2)."""

    error: str
    error_description: str
    request_id: str


def token_request() -> JsonSchema:
    """Describe the request for a token."""
    members = {
        "grant_type": {"const": GRANT_TYPE},
        "scope": {
            "type": "string",
            "description": "Separated by spaces; absent for all that the client has: "
            + " ".join(sorted(ALL_SCOPES)),
        },
        "resource": {
            "type": "string",
            "anyOf": [{"format": "uri"}, {"maxLength": 0}],
            "description": "This API (RFC 8707)",
        },
    }
    return _form(members, required="grant_type", example={"grant_type": GRANT_TYPE})


def token_question() -> JsonSchema:
    """Describe the request about a token."""
    return _form(_TOKEN, required="token", example={"token": "(a signed JWT)"})


def client_responses() -> Responses:
    """Describe how a client is refused."""
    refusal = {"schema": {"$ref": "#/components/schemas/TokenErrorDocument"}}
    told = {"model": TokenErrorDocument, "content": {"application/json": refusal}}
    problems = problem_responses(413)
    return {
        400: told | {"description": "The request, the grant, a scope or the resource is refused"},
        401: told | {"description": "The client did not prove who it is"},
        408: problems[408],
        413: problems[413],
        429: problems[429],
        503: problems[503],
    }


def _form(members: JsonSchema, *, required: str, example: JsonSchema) -> JsonSchema:
    schema = {
        "type": "object",
        "required": [required],
        "properties": members | _PROOF,
        "additionalProperties": {"type": "string", "description": "Ignored, but sent once"},
        "maxProperties": MAX_PARAMETERS,
    }
    content = {MEDIA_TYPE: {"schema": schema, "example": example}}
    return {
        "requestBody": {"required": True, "content": content},
        "security": CLIENT_SECURITY,
    }
