"""Processes that serve, as far as models go: several in one test, over one database and folder."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from onnx import helper, numpy_helper
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.models.keeper import ModelKeeper
from gateway.models.label_store import ModelStore
from gateway.models.opening import open_keeper
from inference.loading import Load, ModelVersion
from inference.predictor import Predictor
from inference.registry import Registry
from inference.remote_loading import load_anywhere
from inference.routing import UNNAMED, Selection
from inference.settings import InferenceSettings
from inference.version_files import Contents, VersionPath
from inference.vetter import Vetter
from inference.vetting_records import VettingRecords
from inference.vetting_report import VettingLimits
from tests.repositories import write_model
from tests.unit.inference.onnx_models import model_of, tensor

MODEL = "adder"
LOAD_SETTINGS = InferenceSettings(inline_run_microseconds=0)


def adding_model(addend: float) -> bytes:
    """Answer x plus a number. Shape: x [rows], y [rows]."""
    model = model_of(
        [helper.make_node("Add", ["x", "addend"], ["y"])],
        [tensor("x", ["rows"])],
        [tensor("y", ["rows"])],
        initializers=[numpy_helper.from_array(np.array(addend, np.float32), "addend")],
    )
    return bytes(model.SerializeToString())


def write_adders(root: Path, *versions: int) -> None:
    """Put versions into a repository, each of which adds its own number."""
    for version in versions:
        write_model(root, MODEL, adding_model(version), version=version)


def new_vetter(
    root: Path, load: Load = load_anywhere, settings: InferenceSettings = LOAD_SETTINGS
) -> Vetter:
    """Make what vets versions; it remembers beside the repository."""
    limits = VettingLimits()
    records = VettingRecords(root.parent / "vetted", limits)
    return Vetter(settings, limits, records=records, load=load)


def load_but_second(
    path: VersionPath, contents: Contents, settings: InferenceSettings
) -> ModelVersion:
    """Load a version, but fail on version 2 as nobody foresaw."""
    if path.version == "2":
        raise MemoryError("the engine asks for more than there is")
    return load_anywhere(path, contents, settings)


@dataclass(frozen=True)
class Worker:
    """One process that serves."""

    store: ModelStore
    registry: Registry
    predictor: Predictor
    keeper: ModelKeeper
    engine: AsyncEngine
    root: Path

    async def refresh(self) -> None:
        """See every change that was answered, as a request that begins now would."""
        async with self.engine.connect() as connection:
            apply = await self.keeper.read(connection, since=0)
        apply()

    async def work(self) -> None:
        """See every change, and do what it asks for."""
        await self.refresh()
        await self.keeper.reconcile()

    def shown(self) -> list[str]:
        """List the versions that requests find."""
        return [model.version for model in self.registry.models()]

    def unnamed(self) -> str:
        """Say which version answers where none is named."""
        return self.registry.resolve(MODEL, UNNAMED).version

    async def answer(self, model: ModelVersion, x: float) -> float:
        """Run a version that was found before."""
        deadline = asyncio.get_running_loop().time() + 60
        prediction = await self.predictor.predict(
            model, {"x": np.array([x], np.float32)}, rows=1, lane="a", deadline=deadline
        )
        return float(prediction.outputs["y"][0])

    def find(self, version: str) -> ModelVersion:
        """Find a version by its number."""
        return self.registry.resolve(MODEL, Selection(version))


@contextlib.asynccontextmanager
async def worker(
    store: ModelStore,
    engine: AsyncEngine,
    root: Path,
    *,
    refreshes: bool = True,
    load: Load = load_anywhere,
) -> AsyncIterator[Worker]:
    """Start a process on a repository, and see what is there."""
    registry = Registry()
    with ThreadPoolExecutor(1) as executor:
        predictor = Predictor(registry, executor)
        vetter = new_vetter(root, load)
        opening = open_keeper(store, registry, predictor, root=root, vetter=vetter)
        async with opening as keeper:
            started = Worker(store, registry, predictor, keeper, engine, root)
            if refreshes:
                await started.refresh()
            yield started
        predictor.close()
