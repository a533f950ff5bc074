"""Publish what OAuth2 clients and token verifiers need to know; no credential is asked for."""

import time
from typing import Any, Final

from fastapi import APIRouter, Response

from gateway.dependencies import Opened
from gateway.oauth_metadata import CACHE_SECONDS, server_metadata

router = APIRouter(prefix="/.well-known", tags=["oauth2"])

_CACHE_CONTROL: Final = f"public, max-age={CACHE_SECONDS}"


@router.get("/oauth-authorization-server", operation_id="getServerMetadata")
async def read_metadata(*, opened: Opened, response: Response) -> dict[str, Any]:
    """Name the endpoints and what they support (RFC 8414)."""
    response.headers["cache-control"] = _CACHE_CONTROL
    return server_metadata(opened.settings.resolved_issuer)


@router.get("/jwks.json", operation_id="getKeySet")
async def read_key_set(*, opened: Opened, response: Response) -> dict[str, Any]:
    """Publish the keys that access tokens are checked with (RFC 7517)."""
    await opened.token_server.refresh()
    response.headers["cache-control"] = _CACHE_CONTROL
    return dict(opened.token_server.key_set(time.time()))


@router.get("/tollgate-receipt-keys.json", operation_id="getReceiptKeySet", tags=["usage"])
async def read_receipt_key_set(*, opened: Opened, response: Response) -> dict[str, Any]:
    """Publish every key that ever signed receipts, so that old ones can be checked (RFC 7517)."""
    await opened.token_server.refresh()
    response.headers["cache-control"] = _CACHE_CONTROL
    return {"keys": opened.keyset.receipt_ring.historical_keys()}
