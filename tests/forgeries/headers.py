"""Forgeries by the header: another algorithm, another key, another type, and parsers' traps."""

from typing import Final

from tests.forgeries.forge import (
    GONE,
    Forge,
    b64,
    document,
    ecdsa,
    eddsa,
    es384,
    hmac_with,
    no_signature,
    thumb,
)

DEPTH: Final = 900
"""Levels of nesting that fit, twice encoded, into the length of a token; one test goes deeper."""


def _quoted(forge: Forge, pattern: str) -> str:
    """Write a token with a header of the forger's own text; KID stands for our key's id."""
    return forge.token(header=pattern.replace("KID", forge.kid).encode())


ALGORITHMS = {
    "alg none, no signature": lambda f: f.with_header(alg="none", sign=no_signature),
    "alg none, our signature": lambda f: f.with_header(alg="none"),
    "alg None, no signature": lambda f: f.with_header(alg="None", sign=no_signature),
    "alg NONE, no signature": lambda f: f.with_header(alg="NONE", sign=no_signature),
    "alg nOnE, no signature": lambda f: f.with_header(alg="nOnE", sign=no_signature),
    "alg none with a blank": lambda f: f.with_header(alg="none ", sign=no_signature),
    "alg absent": lambda f: f.with_header(alg=GONE),
    "alg absent, no signature": lambda f: f.with_header(alg=GONE, sign=no_signature),
    "alg empty": lambda f: f.with_header(alg=""),
    "alg null": lambda f: f.with_header(alg=None),
    "alg a number": lambda f: f.with_header(alg=256),
    "alg a list": lambda f: f.with_header(alg=["ES256"]),
    "alg an object": lambda f: f.with_header(alg={"ES256": True}),
    "alg in lower case": lambda f: f.with_header(alg="es256"),
    "alg with a blank": lambda f: f.with_header(alg="ES256 "),
    "alg with NUL": lambda f: f.with_header(alg="ES256\0"),
    "alg ES256K": lambda f: f.with_header(alg="ES256K"),
    "alg HS256, our public key as PEM": lambda f: f.with_header(
        alg="HS256", sign=hmac_with(f.public("PEM"))
    ),
    "alg HS256, our public key as PEM without its last line end": lambda f: f.with_header(
        alg="HS256", sign=hmac_with(f.public("PEM").strip())
    ),
    "alg HS256, our public key as DER": lambda f: f.with_header(
        alg="HS256", sign=hmac_with(f.public("DER"))
    ),
    "alg HS256, our public key as JWK": lambda f: f.with_header(
        alg="HS256", sign=hmac_with(f.public("JWK"))
    ),
    "alg HS256, our public key as a point": lambda f: f.with_header(
        alg="HS256", sign=hmac_with(f.public("point"))
    ),
    "alg HS256, empty secret": lambda f: f.with_header(alg="HS256", sign=hmac_with(b"")),
    "alg HS256, kid as secret": lambda f: f.with_header(
        alg="HS256", sign=hmac_with(f.kid.encode())
    ),
    "alg HS512, our public key as PEM": lambda f: f.with_header(
        alg="HS512", sign=hmac_with(f.public("PEM"), "sha512")
    ),
    "alg ES256, HMAC by our public key": lambda f: f.token(sign=hmac_with(f.public("PEM"))),
    "alg RS256": lambda f: f.with_header(alg="RS256", sign=f.rs256),
    "alg PS256": lambda f: f.with_header(alg="PS256", sign=f.ps256),
    "alg ES384": lambda f: f.with_header(alg="ES384", sign=es384),
    "alg EdDSA": lambda f: f.with_header(alg="EdDSA", sign=eddsa),
    "alg ES256, RSA signature": lambda f: f.token(sign=f.rs256),
    "alg dir of a JWE": lambda f: f.with_header(alg="dir", enc="A256GCM"),
}

KEYS = {
    "kid absent": lambda f: f.with_header(kid=GONE),
    "kid empty": lambda f: f.with_header(kid=""),
    "kid null": lambda f: f.with_header(kid=None),
    "kid a number": lambda f: f.with_header(kid=0),
    "kid true": lambda f: f.with_header(kid=True),
    "kid a list": lambda f: f.with_header(kid=[f.kid]),
    "kid an object": lambda f: f.with_header(kid={"kid": f.kid}),
    "kid unknown, our signature": lambda f: f.with_header(kid=thumb("nobody")),
    "kid of a stranger, its signature": lambda f: f.with_header(
        kid=thumb("stranger"), sign=ecdsa(f.stranger)
    ),
    "kid ours, a stranger's signature": lambda f: f.token(sign=ecdsa(f.stranger)),
    "kid a path": lambda f: f.with_header(kid="../../../../dev/null", sign=hmac_with(b"")),
    "kid an absolute path": lambda f: f.with_header(kid="/etc/passwd"),
    "kid of SQL": lambda f: f.with_header(kid="' OR '1'='1"),
    "kid of SQL that selects a key": lambda f: f.with_header(kid="x' UNION SELECT 'key' --"),
    "kid a URL": lambda f: f.with_header(kid="https://forger.example/key.pem"),
    "kid of a shell": lambda f: f.with_header(kid="|/usr/bin/id"),
    "kid a pattern": lambda f: f.with_header(kid="*"),
    "kid with a blank": lambda f: f.with_header(kid=f.kid + " "),
    "kid with NUL": lambda f: f.with_header(kid=f.kid + "\0"),
    "kid with a line break": lambda f: f.with_header(kid=f.kid + "\n"),
    "kid in other case": lambda f: f.with_header(kid=f.kid.swapcase()),
    "kid cut short": lambda f: f.with_header(kid=f.kid[:-1]),
    "kid in full width": lambda f: f.with_header(kid=chr(0xFF21) + f.kid[1:]),
    "kid of 2,000 characters": lambda f: f.with_header(kid="k" * 2000),
    "key that is published and does not sign yet": lambda f: _by_state(f, "published"),
    "key that is gone": lambda f: _by_state(f, "gone"),
    "key that is revoked": lambda f: _by_state(f, "revoked"),
}

TYPES = {
    "typ absent": lambda f: f.with_header(typ=GONE),
    "typ null": lambda f: f.with_header(typ=None),
    "typ empty": lambda f: f.with_header(typ=""),
    "typ a list": lambda f: f.with_header(typ=["at+jwt"]),
    "typ JWT of an id token": lambda f: f.with_header(typ="JWT"),
    "typ jwt": lambda f: f.with_header(typ="jwt"),
    "typ AT+JWT": lambda f: f.with_header(typ="AT+JWT"),
    "typ application/at+jwt": lambda f: f.with_header(typ="application/at+jwt"),
    "typ with a blank": lambda f: f.with_header(typ="at+jwt "),
    "typ of a proof of possession": lambda f: f.with_header(typ="dpop+jwt"),
    "typ of a log-out": lambda f: f.with_header(typ="logout+jwt"),
    "typ of an introspection": lambda f: f.with_header(typ="token-introspection+jwt"),
}

MEMBERS = {
    "crit exp": lambda f: f.with_header(crit=["exp"]),
    "crit unknown": lambda f: f.with_header(crit=["urn:x"], **{"urn:x": 1}),
    "crit empty": lambda f: f.with_header(crit=[]),
    "crit b64": lambda f: f.with_header(crit=["b64"], b64=False),
    "b64 false": lambda f: f.with_header(b64=False),
    "jwk of the forger": lambda f: f.with_header(jwk=f.jwk(f.stranger), sign=ecdsa(f.stranger)),
    "jwk of the forger, no kid": lambda f: f.with_header(
        kid=GONE, jwk=f.jwk(f.stranger), sign=ecdsa(f.stranger)
    ),
    "jwk of ours": lambda f: f.with_header(jwk=f.jwk(f.private)),
    "jku": lambda f: f.with_header(jku="https://forger.example/jwks", sign=ecdsa(f.stranger)),
    "jku of loopback": lambda f: f.with_header(jku="http://127.0.0.1:9/", sign=ecdsa(f.stranger)),
    "x5u": lambda f: f.with_header(x5u="https://forger.example/x.pem", sign=ecdsa(f.stranger)),
    "x5c": lambda f: f.with_header(x5c=[b64(f.public("DER"))], sign=ecdsa(f.stranger)),
    "x5t": lambda f: f.with_header(x5t=thumb("x5t")),
    "cty of a nested token": lambda f: f.with_header(cty="JWT"),
    "zip": lambda f: f.with_header(zip="DEF"),
    "enc": lambda f: f.with_header(enc="A128GCM"),
    "p2c of a million": lambda f: f.with_header(p2c=10**6, p2s="c2FsdA"),
    "any other member": lambda f: f.with_header(x=1),
}

TRAPS = {
    "alg twice": lambda f: _quoted(f, '{"alg":"none","alg":"ES256","kid":"KID","typ":"at+jwt"}'),
    "alg twice, ours first": lambda f: _quoted(
        f, '{"alg":"ES256","alg":"none","kid":"KID","typ":"at+jwt"}'
    ),
    "alg twice, one escaped": lambda f: _quoted(
        f, '{"alg":"ES256","kid":"KID","typ":"at+jwt","\\u0061lg":"none"}'
    ),
    "kid twice": lambda f: _quoted(f, '{"alg":"ES256","kid":"x","kid":"KID","typ":"at+jwt"}'),
    "typ twice": lambda f: _quoted(f, '{"alg":"ES256","kid":"KID","typ":"JWT","typ":"at+jwt"}'),
    "name of a member escaped": lambda f: _quoted(
        f, '{"\\u0061lg":"ES256","kid":"KID","typ":"at+jwt"}'
    ),
    "value escaped": lambda f: _quoted(f, '{"alg":"ES\\u003256","kid":"KID","typ":"at+jwt"}'),
    "name in other case": lambda f: _quoted(f, '{"Alg":"ES256","kid":"KID","typ":"at+jwt"}'),
    "blanks in the header": lambda f: _quoted(f, '{"alg": "ES256", "kid": "KID", "typ": "at+jwt"}'),
    "order of the members": lambda f: _quoted(f, '{"typ":"at+jwt","alg":"ES256","kid":"KID"}'),
    "comma after the last member": lambda f: _quoted(
        f, '{"alg":"ES256","kid":"KID","typ":"at+jwt",}'
    ),
    "comment in the header": lambda f: _quoted(f, '{"alg":"ES256","kid":"KID","typ":"at+jwt"/**/}'),
    "single quotes": lambda f: _quoted(f, "{'alg':'ES256','kid':'KID','typ':'at+jwt'}"),
    "bytes after the header": lambda f: _quoted(f, '{"alg":"ES256","kid":"KID","typ":"at+jwt"}{}'),
    "line break after the header": lambda f: _quoted(
        f, '{"alg":"ES256","kid":"KID","typ":"at+jwt"}\n'
    ),
    "NUL after the header": lambda f: f.token(header=f.header() + b"\0"),
    "byte order mark": lambda f: f.token(header=b"\xef\xbb\xbf" + f.header()),
    "header in UTF-16": lambda f: f.token(header=f.header().decode().encode("utf-16")),
    "header of invalid UTF-8": lambda f: f.token(header=f.header().replace(b"at+", b"\xff+")),
    "lone surrogate": lambda f: _quoted(f, '{"alg":"\\ud800","kid":"KID","typ":"at+jwt"}'),
    "header a list": lambda f: f.token(header=b'["ES256"]'),
    "header a string": lambda f: f.token(header=b'"ES256"'),
    "header a number": lambda f: f.token(header=b"1"),
    "header null": lambda f: f.token(header=b"null"),
    "header an empty object": lambda f: f.token(header=b"{}"),
    "header not JSON": lambda f: f.token(header=b"alg=ES256"),
    "header nested in lists": lambda f: f.token(header=b"[" * DEPTH + b"]" * DEPTH),
    "header nested 2,000 deep": lambda f: f.token(header=b"[" * 2000),
    "header nested in objects": lambda f: f.token(header=b'{"a":' * 400 + b"1" + b"}" * 400),
    "member nested": lambda f: f.with_header(x=[[[[[[[[]]]]]]]]),
    "header of NaN": lambda f: f.token(header=document({"x": float("nan")})),
    "header of Infinity": lambda f: f.token(header=document({"x": float("inf")})),
    "header of 1e999": lambda f: _quoted(f, '{"alg":"ES256","kid":"KID","typ":"at+jwt","x":1e999}'),
    "header of a huge number": lambda f: _quoted(
        f, '{"alg":"ES256","kid":"KID","typ":"at+jwt","x":' + "9" * 2400 + "}"
    ),
}


def _by_state(forge: Forge, state: str) -> str:
    """Sign valid claims with another key of ours."""
    kid, key = forge.states[state]
    return forge.with_header(kid=kid, sign=ecdsa(key))


HEADERS = {**ALGORITHMS, **KEYS, **TYPES, **MEMBERS, **TRAPS}
