"""One Tollgate serves the models of another, with its own gates, limits and bill in front."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.ledgers import delivered_ids
from tests.repositories import scaled_model, write_model
from tests.serving import Server, free_port

INSTANCES = {"instances": [1.0, 2.5]}
MANY = 5000
"""Attempts while gRPC connects again, which it does within two seconds."""


@dataclass(frozen=True)
class Pair:
    """The server that customers ask, and the engine behind it."""

    front: Server
    engine: Server

    def ask(self, model: str = "double") -> tuple[int, object]:
        """Ask for a prediction; return the status, and the predictions or the code."""
        answer = self.front.predict(self.front.demo["api_key"], INSTANCES, model=model)
        return answer.status, answer.body.get("predictions", answer.body.get("code"))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Run both: the engine has the model, the front knows where it is."""
    folder = tmp_path_factory.mktemp("pair")
    grpc_port = str(free_port())
    write_model(folder / "theirs", "double", scaled_model(2))
    engine = Server(
        _made(folder / "engine"),
        free_port(),
        {"TOLLGATE_MODEL_REPOSITORY": str(folder / "theirs"), "TOLLGATE_GRPC_PORT": grpc_port},
    )
    engine.start()
    place = f"127.0.0.1:{grpc_port}"
    write_model(folder / "ours", "local", scaled_model(3))
    (folder / "ours" / "double" / "1").mkdir(parents=True)
    toml = f'runtime = "grpc://{place}"\n[engine]\ntimeout_seconds = 5.0\nretries = 0\n'
    (folder / "ours" / "double" / "model.toml").write_text(toml)
    front = Server(
        _made(folder / "front"),
        free_port(),
        {
            "TOLLGATE_MODEL_REPOSITORY": str(folder / "ours"),
            "TOLLGATE_ENGINES": f"{place} {engine.demo['api_key']}",
        },
    )
    front.start()
    yield Pair(front, engine)
    front.stop()
    engine.stop()


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_engine_answers_and_both_bill(pair: Pair) -> None:
    """The customer pays here, and here pays there."""
    assert pair.ask() == (200, [2.0, 5.0])
    assert (len(delivered_ids(pair.front)), bool(delivered_ids(pair.engine))) == (1, True)


def test_model_of_an_engine_is_described_like_any_other(pair: Pair) -> None:
    """Its signature is the engine's."""
    path = "/v1/models/double/metadata"
    answer = pair.front.call("GET", path, key=pair.front.demo["api_key"])
    assert answer.body["inputs"][0] | {"name": "x"} == answer.body["inputs"][0]
    assert answer.body["outputs"][0]["datatype"] == "FP32"


def test_engine_that_is_away_takes_only_its_own_models_along(pair: Pair) -> None:
    """503 with a time to come back, nothing billed, and the neighbour served; then it is back."""
    before = len(delivered_ids(pair.front))
    pair.engine.kill()
    assert pair.ask() == (503, "engine_unavailable")
    assert pair.ask("local") == (200, [3.0, 7.5])
    assert len(delivered_ids(pair.front)) == before + 1
    pair.engine.start()
    assert any(pair.ask() == (200, [2.0, 5.0]) for _ in range(MANY))
    assert pair.engine.demo["api_key"] not in pair.front.log()


def test_engine_that_is_away_at_the_start_is_taken_up_later(pair: Pair) -> None:
    """Nobody has to load its models again; the neighbour is served from the start."""
    pair.front.stop()
    pair.engine.kill()
    pair.front.start()
    assert pair.ask()[0] == 503
    assert pair.ask("local") == (200, [3.0, 7.5])
    pair.engine.start()
    pair.front.wait_until(lambda: pair.ask() == (200, [2.0, 5.0]), "the engine answered")
