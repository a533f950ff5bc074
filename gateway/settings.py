"""Read every setting from the environment once, as values that are passed on.

Each name below is an environment variable with the prefix ``TOLLGATE_``; a value may also come from
a file that the same variable with ``_FILE`` appended names. The README's table is generated from
the docstrings here.
"""

import difflib
import logging
import os
from datetime import timedelta
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from auth.admins import SessionTimes
from gateway.errors import SettingInvalid

PREFIX = "TOLLGATE_"
_FILE_SUFFIX = "_FILE"

logger = logging.getLogger(__name__)


class Settings(BaseModel):
    """What an operator can choose, with defaults that serve the demo on loopback."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True, hide_input_in_errors=True)

    host: str = "127.0.0.1"
    """Address to listen on. Anything beyond loopback needs `TOLLGATE_ALLOW_PLAINTEXT`, since TLS
    ends in Nginx.
    """

    port: int = Field(default=8000, ge=0, le=65535)
    """TCP port to listen on; 0 takes any free one."""

    grpc_port: int = Field(default=8001, ge=0, le=65535)
    """TCP port of gRPC on the same host; 0 serves none. With a unix socket each worker has one of
    its own for gRPC beside it instead: `gateway-grpc-0.sock` beside `gateway.sock`, and so on.
    """

    unix_socket: Path | None = None
    """Unix socket to listen on instead of host and port. Whoever connects to it is trusted as the
    proxy: its request ids and client addresses are believed.
    """

    workers: int = Field(default=1, ge=1, le=64)
    """Worker processes behind one listening socket; more than one need `TOLLGATE_REDIS_URL`."""

    replicas: int = Field(default=1, ge=1, le=1024)
    """Servers, each with its own data folder, that share the database and Redis. While Redis is
    away each grants its part of a limit.
    """

    data_dir: Path = Path("var")
    """Folder for the SQLite database, the usage journals, the demo's keys and generated secrets
    (mode 0700).
    """

    model_repository: Path = Path("examples/models")
    """Folder of `name/version/model.onnx` with an optional `name/model.toml`."""

    database_url: SecretStr = SecretStr("")
    """Where the records are: `postgresql://USER:PASSWORD@HOST/DATABASE` or `sqlite:///PATH`; empty
    means the SQLite file `tollgate.db` in the data folder.
    """

    database_pool_size: int = Field(default=5, ge=3, le=100)
    """Connections of one worker to PostgreSQL at most, two of them for the reload of keys and the
    delivery of usage; all workers together must stay below its `max_connections`.
    """

    database_timeout_seconds: float = Field(default=5.0, ge=0.1, le=600)
    """Longest wait for PostgreSQL: for a free connection, for a new one, for a lock and for the
    answer to a statement.
    """

    engines: SecretStr = SecretStr("")
    """Servers that models may be executed by over gRPC (`runtime` in `model.toml`), apart by commas
    or lines: `HOST:PORT`, or `HOST:PORT KEY` for one that asks for an API key.
    """

    redis_url: SecretStr = SecretStr("")
    """URL of the Redis, or of a node of the cluster, that counts limits for all workers and tells
    servers of revoked keys; while it is away each process grants its share. Empty means limits
    inside the process.
    """

    redis_timeout_seconds: float = Field(default=0.02, ge=0.01, le=5)
    """How long a request waits for Redis before its worker decides alone; one near a limit waits
    half a second longer. A Redis that hangs delays requests by it once.
    """

    key_pepper: SecretStr | None = None
    """HMAC key over API keys, at least 32 bytes; during a rotation a line `NUMBER:SECRET` for each
    version, first the one in use. Unset: `key_pepper` in the data folder, made at the first start.
    """

    sealing_key: SecretStr | None = None
    """Key that private signing keys and the like are sealed with before they are stored, at least
    32 bytes, with versions like the pepper. Unset: `sealing_key` in the data folder, made at the
    first start.
    """

    issuer: str = Field(default="", max_length=512, pattern=r"^[ !#-\[\]-~]*$")
    """Name of this server in the access tokens that it signs (`iss`): the `https://` URL that
    clients reach it by. Empty: `http://` with the host and port it listens on, for trying it out.
    """

    audience: str = Field(default="", max_length=512, pattern=r"^[ !#-\[\]-~]*$")
    """For whom access tokens are (`aud`): the URL of the API. Empty: the same as the issuer."""

    token_lifetime_seconds: int = Field(default=300, ge=10, le=600)
    """How long an access token lives. Shorter costs clients more requests for tokens."""

    signing_key_days: float = Field(default=30.0, ge=0.1, le=3650)
    """Age at which the keys that sign access tokens and receipts are replaced by themselves; the
    next ones are published ten minutes before.
    """

    receipts: bool = True
    """Sign a receipt of every answered prediction, which its caller can hold against the bill."""

    allow_plaintext: bool = False
    """Listen beyond loopback without TLS, for a proxy on another host that terminates it."""

    max_body_bytes: int = Field(default=64 * 1024 * 1024, ge=1024)
    """Largest accepted request body in bytes; a larger one gets 413 before it is read."""

    max_upload_bytes: int = Field(default=2 * 1024 * 1024 * 1024, ge=1024)
    """Largest version that is taken over the API, in bytes: its files, or the archive of them."""

    model_swap_seconds: float = Field(default=120.0, gt=0, le=3600)
    """Time in which every worker must have a version in memory that is pushed or promoted; past it
    nothing changes.
    """

    request_timeout_seconds: float = Field(default=30.0, gt=0, le=3600)
    """Time from the first byte of a prediction to its answer; past it the caller gets 504 and pays
    nothing.
    """

    failed_attempts_per_minute: int = Field(default=60, ge=1)
    """Refused credentials that one address may send in a minute, for each worker; more get 429. A
    good key is served all the same.
    """

    public_requests_per_minute: int = Field(default=120, ge=1)
    """Requests for the API pages that one address may send in a minute, for each worker; the page
    alone takes five.
    """

    token_requests_per_minute: int = Field(default=600, ge=1)
    """Requests of OAuth2 clients, for tokens and about them, that one address may send in a minute,
    for each worker.
    """

    log_ins_per_minute: int = Field(default=10, ge=1)
    """Log-ins that one address may try in a minute, for each worker, from devices that are not
    known. A device from which the admin has logged in before is not counted here.
    """

    failed_log_ins_per_hour: int = Field(default=20, ge=1, le=100)
    """Wrong passwords for one account in an hour, for each worker, from all unknown devices
    together; and as many from each known one, which others cannot use up.
    """

    session_seconds: int = Field(default=43_200, ge=60, le=604_800)
    """Time after which an admin logs in anew, however busy the session is."""

    session_idle_seconds: int = Field(default=3600, ge=60, le=604_800)
    """Time without a request after which a session ends, or up to a twelfth of it sooner."""

    password_memory_kibibytes: int = Field(default=65_536, ge=12_288, le=1_048_576)
    """Memory of one argon2id hash; passwords are hashed anew at the next log-in when it changes.
    One is hashed at a time in each worker.
    """

    drain_seconds: float = Field(default=10.0, ge=0, le=600)
    """Time that a worker which ends gives its last requests, and idle connections to be closed by
    the other side; 0 cuts both.
    """

    intra_op_threads: int = Field(default=1, ge=1, le=256)
    """Threads of ONNX Runtime inside one model run; more help big models and harm small ones."""

    concurrent_runs: int = Field(default=1, ge=1, le=64)
    """Model runs at the same time in one worker, over all models; never more than there are cores.
    """

    back_runs: int = Field(default=1, ge=0, le=64)
    """Model runs of tenants that flood, at the same time in one worker, beside those of the others
    and at a lower priority; 0, or a single core, has all tenants wait in one line.
    """

    inline_run_microseconds: int = Field(default=200, ge=0, le=10_000)
    """Model runs measured at load to be quicker than this stay on the event loop, which saves two
    thread switches; 0 keeps every run in a thread.
    """

    execution_providers: str = "cpu"
    """Where models run, in order of preference: `cpu`, `cuda`, `tensorrt`, `openvino`, separated by
    commas. All but `cpu` need a build of ONNX Runtime that has them; a model that would not run on
    the first is not served.
    """

    memory_arena: bool = True
    """Keep the memory of model runs for the next ones. Without it runs are slower, and give back
    what a rare large batch took.
    """

    vetting_processor_seconds: int = Field(default=30, ge=1, le=3600)
    """Processor time that a model version may take to be loaded and tried in a child process before
    it is served; on a busy machine ten times as much may pass on the clock.
    """

    vetting_memory_mebibytes: int = Field(default=2048, ge=64, le=4_194_304)
    """Memory that a model version may take there beyond four times its files, up to its largest
    batch. A version that takes more is refused.
    """

    journal_max_bytes: int = Field(default=1024 * 1024 * 1024, ge=1024 * 1024)
    """Bound on unshipped usage on disk in bytes; predictions are refused with 503 once it is
    reached.
    """

    idempotency_max_bytes: int = Field(default=256 * 1024 * 1024, ge=1024 * 1024)
    """Bound in bytes on the answers that one worker keeps for requests with `Idempotency-Key`, for
    24 hours each; a tenant gets a quarter of it. At the bound such requests are refused with 503.
    """

    idempotency_answer_max_bytes: int = Field(default=1024 * 1024, ge=0, le=64 * 1024 * 1024)
    """Largest answer in bytes that is kept for a request with `Idempotency-Key`; a retry of one
    with a larger answer is refused with 409 and costs nothing.
    """

    ship_interval_seconds: float = Field(default=0.5, gt=0, le=60)
    """Pause between two deliveries of usage from the journal to the ledger; longer is cheaper and
    staler.
    """

    deliveries: Path | None = None
    """TOML file that names the billing systems which usage is sent to in the background; see
    `docs/billing.md`. Unset: none.
    """

    reconcile_seconds: float = Field(default=3600.0, ge=0, le=86_400)
    """Pause between two comparisons of ledger, journals and limiter, by one worker; 0 makes none.
    What they find is a metric.
    """

    reconcile_logs: str = ""
    """Access logs of Nginx to compare too: patterns with commas between; empty leaves them out."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe message that is written to standard error."""

    log_format: Literal["auto", "json", "text"] = "auto"
    """How log lines look: `json` or `text`; `auto` is `text` on a terminal and `json` elsewhere."""

    access_log: bool = True
    """Write a line for each request: its id, route, status, key id, model, sizes and times; never a
    secret, a body or a path.
    """

    metrics_listen: str = ""
    """Address (`127.0.0.1:9464`) on which Prometheus reads `/metrics`; empty means no metrics. One
    beyond loopback needs `TOLLGATE_ALLOW_PLAINTEXT`.
    """

    traces: bool = False
    """Send traces over OTLP/HTTP, to where the standard variables say
    (`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_TRACES_SAMPLER`, ...); needs the extra `traces`.
    """

    @field_validator("redis_url", "database_url")
    @classmethod
    def _strip(cls, value: SecretStr) -> SecretStr:
        return SecretStr(value.get_secret_value().strip())

    @field_validator("issuer")
    @classmethod
    def _check_issuer(cls, value: str) -> str:
        """Take a URL whose metadata we can serve (RFC 8414 sections 2 and 3)."""
        parts = urlsplit(value)
        is_whole = parts.scheme in ("http", "https") and parts.netloc and not parts.path.strip("/")
        if value and (not is_whole or parts.query or parts.fragment):
            raise ValueError("must be https:// and a host, without a path, query or fragment")
        return value

    @property
    def session_times(self) -> SessionTimes:
        """How long sessions of admins last."""
        return SessionTimes(
            lifetime=timedelta(seconds=self.session_seconds),
            idle=timedelta(seconds=self.session_idle_seconds),
        )

    @property
    def trusts_proxy(self) -> bool:
        """Whether the headers that the proxy sets are believed: only it reaches a unix socket."""
        return self.unix_socket is not None

    @property
    def signing_key_age(self) -> timedelta:
        """For how long a key signs."""
        return timedelta(days=self.signing_key_days)

    @property
    def resolved_audience(self) -> str:
        """Name whom access tokens are for: the one given, else the issuer."""
        return self.audience or self.resolved_issuer

    @property
    def resolved_issuer(self) -> str:
        """Name the issuer of access tokens: the one given, else the address listened on."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.issuer or f"http://{host}:{self.port}"

    @property
    def resolved_database_url(self) -> str:
        """Name the records' database: the one given, else the SQLite file in the data folder.

        Threat: it holds the password, so it goes to the driver and nowhere else.
        """
        given = self.database_url.get_secret_value()
        return given or f"sqlite+aiosqlite:///{self.data_dir / 'tollgate.db'}"


def load_settings() -> Settings:
    """Read the settings from the environment, with ``…_FILE`` variables replaced by their contents.

    A variable of ours that is no setting is told in one warning and otherwise left alone: it may
    be meant for another version, or be misspelt.

    Raises:
        SettingInvalid: a variable has a value of the wrong kind, or a named file cannot be read.
    """
    given: dict[str, str] = {}
    from_files: dict[str, str] = {}
    for name, value in os.environ.items():
        if not name.startswith(PREFIX):
            continue
        field = _field_of(name)
        if field not in Settings.model_fields:
            _warn_of(name, field)
        elif value and name.endswith(_FILE_SUFFIX):
            from_files[field] = _read(name, value)
        elif value:
            given[field] = value
    try:
        return Settings.model_validate(given | from_files)
    except ValidationError as error:
        raise SettingInvalid(_sentence(error)) from None


def environment_with(**options: object) -> dict[str, str]:
    """Return the environment of this process, with some settings replaced, for a child.

    What is no setting was told once and is left out, so that no child tells it again. A secret goes
    on as it came: in the environment or in a file, never in the words of a command.
    """
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(PREFIX) or _field_of(name) in Settings.model_fields
    }
    for field, value in options.items():
        name = f"{PREFIX}{field.upper()}"
        environment[name] = str(value)
        environment.pop(f"{name}{_FILE_SUFFIX}", None)
    return environment


def _field_of(name: str) -> str:
    return name.removeprefix(PREFIX).removesuffix(_FILE_SUFFIX).lower()


def _warn_of(name: str, field: str) -> None:
    [nearest] = difflib.get_close_matches(field, Settings.model_fields, n=1, cutoff=0)
    logger.warning(
        "%s is no setting of this version and does nothing; did you mean %s?",
        name,
        f"{PREFIX}{nearest.upper()}",
    )


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False)[0]
    return f"{PREFIX}{str(first['loc'][0]).upper()}: {first['msg']}"


def _read(name: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SettingInvalid(f"{name}: {error.strerror}: {path}") from None
