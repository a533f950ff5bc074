"""Forgeries by the signature and by the text around three good segments."""

import base64

from cryptography.hazmat.primitives.hashes import SHA384

from tests.forgeries.forge import ORDER, Forge, b64, der, document, ecdsa, raw_signature, unb64

_URL_SAFE = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def _with_parts(forge: Forge, pattern: str) -> str:
    """Write H, P and S of a good token into a pattern."""
    header, claims, signature = forge.valid.split(".")
    parts = {"H": header, "P": claims, "S": signature}
    return "".join(parts.get(character, character) for character in pattern)


def _spare_bits(segment: str) -> str:
    """Set a bit of the last character that no byte takes."""
    place = _URL_SAFE.index(segment[-1])
    return segment[:-1] + _URL_SAFE[place ^ 1]


def _spare_in_claims(forge: Forge) -> str:
    """Sign claims that are not written canonically, of a length that leaves bits to spare."""
    for scope in ("predict", "keys:read predict", "predict usage:read"):
        claims = document({**forge.claims, "scope": scope})
        if len(claims) % 3:
            break
    return forge.signed(f"{b64(forge.header())}.{_spare_bits(b64(claims))}")


def _signed_parts(forge: Forge, pattern: str) -> str:
    """Write H and P into a pattern, and sign what comes of it."""
    return forge.signed(_with_parts(forge, pattern))


SIGNATURES = {
    "signature empty": lambda f: _with_parts(f, "H.P."),
    "signature absent": lambda f: _with_parts(f, "H.P"),
    "signature of 63 bytes": lambda f: f.with_signature(lambda s: s[:-1]),
    "signature of 65 bytes": lambda f: f.with_signature(lambda s: s + b"\0"),
    "signature with a zero before": lambda f: f.with_signature(lambda s: b"\0" + s),
    "signature of 32 bytes": lambda f: f.with_signature(lambda s: s[:32]),
    "signature of 96 bytes": lambda f: f.with_signature(lambda s: s + s[:32]),
    "signature in DER": lambda f: f.token(sign=der(f.private)),
    "signature all zero": lambda f: f.with_signature(lambda _: bytes(64)),
    "signature all ones": lambda f: f.with_signature(lambda _: b"\xff" * 64),
    "r zero": lambda f: f.with_scalars(lambda _, s: (0, s)),
    "s zero": lambda f: f.with_scalars(lambda r, _: (r, 0)),
    "r one, s one": lambda f: f.with_scalars(lambda _r, _s: (1, 1)),
    "r at the order": lambda f: f.with_scalars(lambda _, s: (ORDER, s)),
    "s at the order": lambda f: f.with_scalars(lambda r, _: (r, ORDER)),
    "r over the order": lambda f: f.with_scalars(lambda _, s: (2**256 - 1, s)),
    "s over the order": lambda f: f.with_scalars(lambda r, _: (r, 2**256 - 1)),
    "s of the other half": lambda f: f.with_scalars(lambda r, s: (r, ORDER - s)),
    "r of the other half": lambda f: f.with_scalars(lambda r, s: (ORDER - r, s)),
    "r and s turned round": lambda f: f.with_scalars(lambda r, s: (s, r)),
    "one bit of r": lambda f: f.with_signature(lambda s: bytes([s[0] ^ 1]) + s[1:]),
    "one bit of s": lambda f: f.with_signature(lambda s: s[:-1] + bytes([s[-1] ^ 1])),
    "signature by SHA-384": lambda f: f.token(sign=ecdsa(f.private, SHA384())),
    "signature of the header alone": lambda f: f.token(
        sign=lambda signed: ecdsa(f.private)(signed.partition(b".")[0])
    ),
    "signature of the claims alone": lambda f: f.token(
        sign=lambda signed: ecdsa(f.private)(signed.partition(b".")[2])
    ),
    "signature of what was encoded": lambda f: f.token(
        sign=lambda _: ecdsa(f.private)(f.header() + b"." + document(f.claims))
    ),
    "signature of another token": lambda f: ".".join(
        [*f.valid.split(".")[:2], f.with_claims(jti="0" * 22).split(".")[2]]
    ),
    "claims of another token": lambda f: ".".join(
        [
            f.valid.split(".")[0],
            f.with_claims(scope="predict tenants:write").split(".")[1],
            f.valid.split(".")[2],
        ]
    ),
    "signature of constants": lambda f: f.with_signature(lambda _: raw_signature(5, 7)),
    "signature in hexadecimal": lambda f: _with_parts(f, "H.P.") + _signature(f).hex(),
    "signature in plain base64": lambda f: (
        _with_parts(f, "H.P.") + base64.b64encode(b"\xff" * 64).decode()
    ),
    "junk after the signature": lambda f: f.valid + "AA",
    "junk in the signature": lambda f: f.valid[:-10] + "!" + f.valid[-10:],
    "junk for a character": lambda f: f.valid[:-10] + "*" + f.valid[-9:],
    "signature cut by a character": lambda f: f.valid[:-1],
    "signature in other case": lambda f: _with_parts(f, "H.P.") + f.valid.split(".")[2].swapcase(),
}

SEGMENTS = {
    "spare bits of the signature": lambda f: _spare_bits(f.valid),
    "spare bits of the claims": _spare_in_claims,
    "padding after the signature": lambda f: f.valid + "==",
    "padding after the header": lambda f: _signed_parts(f, "H=.P"),
    "padding after the claims": lambda f: _signed_parts(f, "H.P="),
    "two segments": lambda f: _with_parts(f, "H.P"),
    "one segment": lambda f: _with_parts(f, "H"),
    "four segments": lambda f: _with_parts(f, "H.P.S.S"),
    "a JWE of five segments": lambda f: _with_parts(f, "H.P.S.P.S"),
    "a JWE of five segments, four empty": lambda f: _with_parts(f, "H...."),
    "header empty": lambda f: _signed_parts(f, ".P"),
    "claims segment empty": lambda f: _signed_parts(f, "H."),
    "all segments empty": lambda _: "..",
    "a dot before": lambda f: _with_parts(f, ".H.P.S"),
    "a dot after": lambda f: _with_parts(f, "H.P.S."),
    "a line of dots": lambda _: "eyJ" + "." * 4000,
    "segments turned round": lambda f: _signed_parts(f, "P.H"),
    "blank in the header": lambda f: _signed_parts(f, "H .P"),
    "blank between": lambda f: _signed_parts(f, "H. P"),
    "tab between": lambda f: _signed_parts(f, "H.\tP"),
    "line feed in the middle": lambda f: _signed_parts(f, "H.\nP"),
    "line feed at the end": lambda f: f.valid + "\n",
    "carriage return in the middle": lambda f: _with_parts(f, "H.P\r.S"),
    "NUL at the end": lambda f: f.valid + "\0",
    "NUL in the middle": lambda f: _signed_parts(f, "H.P\0"),
    "a form feed before": lambda f: "\f" + f.valid,
    "a no-break space after": lambda f: f.valid + "\u00a0",
    "a dot of another script": lambda f: f.valid.replace(".", "\u2024"),
    "a letter of another script": lambda f: "\u0435" + f.valid[1:],
    "byte order mark before": lambda f: "\ufeff" + f.valid,
    "a byte that is no UTF-8": lambda f: f.valid[:20] + "\u00ff" + f.valid[20:],
    "dots percent-encoded": lambda f: f.valid.replace(".", "%2E"),
    "a dot percent-encoded at the end": lambda f: f.valid + "%00",
    "in quotes": lambda f: f'"{f.valid}"',
    "twice": lambda f: f.valid + f.valid,
    "a list of two": lambda f: f"{f.valid},{f.valid}",
    "with the scheme once more": lambda f: f"Bearer {f.valid}",
    "with a parameter": lambda f: f"{f.valid}; kid=1",
    "in upper case": lambda f: f.valid.upper(),
    "encoded once more": lambda f: b64(f.valid.encode()),
    "as JSON serialization": lambda f: document(
        dict(zip(("protected", "payload", "signature"), f.valid.split("."), strict=True))
    ).decode(),
    "the prefix alone": lambda _: "eyJ",
    "the prefix three times": lambda _: "eyJ.eyJ.eyJ",
    "4,097 characters": lambda f: f.valid + "A" * (4097 - len(f.valid)),
    "10,000 characters": lambda f: f.valid + "A" * (10_000 - len(f.valid)),
    "claims of 3 kB": lambda f: f.with_claims(jti="j" * 2500),
    "alphabet of plain base64": lambda f: _with_parts(f, "H.P.") + _plain(_signature(f)),
    "an API key in a token's clothes": lambda _: "eyJ" + "tg_live_" + "0" * 54,
}


def _signature(forge: Forge) -> bytes:
    """Return a good signature that plain base64 writes in another way."""
    while not {"-", "_"} & set(text := forge.token().split(".")[2]):
        pass
    return unb64(text)


def _plain(content: bytes) -> str:
    return base64.b64encode(content).decode().rstrip("=")


TEXTS = {**SIGNATURES, **SEGMENTS}
