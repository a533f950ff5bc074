"""Build the sentence embedding all-MiniLM-L6-v2 as ONNX from the weights that its package brings.

Source: Devlin et al. (2019), "BERT", as `config.json` of the package sizes it; Reimers and Gurevych
(2019), "Sentence-BERT": the mean over tokens, scaled to length 1.
"""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from tests.unit.inference.onnx_models import model_of, tensor

_EPSILON = 1e-12
_MASKED = -1e9


def read_safetensors(path: Path) -> dict[str, NDArray[np.float32]]:
    """Read the FP32 tensors of a file: a length, a JSON header, and one value after the other."""
    content = path.read_bytes()
    (length,) = struct.unpack_from("<Q", content)
    header = json.loads(content[8 : 8 + length])
    tensors = {}
    for name, entry in header.items():
        if entry.get("dtype") != "F32":
            continue
        first, last = entry["data_offsets"]
        values = np.frombuffer(content, np.float32, (last - first) // 4, 8 + length + first)
        tensors[name] = values.reshape(entry["shape"])
    return tensors


class _Graph:
    """Nodes and weights, put together one after the other; values go by name."""

    def __init__(self, weights: dict[str, NDArray[np.float32]], heads: int) -> None:
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self._weights = weights
        self._heads = heads

    def add(self, operator: str, *inputs: str, **attributes: object) -> str:
        """Add an operator and name its output."""
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def constant(self, values: Any) -> str:  # noqa: ANN401 - whatever NumPy takes
        """Add an array."""
        name = f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def weight(self, name: str) -> str:
        """Add weights of the package as they are."""
        return self.constant(self._weights[name])

    def dense(self, value: str, name: str) -> str:
        """Multiply and add."""
        factors = self.constant(np.ascontiguousarray(self._weights[f"{name}.weight"].T))
        return self.add("Add", self.add("MatMul", value, factors), self.weight(f"{name}.bias"))

    def normalised(self, value: str, name: str) -> str:
        """Normalise each token."""
        scale, bias = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        return self.add("LayerNormalization", value, scale, bias, epsilon=_EPSILON)

    def heads(self, value: str, order: list[int]) -> str:
        """Split the values of each token: [rows, heads, tokens, size] in some order."""
        shape = self.constant(np.array([0, 0, self._heads, -1]))
        return self.add("Transpose", self.add("Reshape", value, shape), perm=order)

    def gelu(self, value: str) -> str:
        """Apply the exact Gaussian error unit."""
        error = self.add("Erf", self.add("Div", value, self.constant(np.float32(2**0.5))))
        half = self.add("Mul", value, self.constant(np.float32(0.5)))
        return self.add("Mul", half, self.add("Add", error, self.constant(np.float32(1))))


def minilm_model(package: Path) -> bytes:
    """Answer the embedding of tokens.

    Shape: input_ids and attention_mask [rows, tokens], embedding [rows, 384].
    """
    config = json.loads((package / "config.json").read_text())
    weights = read_safetensors(package / "model.safetensors")
    graph = _Graph(weights, config["num_attention_heads"])
    mask = graph.add("Cast", "attention_mask", to=TensorProto.FLOAT)
    hidden = _embedded(graph)
    bias = _attention_bias(graph, mask)
    size = config["hidden_size"] // config["num_attention_heads"]
    for number in range(config["num_hidden_layers"]):
        hidden = _layer(graph, hidden, bias, name=f"encoder.layer.{number}", size=size)
    graph.nodes.append(helper.make_node("Identity", [_pooled(graph, hidden, mask)], ["embedding"]))
    shape = ["rows", "tokens"]
    model = model_of(
        graph.nodes,
        [tensor(name, shape, TensorProto.INT64) for name in ("input_ids", "attention_mask")],
        [tensor("embedding", ["rows", config["hidden_size"]])],
        initializers=graph.initializers,
    )
    return bytes(model.SerializeToString())


def _embedded(graph: _Graph) -> str:
    words = graph.add("Gather", graph.weight("embeddings.word_embeddings.weight"), "input_ids")
    count = graph.add("Slice", graph.add("Shape", "input_ids"), *map(graph.constant, ([1], [2])))
    positions = graph.add(
        "Slice",
        graph.weight("embeddings.position_embeddings.weight"),
        graph.constant([0]),
        count,
        graph.constant([0]),
    )
    kind = graph.add(
        "Gather", graph.weight("embeddings.token_type_embeddings.weight"), graph.constant(0)
    )
    added = graph.add("Add", graph.add("Add", words, positions), kind)
    return graph.normalised(added, "embeddings.LayerNorm")


def _attention_bias(graph: _Graph, mask: str) -> str:
    absent = graph.add("Sub", graph.constant(np.float32(1)), mask)
    wide = graph.add("Unsqueeze", absent, graph.constant([1, 2]))
    return graph.add("Mul", wide, graph.constant(np.float32(_MASKED)))


def _layer(graph: _Graph, hidden: str, bias: str, *, name: str, size: int) -> str:
    attention = f"{name}.attention"
    query, key, value = (
        graph.heads(graph.dense(hidden, f"{attention}.self.{part}"), order)
        for part, order in (
            ("query", [0, 2, 1, 3]),
            ("key", [0, 2, 3, 1]),
            ("value", [0, 2, 1, 3]),
        )
    )
    scores = graph.add("MatMul", query, key)
    scaled = graph.add("Div", scores, graph.constant(np.float32(size**0.5)))
    chances = graph.add("Softmax", graph.add("Add", scaled, bias), axis=-1)
    mixed = graph.add("Transpose", graph.add("MatMul", chances, value), perm=[0, 2, 1, 3])
    joined = graph.add("Reshape", mixed, graph.constant([0, 0, -1]))
    seen = graph.add("Add", graph.dense(joined, f"{attention}.output.dense"), hidden)
    seen = graph.normalised(seen, f"{attention}.output.LayerNorm")
    thought = graph.gelu(graph.dense(seen, f"{name}.intermediate.dense"))
    added = graph.add("Add", graph.dense(thought, f"{name}.output.dense"), seen)
    return graph.normalised(added, f"{name}.output.LayerNorm")


def _pooled(graph: _Graph, hidden: str, mask: str) -> str:
    weights = graph.add("Unsqueeze", mask, graph.constant([2]))
    axis = graph.constant([1])
    total = graph.add("ReduceSum", graph.add("Mul", hidden, weights), axis, keepdims=0)
    mean = graph.add("Div", total, graph.add("ReduceSum", weights, axis, keepdims=0))
    return graph.add("LpNormalization", mean, axis=1, p=2)
