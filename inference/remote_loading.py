"""Bring a version to life whose model another server executes.

Apart from `loading`, so that the process which vets files does without gRPC.
"""

from dataclasses import replace

from inference.engine_address import engine_of
from inference.errors import InferenceError, ModelRefused
from inference.loading import ModelVersion, load_contents, prepare_version
from inference.manifest import Manifest
from inference.metered_runtime import MeteredRuntime
from inference.remote_runtime import RemoteRuntime
from inference.repository import parse_files
from inference.settings import InferenceSettings
from inference.signature import Signature
from inference.version_files import Contents, VersionPath


def load_anywhere(
    path: VersionPath, contents: Contents, settings: InferenceSettings
) -> ModelVersion:
    """Load a version from a copy of its files, or connect to the engine that they name.

    Raises:
        ModelRefused: it is not acceptable, or the engine does not answer.
    """
    if contents.model is not None:
        return load_contents(path, contents, settings)
    files = parse_files(path.name, contents)
    runtime = RemoteRuntime(engine_of(path, files.manifest, settings))
    metered = MeteredRuntime(runtime)
    try:
        capped = replace(files, manifest=_capped(files.manifest, runtime.max_batch_size))
        version = prepare_version(path, capped, metered)
    except ModelRefused:
        runtime.close()
        raise
    except (InferenceError, ValueError) as error:
        runtime.close()
        raise ModelRefused(path.name, str(error)) from None
    return replace(
        version,
        runtime=runtime,
        executor=runtime.executor,
        warm_up_us=metered.busy_us,
        platform=runtime.platform,
        backend=runtime.backend,
    )


def _capped(manifest: Manifest, most_rows: int | None) -> Manifest:
    """Let no more rows share a run than the engine takes: it refuses all of a larger one."""
    if most_rows is None or most_rows >= manifest.batching.max_batch_size:
        return manifest
    batching = manifest.batching.model_copy(update={"max_batch_size": most_rows})
    return manifest.model_copy(update={"batching": batching})


def read_signature(path: VersionPath, manifest: Manifest, settings: InferenceSettings) -> Signature:
    """Ask an engine what a version takes and gives, without loading it.

    Raises:
        ModelRefused: the engine is not one of ours, does not answer or has no such version.
    """
    runtime = RemoteRuntime(engine_of(path, manifest, settings))
    runtime.close()
    return runtime.signature
