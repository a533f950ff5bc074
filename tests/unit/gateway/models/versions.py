"""Versions of one model as tests push and hold them, without any files."""

from gateway.models.label_store import ModelStore
from gateway.models.records import Holding, ModelView
from gateway.models.version_store import FoundVersion
from inference.version_policy import VersionPolicy
from tests.actors import TESTER

MODEL = "housing"


def digest_of(version: str) -> str:
    """Make the digest that a version's files have here."""
    return f"{version:0>64}"


def found(
    version: str, *, policy: VersionPolicy | None = None, digest: str | None = None
) -> FoundVersion:
    """Describe a version whose files are in place."""
    return FoundVersion(MODEL, version, digest or digest_of(version), policy or VersionPolicy())


def held(version: str, reason: str = "") -> Holding:
    """Say that a version is in memory, or why it is not."""
    return Holding(MODEL, version, digest_of(version), reason)


async def publish(store: ModelStore, *versions: str, policy: VersionPolicy | None = None) -> None:
    """Push versions while nobody serves: they are served at once."""
    for version in versions:
        await store.push(found(version, policy=policy), actor=TESTER)
        await store.settle(MODEL, actor=TESTER)


async def view_of(store: ModelStore) -> ModelView:
    """Say what callers see."""
    return (await store.read_book(MODEL)).view()
