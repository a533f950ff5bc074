"""Convert one scikit-learn estimator, in a process of its own that may be anything afterwards.

Started by `inference.conversion`: the job is the only argument, the joblib file is standard input;
the answer is one JSON line, and behind it the graph.
"""

import os
import sys
import warnings
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final

import joblib
import numpy as np
from numpy.typing import NDArray
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.base import BaseEstimator, is_classifier
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline

from inference.confinement import leave_network, limit_resources
from inference.conversion import Conversion, ConversionJob, ConvertedFeature

_OPSETS: Final = {"": 21, "ai.onnx.ml": 3}
_ONE_INPUT: Final = "features"


class _Refused(Exception):
    """What the file holds cannot be converted; the message says why."""


def main() -> None:
    """Do the job and answer."""
    job = ConversionJob.model_validate_json(sys.argv[1])
    sys.excepthook = _tell
    channel = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    leave_network()
    limit_resources(
        memory_bytes=job.limits.memory_bytes, processor_seconds=job.limits.processor_seconds
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            conversion, graph = _convert(_load(), job)
        except _Refused as refusal:
            conversion, graph = _nothing(str(refusal)), b""
    told = dict.fromkeys(str(warning.message).partition("\n")[0] for warning in caught)
    conversion = conversion.model_copy(update={"warnings": tuple(told)})
    with os.fdopen(channel, "wb") as answer:
        answer.write(conversion.model_dump_json().encode() + b"\n" + graph)


def _load() -> Any:  # noqa: ANN401 - whatever the file holds
    estimator = joblib.load(sys.stdin.buffer)
    if not isinstance(estimator, BaseEstimator) or not hasattr(estimator, "predict"):
        raise _Refused(f"it holds a {type(estimator).__name__}, no estimator that predicts")
    if not hasattr(estimator, "n_features_in_"):
        raise _Refused("the estimator is not fitted, or does not say how many columns it takes")
    return estimator


def _convert(estimator: Any, job: ConversionJob) -> tuple[Conversion, bytes]:  # noqa: ANN401 - see `_load`
    names = _names_of(estimator)
    unknown = set(job.text_columns) - set(names)
    if unknown:
        raise _Refused(f"it has no column {min(unknown)}: they are {', '.join(names)}")
    is_wide = bool(job.text_columns) or _selects_by_name(estimator)
    types = _types_of(names, job.text_columns) if is_wide else [_matrix(len(names))]
    outputs = ("label", "probabilities") if is_classifier(estimator) else ("prediction",)
    if is_classifier(estimator) and not hasattr(estimator, "predict_proba"):
        raise _Refused("a classifier must have probabilities: fit it with them")
    graph = convert_sklearn(
        estimator,
        initial_types=types,
        final_types=[(name, None) for name in outputs],
        target_opset=_OPSETS,
        options={id(estimator): {"zipmap": False}} if is_classifier(estimator) else None,
    )
    predictions = _predict(estimator, job, names)
    features = tuple(
        ConvertedFeature(
            name=name,
            input=name if is_wide else _ONE_INPUT,
            type="string" if name in job.text_columns else "number",
        )
        for name in names
    )
    conversion = Conversion(
        estimator=_name_of(estimator),
        features=features,
        outputs=outputs,
        predictions=tuple(predictions),
    )
    return conversion, bytes(graph.SerializeToString(deterministic=True))


def _name_of(estimator: Any) -> str:  # noqa: ANN401 - see `_load`
    """Name the kind of model; a pipeline's is that of its last step."""
    last = estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator
    return type(last).__name__


def _names_of(estimator: Any) -> list[str]:  # noqa: ANN401 - see `_load`
    """Name the columns as they were called at the fit, else by their numbers."""
    if hasattr(estimator, "feature_names_in_"):
        return [str(name) for name in estimator.feature_names_in_]
    return [f"x{index}" for index in range(estimator.n_features_in_)]


def _selects_by_name(estimator: Any) -> bool:  # noqa: ANN401 - see `_load`
    """Say whether columns are told apart inside, so that the graph needs an input for each."""
    steps = estimator.named_steps.values() if isinstance(estimator, Pipeline) else [estimator]
    has_names = hasattr(estimator, "feature_names_in_")
    return has_names and any(isinstance(step, ColumnTransformer) for step in steps)


def _types_of(names: Sequence[str], text_columns: Sequence[str]) -> list[tuple[str, object]]:
    text, number = StringTensorType([None, 1]), FloatTensorType([None, 1])
    return [(name, text if name in text_columns else number) for name in names]


def _matrix(width: int) -> tuple[str, object]:
    return _ONE_INPUT, FloatTensorType([None, width])


def _predict(estimator: Any, job: ConversionJob, names: Sequence[str]) -> list[object]:  # noqa: ANN401
    """Ask the estimator itself, with numbers as the graph will have them."""
    if not job.samples:
        return []
    rows = _frame(estimator, job, names)
    answers = np.asarray(estimator.predict(rows))
    if not is_classifier(estimator):
        return [[float(value) for value in np.atleast_1d(answer)] for answer in answers]
    odds: NDArray[Any] = np.asarray(estimator.predict_proba(rows))
    return [
        {"label": label.item() if hasattr(label, "item") else label, "probabilities": odd.tolist()}
        for label, odd in zip(answers, odds, strict=True)
    ]


def _frame(estimator: Any, job: ConversionJob, names: Sequence[str]) -> Any:  # noqa: ANN401
    columns = {
        name: np.array(values, object if name in job.text_columns else np.float32)
        for name, values in zip(names, zip(*job.samples, strict=True), strict=True)
    }
    if hasattr(estimator, "feature_names_in_"):
        import pandas as pd  # noqa: PLC0415 - whoever fitted it with names had it

        return pd.DataFrame(columns)
    is_mixed = bool(job.text_columns)
    return np.array(list(zip(*columns.values(), strict=True)), object if is_mixed else np.float32)


def _nothing(refusal: str) -> Conversion:
    return Conversion(estimator="", features=(), outputs=(), predictions=(), refusal=refusal)


def _tell(
    kind: type[BaseException], error: BaseException, _traceback: TracebackType | None
) -> None:
    """Say in one line why the child ends, whatever the file's code raised."""
    sys.stderr.write(f"{kind.__name__}: {' '.join(str(error).split())}\n")


if __name__ == "__main__":
    main()
