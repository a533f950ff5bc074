"""Trials from the command line."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from gateway.models.trial_counts import TrialBook
from gateway.models.trial_store import TrialStore
from gateway.models.version_store import FoundVersion
from gateway.records import open_store
from gateway.settings import Settings
from inference.agreement import compare_answers
from inference.version_policy import VersionPolicy
from tests.actors import TESTER
from tests.repositories import scaled_model, sum_model, write_model
from tests.unit.gateway.cli.terminal import Terminal
from tests.verdicts import share_verdicts

MODEL = "housing"


@pytest.fixture
def registered(migrated: Terminal, tmp_path: Path) -> Terminal:
    """The records know version 1, the champion, and 2 of the same contract, and 3 of another."""
    for version, content in enumerate((scaled_model(1), scaled_model(2), sum_model()), start=1):
        write_model(tmp_path / "models", MODEL, content, version=version)
    asyncio.run(_register(share_verdicts(tmp_path / "var")))
    return migrated


async def _register(data_dir: Path) -> None:
    async with open_store(Settings(data_dir=data_dir)) as store:
        models = store.part(TrialStore)
        for version in ("1", "2", "3"):
            found = FoundVersion(MODEL, version, f"{version:0>64}", VersionPolicy())
            await models.push(found, actor=TESTER)
            await models.settle(MODEL, actor=TESTER)


async def _serve(data_dir: Path) -> None:
    """See what a server would of a hundred requests."""
    async with open_store(Settings(data_dir=data_dir)) as store:
        models = store.part(TrialStore)
        route = (await models.get_trial(MODEL)).route
        book = TrialBook()
        for number in range(100):
            book.answered(route, "1", rows=1, seconds=0.002 + number / 1e5)
            ours, theirs = {"price": np.array([10.0])}, {"price": np.array([10.0 + number % 2])}
            book.compared(route, "1", compare_answers(ours, theirs, tolerance=1e-3))
        await models.add_counts(book.take())


def test_split_is_told_as_the_operation_does(registered: Terminal) -> None:
    """Everything that was chosen, and when it began."""
    command = ("models", "split", MODEL, "--challenger", "2", "--weight", "0.1")
    document = registered.run(*command, "--sticky", "request", "--json").document
    assert (document["champion"], document["challenger"]) == ("1", "2")
    assert (document["weight"], document["sticky"]) == (0.1, "request")
    assert document["ended_at"] is None


def test_shadow_has_a_budget_and_no_weight(registered: Terminal) -> None:
    """A tenth of a thread's time, unless told otherwise."""
    document = registered.run("models", "shadow", MODEL, "--challenger", "2", "--json").document
    assert (document["weight"], document["budget"]) == (0.0, 0.1)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--challenger", "1", "--weight", "0.1"), "another version than the champion"),
        (("--challenger", "9", "--weight", "0.1"), "no model"),
        (("--challenger", "2", "--weight", "7"), "weight: must be 0 to 1"),
    ],
)
def test_split_that_cannot_be_is_refused(
    registered: Terminal, options: tuple[str, ...], reason: str
) -> None:
    """The reason is one line, the status 1."""
    refused = registered.run("models", "split", MODEL, *options)
    assert refused.status == 1
    assert reason in refused.err


@pytest.mark.parametrize("way", [("split", "--weight", "0.1"), ("shadow",)])
def test_challenger_of_another_contract_has_to_be_forced(
    registered: Terminal, way: tuple[str, ...]
) -> None:
    """The reason says what would break."""
    command = ("models", way[0], MODEL, "--challenger", "3", *way[1:])
    refused = registered.run(*command)
    assert refused.status == 1
    assert "input x is gone" in refused.err
    assert registered.run(*command, "--force", "--json").document["challenger"] == "3"


def test_sticky_is_one_of_two_words(registered: Terminal) -> None:
    """A misspelt one is called wrongly."""
    command = ("models", "split", MODEL, "--challenger", "2", "--weight", "0.1")
    assert registered.run(*command, "--sticky", "moon").status == 2


def test_comparison_is_for_people(registered: Terminal, tmp_path: Path) -> None:
    """A table of the versions, then their difference and their agreement with intervals."""
    registered.run("models", "shadow", MODEL, "--challenger", "2")
    asyncio.run(_serve(tmp_path / "var"))
    told = registered.run("models", "compare", MODEL).out.splitlines()
    assert told[0].split()[:3] == ["VERSION", "ROLE", "OF"]
    assert told[1].startswith("1        champion    served    100")
    [agreement] = [line for line in told if line.startswith("agreement")]
    assert agreement.endswith("100 rows, within 0.001: 50.00 % [40.34, 59.66]")
    assert told[-1].startswith("  price: 50.00 %")
    assert "difference 0.5 [0.400289, 0.599711], at most 1" in told[-1]


def test_ended_trial_can_be_read(registered: Terminal) -> None:
    """Once more changes nothing."""
    registered.run("models", "shadow", MODEL, "--challenger", "2")
    ended = registered.run("models", "end-trial", MODEL, "--json").document
    assert ended["ended_at"] is not None
    assert registered.run("models", "end-trial", MODEL, "--json").document == ended
    assert registered.run("models", "compare", MODEL).status == 0


def test_model_without_a_trial_says_so(registered: Terminal) -> None:
    """There is nothing to compare or to end."""
    refused = registered.run("models", "compare", MODEL)
    assert refused.status == 1
    assert "no trial" in refused.err
