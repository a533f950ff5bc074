"""Make the secrets of the stack, once: one file each in a folder of their own.

Threat: a secret in the environment or on a command line is shown by `docker inspect`, by `ps` and
in reports of crashes. So each is a file, and a service gets only those that it needs.

The folder has mode 0700 and the files 0444: on this machine nobody but the owner passes through the
folder, and in the containers users with other numbers can read the files that are mounted.
"""

import hashlib
import secrets
from collections.abc import Callable
from pathlib import Path

_FOLDER_MODE = 0o700
_FILE_MODE = 0o444
_RANDOM_BYTES = 32


def make_secrets(folder: Path) -> list[str]:
    """Make what is missing and return the names of the files that were made.

    A database keeps the password that it was made with, so nothing that exists is ever replaced;
    a URL is written from its password, again where it was lost.
    """
    folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
    folder.chmod(_FOLDER_MODE)
    made: list[str] = []

    def keep(name: str, make: Callable[[], str]) -> str:
        path = folder / name
        if not path.exists():
            path.write_text(make() + "\n", encoding="ascii")
            path.chmod(_FILE_MODE)
            made.append(name)
        return path.read_text(encoding="ascii").strip()

    postgres = keep("postgres_password", _random)
    keep("database_url", lambda: f"postgresql://tollgate:{postgres}@postgres:5432/tollgate")
    redis = keep("redis_password", _random)
    keep("redis_url", lambda: f"redis://tollgate:{redis}@redis:6379/0")
    keep("redis_acl", lambda: redis_acl(redis))
    keep("key_pepper", _random)
    keep("sealing_key", _random)
    keep("grafana_password", _random)
    return made


def redis_acl(password: str) -> str:
    """Write the users of Redis: one for the gateway's keys, and one that may ask whether it lives.

    Redis gets the digest alone. The gateway may neither read other keys nor change the server.
    Nobody can be the default user, which has all rights because Redis reads its own log with them:
    with fewer it drops what a script wrote, and begins with limits that are fresh.
    """
    digest = hashlib.sha256(password.encode()).hexdigest()
    return (
        "user default off resetpass ~* &* +@all\n"
        "user health on nopass -@all +ping\n"
        f"user tollgate on #{digest} ~tollgate:* resetchannels +@all -@admin -@dangerous +info"
    )


def _random() -> str:
    return secrets.token_urlsafe(_RANDOM_BYTES)
