"""The stack serves over TLS what `make stack` promises, and nothing else."""

import subprocess

import pytest

from tests.compose.composed_stack import SERVICES, ComposedStack

pytestmark = pytest.mark.stack

CERTIFICATE_NOT_TRUSTED = 60
HOST_NOT_FOUND = 6


def curl(*words: str) -> subprocess.CompletedProcess[str]:
    """Run curl."""
    return subprocess.run(["curl", *words], capture_output=True, text=True, check=False, timeout=60)


def test_every_service_is_healthy(stack: ComposedStack) -> None:
    """`make stack` returns only then."""
    assert all(stack.is_healthy(service) for service in SERVICES)


def test_printed_line_gets_a_prediction_over_http2(stack: ComposedStack) -> None:
    """It can be pasted as it stands."""
    done = curl(*stack.example[1:], "--http2", "-w", "\n%{http_version} %{http_code}")
    body, _, about = done.stdout.rpartition("\n")
    assert about == "2 200", done
    assert '"predictions"' in body


def test_prediction_is_on_the_bill_once(stack: ComposedStack) -> None:
    """The usage that a billing script reads is what the ledger has, and this is in it."""
    body = stack.example[-1].encode()
    answer = stack.call("/v1/models/housing:predict", stack.demo["api_key"], body)
    assert answer.status == 200
    request_id = answer.headers["x-request-id"]
    stack.wait_until(lambda: request_id in stack.ledger(), "the prediction is in the ledger")
    assert stack.ledger().count(request_id) == 1
    assert stack.usage() == len(stack.ledger())


def test_certificate_is_not_trusted_by_others(stack: ComposedStack) -> None:
    """Only who was given the authority believes it."""
    done = curl("-sS", f"{stack.url}/healthz/live")
    assert done.returncode == CERTIFICATE_NOT_TRUSTED


def test_plans_are_not_reached_from_outside(stack: ComposedStack) -> None:
    """Not even with an admin's key, until the operator names his networks."""
    answer = stack.call("/v1/plans", stack.demo["admin_key"])
    assert (answer.status, answer.document["code"]) == (403, "network_not_allowed")


@pytest.mark.parametrize("keeper", ["postgres", "redis"])
def test_nginx_has_no_way_to_the_records(stack: ComposedStack, keeper: str) -> None:
    """Its network does not even know their names."""
    command = f"curl -s --max-time 5 http://{keeper}:1/; echo $?"
    assert stack.execute("nginx", "sh", "-c", command).split() == [str(HOST_NOT_FOUND)]


def test_second_make_stack_uses_what_is_there(stack: ComposedStack) -> None:
    """The same tenant and keys, and containers that were left alone."""
    demo = stack.demo
    containers = {service: stack.inspect(service)["Id"] for service in SERVICES}
    stack.up()
    assert stack.demo == demo
    assert {service: stack.inspect(service)["Id"] for service in SERVICES} == containers
