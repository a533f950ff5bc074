"""The remote engine: what it is asked, and what its failures become."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from pydantic import SecretStr

from inference.batch_run import run_batch
from inference.engine_address import Engine, engine_of
from inference.errors import EngineUnavailable, InputInvalid, ModelFailed, ModelRefused
from inference.loading import ModelVersion
from inference.manifest import parse_manifest
from inference.protocol.open_inference_pb2 import (
    ModelConfig,
    ModelInferRequest,
    ModelInferResponse,
)
from inference.remote_loading import load_anywhere
from inference.remote_runtime import RemoteRuntime
from inference.settings import InferenceSettings
from inference.version_files import Contents, VersionPath
from tests.fake_engine import FakeEngine, doubled, running_engine

X = {"x": np.array([1.0, 2.0], np.float32)}
PATH = VersionPath(Path("/nowhere"), "double", "3")


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    """Run an engine."""
    with running_engine(FakeEngine()) as running:
        yield running


class Clock:
    """A clock that only pauses move."""

    def __init__(self) -> None:
        self.pauses: list[float] = []

    def now(self) -> float:
        """Add up the pauses."""
        return sum(self.pauses)

    def pause(self, seconds: float) -> None:
        """Move on at once."""
        self.pauses.append(seconds)


def connect(
    engine: FakeEngine,
    *,
    timeout_seconds: float = 10.0,
    retries: int = 0,
    place: str = "",
    clock: Clock | None = None,
) -> RemoteRuntime:
    """Connect to an engine with a clock that only pauses move."""
    clock = clock or Clock()
    return RemoteRuntime(
        Engine(
            place=place or engine.place,
            is_secure=False,
            name="double",
            version="3",
            key="secret",
            timeout_seconds=timeout_seconds,
            retries=retries,
        ),
        now=clock.now,
        pause=clock.pause,
    )


@pytest.fixture
def runtime(engine: FakeEngine) -> Iterator[RemoteRuntime]:
    """Connect without a second attempt."""
    connected = connect(engine)
    yield connected
    connected.close()


def test_signature_is_what_the_engine_says(runtime: RemoteRuntime) -> None:
    """Names, datatypes and shapes, and that rows can share a run."""
    [spec] = runtime.signature.inputs
    assert (spec.name, spec.datatype, spec.shape) == ("x", "FP32", (-1,))
    assert runtime.signature.is_batchable


def test_run_is_the_engines(engine: FakeEngine, runtime: RemoteRuntime) -> None:
    """With the model's name and version there, and the key."""
    assert runtime.run(X)["y"].tolist() == [2.0, 4.0]
    assert engine.asked == [("double", "3", "Bearer secret")]


def test_engine_that_was_away_is_asked_again(engine: FakeEngine) -> None:
    """A run changes nothing there."""
    engine.refusals = [grpc.StatusCode.UNAVAILABLE]
    runtime = connect(engine, retries=1)
    assert runtime.run(X)["y"].tolist() == [2.0, 4.0]
    assert len(engine.asked) == 2
    runtime.close()


def test_engine_that_is_away_is_given_more_time_with_each_attempt(engine: FakeEngine) -> None:
    """It would else be asked again before it can be back."""
    engine.refusals = [grpc.StatusCode.UNAVAILABLE] * 3
    clock = Clock()
    runtime = connect(engine, retries=5, clock=clock)
    assert runtime.run(X)["y"].tolist() == [2.0, 4.0]
    assert clock.pauses == [0.1, 0.2, 0.4]
    runtime.close()


def test_no_attempt_begins_past_the_time_of_the_run(engine: FakeEngine) -> None:
    """Whoever waits for the run is told before."""
    engine.refusals = [grpc.StatusCode.UNAVAILABLE] * 30
    clock = Clock()
    runtime = connect(engine, retries=30, timeout_seconds=10.4, clock=clock)
    with pytest.raises(EngineUnavailable):
        runtime.run(X)
    assert 9.4 < clock.now() < 10.4
    assert len(engine.asked) == 1 + len(clock.pauses)
    runtime.close()


def test_nothing_else_is_asked_again(engine: FakeEngine) -> None:
    """A run that failed would fail again."""
    engine.refusals = [grpc.StatusCode.INTERNAL]
    runtime = connect(engine, retries=5)
    with pytest.raises(ModelFailed):
        runtime.run(X)
    assert len(engine.asked) == 1
    runtime.close()


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, InputInvalid),
        (grpc.StatusCode.UNAVAILABLE, EngineUnavailable),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, EngineUnavailable),
        (grpc.StatusCode.UNAUTHENTICATED, EngineUnavailable),
        (grpc.StatusCode.NOT_FOUND, EngineUnavailable),
        (grpc.StatusCode.INTERNAL, ModelFailed),
        (grpc.StatusCode.UNKNOWN, ModelFailed),
    ],
)
def test_status_becomes_an_error_of_ours(
    engine: FakeEngine, runtime: RemoteRuntime, *, status: grpc.StatusCode, error: type[Exception]
) -> None:
    """The caller's fault, the engine's, or the model's."""
    engine.refusals = [status]
    with pytest.raises(error):
        runtime.run(X)


def test_busy_engine_says_when_to_come_back(engine: FakeEngine, runtime: RemoteRuntime) -> None:
    """Its own word is passed on."""
    engine.refusals = [grpc.StatusCode.RESOURCE_EXHAUSTED]
    with pytest.raises(EngineUnavailable) as refusal:
        runtime.run(X)
    assert refusal.value.retry_after_seconds == 7


def test_slow_engine_is_not_waited_for(engine: FakeEngine) -> None:
    """Past its time the callers are told that it is unavailable."""
    released = threading.Event()

    def answer(request: ModelInferRequest) -> ModelInferResponse:
        released.wait()
        return doubled(request)

    engine.answer = answer
    runtime = connect(engine, timeout_seconds=0.1)
    try:
        with pytest.raises(EngineUnavailable):
            runtime.run(X)
    finally:
        released.set()
        runtime.close()


def test_engine_that_stays_away_is_let_alone(engine: FakeEngine, runtime: RemoteRuntime) -> None:
    """After five failures it is not asked for a while."""
    engine.refusals = [grpc.StatusCode.UNAVAILABLE] * 10
    for _ in range(8):
        with pytest.raises(EngineUnavailable):
            runtime.run(X)
    assert len(engine.asked) == 5


def test_engine_that_is_away_fails_a_batch_at_once(
    engine: FakeEngine, runtime: RemoteRuntime
) -> None:
    """Its requests are not tried one by one: none of them is at fault."""
    engine.refusals = [grpc.StatusCode.UNAVAILABLE] * 10
    run = run_batch(runtime, [X, X, X], [2, 2, 2])
    assert [type(outcome) for outcome in run.outcomes] == [EngineUnavailable] * 3
    assert len(engine.asked) == 1


def _without_outputs(request: ModelInferRequest) -> ModelInferResponse:
    return ModelInferResponse(model_version=request.model_version)


def _too_short(request: ModelInferRequest) -> ModelInferResponse:
    answer = doubled(request)
    answer.raw_output_contents[0] = answer.raw_output_contents[0][:-1]
    return answer


def _another_datatype(request: ModelInferRequest) -> ModelInferResponse:
    answer = doubled(request)
    answer.outputs[0].datatype = "INT32"
    return answer


def _another_rank(request: ModelInferRequest) -> ModelInferResponse:
    answer = doubled(request)
    answer.outputs[0].shape.append(1)
    return answer


def _another_version(request: ModelInferRequest) -> ModelInferResponse:
    answer = doubled(request)
    answer.model_version = "4"
    return answer


@pytest.mark.parametrize(
    "answer",
    [_without_outputs, _too_short, _another_datatype, _another_rank, _another_version],
)
def test_wrong_answer_is_a_failure_of_the_model(
    engine: FakeEngine,
    runtime: RemoteRuntime,
    answer: Callable[[ModelInferRequest], ModelInferResponse],
) -> None:
    """Nothing of it reaches a caller."""
    engine.answer = answer
    with pytest.raises(ModelFailed):
        runtime.run(X)


def test_engine_with_an_unknown_datatype_is_refused() -> None:
    """What we cannot carry is not served."""
    with running_engine(FakeEngine(datatype="FP8")) as engine:
        with pytest.raises(ModelRefused) as refusal:
            connect(engine)
        assert not refusal.value.may_pass


def test_engine_that_is_not_there_is_refused(engine: FakeEngine) -> None:
    """The reason names the place."""
    with pytest.raises(ModelRefused, match=r"127\.0\.0\.1:1") as refusal:
        connect(engine, timeout_seconds=0.2, place="127.0.0.1:1")
    assert refusal.value.may_pass


def test_engine_that_goes_away_while_a_version_is_loaded_may_come_back(engine: FakeEngine) -> None:
    """It said what its model is, and did not run the example."""
    engine.refusals = [grpc.StatusCode.UNAVAILABLE] * 9
    with pytest.raises(ModelRefused, match="example") as refusal:
        load(engine, "[engine]\nretries = 0\n[example]\nx = 1\n")
    assert refusal.value.may_pass


def engine_named(runtime: str, *engines: str, allows_plaintext: bool = False) -> Engine:
    """Find the engine of a manifest with these in the settings."""
    settings = InferenceSettings(
        engines=dict.fromkeys(engines, SecretStr("key")), allows_plaintext=allows_plaintext
    )
    manifest = parse_manifest("double", f'runtime = "{runtime}"'.encode())
    return engine_of(PATH, manifest, settings)


def test_engine_that_is_not_listed_is_refused() -> None:
    """Whoever writes models does not choose where the server connects to."""
    with pytest.raises(ModelRefused, match="TOLLGATE_ENGINES"):
        engine_named("grpc://127.0.0.1:1", "127.0.0.1:2")


def test_engine_elsewhere_needs_tls() -> None:
    """Tensors and the key would cross the network readable."""
    with pytest.raises(ModelRefused, match="grpcs"):
        engine_named("grpc://10.0.0.1:1", "10.0.0.1:1")
    assert engine_named("grpcs://10.0.0.1:1", "10.0.0.1:1").is_secure
    assert engine_named("grpc://10.0.0.1:1", "10.0.0.1:1", allows_plaintext=True).key == "key"


def test_model_has_its_own_name_there_unless_it_is_told() -> None:
    """So with the version."""
    named = [
        engine_named(f"grpc://[::1]:1{rest}", "[::1]:1") for rest in ("", "/other", "/other/9")
    ]
    assert [(engine.name, engine.version) for engine in named] == [
        ("double", "3"),
        ("other", "3"),
        ("other", "9"),
    ]


@pytest.mark.parametrize("runtime", ["", "cuda", "grpc://", "grpc://host", "http://host:1"])
def test_runtime_that_is_none_is_refused(runtime: str) -> None:
    """The member is named."""
    with pytest.raises(ModelRefused, match="runtime"):
        parse_manifest("m", f'runtime = "{runtime}"'.encode())


def test_version_of_an_engine_is_loaded_and_warmed(engine: FakeEngine) -> None:
    """It has a contract like any other, and a thread of its own."""
    manifest = f'runtime = "grpc://{engine.place}"\nunit_weight = 4\n'.encode()
    settings = InferenceSettings(engines={engine.place: SecretStr("")})
    version = load_anywhere(PATH, Contents(None, manifest=manifest), settings)
    assert (version.name, version.version, version.unit_weight) == ("double", "3", 4)
    assert version.executor is not None
    assert version.max_batch_size == 64
    version.runtime.close()


def load(engine: FakeEngine, rest: str = "") -> ModelVersion:
    """Load version 3, which an engine has."""
    manifest = f'runtime = "grpc://{engine.place}"\n{rest}'.encode()
    settings = InferenceSettings(engines={engine.place: SecretStr("")})
    return load_anywhere(PATH, Contents(None, manifest=manifest), settings)


@pytest.mark.parametrize(("theirs", "ours"), [(8, 8), (1, 1), (0, 64), (128, 64)])
def test_run_has_no_more_rows_than_the_engine_takes(
    engine: FakeEngine, theirs: int, ours: int
) -> None:
    """It would refuse all of a larger one; 0 is a model that it does not batch itself."""

    def answer(request: ModelInferRequest) -> ModelInferResponse:
        assert theirs == 0 or request.inputs[0].shape[0] <= theirs
        return doubled(request)

    engine.answer = answer
    engine.config = ModelConfig(max_batch_size=theirs)
    version = load(engine, "[example]\nx = 1\n")
    assert version.max_batch_size == ours
    version.runtime.close()


@pytest.mark.parametrize(
    ("config", "told"),
    [(ModelConfig(backend="pytorch"), ("torch", "pytorch")), (None, ("torch", "remote"))],
)
def test_version_is_described_as_the_engine_says(
    engine: FakeEngine, config: ModelConfig | None, told: tuple[str, str]
) -> None:
    """It is not ONNX Runtime here that executes it."""
    engine.platform, engine.config = "torch", config
    version = load(engine)
    assert (version.platform, version.backend) == told
    version.runtime.close()


def test_version_whose_engine_mixes_rows_is_not_batched(engine: FakeEngine) -> None:
    """As with any runtime, the warm-up finds out."""

    def answer(request: ModelInferRequest) -> ModelInferResponse:
        told = doubled(request)
        values = np.frombuffer(told.raw_output_contents[0], np.float32)
        told.raw_output_contents[0] = (values + len(values)).astype(np.float32).tobytes()
        return told

    engine.answer = answer
    manifest = f'runtime = "grpc://{engine.place}"\n'.encode()
    settings = InferenceSettings(engines={engine.place: SecretStr("")})
    version = load_anywhere(PATH, Contents(None, manifest=manifest), settings)
    assert version.max_batch_size == 1
    version.runtime.close()
