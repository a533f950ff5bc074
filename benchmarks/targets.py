"""Name who is measured, and how each is started."""

import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bare_app import MODEL as HOUSING_FILE
from benchmarks.bare_oip_app import MODEL_VARIABLE
from benchmarks.cases import MODELS, Case, Protocol
from benchmarks.conv_model import NAME as CONV
from benchmarks.conv_model import write_conv_repository
from benchmarks.heavy_model import NAME as HEAVY
from benchmarks.heavy_model import write_heavy_repository
from benchmarks.image_model import NAME as IMAGE
from benchmarks.image_model import write_image_repository
from benchmarks.processes import ServerCommand
from benchmarks.tollgate_keys import Callers, create_callers, tollgate_command
from benchmarks.tollgate_tokens import SETTINGS as TOKEN_SETTINGS

BARE, TUTORIAL, TOLLGATE = "bare", "tutorial", "tollgate"
UNBATCHED = "tollgate, no batching"
TOKENS = "tollgate, tokens"
NO_RECEIPTS = "tollgate, no receipts"
IDEMPOTENT = "tollgate, idempotency keys"
REDIS, REDIS_2 = "tollgate, Redis", "tollgate, Redis, 2 workers"
BARE_TLS = "bare, TLS"
REDIS_TLS, REDIS_TLS_2 = "tollgate, Redis, TLS", "tollgate, Redis, TLS, 2 workers"
NAMES = (
    BARE,
    TUTORIAL,
    TOLLGATE,
    NO_RECEIPTS,
    IDEMPOTENT,
    TOKENS,
    REDIS,
    REDIS_2,
    BARE_TLS,
    REDIS_TLS,
    REDIS_TLS_2,
)
_V1: tuple[Protocol, ...] = ("V1",)
_OIP: tuple[Protocol, ...] = ("OIP JSON", "OIP binary")
_GRPC: tuple[Protocol, ...] = ("OIP gRPC",)
_STACK_CASES = ("c1", "c64")
_BILL_CASES = ("c1", "c16", "c64")
_ROOM_BYTES = 1 << 32
"""Enough for the answers of any run, which are kept for a day."""

_BATCH_ROWS = 64
_UVICORN = (
    "--factory --loop uvloop --http httptools --lifespan off --no-access-log --log-level warning"
)
_ON_PORT = "--host 127.0.0.1 --port {port}"
_ON_SOCKET = "--uds {socket}"


@dataclass(frozen=True, slots=True)
class Target:
    """A server, the model that it is asked for, and the keys that open it.

    With Redis, ``{redis}`` in the command becomes its URL. With TLS the server listens on
    ``{socket}`` behind Nginx. With clients, their tokens are asked for and written to `keys` at the
    start. Where `only` is given, the other cases are left out. With idempotency keys each request
    has one of its own.
    """

    name: str
    model: str
    command: ServerCommand
    keys: Path | None = None
    clients: Path | None = None
    has_redis: bool = False
    has_tls: bool = False
    only: tuple[str, ...] = ()
    protocols: tuple[Protocol, ...] = _V1
    has_idempotency_keys: bool = False

    def serves(self, case: Case) -> bool:
        """Say whether the case is measured here."""
        is_known = case.model == self.model and case.protocol in self.protocols
        return is_known and (not self.only or case.name in self.only)


def build_targets(names: list[str], cases: list[Case], folder: Path) -> list[Target]:
    """Prepare the servers that the cases need, in the order in which they take turns."""
    targets = [_uvicorn(BARE), _uvicorn(TUTORIAL), _uvicorn(BARE_TLS)]
    targets += _bare_oip("housing", HOUSING_FILE)
    has_image = IMAGE in {case.model for case in cases}
    if has_image:
        targets += _bare_oip(IMAGE, write_image_repository(folder / "images"))
    if any(name.startswith(TOLLGATE) for name in names):
        callers = create_callers(folder)
        keys = callers.keys
        targets += [*_tollgates(folder, keys), _tokens(folder, callers)]
        if has_image:
            targets += _image_tollgates(folder, keys)
        if TOLLGATE in names and {HEAVY, CONV} & {case.model for case in cases}:
            targets += _batching_tollgates(folder, keys)
    order = (*NAMES, UNBATCHED)
    wanted = [
        target
        for target in targets
        if target.name in (*names, UNBATCHED) and any(target.serves(case) for case in cases)
    ]
    return sorted(wanted, key=lambda target: order.index(target.name))


def _uvicorn(name: str) -> Target:
    has_tls = name == BARE_TLS
    app = f"benchmarks.{BARE if has_tls else name}_app:create_app"
    place = _ON_SOCKET if has_tls else _ON_PORT
    arguments = (sys.executable, "-m", "uvicorn", app, *f"{_UVICORN} {place}".split())
    only = _STACK_CASES if has_tls else ()
    return Target(name, "housing", ServerCommand(arguments), has_tls=has_tls, only=only)


def _bare_oip(model: str, file: Path) -> list[Target]:
    """Serve a model file over the Open Inference Protocol with no gate, over HTTP and gRPC."""
    options = f"{_UVICORN} {_ON_PORT}".split()
    arguments = (sys.executable, "-m", "uvicorn", "benchmarks.bare_oip_app:create_app", *options)
    model_file = {MODEL_VARIABLE: str(file)}
    over_grpc = (sys.executable, "-m", "benchmarks.bare_grpc_app", "{grpc_port}")
    grpc_command = ServerCommand(over_grpc, model_file, takes_grpc_alone=True)
    return [
        Target(BARE, model, ServerCommand(arguments, model_file), protocols=_OIP),
        Target(BARE, model, grpc_command, protocols=_GRPC),
    ]


def _tollgates(folder: Path, keys: Path) -> list[Target]:
    """Set Tollgate up alone, with Redis, and with Redis and Nginx; with one worker and with two."""
    everything = tollgate_command(folder, MODELS)
    over_grpc = tollgate_command(folder, MODELS, grpc_port="{grpc_port}")
    targets = [
        Target(TOLLGATE, "housing", everything, keys, protocols=_V1 + _OIP),
        Target(TOLLGATE, "housing", over_grpc, keys, protocols=_GRPC),
    ]
    plain = tollgate_command(folder, MODELS, receipts="off")
    targets.append(Target(NO_RECEIPTS, "housing", plain, keys, only=_BILL_CASES))
    roomy = tollgate_command(folder, MODELS, idempotency_max_bytes=str(_ROOM_BYTES))
    keyed = Target(IDEMPOTENT, "housing", roomy, keys, only=_BILL_CASES, has_idempotency_keys=True)
    targets.append(keyed)
    for name, workers, has_tls in (
        (REDIS, "1", False),
        (REDIS_2, "2", False),
        (REDIS_TLS, "1", True),
        (REDIS_TLS_2, "2", True),
    ):
        place = {"unix_socket": "{socket}"} if has_tls else {}
        settings = {"redis_url": "{redis}", "workers": workers} | place
        command = tollgate_command(folder, MODELS, **settings)
        targets.append(
            Target(
                name,
                "housing",
                command,
                keys,
                has_redis=True,
                has_tls=has_tls,
                only=_STACK_CASES,
            )
        )
    return targets


def _image_tollgates(folder: Path, keys: Path) -> list[Target]:
    """Set Tollgate up with the model that is all wire, over HTTP and over gRPC."""
    images = folder / "images"
    over_grpc = tollgate_command(folder, images, grpc_port="{grpc_port}")
    return [
        Target(TOLLGATE, IMAGE, tollgate_command(folder, images), keys, protocols=_OIP),
        Target(TOLLGATE, IMAGE, over_grpc, keys, protocols=_GRPC),
    ]


def _tokens(folder: Path, callers: Callers) -> Target:
    """Set Tollgate up for clients with access tokens, which live for minutes."""
    command = tollgate_command(folder, MODELS, **TOKEN_SETTINGS)
    tokens = folder / "tokens"
    return Target(TOKENS, "housing", command, tokens, clients=callers.clients, only=_STACK_CASES)


def _batching_tollgates(folder: Path, keys: Path) -> list[Target]:
    """Set Tollgate up with the models where batching pays and hurts, in repositories of its own."""
    targets = []
    for name, rows in ((TOLLGATE, _BATCH_ROWS), (UNBATCHED, 1)):
        repository = folder / f"batches-{rows}"
        write_heavy_repository(repository, max_batch_size=rows)
        write_conv_repository(repository, max_batch_size=rows)
        command = tollgate_command(folder, repository)
        targets += [Target(name, model, command, keys) for model in (HEAVY, CONV)]
    return targets
