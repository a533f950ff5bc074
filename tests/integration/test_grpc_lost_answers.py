"""Over gRPC: an answer whose caller has left is billed and marked, as over HTTP."""

import asyncio
import threading
from pathlib import Path

import numpy as np
import pytest

from gateway.usage.segment_file import SegmentFile
from tests.grpc_door import infer_request
from tests.opened_grpc import open_door

PATIENCE_SECONDS = 30.0
ROWS = np.array([[1, 2, 3], [4, 5, 6]], np.float32)


@pytest.mark.parametrize("keys", [(), ("once",)], ids=str)
async def test_answer_of_a_caller_who_leaves_during_the_commit_is_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: tuple[str, ...]
) -> None:
    """It is billed, since the model ran and the disk has it; the mark says that nobody got it.

    The run of a request with a key holds the model on.
    """
    metadata = [("idempotency-key", key) for key in keys]
    request = infer_request("linear", x=ROWS)
    is_writing, may_write = threading.Event(), threading.Event()
    insert = SegmentFile._insert

    def insert_slowly(file: SegmentFile, text: str, record_count: int) -> int:
        is_writing.set()
        assert may_write.wait(PATIENCE_SECONDS)
        return insert(file, text, record_count)

    monkeypatch.setattr(SegmentFile, "_insert", insert_slowly)
    async with open_door(tmp_path) as door:
        leaver = asyncio.create_task(
            door.caller.call("ModelInfer", request, key=door.key, metadata=metadata)
        )
        assert await asyncio.to_thread(is_writing.wait, PATIENCE_SECONDS)
        leaver.cancel()
        [model] = [one for one in door.services.registry.models() if one.name == "linear"]
        async with asyncio.timeout(PATIENCE_SECONDS):
            while model.holders.count > len(keys):  # noqa: ASYNC110 - a count
                await asyncio.sleep(0)
        may_write.set()
        billed: list[tuple[str, int, str]] = []
        for _ in range(int(PATIENCE_SECONDS / 0.1)):
            billed = await door.billed()
            if len(billed) > 1:
                break
            await asyncio.sleep(0.1)
    (_, rows, name), mark = billed
    assert rows == 2
    assert mark == ("grpc", 0, f"{name}.lost")
