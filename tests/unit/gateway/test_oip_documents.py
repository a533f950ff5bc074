"""Models in the words of the Open Inference Protocol."""

from gateway.oip_documents import config_document, model_document
from inference.protocol.open_inference_pb2 import ModelConfig
from inference.registry import Registry
from tests.fake_engine import FakeEngine, running_engine
from tests.unit.inference.test_remote_runtime import load


def test_model_of_an_engine_is_not_called_onnx_runtime() -> None:
    """Platform and backend are what the engine says."""
    config = ModelConfig(backend="pytorch")
    with running_engine(FakeEngine(platform="torch", config=config)) as engine:
        version = load(engine)
        version.runtime.close()
    assert model_document(version, Registry()).platform == "torch"
    described = config_document(version)
    assert (described.platform, described.backend) == ("torch", "pytorch")
