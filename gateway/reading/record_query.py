"""Read which records are asked for, and name a page of them by both its ends."""

from typing import Annotated, Final
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field

from gateway.moments import MomentText, microseconds, parse_moment
from gateway.reading.cursors import MAX_CURSOR_CHARACTERS
from gateway.schemas import ResponseSchema
from gateway.usage.errors import RangeInvalid
from gateway.usage.periods import period_of
from gateway.usage.reading import RecordWish

PATH: Final = "/v1/usage/records"
DEFAULT_LIMIT: Final = 1000
MAX_LIMIT: Final = 10_000
MAX_PLATFORM_LIMIT: Final = 100_000

_CURSOR: Final = Field(max_length=MAX_CURSOR_CHARACTERS)


class RecordQuery(BaseModel):
    """The query of a page of records; a parameter that is not known is refused."""

    model_config = ConfigDict(extra="forbid")

    start: Annotated[MomentText | None, Field(alias="from", description="First moment")] = None
    end: Annotated[MomentText | None, Field(alias="to", description="First moment not counted")] = (
        None
    )
    tenant_id: Annotated[
        str | None, Field(max_length=64, description="Only this tenant; for `usage:read:all`")
    ] = None
    model: Annotated[str | None, Field(max_length=128, description="Only this model")] = None
    key_id: Annotated[str | None, Field(max_length=64, description="Only this credential")] = None
    test: Annotated[bool, Field(description="What test keys did, instead of what is billed")] = (
        False
    )
    after: Annotated[
        str | None,
        _CURSOR,
        Field(description="`next` of the page before; absent for the first page"),
    ] = None
    through: Annotated[
        str | None,
        _CURSOR,
        Field(description="`next` of a page: read that page again, and nothing behind it"),
    ] = None
    limit: Annotated[
        int,
        Field(
            ge=1,
            le=MAX_PLATFORM_LIMIT,
            description=f"Most records in one page; over {MAX_LIMIT} for `usage:read:all`",
        ),
    ] = DEFAULT_LIMIT

    def wish(self, tenant_id: str | None) -> RecordWish:
        """Say what is wished for, of one tenant if one is named.

        Raises:
            RangeInvalid: a moment has no meaning, or the range is empty.
        """
        start_us, end_us = _read(self.start, name="from"), _read(self.end, name="to")
        if start_us is not None and end_us is not None and start_us >= end_us:
            raise RangeInvalid("the range ends before it begins, or is empty")
        return RecordWish(start_us, end_us, tenant_id, self.model, self.key_id, self.test)

    def link(self, *, after: str | None, through: str | None) -> str:
        """Return the address of a part of what is asked for."""
        own = {"after", "through", "limit"}
        given = self.model_dump(by_alias=True, exclude_unset=True, exclude=own)
        if given.get("test") is not None:
            given["test"] = str(given["test"]).lower()
        bounds = {"after": after, "through": through, "limit": self.limit}
        shown = {name: value for name, value in (given | bounds).items() if value is not None}
        return f"{PATH}?{urlencode(shown)}"


class RecordDocument(ResponseSchema):
    """One record of the ledger. The sum of `units` over all records is the bill."""

    id: str = Field(description="Id of the request; of a correction, its own")
    counted_at: str = Field(description="Moment that decides the period")
    occurred_at: str = Field(description="Moment of the request")
    tenant: str = Field(description="Tenant id")
    key: str = Field(description="Id of the credential")
    model: str
    version: str
    protocol: str
    rows: int = Field(description="Negative in a correction that takes back")
    units: int = Field(description="What is billed; negative in a correction that takes back")
    outcome: str = Field(
        description="`ok`; `lost`, a mark that nobody got the answer; or `correction`"
    )
    corrects: str = Field(description="Id of the record that this one marks or corrects, or empty")
    test: bool
    queue_us: int = Field(description="Microseconds of waiting for the model")
    compute_us: int = Field(description="Microseconds of the model's time")
    bytes_in: int
    bytes_out: int


class RecordPage(ResponseSchema):
    """Records in the order in which they were committed.

    A page with fewer records than `limit` is the last one for now; `next` goes on behind it later.
    """

    data: list[RecordDocument]
    self: str = Field(
        description="Address of exactly this page: the same bytes whenever it is read"
    )
    next: str = Field(description="The `after` of the page behind this one")


def _read(text: str | None, *, name: str) -> int | None:
    if text is None:
        return None
    moment_us = microseconds(parse_moment(text, name=name))
    try:
        is_in_calendar = moment_us >= 0 and period_of(moment_us) > 0
    except ValueError:
        is_in_calendar = False
    if not is_in_calendar:
        raise RangeInvalid("the range is outside the years 1970 to 9999")
    return moment_us
