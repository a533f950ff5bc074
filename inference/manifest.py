"""Read `model.toml`: what a model's author says about it beyond the graph."""

import re
import tomllib
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from inference.errors import ModelRefused
from inference.version_policy import VersionPolicy

MANIFEST_NAME = "model.toml"
LOCAL = "onnx"
RUNTIME = re.compile(
    r"(?P<scheme>grpcs?)://(?P<place>[^/@\s]+:[0-9]{1,5})"
    r"(?:/(?P<name>[^/\s]{1,256})(?:/(?P<version>[^/\s]{1,64}))?)?"
)
"""An engine: its place, and what the model is called there if not the same."""

Name = Annotated[str, Field(min_length=1, max_length=128)]
Bound = Annotated[int, Field(strict=True)] | Annotated[float, Field(allow_inf_nan=False)]


class _Section(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, hide_input_in_errors=True, allow_inf_nan=False
    )


class Batching(_Section):
    """How requests share runs."""

    max_batch_size: int = Field(default=64, ge=1, le=65536)
    """Rows of one run; 1 turns sharing off."""

    max_queue_rows: int = Field(default=4096, ge=1, le=1_000_000)
    """Rows that may wait; also the most rows of one request."""

    max_lane_rows: int | None = Field(default=None, ge=1, le=1_000_000)
    """Rows of one tenant that may wait, unless it is a single request; absent: half of all."""

    max_queue_delay_microseconds: int = Field(default=0, ge=0, le=1_000_000)
    """How long a run that is not full waits for more rows; 0 runs whatever waits at once."""

    @property
    def lane_rows(self) -> int:
        """Rows of one tenant that may wait; never less than a run takes."""
        return self.max_lane_rows or max(self.max_queue_rows // 2, self.max_batch_size)

    @model_validator(mode="after")
    def _queue_holds_a_batch(self) -> Self:
        if self.max_queue_rows < self.max_batch_size:
            raise ValueError("max_queue_rows must be at least max_batch_size")
        return self


class Feature(_Section):
    """One named value of a row."""

    name: Name
    input: Name
    """Graph input that it goes to; features of one input are its columns, in order."""

    type: Literal["number", "integer", "boolean", "string", "category"]
    description: str = ""
    unit: str = ""
    minimum: Bound | None = None
    maximum: Bound | None = None
    categories: list[str] | None = Field(default=None, min_length=1, max_length=10_000)
    default: str | bool | int | float | None = None
    """Value of a row that leaves the feature out; without one it must be there."""

    allow_nan: bool = False
    """Take NaN and infinity, as a model that imputes missing values wants."""

    @model_validator(mode="after")
    def _members_fit_the_type(self) -> Self:
        if (self.type == "category") != (self.categories is not None):
            raise ValueError("categories are for the type category, which needs them")
        if self.categories is not None and len(set(self.categories)) < len(self.categories):
            raise ValueError("categories repeat")
        if self.allow_nan and self.type != "number":
            raise ValueError("allow_nan is for the type number")
        return self

    @model_validator(mode="after")
    def _bounds_fit_the_type(self) -> Self:
        bounds = [bound for bound in (self.minimum, self.maximum) if bound is not None]
        if bounds and self.type not in {"number", "integer"}:
            raise ValueError("minimum and maximum are for the types number and integer")
        if self.type == "integer" and any(isinstance(bound, float) for bound in bounds):
            raise ValueError("bounds of an integer are integers")
        if bounds != sorted(bounds):
            raise ValueError("minimum is over maximum")
        return self


class OutputDoc(_Section):
    """What is said about one output of the graph."""

    name: Name
    description: str = ""
    unit: str = ""
    labels: list[str] = Field(default=[], max_length=1_000_000)
    """Names of the classes that its elements stand for, in their order."""


class EngineCalls(_Section):
    """How a model that another server executes is asked."""

    timeout_seconds: float = Field(default=5.0, gt=0, le=600)
    """Longest wait for one run; past it the callers are told that the engine is unavailable."""

    retries: int = Field(default=1, ge=0, le=5)
    """Times that a run is sent again which found the engine away. 0 for an engine that bills."""


class Manifest(_Section):
    """The whole of `model.toml`; the defaults serve a model that has none."""

    description: str = ""
    unit_weight: int = Field(default=1, ge=1, le=1_000_000)
    """Units billed for each row."""

    runtime: str = LOCAL
    """`onnx`, or the engine that has the model: `grpc[s]://HOST:PORT[/NAME[/VERSION]]`."""

    engine: EngineCalls = EngineCalls()
    version_policy: VersionPolicy = VersionPolicy()
    """Which versions of the model are served; all by default."""

    batching: Batching = Batching()
    features: list[Feature] = []
    outputs: list[OutputDoc] = []
    example: dict[str, object] | None = None
    """One row that the contract accepts."""

    @property
    def is_remote(self) -> bool:
        """Whether another server executes the model."""
        return self.runtime != LOCAL

    @field_validator("runtime")
    @classmethod
    def _runtime_is_known(cls, value: str) -> str:
        if value != LOCAL and RUNTIME.fullmatch(value) is None:
            raise ValueError("must be onnx or grpc[s]://HOST:PORT[/NAME[/VERSION]]")
        return value

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        for what, names in (
            ("features", [feature.name for feature in self.features]),
            ("outputs", [output.name for output in self.outputs]),
        ):
            if len(set(names)) < len(names):
                raise ValueError(f"{what} repeat a name")
        return self


def parse_manifest(name: str, content: bytes) -> Manifest:
    """Read the bytes of a `model.toml`.

    Raises:
        ModelRefused: it is not TOML, or a member is unknown or has a wrong value; names the member.
    """
    try:
        return Manifest.model_validate(tomllib.loads(content.decode()))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ModelRefused(name, f"{MANIFEST_NAME}: {error}") from None
    except RecursionError:
        raise ModelRefused(name, f"{MANIFEST_NAME}: it is nested too deeply") from None
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ModelRefused(name, f"{MANIFEST_NAME}: {place}: {first['msg']}") from None
