"""Run requests as one batch, and find the culprit alone when the batch fails.

A batch holds nothing but tensors.
"""

import logging
from collections.abc import Sequence
from itertools import accumulate, pairwise
from time import perf_counter
from typing import Final, NamedTuple, TypeAlias

import numpy as np

from inference.attribution import split_by_rows
from inference.errors import EngineUnavailable, InferenceError, ModelFailed
from inference.runtime import Runtime
from inference.tensors import Tensors

Outcome: TypeAlias = Tensors | InferenceError

_MICROSECONDS: Final = 1e6

logger = logging.getLogger(__name__)


class BatchRun(NamedTuple):
    """What each request of a batch gets, in order, and how the batch went."""

    outcomes: list[Outcome]
    runs: int
    is_splittable: bool
    """The outputs had a row for each row of the batch."""

    started: float
    """When it began, on the clock `perf_counter`."""

    seconds: float
    compute_us: int = 0
    """The same in whole microseconds, as it is billed."""

    parts_us: Sequence[int] = ()
    """What each request has of that, in order; the rest is nobody's."""


def run_batch(runtime: Runtime, batch: Sequence[Tensors], rows: Sequence[int]) -> BatchRun:
    """Run a batch; a single request is neither copied nor split.

    Where the shared run fails, each request runs alone: only the one at fault fails. The same
    where an output has not one row for each row of the batch. The shared run was nobody's then, and
    each request has the time that it ran alone.
    """
    started = perf_counter()
    outcomes: list[Outcome] | None = None
    is_splittable = True
    runs = 1
    if len(batch) > 1:
        try:
            outputs = runtime.run(_join(batch))
            is_splittable = has_rows(outputs, sum(rows))
            outcomes = _split(outputs, rows) if is_splittable else None
        except EngineUnavailable as error:
            outcomes = [_bare(error)] * len(batch)
        except Exception as error:  # noqa: BLE001 - any engine, any fault: the single runs tell whose
            logger.debug("a batch failed, its requests run alone: %r", error)
        runs = 1 if outcomes is not None else 1 + len(batch)
    parts_us: list[int] | None = None
    if outcomes is None:
        outcomes, parts_us = _run_each(runtime, batch)
    seconds = perf_counter() - started
    compute_us = int(seconds * _MICROSECONDS)
    if parts_us is None or runs == 1:
        parts_us = split_by_rows(compute_us, rows)
    return BatchRun(outcomes, runs, is_splittable, started, seconds, compute_us, parts_us)


def _run_each(runtime: Runtime, batch: Sequence[Tensors]) -> tuple[list[Outcome], list[int]]:
    """Run requests one by one, and say how many microseconds each took, rounded down."""
    outcomes, parts_us = [], []
    for tensors in batch:
        began = perf_counter()
        outcomes.append(run_alone(runtime, tensors))
        parts_us.append(int((perf_counter() - began) * _MICROSECONDS))
    return outcomes, parts_us


def has_rows(outputs: Tensors, total: int) -> bool:
    """Say whether every output has so many rows."""
    return all(array.ndim and len(array) == total for array in outputs.values())


def _join(batch: Sequence[Tensors]) -> Tensors:
    return {name: np.concatenate([tensors[name] for tensors in batch]) for name in batch[0]}


def _split(outputs: Tensors, rows: Sequence[int]) -> list[Outcome]:
    """Cut the outputs into views, one for each request."""
    bounds = pairwise(accumulate(rows, initial=0))
    if len(outputs) == 1:
        [(name, array)] = outputs.items()
        return [{name: array[start:end]} for start, end in bounds]
    return [{name: array[start:end] for name, array in outputs.items()} for start, end in bounds]


def run_alone(runtime: Runtime, tensors: Tensors) -> Outcome:
    """Run one request, and give whatever goes wrong as its outcome."""
    try:
        return runtime.run(tensors)
    except InferenceError as error:
        return _bare(error)
    except Exception as error:  # noqa: BLE001 - an engine may raise anything; it must reach the caller
        return ModelFailed(f"{type(error).__name__}: {error}")


def _bare(error: InferenceError) -> InferenceError:
    """Take the frames away from an error that is an outcome.

    Threat: they hold the batch, and the error itself among its outcomes, so that all of it would
    stay in memory until a collection.
    """
    error.__traceback__ = error.__context__ = error.__cause__ = None
    return error
