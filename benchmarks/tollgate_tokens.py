"""The access tokens of a thousand OAuth2 clients, asked for as clients do, where keys would be."""

from collections.abc import Mapping
from pathlib import Path

import httpx

from benchmarks.processes import RunningServer, ServerFailed

SETTINGS: Mapping[str, str] = {
    "token_lifetime_seconds": "600",
    "token_requests_per_minute": "1000000",
}
"""Tokens outlive all cases of a turn, and all clients share an address."""


def write_tokens(server: RunningServer, clients: Path, tokens: Path) -> None:
    """Ask a token for each client, one per line as `ID:SECRET`, and write the tokens down.

    Raises:
        ServerFailed: the server refuses one.
    """
    texts = []
    with server.client() as http:
        for line in clients.read_text().split():
            client_id, _, secret = line.partition(":")
            form = {"grant_type": "client_credentials"}
            answer = http.post("/oauth2/token", data=form, auth=(client_id, secret))
            if answer.status_code != httpx.codes.OK:
                raise ServerFailed(f"no token: {answer.status_code} {answer.text}")
            texts.append(answer.json()["access_token"])
    tokens.touch(mode=0o600)
    tokens.write_text("\n".join(texts) + "\n")
