"""Revoke what a leaked secret opens."""

import logging
from typing import Annotated

from pydantic import Field, SecretStr

from auth.actor import Actor
from auth.errors import NotFound
from auth.principal import Principal
from gateway.schemas import RequestSchema
from gateway.services import Services

logger = logging.getLogger(__name__)


class LeakReport(RequestSchema):
    """A secret that somebody found."""

    api_key: Annotated[
        SecretStr, Field(max_length=256, description="The key, client secret or session token")
    ]


async def revoke_leaked(opened: Services, secret: str, *, actor: Actor) -> None:
    """Revoke the key, client or session of a secret, before this returns; anything else is nothing.

    Raises:
        KeysetUnavailable: the catalogue changed and cannot be read.
    """
    if opened.settings.replicas > 1:
        await opened.keyset.confirm()
    elif not opened.keyset.is_current():
        await opened.keyset.refresh()
    owner = opened.authenticator.find_owner(secret)
    if owner is None:
        return
    try:
        await _revoke(opened, owner, actor=actor)
    except NotFound:  # gone, or revoked by whoever reported it at the same time
        return
    logger.warning("%s %s was reported as leaked and is revoked", owner.kind, owner.credential_id)


async def _revoke(opened: Services, owner: Principal, *, actor: Actor) -> None:
    if owner.kind == "api_key":
        await opened.store.revoke_key(owner.tenant_id, owner.credential_id, actor=actor)
    elif owner.kind == "client":
        await opened.store.revoke_client(owner.tenant_id, owner.credential_id, actor=actor)
    else:
        await opened.store.revoke_session(owner.credential_id, actor=actor)
