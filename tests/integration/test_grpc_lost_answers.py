"""Over gRPC: an answer whose caller has left is billed and marked, as over HTTP."""

import asyncio
import threading
from pathlib import Path

import numpy as np
import pytest

from gateway.usage.segment_file import SegmentFile
from tests.opened_grpc import open_door

PATIENCE_SECONDS = 30.0
ROWS = np.array([[1, 2, 3], [4, 5, 6]], np.float32)


async def test_answer_of_a_caller_who_leaves_during_the_commit_is_marked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is billed, since the model ran and the disk has it; the mark says that nobody got it."""
    is_writing, may_write = threading.Event(), threading.Event()
    append = SegmentFile.append

    def append_slowly(file: SegmentFile, text: str, record_count: int) -> None:
        is_writing.set()
        assert may_write.wait(PATIENCE_SECONDS)
        append(file, text, record_count)

    monkeypatch.setattr(SegmentFile, "append", append_slowly)
    async with open_door(tmp_path) as door:
        leaver = asyncio.create_task(door.caller.infer("linear", key=door.key, x=ROWS))
        await asyncio.to_thread(is_writing.wait, PATIENCE_SECONDS)
        leaver.cancel()
        [model] = [one for one in door.services.registry.models() if one.name == "linear"]
        async with asyncio.timeout(PATIENCE_SECONDS):
            await model.holders.gone()
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
