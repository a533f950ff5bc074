"""Execute a model with ONNX Runtime on the CPU.

The bytes must have passed `verification` first: this module trusts them.
"""

import os
from collections.abc import Iterable
from typing import Any, Final

from inference.bfloat16 import check_bfloat16, has_bfloat16, run_with_values, wrapped
from inference.errors import InputInvalid, ModelRefused
from inference.onnx_engine import ort, state
from inference.providers import full_names
from inference.settings import InferenceSettings
from inference.signature import VARIABLE, Signature, TensorSpec
from inference.tensors import DATATYPES_BY_ONNX_TYPE, Tensor, Tensors

_FATAL = 4
_DEFAULTS: Final = InferenceSettings()
_LOAD_ERRORS = (
    state.EPFail,
    state.EngineError,
    state.Fail,
    state.InvalidArgument,
    state.InvalidGraph,
    state.InvalidProtobuf,
    state.NotImplemented,
    state.RuntimeException,
)


class OnnxRuntime:
    """One session, which threads may share: ONNX Runtime keeps nothing of a run in it."""

    def __init__(self, name: str, content: bytes, settings: InferenceSettings = _DEFAULTS) -> None:
        """Load a model that was verified.

        Raises:
            ModelRefused: ONNX Runtime cannot load it, or an input or output is not a tensor.
        """
        self._session = _open_session(name, content, settings)
        try:
            self.signature = _read_signature(self._session)
            check_bfloat16(self.signature)
        except ValueError as error:
            raise ModelRefused(name, str(error)) from None
        self._output_names = list(self.signature.output_names)
        self._takes_bfloat16 = has_bfloat16(self.signature.inputs)
        self._gives_bfloat16 = has_bfloat16(self.signature.outputs)

    def run(self, tensors: Tensors, /) -> Tensors:
        """Run the model once, blocking; ONNX Runtime lets go of the interpreter meanwhile.

        Raises:
            InputInvalid: the graph cannot take these values, e.g. an index beyond a table.
            Exception: the model failed.
        """
        try:
            outputs = self._run(tensors)
        except state.InvalidArgument:
            raise InputInvalid("the model cannot take values of this shape or range") from None
        return dict(zip(self._output_names, outputs, strict=True))

    def _run(self, tensors: Tensors) -> list[Tensor]:
        if self._gives_bfloat16:
            return run_with_values(self._session, self._output_names, tensors)
        feeds = wrapped(tensors) if self._takes_bfloat16 else tensors
        outputs: list[Tensor] = self._session.run(self._output_names, feeds)
        return outputs

    def close(self) -> None:
        """Give back the session's memory, once no run uses it."""
        self._session = None


def _open_session(name: str, content: bytes, settings: InferenceSettings) -> Any:  # noqa: ANN401 - the engine has no types
    options = ort.SessionOptions()
    options.intra_op_num_threads = settings.intra_op_threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.enable_cpu_mem_arena = settings.memory_arena
    options.log_severity_level = _FATAL
    options.add_session_config_entry("session.load_model_format", "ONNX")
    # Threat: external data would otherwise be looked for in the working directory. Nothing can lie
    # below a device.
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", os.devnull
    )
    providers = full_names(settings.execution_providers)
    try:
        session = ort.InferenceSession(content, options, providers=providers, enable_fallback=False)
    except UnicodeDecodeError:
        raise ModelRefused(name, "ONNX Runtime cannot load it: a name is not UTF-8") from None
    except _LOAD_ERRORS as error:
        reason = str(error) or "what it says cannot be read, as where a name is not UTF-8"
        raise ModelRefused(name, f"ONNX Runtime cannot load it: {reason}") from None
    if session.get_providers()[0] != providers[0]:
        # ONNX Runtime goes on without a provider that fails, at a fraction of the speed.
        raise ModelRefused(name, f"it does not run on {providers[0]}")
    return session


def _read_signature(session: Any) -> Signature:  # noqa: ANN401 - the engine has no types
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if not inputs or not outputs:
        raise ValueError("a model needs at least one input and one output")
    return Signature(
        inputs=tuple(_spec(argument) for argument in inputs),
        outputs=tuple(_spec(argument) for argument in outputs),
        is_batchable=_is_batchable([argument.shape for argument in (*inputs, *outputs)]),
    )


def _spec(argument: Any) -> TensorSpec:  # noqa: ANN401 - the engine has no types
    datatype = DATATYPES_BY_ONNX_TYPE.get(argument.type)
    if datatype is None:
        raise ValueError(f"{argument.name} is a {argument.type}, which is not served")
    shape = tuple(size if isinstance(size, int) else VARIABLE for size in argument.shape)
    return TensorSpec(argument.name, datatype.name, shape)


def _is_batchable(shapes: Iterable[list[int | str | None]]) -> bool:
    """Say whether axis 0 of every tensor is one and the same variable.

    Tools leave the name of a variable out, so a nameless one goes with any other.
    """
    sizes = [shape[0] if shape else 0 for shape in shapes]
    names = {size for size in sizes if isinstance(size, str)}
    return len(names) <= 1 and not any(isinstance(size, int) for size in sizes)
