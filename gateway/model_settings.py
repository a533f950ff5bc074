"""Say in the words of the predictor what the settings allow models."""

import re
from typing import Final

from pydantic import SecretStr, ValidationError

from gateway.errors import SettingInvalid
from gateway.settings import Settings
from inference.providers import missing_providers
from inference.settings import InferenceSettings
from inference.vetter import Vetter
from inference.vetting_records import VettingRecords
from inference.vetting_report import VettingLimits

_MEBIBYTE: Final = 1024**2
_PLACE: Final = re.compile(r"[A-Za-z0-9.\[\]:-]+:[0-9]{1,5}")
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
                "engines": _engines(settings),
                "allows_plaintext": settings.allow_plaintext,
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


def _engines(settings: Settings) -> dict[str, SecretStr]:
    """Read the engines and their keys.

    Raises:
        SettingInvalid: one is not a host, a port and at most a key; the message quotes none.
    """
    engines: dict[str, SecretStr] = {}
    for entry in re.split(r"[,\n]", settings.engines.get_secret_value()):
        place, _, key = entry.strip().partition(" ")
        if not place:
            continue
        if _PLACE.fullmatch(place) is None or " " in key.strip():
            raise SettingInvalid("TOLLGATE_ENGINES: must be HOST:PORT or HOST:PORT KEY, by commas")
        engines[place] = SecretStr(key.strip())
    return engines


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
