"""Serve OAuth2 clients: prove who they are, issue access tokens, revoke them, tell of them.

RFC 6749 section 4.4 (client_credentials), RFC 7009 (revocation), RFC 7662 (introspection), RFC 8707
(resource). Routes read the forms and write the answers.
"""

import logging
from collections.abc import Mapping, MutableMapping
from functools import partial
from typing import Any

from auth.actor import acting_principal
from auth.errors import CredentialError, CredentialInvalid, NetworkNotAllowed, TenantSuspended
from auth.principal import Principal
from auth.store import Store
from auth.tokens import AccessClaims, IssuedToken
from gateway.addresses import source_of
from gateway.attempts import ClientAttempts, FailedAttempts
from gateway.client_proof import AssertionProof, SecretProof, find_proof
from gateway.errors import (
    ClientNotAllowed,
    ClientRefused,
    GrantUnsupported,
    ScopeInvalid,
    TargetInvalid,
)
from gateway.gate import Gate
from gateway.oauth_form import Form
from gateway.oauth_metadata import GRANT_TYPE

logger = logging.getLogger(__name__)


class TokenServer:
    """Do what the OAuth2 endpoints are for, with the keyset current before each decision."""

    def __init__(
        self,
        gate: Gate,
        store: Store,
        *,
        attempts: FailedAttempts,
        client_attempts: ClientAttempts,
        issuer: str,
        audience: str,
        is_replicated: bool,
        trusts_proxy: bool,
    ) -> None:
        self._gate = gate
        self._store = store
        self._attempts = attempts
        self._client_attempts = client_attempts
        self._issuer = issuer
        self._audience = audience
        self._is_replicated = is_replicated
        self._trusts_proxy = trusts_proxy

    async def authenticate(self, scope: MutableMapping[str, Any], form: Form) -> Principal:
        """Return the client that a request proves to come from.

        Threat: failures are counted for the address and for the client that was named, after they
        failed: a guesser is slowed down, and nobody is shut out by another's failures.

        Raises:
            TokenRequestInvalid: there is more than one proof.
            ClientRefused: there is none, or not a good one: all alike.
            AddressLimited, ClientLimited: the same, once too often.
            ClientNotAllowed: the client is good, its tenant is suspended or it asks from elsewhere.
            KeysetUnavailable: the catalogue changed and cannot be read.
        """
        named = form.get("client_id")
        try:
            proof = find_proof(scope["headers"], form)
            named = proof.client_id
            await self.refresh(is_confirmed=self._is_replicated)
            if isinstance(proof, SecretProof):
                client = self._gate.authenticator.authenticate_client(named, proof.secret)
            else:
                assertion = self._gate.clients.parse(proof.assertion)
                named = assertion.client_id
                _check_named(proof, named)
                client = await self._gate.clients.authenticate(assertion)
            client.require_network(partial(source_of, scope, trusts_proxy=self._trusts_proxy))
        except TenantSuspended:
            raise ClientNotAllowed("the tenant is suspended") from None
        except NetworkNotAllowed:
            raise ClientNotAllowed("not from this network") from None
        except CredentialError as error:
            raise self._refusal(scope, named, error) from None
        return client

    def issue(self, client: Principal, form: Form) -> IssuedToken:
        """Issue a token to a client, with all of its scopes or those that it asks for.

        Raises:
            TokenRequestInvalid: no grant is named.
            GrantUnsupported: another one is.
            TargetInvalid: the token would be for somebody else.
            ScopeInvalid: a scope is not the client's.
            SigningKeyMissing: there is no key to sign with.
        """
        if form.require("grant_type") != GRANT_TYPE:
            raise GrantUnsupported
        if any(resource != self._audience for resource in form.resources):
            raise TargetInvalid
        issued = self._gate.issuer.issue(
            client_id=client.credential_id,
            tenant_id=client.tenant_id,
            scopes=_scopes(client, form),
        )
        logger.info("token %s is for client %s", issued.claims.token_id, client.credential_id)
        return issued

    async def revoke(self, client: Principal, form: Form, *, request_id: str) -> None:
        """Revoke a token of the client, before this returns; any other is left as it is.

        Threat: an answer that told another client's token from one that never was would tell whose
        token somebody has found.

        Raises:
            TokenRequestInvalid: no token is named.
        """
        claims = self._claims_of(form.require("token"))
        if claims is not None and claims.client_id == client.credential_id:
            actor = acting_principal(client, request_id=request_id)
            await self._store.revoke_token(claims, actor=actor)

    def introspect(self, client: Principal, form: Form) -> dict[str, object]:
        """Tell what a token is good for now: a tenant's client of its tenant's tokens alone.

        API keys are no tokens of this server: who holds one asks `/v1/...` what it may do.

        Raises:
            TokenRequestInvalid: no token is named.
        """
        token = form.require("token")
        claims = self._claims_of(token)
        if claims is None or not client.may_act_for(claims.tenant_id):
            return {"active": False}
        try:
            principal = self._gate.tokens.authenticate(token)
        except (CredentialError, TenantSuspended):
            return {"active": False}
        return {
            "active": True,
            "scope": " ".join(sorted(principal.scopes)),
            "client_id": claims.client_id,
            "token_type": "Bearer",
            "exp": claims.expires_at,
            "iat": claims.issued_at,
            "sub": claims.subject,
            "aud": self._audience,
            "iss": self._issuer,
            "jti": claims.token_id,
            "tenant_id": claims.tenant_id,
        }

    async def refresh(self, *, is_confirmed: bool = False) -> None:
        """Take in what changed: of this machine, or if it is to be confirmed, of every one."""
        if is_confirmed:
            await self._gate.keyset.confirm()
        elif not self._gate.keyset.is_current():
            await self._gate.keyset.refresh()

    def key_set(self, now_seconds: float) -> Mapping[str, object]:
        """Return the keys that access tokens are checked with (RFC 7517 section 5)."""
        return {"keys": self._gate.keyset.ring.public_keys(now_seconds)}

    def _claims_of(self, token: str) -> AccessClaims | None:
        try:
            return self._gate.verifier.verify(token)
        except CredentialError:
            return None

    def _refusal(
        self, scope: MutableMapping[str, Any], client_id: str, error: CredentialError
    ) -> Exception:
        judged = self._attempts.judge(scope, error)
        if judged is not error:
            return judged
        return self._client_attempts.judge(client_id, ClientRefused(str(error)))


def _check_named(proof: AssertionProof, client_id: str) -> None:
    """Pass an assertion of the client that the request names, if it names one (RFC 7521 4.2)."""
    if proof.client_id not in ("", client_id):
        raise CredentialInvalid("assertion: of another client than the one named")


def _scopes(client: Principal, form: Form) -> frozenset[str]:
    """Return the scopes of a new token.

    Threat: a token with more than its client has would outlive the client's own limits.
    """
    if not form.get("scope"):
        return client.scopes
    wanted = frozenset(form.get("scope").split(" "))
    if not wanted <= client.scopes:
        raise ScopeInvalid
    return wanted
