"""The apps that Tollgate is measured against answer rightly, so that the comparison is fair."""

import httpx
import pytest

from benchmarks import bare_app, tutorial_app
from benchmarks.cases import CASES, Case, build_body

APPS = [bare_app.create_app(), tutorial_app.create_app()]
HOUSING = [case for case in CASES if case.model == "housing" and case.protocol == "V1"]


@pytest.mark.parametrize("app", APPS, ids=["bare", "tutorial"])
@pytest.mark.parametrize("case", HOUSING, ids=lambda case: case.name)
async def test_app_answers_the_golden_predictions(app: object, case: Case) -> None:
    """Every body of the benchmark gets the predictions that Tollgate must give too."""
    body = build_body(case)
    transport = httpx.ASGITransport(app=app)  # type: ignore[arg-type] # two kinds of callable
    async with httpx.AsyncClient(transport=transport, base_url="http://bench") as client:
        answer = await client.post(
            case.path, content=body.content, headers={"Content-Type": "application/json"}
        )
    assert answer.status_code == 200
    assert answer.json()["predictions"] == pytest.approx(body.predictions, rel=1e-4)
