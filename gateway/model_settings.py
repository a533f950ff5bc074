"""Say in the words of the predictor what the settings allow models."""

from typing import Final

from pydantic import ValidationError

from gateway.errors import SettingInvalid
from gateway.settings import Settings
from inference.providers import missing_providers
from inference.settings import InferenceSettings
from inference.vetter import Vetter
from inference.vetting_records import VettingRecords
from inference.vetting_report import VettingLimits

_MEBIBYTE: Final = 1024**2
_CLOCK_FACTOR: Final = 10
_START_SECONDS: Final = 30
"""A busy machine gives a child that goes last a tenth of a processor."""


def inference_settings(settings: Settings) -> InferenceSettings:
    """Say how models run.

    Raises:
        SettingInvalid: an execution provider is unknown, or this ONNX Runtime was built without it.
    """
    names = [name.strip() for name in settings.execution_providers.split(",")]
    try:
        inference = InferenceSettings.model_validate(
            {
                "intra_op_threads": settings.intra_op_threads,
                "concurrent_runs": settings.concurrent_runs,
                "inline_run_microseconds": settings.inline_run_microseconds,
                "execution_providers": names,
                "memory_arena": settings.memory_arena,
            }
        )
    except ValidationError:
        raise SettingInvalid(
            "TOLLGATE_EXECUTION_PROVIDERS: must name cpu, cuda, tensorrt or openvino"
        ) from None
    if missing := missing_providers(inference.execution_providers):
        raise SettingInvalid(
            f"TOLLGATE_EXECUTION_PROVIDERS: this ONNX Runtime was built without {missing[0]}"
        )
    return inference


def open_vetter(settings: Settings) -> Vetter:
    """Build what vets versions; it remembers verdicts in the data folder, where there is one.

    Raises:
        SettingInvalid: as `inference_settings`.
    """
    seconds = settings.vetting_processor_seconds
    limits = VettingLimits(
        memory_bytes=settings.vetting_memory_mebibytes * _MEBIBYTE,
        processor_seconds=seconds,
        wall_seconds=float(_CLOCK_FACTOR * seconds + _START_SECONDS),
    )
    folder = settings.data_dir / "vetted" if settings.data_dir.is_dir() else None
    records = VettingRecords(folder, limits)
    return Vetter(inference_settings(settings), limits, records=records)
