"""The floor of the Open Inference Protocol: any model behind plain ASGI with no gate at all.

As the bare app of the V1 protocol: no authentication, limit, bill or validation. Binary tensors are
views of the body, JSON is orjson's, and the model runs on the event loop.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from benchmarks.bare_app import App, Message, Receive, Send, open_session, read_body, send_answer
from benchmarks.oip_messages import Tensor, tensor_from_bytes

MODEL_VARIABLE = "BENCH_MODEL"
_HEADER = b"inference-header-content-length"
_DTYPES: Mapping[str, type] = {"FP32": np.float32, "BYTES": object}


def create_app() -> App:
    """Build the app for the model file that the environment names; uvicorn calls this once."""
    session = open_session(Path(os.environ[MODEL_VARIABLE]))
    run, output = session.run, session.get_outputs()[0].name

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["method"] != "POST":
            await send_answer(send, status=404, body=b"{}")
            return
        body = await read_body(receive)
        json_bytes = _json_bytes(scope["headers"])
        if json_bytes is None:
            values = run(None, _read_json(body))[0]
            await send_answer(send, status=200, body=_write_json(output, values))
            return
        values = run(None, _read_binary(body, json_bytes))[0]
        head, content = _write_binary(output, values)
        size = (_HEADER, b"%d" % len(head))
        await send_answer(send, status=200, body=head + content, headers=(size,))

    return app


def _json_bytes(headers: list[tuple[bytes, bytes]]) -> int | None:
    return next((int(value) for name, value in headers if name == _HEADER), None)


def _read_json(body: bytes) -> dict[str, Tensor]:
    return {
        item["name"]: np.array(item["data"], _DTYPES[item["datatype"]]).reshape(item["shape"])
        for item in orjson.loads(body)["inputs"]
    }


def _read_binary(body: bytes, json_bytes: int) -> dict[str, Tensor]:
    content, tensors = memoryview(body)[json_bytes:], {}
    for item in orjson.loads(body[:json_bytes])["inputs"]:
        size = item["parameters"]["binary_data_size"]
        tensors[item["name"]] = tensor_from_bytes(content[:size], item["datatype"], item["shape"])
        content = content[size:]
    return tensors


def _write_json(name: str, values: Tensor) -> bytes:
    answer = _described(name, values) | {"data": values.ravel()}
    return orjson.dumps({"outputs": [answer]}, option=orjson.OPT_SERIALIZE_NUMPY)


def _write_binary(name: str, values: Tensor) -> tuple[bytes, bytes]:
    content = values.tobytes()
    answer = _described(name, values) | {"parameters": {"binary_data_size": len(content)}}
    return orjson.dumps({"outputs": [answer]}), content


def _described(name: str, values: Tensor) -> dict[str, Any]:
    return {"name": name, "datatype": "FP32", "shape": values.shape}
