"""Seal secrets that the server must read again, such as private keys, before they are stored.

AES-256-GCM (NIST SP 800-38D) under a key derived by HKDF-SHA256 (RFC 5869) from the server's
sealing key and the context. A sealed secret is the version of the sealing key (1 byte), a random
nonce (12 bytes), and the ciphertext with its tag (16 bytes more than the plaintext).

What must look the same every time, such as a cursor, is sealed by AES-256-SIV (RFC 5297) under a
key of its own: the version (1 byte), then the synthetic nonce (16 bytes) with the ciphertext.
"""

import secrets
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from auth.errors import SealBroken
from auth.secret_files import VersionedSecret

_KEY_BYTES: Final = 32
_SIV_KEY_BYTES: Final = 64
_SIV_BYTES: Final = 16
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_LABEL: Final = b"tollgate sealing 1: "
_SIV_LABEL: Final = b"tollgate sealing alike 1: "


class Sealer:
    """Seal with the sealing key in use, open with the version that was used.

    `context` names what is sealed and whose it is ("signing-key:KID").

    Threat: whoever may write to the database could put one record's sealed secret in the place of
    another's; under another context it does not open.
    """

    def __init__(self, secret: VersionedSecret) -> None:
        """Work with the sealing key of this server."""
        self._secret = secret

    def __repr__(self) -> str:
        """Leave the key out."""
        return "Sealer()"

    def seal(self, plaintext: bytes, context: str) -> bytes:
        """Return the plaintext sealed for a context; twice the same gives two results."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        version = self._secret.current
        ciphertext = self._cipher(version, context).encrypt(nonce, plaintext, None)
        return bytes([version]) + nonce + ciphertext

    def open(self, sealed: bytes, context: str) -> bytes:
        """Return what was sealed for a context.

        Raises:
            SealBroken: it was changed, was sealed for another context, or under a sealing key that
                this server does not have.
        """
        if len(sealed) < 1 + _NONCE_BYTES + _TAG_BYTES:
            raise SealBroken("too short")
        version, nonce = sealed[0], sealed[1 : 1 + _NONCE_BYTES]
        if version not in self._secret.versions:
            raise SealBroken(f"version {version} of the sealing key is not here")
        try:
            return self._cipher(version, context).decrypt(nonce, sealed[1 + _NONCE_BYTES :], None)
        except InvalidTag:
            raise SealBroken("changed, or sealed for something else") from None

    def seal_alike(self, plaintext: bytes, context: str) -> bytes:
        """Return the plaintext sealed for a context; twice the same gives the same.

        Whoever has two of them can tell whether they are equal, and nothing else.
        """
        version = self._secret.current
        return bytes([version]) + self._siv(version, context).encrypt(plaintext, None)

    def open_alike(self, sealed: bytes, context: str) -> bytes:
        """Return what `seal_alike` sealed for a context.

        Raises:
            SealBroken: it was changed, was sealed for another context, or under a sealing key that
                this server does not have.
        """
        if len(sealed) <= 1 + _SIV_BYTES:
            raise SealBroken("too short")
        version = sealed[0]
        if version not in self._secret.versions:
            raise SealBroken(f"version {version} of the sealing key is not here")
        try:
            return self._siv(version, context).decrypt(sealed[1:], None)
        except InvalidTag:
            raise SealBroken("changed, or sealed for something else") from None

    def _siv(self, version: int, context: str) -> AESSIV:
        derived = HKDF(SHA256(), _SIV_KEY_BYTES, salt=None, info=_SIV_LABEL + context.encode())
        return AESSIV(derived.derive(self._secret.versions[version]))

    def _cipher(self, version: int, context: str) -> AESGCM:
        derived = HKDF(SHA256(), _KEY_BYTES, salt=None, info=_LABEL + context.encode())
        return AESGCM(derived.derive(self._secret.versions[version]))
