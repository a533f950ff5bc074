"""Import ONNX Runtime, once its telemetry is off: nobody else imports it directly."""

import os

# Threat: ONNX Runtime writes a device id and a log of its use into the home folder for its makers,
# and reads this once, while it is imported; a call afterwards comes too late.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as state

__all__ = ["ort", "state"]
