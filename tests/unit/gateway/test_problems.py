"""Every error has its line in the table, and its document tells nothing that it must not."""

import orjson
import pytest

import auth.errors
import gateway.errors
import gateway.limits.errors
import gateway.usage.errors
import inference.errors
from auth.errors import CredentialInvalid, CredentialMissing
from gateway.errors import OutputNotFinite
from gateway.problems import TABLE, UNEXPECTED, invalid_fields, problem_of, row_of
from inference.errors import ContractViolated, ModelNotFound, Violation

MODULES = (
    auth.errors,
    gateway.errors,
    gateway.limits.errors,
    gateway.usage.errors,
    inference.errors,
)
NEVER_ANSWERED = {
    "AuditBroken",
    "BackupFailed",
    "DeliveryFailed",
    "DeliveryTaken",
    "ExportFailed",
    "EvidenceUnreadable",
    "LogInFailed",
    "JournalAlive",
    "JournalInUse",
    "JournalUnknown",
    "PepperKept",
    "PepperMismatch",
    "PeriodBroken",
    "PeriodOpen",
    "PeriodPruned",
    "PeriodUndelivered",
    "PeriodWaits",
    "RepositoryMissing",
    "SchemaMismatch",
    "SealBroken",
    "SealingKeyMismatch",
    "SecretMalformed",
    "SecretMissing",
    "SettingInvalid",
    "StaleCatalogue",
    "StartRefused",
    "WeakSecret",
}


def leaf_errors() -> list[type[Exception]]:
    """List the error classes of the product that nothing derives from."""
    found = [
        value
        for module in MODULES
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Exception)
    ]
    return sorted(
        {
            kind
            for kind in found
            if not kind.__subclasses__() and kind.__name__ not in NEVER_ANSWERED
        },
        key=lambda kind: kind.__name__,
    )


@pytest.mark.parametrize("kind", leaf_errors(), ids=lambda kind: kind.__name__)
def test_every_leaf_error_has_a_line(kind: type[Exception]) -> None:
    """A new error without a status is found here, not by a customer."""
    assert any(issubclass(kind, row.error) for row in TABLE)


def test_codes_are_told_apart_by_status() -> None:
    """A code means one status, so a client may branch on either."""
    statuses: dict[str, set[int]] = {}
    for row in TABLE:
        statuses.setdefault(row.code, set()).add(row.status)
    statuses.setdefault(invalid_fields([]).code, set()).add(invalid_fields([]).status)
    assert {code for code, seen in statuses.items() if len(seen) > 1} == set()


def test_output_that_json_cannot_carry_promises_nothing() -> None:
    """There is no other form of answer in this version."""
    detail = problem_of(OutputNotFinite("price")).detail
    assert detail == "output price holds NaN or infinity, which JSON cannot carry"


def test_unexpected_error_tells_nothing() -> None:
    """The text of an unforeseen exception stays in the log."""
    problem = problem_of(RuntimeError("password=hunter2"))
    assert row_of(RuntimeError()) is UNEXPECTED
    assert b"hunter2" not in problem.body("id")


def test_all_bad_credentials_look_alike() -> None:
    """Unknown, wrong, expired and missing differ in the log only."""
    bodies = {
        problem_of(error).body("id")
        for error in (
            CredentialInvalid("unknown"),
            CredentialInvalid("expired"),
            CredentialMissing(),
        )
    }
    assert len(bodies) == 1


def test_error_member_is_a_string_for_prediction_clients() -> None:
    """Clients of the prediction protocols crash on an object there."""
    document = orjson.loads(problem_of(ModelNotFound("m")).body("id"))
    assert isinstance(document["error"], str)
    assert document["request_id"] == "id"


def test_document_is_bounded_and_names_at_most_ten_places() -> None:
    """However much is wrong, the answer stays under 8 kB."""
    violations = tuple(Violation(row, "f" * 128, "m" * 5000) for row in range(10))
    body = problem_of(ContractViolated(violations)).body("id")
    assert len(body) <= 8192
    fields: list[dict[str, object]] = [{"location": "x" * 100, "message": "m" * 200}] * 50
    assert len(orjson.loads(invalid_fields(fields).body("id"))["errors"]) == 10
