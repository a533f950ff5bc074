"""Say what is taken and given of model versions and their labels."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from gateway.models.records import LabelRecord, ModelBook, VersionRecord, VersionState
from gateway.schemas import Moment, RequestSchema, ResponseSchema
from inference.version_policy import VersionNumber, rising_versions

FORCE_MEANING = "Also if requests or answers of the running version would no longer be good"


class PushQuery(BaseModel):
    """How a version is pushed; a parameter that is not known is refused."""

    model_config = ConfigDict(extra="forbid")

    force: Annotated[bool, Field(description=FORCE_MEANING)] = False


class Promotion(RequestSchema):
    """Which version is to answer."""

    model_config = ConfigDict(json_schema_extra={"example": {"version": "2"}})

    version: Annotated[VersionNumber, Field(description="Its number")]
    force: Annotated[bool, Field(description=FORCE_MEANING)] = False


class VersionDocument(ResponseSchema):
    """A version of a model: its content, and whether it is served."""

    model: str
    version: str
    state: VersionState
    served: bool = Field(description="Callers find it now")
    labels: list[str]
    digest: str = Field(description="SHA-256 over its files, hexadecimal")
    reason: str | None = Field(description="Why it was refused")
    pushed_at: Moment
    pushed_by: str

    @classmethod
    def of(cls, record: VersionRecord, book: ModelBook) -> Self:
        """Show a version as a part of its model."""
        view = book.view()
        return cls(
            model=record.name,
            version=record.version,
            state=record.state,
            served=record.version in view.visible,
            labels=sorted(label for label, at in view.labels.items() if at == record.version),
            digest=record.digest,
            reason=record.reason or None,
            pushed_at=record.pushed_at,
            pushed_by=record.pushed_by,
        )


class VersionList(ResponseSchema):
    """Every version of a model, by rising number."""

    data: list[VersionDocument]

    @classmethod
    def of(cls, book: ModelBook) -> Self:
        """Show the versions of a model."""
        records = [book.versions[version] for version in rising_versions(book.versions)]
        return cls(data=[VersionDocument.of(record, book) for record in records])


class LabelDocument(ResponseSchema):
    """What a label stands for, and stood for before."""

    model: str
    label: str
    version: str
    earlier: list[str] = Field(description="What it stood for before, the latest last")

    @classmethod
    def of(cls, record: LabelRecord) -> Self:
        """Show a label."""
        return cls(
            model=record.name,
            label=record.label,
            version=record.version or "",
            earlier=list(record.history),
        )
