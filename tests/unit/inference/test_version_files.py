"""The files of a version, open or copied."""

import os
from pathlib import Path

import pytest

from inference.errors import ModelRefused
from inference.version_files import OpenFiles


def test_file_that_cannot_be_read_is_a_refusal(tmp_path: Path) -> None:
    """A damaged disk fails one version, not the start of a server; a folder reads like one."""
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        files = OpenFiles("m", model=descriptor)
        with pytest.raises(ModelRefused, match=r"model\.onnx: Is a directory"):
            files.digests()
        with pytest.raises(ModelRefused, match=r"model\.onnx: Is a directory"):
            files.read()
    finally:
        os.close(descriptor)
