"""No id can be written so that it meets another tenant's keys in Redis."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.limits.redis_keys import encode_id, leases_key, meter_key, tenant_prefix, units_key
from tests.unit.gateway.limits.callers import HOSTILE_IDS

IDS = st.text() | st.sampled_from([*HOSTILE_IDS, "%", "%25", "\ud800"])


def names(tenant: str, key: str) -> set[str]:
    """List the keys of one API key and its tenant."""
    prefix = tenant_prefix("tollgate", tenant)
    return {units_key(prefix), leases_key(prefix), meter_key(prefix, key)}


def hash_tag(name: str) -> str:
    """Cut out what a cluster hashes: between the first brace and the first that closes it."""
    return name.partition("{")[2].partition("}")[0]


@given(tenant=IDS, other=IDS, key=IDS)
def test_tenants_share_no_key(tenant: str, other: str, key: str) -> None:
    """Unlike ids have unlike names, whatever characters they hold."""
    assert names(tenant, key).isdisjoint(names(other, key)) == (tenant != other)


@given(tenant=IDS, key=IDS)
def test_keys_of_a_tenant_have_one_hash_tag(tenant: str, key: str) -> None:
    """A cluster keeps them on one node; an empty tag would be none."""
    assert {hash_tag(name) for name in names(tenant, key)} == {encode_id(tenant)}
    assert encode_id(tenant)


@given(tenant=IDS, key=IDS, other=IDS)
def test_keys_of_a_tenant_are_apart(tenant: str, key: str, other: str) -> None:
    """Its API keys share no meter."""
    assert (names(tenant, key) == names(tenant, other)) == (key == other)
