"""Contracts that the tests share: a house of three features, and graphs without a manifest."""

from inference.contract import Contract
from inference.contract_compiler import compile_contract
from inference.manifest import Manifest, parse_manifest
from inference.signature import Signature, TensorSpec

HOUSE_TOML = """
[[features]]
name = "area"
input = "numbers"
type = "number"
minimum = 10
maximum = 1000

[[features]]
name = "rooms"
input = "numbers"
type = "integer"
minimum = 1
maximum = 20

[[features]]
name = "garden"
input = "answer"
type = "category"
categories = ["no", "yes"]

[example]
area = 80.5
rooms = 3
garden = "yes"
"""

HOUSE = Signature(
    (TensorSpec("numbers", "FP32", (-1, 2)), TensorSpec("answer", "BYTES", (-1, 1))),
    (TensorSpec("price", "FP32", (-1,)),),
    is_batchable=True,
)
GOOD_ROW: dict[str, object] = {"area": 80.5, "rooms": 3, "garden": "yes"}


def house_contract() -> Contract:
    """Compile the contract of named features."""
    return compile_contract(HOUSE, parse_manifest("house", HOUSE_TOML.encode()))


def feature_contract(feature: str, datatype: str = "FP32", *, max_rows: int = 4096) -> Contract:
    """Compile the contract of one feature `x` that the lines of TOML describe."""
    signature = Signature(
        (TensorSpec("in", datatype, (-1, 1)),),
        (TensorSpec("out", "FP32", (-1, 1)),),
        is_batchable=True,
    )
    batching = f"[batching]\nmax_batch_size = 1\nmax_queue_rows = {max_rows}\n"
    text = f'{batching}[[features]]\nname = "x"\ninput = "in"\n{feature}'
    return compile_contract(signature, parse_manifest("one", text.encode()))


def graph_contract(*inputs: TensorSpec, is_batchable: bool = True) -> Contract:
    """Compile the contract that follows from inputs alone."""
    signature = Signature(inputs, (TensorSpec("y", "FP32", (-1, 1)),), is_batchable)
    return compile_contract(signature, Manifest())
