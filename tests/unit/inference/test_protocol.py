"""The messages in the repository are those that the protocol's file generates."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
FOLDER = Path("inference/protocol")


def _without_version(text: str) -> str:
    """Leave out with which version of the compiler it was generated."""
    text = re.sub(r"# Protobuf Python Version: .*\n", "", text)
    return re.sub(r"Domain\.PUBLIC,\n.*?\n\)", "", text, flags=re.DOTALL)


def test_generated_messages_are_current(tmp_path: Path) -> None:
    """Whoever changes the protocol's file runs `make protos`."""
    subprocess.run(
        [
            *(sys.executable, "-m", "grpc_tools.protoc", "-I."),
            *(f"--python_out={tmp_path}", f"--pyi_out={tmp_path}"),
            str(FOLDER / "open_inference.proto"),
        ],
        cwd=ROOT,
        check=True,
    )
    for name in ("open_inference_pb2.py", "open_inference_pb2.pyi"):
        fresh = (tmp_path / FOLDER / name).read_text(encoding="utf-8")
        kept = (ROOT / FOLDER / name).read_text(encoding="utf-8")
        assert _without_version(kept) == _without_version(fresh), "run: make protos"
