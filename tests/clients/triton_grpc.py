"""What `tritonclient.grpc` sees of a server: `python triton_grpc.py` with an order on stdin.

The order is JSON: `url`, `key`, `ca` (a file, or empty for no TLS) and `asynchronous`. The results
are a JSON object on standard output, one member for each case.
"""

import asyncio
import inspect
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import ml_dtypes
import numpy as np
import tritonclient.grpc as stock
import tritonclient.grpc.aio as stock_aio
from tritonclient.utils import InferenceServerException

DTYPES = {
    "BOOL": "bool",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
}
IMAGE_FLOATS = 150_528


class Client:
    """The stock client, either of the two, with the credential that it is given."""

    def __init__(self, order: dict[str, Any]) -> None:
        kind = stock_aio if order["asynchronous"] else stock
        options = {"ssl": True, "root_certificates": order["ca"]} if order["ca"] else {}
        self.client = kind.InferenceServerClient(order["url"], **options)
        self.headers = {"authorization": f"Bearer {order['key']}"}

    async def ask(self, name: str, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401
        """Call a method of the client, which may or may not be a coroutine's."""
        options = {"headers": self.headers} | options
        found = getattr(self.client, name)(*arguments, **options)
        return await found if inspect.isawaitable(found) else found

    async def infer(self, model: str, array: Any, **options: Any) -> Any:  # noqa: ANN401
        """Ask for a prediction with one input `x`."""
        datatype = options.pop("datatype", "FP32")
        given = stock.InferInput("x", list(array.shape), datatype)
        given.set_data_from_numpy(array)
        return await self.ask("infer", model, [given], **options)

    async def refused(self, model: str = "fp32", **options: Any) -> list[str]:  # noqa: ANN401
        """Tell with which status a prediction is refused."""
        array = options.pop("array", np.ones(1, np.float32))
        try:
            await self.infer(model, array, **options)
        except InferenceServerException as error:
            return [str(error.status()), error.message()]
        return ["OK", ""]


async def server(client: Client) -> dict[str, Any]:
    """Ask for what is public, and for the name."""
    metadata = await client.ask("get_server_metadata", as_json=True)
    return {
        "live": await client.ask("is_server_live", headers=None),
        "ready": await client.ask("is_server_ready", headers=None),
        "name": metadata["name"],
    }


async def models(client: Client) -> dict[str, Any]:
    """Ask for what describes models."""
    config = await client.ask("get_model_config", "fp32", as_json=True)
    index = await client.ask("get_model_repository_index", as_json=True)
    return {
        "ready": await client.ask("is_model_ready", "fp32", "1"),
        "metadata": await client.ask("get_model_metadata", "fp32", as_json=True),
        "config": config["config"],
        "index": sorted(model["name"] for model in index["models"]),
    }


async def datatypes(client: Client) -> dict[str, bool]:
    """Send two elements at the ends of each datatype, and compare what comes back."""
    same = {}
    for datatype, dtype in DTYPES.items():
        array = _ends(dtype)
        result = await client.infer(datatype.lower(), array, datatype=datatype)
        answer = result.as_numpy("y")
        same[datatype] = answer.dtype == array.dtype and bool((answer == array).all())
    return same


async def text(client: Client) -> list[str]:
    """Send text, empty text among it."""
    array = np.array(["é", "", "a\0b"], dtype=object)
    result = await client.infer("bytes", array, datatype="BYTES")
    return [element.decode() for element in result.as_numpy("y")]


async def brain_floats(client: Client) -> list[float]:
    """Send BF16."""
    array = np.array([0.5, -2.0], ml_dtypes.bfloat16)
    result = await client.infer("bf16", array, datatype="BF16")
    return [float(element) for element in result.as_numpy("y")]


async def compression(client: Client) -> dict[str, bool]:
    """Compress requests in both ways."""
    array = np.zeros(1000, np.float32)
    return {
        coding: bool(
            (
                (await client.infer("fp32", array, compression_algorithm=coding)).as_numpy("y")
                == array
            ).all()
        )
        for coding in ("gzip", "deflate")
    }


async def image(client: Client) -> bool:
    """Send as many numbers as an image has."""
    array = np.arange(IMAGE_FLOATS, dtype=np.float32).reshape(1, -1)
    return bool(((await client.infer("wide", array)).as_numpy("y") == array).all())


async def naming(client: Client) -> list[str]:
    """Name the request and the version."""
    result = await client.infer(
        "fp32", np.ones(1, np.float32), request_id="mine", model_version="1"
    )
    response = result.get_response()
    return [response.model_name, response.model_version, response.id]


async def classes(client: Client) -> list[str]:
    """Ask for the two highest elements instead of all."""
    wanted = stock.InferRequestedOutput("y", class_count=2)
    given = stock.InferInput("x", [1, 3], "FP32")
    given.set_data_from_numpy(np.array([[0.5, 2.0, 1.0]], np.float32))
    result = await client.ask("infer", "scores", [given], outputs=[wanted])
    return [element.decode() for element in result.as_numpy("y").ravel()]


async def statistics(client: Client) -> list[Any]:
    """Ask what a version did, before and after a request."""
    _, _, before = await _counted(client)
    await client.infer("fp64", np.ones(3), datatype="FP64")
    name, version, after = await _counted(client)
    return [name, version, after - before]


async def _counted(client: Client) -> tuple[str, str, int]:
    found = await client.ask("get_inference_statistics", "fp64", "1", as_json=True)
    [counted] = found["model_stats"]
    successes = counted.get("inference_stats", {}).get("success", {})
    return counted["name"], counted["version"], int(successes.get("count", 0))


async def errors(client: Client) -> dict[str, list[str]]:
    """Do what is refused."""
    missing = stock.InferRequestedOutput("nothing")
    return {
        "no credential": await client.refused(headers=None),
        "bad credential": await client.refused(headers={"authorization": "Bearer x"}),
        "unknown model": await client.refused("nothing"),
        "unknown version": await client.refused(model_version="9"),
        "another datatype": await client.refused(array=np.ones(1), datatype="FP64"),
        "another shape": await client.refused(array=np.ones((1, 1), np.float32)),
        "unknown output": await client.refused(outputs=[missing]),
        "no time": await client.refused(client_timeout=-1.0),
    }


async def unserved(client: Client) -> dict[str, str]:
    """Call what is not served."""
    statuses = {}
    for method in ("get_trace_settings", "get_log_settings", "get_system_shared_memory_status"):
        try:
            await client.ask(method)
        except InferenceServerException as error:
            statuses[method] = str(error.status())
    return statuses


CASES: tuple[Callable[[Client], Awaitable[Any]], ...] = (
    server,
    models,
    datatypes,
    text,
    brain_floats,
    compression,
    image,
    naming,
    classes,
    statistics,
    errors,
    unserved,
)


def _ends(dtype: str) -> Any:  # noqa: ANN401 - an array
    if dtype == "bool":
        return np.array([True, False])
    if dtype.startswith("float"):
        return np.array([np.finfo(dtype).max, -np.inf], dtype)
    return np.array([np.iinfo(dtype).min, np.iinfo(dtype).max], dtype)


async def run(order: dict[str, Any]) -> dict[str, Any]:
    """Go through every case."""
    client = Client(order)
    results = {case.__name__: await case(client) for case in CASES}
    closing = client.client.close()
    if inspect.isawaitable(closing):
        await closing
    return results


if __name__ == "__main__":
    json.dump(asyncio.run(run(json.load(sys.stdin))), sys.stdout)
