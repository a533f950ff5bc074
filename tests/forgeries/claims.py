"""Forgeries by the claims, each with a good signature of our own key."""

from tests.forgeries.forge import GONE, Forge, document

DAY = 86_400


def _replaced(forge: Forge, old: str, new: str) -> str:
    """Write a token with its claims changed as text."""
    content = document(forge.claims).decode()
    assert old in content
    return forge.token(claims=content.replace(old, new, 1).encode())


def _for(forge: Forge, client_id: str, tenant_id: str) -> str:
    """Write a token of somebody else."""
    return forge.with_claims(sub=client_id, client_id=client_id, tenant_id=tenant_id)


ABSENT = {
    "exp absent": lambda f: f.with_claims(exp=GONE),
    "iat absent": lambda f: f.with_claims(iat=GONE),
    "iss absent": lambda f: f.with_claims(iss=GONE),
    "aud absent": lambda f: f.with_claims(aud=GONE),
    "sub absent": lambda f: f.with_claims(sub=GONE),
    "jti absent": lambda f: f.with_claims(jti=GONE),
    "client_id absent": lambda f: f.with_claims(client_id=GONE),
    "tenant_id absent": lambda f: f.with_claims(tenant_id=GONE),
    "scope absent": lambda f: f.with_claims(scope=GONE),
    "exp null": lambda f: f.with_claims(exp=None),
    "iat null": lambda f: f.with_claims(iat=None),
    "iss null": lambda f: f.with_claims(iss=None),
    "aud null": lambda f: f.with_claims(aud=None),
    "sub null": lambda f: f.with_claims(sub=None),
    "jti null": lambda f: f.with_claims(jti=None),
    "client_id null": lambda f: f.with_claims(client_id=None),
    "tenant_id null": lambda f: f.with_claims(tenant_id=None),
    "scope null": lambda f: f.with_claims(scope=None),
}

TIMES = {
    "exp a string": lambda f: f.with_claims(exp=str(f.claims["exp"])),
    "exp a float": lambda f: f.with_claims(exp=float(f.claims["exp"])),
    "exp with an exponent": lambda f: f.with_text("exp", "9e9"),
    "exp true": lambda f: f.with_claims(exp=True),
    "exp a list": lambda f: f.with_claims(exp=[f.claims["exp"]]),
    "exp an object": lambda f: f.with_claims(exp={}),
    "exp NaN": lambda f: f.with_text("exp", "NaN"),
    "exp Infinity": lambda f: f.with_text("exp", "Infinity"),
    "exp 1e999": lambda f: f.with_text("exp", "1e999"),
    "exp of 2,000 digits": lambda f: f.with_text("exp", "9" * 2000),
    "exp beyond 64 bits": lambda f: f.with_claims(exp=2**64),
    "exp negative": lambda f: f.with_claims(exp=-1),
    "exp zero": lambda f: f.with_claims(exp=0),
    "exp minus zero": lambda f: f.with_text("exp", "-0"),
    "exp with leading zeros": lambda f: f.with_text("exp", "00" + str(f.claims["exp"])),
    "exp in hexadecimal": lambda f: f.with_text("exp", hex(f.claims["exp"])),
    "exp past": lambda f: f.with_claims(exp=f.now - 1, iat=f.now - 200),
    "exp long past": lambda f: f.with_claims(exp=f.now - DAY, iat=f.now - DAY - 200),
    "exp a day ahead": lambda f: f.with_claims(exp=f.now + DAY),
    "exp one second too late": lambda f: f.with_claims(exp=f.claims["exp"] + 1),
    "exp at iat": lambda f: f.with_claims(exp=f.now),
    "exp before iat": lambda f: f.with_claims(exp=f.now - 1),
    "iat a string": lambda f: f.with_claims(iat=str(f.now)),
    "iat a float": lambda f: f.with_claims(iat=float(f.now)),
    "iat true": lambda f: f.with_claims(iat=True),
    "iat negative": lambda f: f.with_claims(iat=-f.now),
    "iat NaN": lambda f: f.with_text("iat", "NaN"),
    "iat in the future": lambda f: f.with_claims(iat=f.now + 3600, exp=f.now + 3700),
    "iat of milliseconds": lambda f: f.with_claims(iat=f.now * 1000, exp=f.now * 1000 + 300),
    "nbf in the future": lambda f: f.with_claims(nbf=f.now + DAY),
    "nbf past": lambda f: f.with_claims(nbf=f.now - 1),
}

NAMES = {
    "iss of another": lambda f: f.with_claims(iss="https://forger.example"),
    "iss with a slash": lambda f: f.with_claims(iss=f.claims["iss"] + "/"),
    "iss in upper case": lambda f: f.with_claims(iss=f.claims["iss"].upper()),
    "iss cut short": lambda f: f.with_claims(iss=f.claims["iss"][:-1]),
    "iss a list": lambda f: f.with_claims(iss=[f.claims["iss"]]),
    "iss empty": lambda f: f.with_claims(iss=""),
    "aud of another": lambda f: f.with_claims(aud="https://forger.example"),
    "aud a list": lambda f: f.with_claims(aud=[f.claims["aud"]]),
    "aud a list with another": lambda f: f.with_claims(aud=["https://a.example", f.claims["aud"]]),
    "aud an empty list": lambda f: f.with_claims(aud=[]),
    "aud an object": lambda f: f.with_claims(aud={f.claims["aud"]: True}),
    "aud a pattern": lambda f: f.with_claims(aud="*"),
    "aud with a slash": lambda f: f.with_claims(aud=f.claims["aud"] + "/"),
    "aud two in one": lambda f: f.with_claims(aud=f.claims["aud"] + " https://a.example"),
    "aud empty": lambda f: f.with_claims(aud=""),
    "sub another than the client": lambda f: f.with_claims(sub="cli_0123456789abcdef"),
    "sub a number": lambda f: f.with_claims(sub=1),
    "sub empty": lambda f: f.with_claims(sub=""),
    "client_id a list": lambda f: f.with_claims(client_id=[f.claims["client_id"]]),
    "client_id empty": lambda f: f.with_claims(client_id="", sub=""),
    "client unknown": lambda f: _for(f, "cli_0123456789abcdef", f.claims["tenant_id"]),
    "client that is an API key": lambda f: _for(f, f.others["key_id"], f.claims["tenant_id"]),
    "client of another tenant": lambda f: _for(
        f, f.others["strangers_client"], f.claims["tenant_id"]
    ),
    "tenant that is another": lambda f: f.with_claims(tenant_id=f.others["stranger"]),
    "tenant that is the platform": lambda f: f.with_claims(tenant_id="platform"),
    "tenant a list": lambda f: f.with_claims(tenant_id=[f.claims["tenant_id"]]),
    "client that is revoked": lambda f: _for(f, f.others["revoked"], f.claims["tenant_id"]),
    "jti a number": lambda f: f.with_claims(jti=1),
    "jti empty": lambda f: f.with_claims(jti=""),
    "jti of SQL": lambda f: f.with_claims(jti="' OR '1'='1"),
    "jti of a revoked token": lambda f: f.with_claims(jti=f.others["revoked_jti"]),
    "scope a list": lambda f: f.with_claims(scope=["predict"]),
    "scope empty": lambda f: f.with_claims(scope=""),
    "scope of two blanks": lambda f: f.with_claims(scope="models:read  predict"),
    "scope with a blank before": lambda f: f.with_claims(scope=" predict"),
    "scope with a line break": lambda f: f.with_claims(scope="predict\nplans:write"),
    "scp for scope": lambda f: f.with_claims(scope=GONE, scp="predict"),
}

SHAPES = {
    "exp twice": lambda f: _replaced(f, '"exp":', f'"exp":{f.now + DAY},"exp":'),
    "exp twice, one escaped": lambda f: _replaced(f, '"exp":', f'"\\u0065xp":{f.now + DAY},"exp":'),
    "aud twice": lambda f: _replaced(f, '"aud":', '"aud":"https://forger.example","aud":'),
    "tenant_id twice": lambda f: _replaced(f, '"tenant_id":', '"tenant_id":"x","tenant_id":'),
    "scope twice": lambda f: _replaced(f, '"scope":', '"scope":"plans:write","scope":'),
    "name of a claim escaped": lambda f: _replaced(f, '"exp"', '"\\u0065xp"'),
    "value of a claim escaped": lambda f: _replaced(f, ':"cli_', ':"\\u0063li_'),
    "any other claim": lambda f: f.with_claims(admin=True),
    "act of another": lambda f: f.with_claims(act={"sub": "admin"}),
    "cnf that nobody checks": lambda f: f.with_claims(cnf={"jkt": "x"}),
    "claims of an id token": lambda f: f.with_claims(nonce="n", auth_time=f.now),
    "blanks in the claims": lambda f: _replaced(f, ",", ", "),
    "order of the claims": lambda f: f.token(claims=b"{" + _turned(f) + b"}"),
    "comma after the last claim": lambda f: _replaced(f, '"}', '",}'),
    "bytes after the claims": lambda f: f.token(claims=document(f.claims) + b"{}"),
    "line break after the claims": lambda f: f.token(claims=document(f.claims) + b"\n"),
    "NUL after the claims": lambda f: f.token(claims=document(f.claims) + b"\0"),
    "byte order mark of claims": lambda f: f.token(claims=b"\xef\xbb\xbf" + document(f.claims)),
    "claims in UTF-16": lambda f: f.token(claims=document(f.claims).decode().encode("utf-16")),
    "claims of invalid UTF-8": lambda f: f.token(
        claims=document(f.claims).replace(b"cli_", b"\xff\xfe__")
    ),
    "claims nested 2,000 deep": lambda f: f.token(claims=b"[" * 2000),
    "claims nested in lists": lambda f: f.token(claims=b"[" * 1000 + b"]" * 1000),
    "claims nested in objects": lambda f: f.token(claims=b'{"a":' * 400 + b"1" + b"}" * 400),
    "claims a list": lambda f: f.token(claims=document([f.claims])),
    "claims a string": lambda f: f.token(claims=b'"claims"'),
    "claims null": lambda f: f.token(claims=b"null"),
    "claims an empty object": lambda f: f.token(claims=b"{}"),
    "claims empty": lambda f: f.token(claims=b""),
    "claims not JSON": lambda f: f.token(claims=b"exp=9999999999"),
}


def _turned(forge: Forge) -> bytes:
    """Write the claims in the order of the forger's own."""
    pairs = [document({name: value})[1:-1] for name, value in forge.claims.items()]
    return b",".join(sorted(pairs, reverse=True))


CLAIMS = {**ABSENT, **TIMES, **NAMES, **SHAPES}
