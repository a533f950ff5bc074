"""Target (a): the same model behind plain ASGI with no gate at all, as fast as Python serves it.

No authentication, limit, bill or validation: what is left is reading JSON, building tensors,
running the model on the event loop and writing JSON. Tollgate is measured against this floor.
"""

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import orjson

MODEL = Path(__file__).parents[1] / "examples/models/housing/1/model.onnx"
NUMERIC = ("lotsize", "bedrooms", "bathrms", "stories", "garagepl")
CATEGORICAL = ("driveway", "recroom", "fullbase", "gashw", "airco", "prefarea")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


def open_session(model: Path = MODEL) -> onnxruntime.InferenceSession:
    """Load a model as all ungated apps run it: one thread, like Tollgate's default."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def create_app() -> App:
    """Build the app; uvicorn calls this once (``--factory``)."""
    run = open_session().run
    numeric, categorical = itemgetter(*NUMERIC), itemgetter(*CATEGORICAL)

    def predict(body: bytes) -> bytes:
        rows = orjson.loads(body)["instances"]
        tensors = {
            "numeric": np.array([numeric(row) for row in rows], dtype=np.float32),
            "categorical": np.array([categorical(row) for row in rows], dtype=object),
        }
        prices = run(None, tensors)[0]
        return orjson.dumps({"predictions": prices}, option=orjson.OPT_SERIALIZE_NUMPY)

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["method"] != "POST":
            await send_answer(send, status=404, body=b"{}")
            return
        await send_answer(send, status=200, body=predict(await read_body(receive)))

    return app


async def read_body(receive: Receive) -> bytes:
    """Read the whole body of a request."""
    message = await receive()
    first: bytes = message["body"]
    parts = [first]
    while message.get("more_body"):
        message = await receive()
        parts.append(message["body"])
    return b"".join(parts) if len(parts) > 1 else first


async def send_answer(
    send: Send, *, status: int, body: bytes, headers: Sequence[tuple[bytes, bytes]] = ()
) -> None:
    """Send a whole answer."""
    own = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    start = {"type": "http.response.start", "status": status, "headers": [*own, *headers]}
    await send(start)
    await send({"type": "http.response.body", "body": body})
