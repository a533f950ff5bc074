"""Headers say what the decision said."""

import pytest

from gateway.limits.headers import limit_headers
from gateway.limits.policy import Policy, Standing
from tests.unit.gateway.limits.callers import policy

STANDING = Standing(50, 30, 900, 86_400)


@pytest.mark.parametrize(
    ("limits", "expected_policy", "expected"),
    [
        (
            policy(rate=1.5, burst=100, units=1000),
            b'"burst";q=100;w=67, "month";q=1000;w=2592000',
            b'"burst";r=50;t=30, "month";r=900;t=86400',
        ),
        (policy(rate=10, burst=5), b'"burst";q=5;w=1', b'"burst";r=50;t=30'),
        (policy(rate=2.5), b'"burst";q=3;w=2', b'"burst";r=50;t=30'),
        (policy(units=7), b'"month";q=7;w=2592000', b'"month";r=900;t=86400'),
    ],
    ids=["both", "rate", "rate without burst", "quota"],
)
def test_each_limit_is_an_item(limits: Policy, expected_policy: bytes, expected: bytes) -> None:
    """The two fields name the same policies in the same order."""
    headers = dict(limit_headers(limits, STANDING))
    assert headers == {b"ratelimit-policy": expected_policy, b"ratelimit": expected}


def test_unlimited_has_no_headers() -> None:
    """There is nothing to say, not even with a cap on requests in flight."""
    assert limit_headers(policy(in_flight=3), STANDING) == []
