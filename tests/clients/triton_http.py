"""What `tritonclient.http` sees of a server: `python triton_http.py` with an order on stdin.

The order is JSON: `url`, `key`, `ca` (a file, or empty for no TLS) and `asynchronous`. The results
are a JSON object on standard output, one member for each case.
"""

import asyncio
import inspect
import json
import ssl
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import ml_dtypes
import numpy as np
import tritonclient.http as stock
import tritonclient.http.aio as stock_aio
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
CODINGS = (None, "gzip", "deflate")


class Client:
    """The stock client, either of the two, with the credential that it is given."""

    def __init__(self, order: dict[str, Any]) -> None:
        options: dict[str, Any] = {}
        if order["ca"] and order["asynchronous"]:
            options = {"ssl": True, "ssl_context": ssl.create_default_context(cafile=order["ca"])}
        elif order["ca"]:
            options = {"ssl": True, "ssl_options": {"ca_certs": order["ca"]}}
        kind = stock_aio if order["asynchronous"] else stock
        self.client = kind.InferenceServerClient(order["url"], **options)
        self.headers = {"Authorization": f"Bearer {order['key']}"}

    async def ask(self, name: str, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401
        """Call a method of the client, which may or may not be a coroutine's.

        The client writes into the headers that it is given, so each call has its own.
        """
        options = {"headers": dict(self.headers)} | options
        found = getattr(self.client, name)(*arguments, **options)
        return await found if inspect.isawaitable(found) else found

    async def infer(self, model: str, array: Any, *, is_binary: bool = True, **options: Any) -> Any:  # noqa: ANN401
        """Ask for a prediction with one input `x`, there and back in one form."""
        datatype = options.pop("datatype", "FP32")
        given = stock.InferInput("x", list(array.shape), datatype)
        given.set_data_from_numpy(array, binary_data=is_binary)
        if not is_binary:
            options.setdefault("outputs", [stock.InferRequestedOutput("y", binary_data=False)])
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
    """Ask for what is public, and who serves."""
    metadata = await client.ask("get_server_metadata")
    return {
        "live": await client.ask("is_server_live", headers=None),
        "ready": await client.ask("is_server_ready", headers=None),
        "name": metadata["name"],
        "extensions": metadata["extensions"],
    }


async def models(client: Client) -> dict[str, Any]:
    """Ask for what describes models."""
    index = await client.ask("get_model_repository_index")
    return {
        "ready": await client.ask("is_model_ready", "fp32"),
        "version_ready": await client.ask("is_model_ready", "fp32", "1"),
        "unknown_ready": await client.ask("is_model_ready", "nothing"),
        "metadata": await client.ask("get_model_metadata", "fp32", "1"),
        "config": await client.ask("get_model_config", "fp32"),
        "index": sorted(model["name"] for model in index),
        "states": sorted({model["state"] for model in index}),
    }


async def datatypes(client: Client) -> dict[str, bool]:
    """Send two elements at the ends of each datatype, and compare what comes back."""
    return {name: await _comes_back(client, name, is_binary=True) for name in DTYPES}


async def json_datatypes(client: Client) -> dict[str, bool]:
    """Do the same in JSON."""
    names = [name for name in DTYPES if name != "FP16"]
    return {name: await _comes_back(client, name, is_binary=False) for name in names}


async def text(client: Client) -> list[list[str]]:
    """Send text in both forms, empty text and none among it."""
    array = np.array(["é", "", "a\0b"], dtype=object)
    results = [
        await client.infer("bytes", array, datatype="BYTES", is_binary=is_binary)
        for is_binary in (True, False)
    ]
    return [[_text(element) for element in result.as_numpy("y")] for result in results]


async def brain_floats(client: Client) -> list[float]:
    """Send BF16."""
    array = np.array([0.5, -2.0], ml_dtypes.bfloat16)
    result = await client.infer("bf16", array, datatype="BF16")
    return [float(element) for element in result.as_numpy("y")]


async def not_a_number(client: Client) -> list[bool]:
    """Send NaN and infinity in both forms, and have them back in binary."""
    array = np.array([np.nan, np.inf, -np.inf, 1], np.float32)
    wanted = [stock.InferRequestedOutput("y", binary_data=True)]
    results = [
        await client.infer("fp32", array, is_binary=is_binary, outputs=wanted)
        for is_binary in (True, False)
    ]
    return [np.array_equal(result.as_numpy("y"), array, equal_nan=True) for result in results]


async def compression(client: Client) -> dict[str, bool]:
    """Compress requests and answers in every way, in both forms."""
    array = np.arange(50_000, dtype=np.float32)[:4000]
    same = {}
    for there in CODINGS:
        for back in CODINGS:
            for is_binary in (True, False):
                result = await client.infer(
                    "fp32",
                    array,
                    is_binary=is_binary,
                    request_compression_algorithm=there,
                    response_compression_algorithm=back,
                )
                same[f"{there} {back} {is_binary}"] = bool((result.as_numpy("y") == array).all())
    return same


async def image(client: Client) -> bool:
    """Send as many numbers as an image has, compressed and not."""
    array = np.arange(IMAGE_FLOATS, dtype=np.float32).reshape(1, -1)
    results = [
        await client.infer(
            "wide",
            array,
            request_compression_algorithm=coding,
            response_compression_algorithm=coding,
        )
        for coding in (None, "gzip")
    ]
    return all(bool((result.as_numpy("y") == array).all()) for result in results)


async def naming(client: Client) -> list[str]:
    """Name the request and the version, and send parameters in the query."""
    result = await client.infer(
        "fp32",
        np.ones(1, np.float32),
        request_id="mine",
        model_version="1",
        query_params={"test": [1, "a b"]},
    )
    response = result.get_response()
    return [response["model_name"], response["model_version"], response["id"]]


async def classes(client: Client) -> list[str]:
    """Ask for the two highest elements instead of all."""
    wanted = [stock.InferRequestedOutput("y", class_count=2)]
    array = np.array([[0.5, 2.0, 1.0]], np.float32)
    result = await client.infer("scores", array, outputs=wanted)
    return [_text(element) for element in result.as_numpy("y").ravel()]


async def statistics(client: Client) -> dict[str, Any]:
    """Ask what a model did, before and after a request of three rows."""
    before = await client.ask("get_inference_statistics", "fp64")
    await client.infer("fp64", np.ones(3), datatype="FP64")
    after = await client.ask("get_inference_statistics", "fp64", "1")
    everything = await client.ask("get_inference_statistics")
    [first], [second] = before["model_stats"], after["model_stats"]
    return {
        "rows": second["inference_count"] - first["inference_count"],
        "requests": (
            second["inference_stats"]["success"]["count"]
            - first["inference_stats"]["success"]["count"]
        ),
        "sizes": [batch["batch_size"] for batch in second["batch_stats"]],
        "models": len(everything["model_stats"]),
    }


async def errors(client: Client) -> dict[str, list[str]]:
    """Do what is refused."""
    missing = [stock.InferRequestedOutput("nothing")]
    not_finite = np.array([np.inf], np.float32)
    return {
        "no credential": await client.refused(headers=None),
        "bad credential": await client.refused(headers={"Authorization": "Bearer x"}),
        "unknown model": await client.refused("nothing"),
        "unknown version": await client.refused(model_version="9"),
        "another datatype": await client.refused(array=np.ones(1), datatype="FP64"),
        "another shape": await client.refused(array=np.ones((1, 1), np.float32)),
        "unknown output": await client.refused(outputs=missing),
        "infinity in JSON": await client.refused(array=not_finite, is_binary=False),
        "sequence": await client.refused(sequence_id=7),
        "too many rows": await client.refused(array=np.ones(5000, np.float32)),
        "too large": await client.refused("wide", array=np.ones((1, 600_000), np.float32)),
        "no time": await client.refused(timeout=1),
    }


CASES: tuple[Callable[[Client], Awaitable[Any]], ...] = (
    server,
    models,
    datatypes,
    json_datatypes,
    text,
    brain_floats,
    not_a_number,
    compression,
    image,
    naming,
    classes,
    statistics,
    errors,
)


async def _comes_back(client: Client, name: str, *, is_binary: bool) -> bool:
    array = _ends(DTYPES[name], is_finite=not is_binary)
    result = await client.infer(name.lower(), array, datatype=name, is_binary=is_binary)
    answer = result.as_numpy("y")
    return answer.dtype == array.dtype and bool((answer == array).all())


def _ends(dtype: str, *, is_finite: bool) -> Any:  # noqa: ANN401 - an array
    if dtype == "bool":
        return np.array([True, False])
    if dtype.startswith("float"):
        return np.array([np.finfo(dtype).max, 0.1 if is_finite else -np.inf], dtype)
    return np.array([np.iinfo(dtype).min, np.iinfo(dtype).max], dtype)


def _text(element: str | bytes) -> str:
    return element if isinstance(element, str) else element.decode()


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
